"""Heads that can be applied together: a row put to a hundred products costs one pass of numpy, not a hundred."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Self, TypeGuard

from trunkline.types import Head, Inputs, Program


class Stackable:
    """A head that others like it can join; alone it is a stack of one. `stackable` says whether that still holds for
    a head that stands on this. A stack holds no copy of weights, so there is nothing to keep and nothing to go stale.
    """

    def run(self, rows: Sequence[Inputs]) -> Program:
        return self.run_stack([self], rows)

    def likeness(self, rows: Sequence[Inputs]) -> Hashable | None:
        """What it is made of and what it reads of the rows: where that is equal, heads of one class may stack.
        None: with no other."""
        raise NotImplementedError

    @classmethod
    def run_stack(cls, heads: Sequence[Self], rows: Sequence[Inputs]) -> Program:
        """Ends in a prediction of (heads * rows): all rows by the first head, then by the next ones, each bit for bit as
        the head gives it alone. `rows` as the first head reads them."""
        raise NotImplementedError


def stackable(head: Head) -> TypeGuard[Stackable]:
    kind: type[Any] = type(head)
    return isinstance(head, Stackable) and kind.run is Stackable.run
