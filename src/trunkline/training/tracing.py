"""What learning spends its time on: PyTorch's profiler over some steps of each network, as a Chrome trace. Light without a place to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

SKIPPED, STEPS = 3, 20  # steps before the trace, as the first ones are slow, and in it: the file grows by some 100 kB a step
_FOLDER: ContextVar[Path | None] = ContextVar("folder of traces", default=None)


@contextmanager
def traces(folder: Path) -> Iterator[None]:
    """While it lasts, every network that is learned leaves <folder>/<name>.trace.json, which chrome://tracing, Perfetto and
    TensorBoard show."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


class _None:
    def step(self) -> None:
        pass


@contextmanager
def traced(name: str, tells: bool) -> Iterator[Any]:
    """Its `step()` is called after each step of a training."""
    folder = _FOLDER.get()
    if folder is None or not tells:
        yield _None()
        return
    import torch
    from torch.profiler import ProfilerActivity, profile, schedule

    file = folder / f"{name.replace(' ', '-').replace('/', '-of-')}.trace.json"
    folder.mkdir(parents=True, exist_ok=True)
    watched = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    plan = schedule(wait=SKIPPED - 1, warmup=1, active=STEPS, repeat=1)
    with profile(activities=watched, schedule=plan, on_trace_ready=lambda found: found.export_chrome_trace(str(file))) as running:
        yield running
