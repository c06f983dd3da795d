"""Several processes that learn one network: started by `torchrun`, by `trunkline train --processes`, or by Ray Train.

The first process walks the line and alone writes. The others wait; where a network is to be learned they learn it with
the first one, each from its own rows, and wait again. What they say to each other besides gradients goes over a gloo
group of its own, always by one sort of call, so that a process that failed is heard wherever the others are.
Light: torch is loaded by the first call that needs another process.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrainError, TrunklineError

Index: TypeAlias = NDArray[np.int64]
_PATIENCE = timedelta(days=7)  # the others wait as long as the first one reads, encodes and proves
_SAID = 512  # bytes of what a process says at a time
_END, _LEARN, _WAITS = "end", "learn", "waits"


class OneFailed(TrunklineError):
    """An error in one process within a step: the others are waiting for its gradient, and end by its end."""


class Followed(Exception):
    """A process beside the first has done its part of a method; no error."""


class Ended(Exception):
    """The first process is through, or has stopped for a reason that it tells itself."""


def size() -> int:
    """How many processes learn together; 1 = this one alone."""
    named = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"))
    return int(os.environ["WORLD_SIZE"]) if named else 1


def rank() -> int:
    return int(os.environ["RANK"]) if size() > 1 else 0


def beside() -> int:
    """Processes on this machine, which share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if size() > 1 else 1


def own(rows: Index) -> NDArray[np.bool_]:
    """Which of these rows of the examples are this process's: always the same ones, so that it makes and holds no others."""
    return np.asarray(rows % size() == rank())


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """What the first process does between the networks that all learn; the others are let go at its end."""
    try:
        yield
    except TrunklineError as error:
        if not isinstance(error, OneFailed):
            _let_go()
        raise
    _let_go()


def call(name: str) -> None:
    """The first process is about to learn by this method: the others are to do so too. Raises TrainError as `met` does."""
    if size() > 1:
        _said(name)
        met(name)


def called() -> str:
    """For the others: the method to learn by; "" at the end. Waits."""
    while True:
        word = _said(_WAITS)[0]
        if not word.startswith(_LEARN):  # else it learns what failed here, and has just heard so
            return "" if word == _END else word


def met(about: str) -> None:
    """All are about to learn the same network from the same rows. Raises TrainError in the first one if not, Ended in the others."""
    if size() == 1:
        return
    words = _said(f"{_LEARN} {about}")
    if rank():
        if not words[0].startswith(_LEARN):
            raise Ended
        return
    for other, word in enumerate(words):
        if word != words[0]:
            raise TrainError(
                f"process {other} can't learn with this one",
                found="an error there" if word == _WAITS else "other rows or settings there",
                wanted="the product's folder, as it is here, at the same path on every machine",
            )


def first_alone() -> None:
    """From here on the first process goes on by itself. Raises Followed in the others."""
    if rank():
        raise Followed


def gathered(values: NDArray[Any]) -> NDArray[Any]:
    """float64 or int64, of one shape in all processes: each gives what it knows and 0 elsewhere, all get the whole."""
    if size() == 1:
        return values
    import torch
    import torch.distributed as dist

    whole = torch.from_numpy(np.ascontiguousarray(values))
    dist.all_reduce(whole, group=_group())
    return whole.numpy()


def largest(number: int) -> int:
    """Of all processes' numbers."""
    if size() == 1:
        return number
    import torch
    import torch.distributed as dist

    found = torch.tensor(number)
    dist.all_reduce(found, dist.ReduceOp.MAX, group=_group())
    return int(found)


def sent(data: bytes) -> bytes:
    """The first process's bytes, in all of them."""
    if size() == 1:
        return data
    import torch
    import torch.distributed as dist

    block = torch.zeros(largest(len(data) if rank() == 0 else 0), dtype=torch.uint8)
    if rank() == 0:
        block[:] = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    dist.broadcast(block, 0, group=_group())
    return block.numpy().tobytes()


def agreed(figures: dict[str, float]) -> dict[str, float]:
    """The first process's figures, so that all stop at the same epoch whatever their machines' last bits are."""
    if size() == 1:
        return figures
    found: dict[str, float] = json.loads(sent(json.dumps(figures).encode()))
    return found


def _let_go() -> None:
    if size() > 1 and rank() == 0:
        _said(_END)
        leave()


def leave() -> None:
    """Close the connections to the other processes."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
    _group.cache_clear()


def _said(word: str) -> list[str]:
    """What every process says at this moment, by rank; each says something at every such moment."""
    import torch
    import torch.distributed as dist

    own = torch.zeros(_SAID, dtype=torch.uint8)
    data = word.encode()[:_SAID]
    own[: len(data)] = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    every = [torch.zeros_like(own) for _ in range(size())]
    dist.all_gather(every, own, group=_group())
    return [each.numpy().tobytes().rstrip(b"\0").decode(errors="replace") for each in every]


@cache
def _group() -> Any:
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():  # Ray Train has done so
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    return dist.new_group(backend="gloo", timeout=_PATIENCE)
