"""What an own network reads: a row of tensors, prepared by its head. No column is of this kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.inputs import KINDS
from trunkline.types import Value

TENSORS = "tensors"
# One part for each tensor: numbers (k,), pixels of more axes, or k strings.
Tensors: TypeAlias = Sequence[NDArray[Any] | Sequence[str]]


def item_key(kind: str) -> Callable[[Value], bytes]:
    """What names an item of an engine that reads `kind`: an input kind, or TENSORS."""
    return tensors_key if kind == TENSORS else KINDS.get(kind)().key


def tensors_key(item: Tensors) -> bytes:
    """16 bytes; equal bits of every part, in order, give equal keys."""
    found = blake2b(digest_size=16, person=TENSORS.encode())
    for part in item:
        for piece in _pieces(part):
            found.update(len(piece).to_bytes(8, "little"))
            found.update(piece)
    return found.digest()


def _pieces(part: Any) -> list[bytes]:
    if isinstance(part, np.ndarray):
        return [b"numbers", repr((part.dtype.str, part.shape)).encode(), np.ascontiguousarray(part).tobytes()]
    return [b"strings", len(part).to_bytes(8, "little"), *(text.encode() for text in part)]
