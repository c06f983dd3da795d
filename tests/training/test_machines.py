"""What the loop decides by the machine: precision, copies to a card, compiling, traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from tests.training import small  # noqa: E402

from trunkline.training import gradient, loop  # noqa: E402
from trunkline.training.loop import train_loop  # noqa: E402
from trunkline.training.settings import LoopSettings  # noqa: E402
from trunkline.training.synced import Share  # noqa: E402
from trunkline.training.tracing import STEPS, traces  # noqa: E402

SHORT = msgspec.structs.replace(small.SETTINGS, epochs=2, accumulate=1)


@pytest.mark.parametrize(
    ("card", "bf16", "amx", "large", "precision", "wanted"),
    [
        (True, True, False, False, "auto", "bf16"),
        (True, False, False, False, "auto", "fp16"),
        (True, True, True, True, "float32", "no"),
        (False, True, True, True, "auto", "bf16"),
        (False, True, True, False, "auto", "no"),
        (False, True, False, True, "auto", "no"),
    ],
)
def test_precision(
    monkeypatch: pytest.MonkeyPatch, card: bool, bf16: bool, amx: bool, large: bool, precision: Any, wanted: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(loop, "multiplies_bf16", lambda: amx)
    assert loop._precision(LoopSettings(precision=precision), large) == wanted


@pytest.mark.parametrize(("device", "wanted"), [("cpu", []), ("cuda", ["pinned", "pinned", "sent"]), ("mps", ["sent"])])
def test_only_for_cuda_a_batch_goes_through_pinned_memory(monkeypatch: pytest.MonkeyPatch, device: str, wanted: list[str]) -> None:
    seen: list[str] = []

    def pinned(tensor: Any) -> Any:
        seen.append("pinned")
        return tensor

    def sent(batch: Any, to: Any, non_blocking: bool = False) -> Any:
        seen.append("sent")
        assert non_blocking == (device == "cuda")
        return batch

    class Card:
        device = torch.device("cpu")

    Card.device = torch.device(device)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    monkeypatch.setattr(gradient, "send_to_device", sent)
    made = small.recipe()
    batch = made.batch(np.arange(4), np.random.default_rng(0))
    given = gradient.Gradient(made, SHORT, 0, Card(), made.module, Share(), "x")._placed(batch)
    assert seen == wanted
    assert all(torch.equal(one, other) for one, other in zip(given, batch, strict=True))


def test_compiled_while_it_learns_and_as_it_was_written_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def compiled(call: Any, **_: Any) -> Any:
        def counted(*given: Any) -> Any:
            nonlocal calls
            calls += 1
            return call(*given)

        return counted

    monkeypatch.setattr(torch, "compile", compiled)
    plain, other = small.recipe(), small.recipe()
    train_loop(plain, SHORT, seed=0)
    assert calls == 0
    train_loop(other, msgspec.structs.replace(SHORT, compile=True), seed=0)
    assert calls >= 2 * small.ROWS // SHORT.batch
    learned = calls
    other.module(torch.zeros(1, 2))
    assert calls == learned
    assert small.weights(other.module) == small.weights(plain.module)


def test_a_trace_of_some_steps_that_changes_nothing(tmp_path: Path) -> None:
    plain, other = small.recipe(), small.recipe()
    train_loop(plain, SHORT, seed=0, name="fold 1/2")
    with traces(tmp_path):
        train_loop(other, SHORT, seed=0, name="fold 1/2")
    events = json.loads((tmp_path / "fold-1-of-2.trace.json").read_text())["traceEvents"]
    steps = {event["name"] for event in events if event.get("name", "").startswith("ProfilerStep")}
    assert len(steps) == STEPS
    assert small.weights(other.module) == small.weights(plain.module)
