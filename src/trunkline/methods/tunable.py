"""What a method tells those who search its settings. Both are optional: a method without them is learned as it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from trunkline.spec import Ranges, Spec
from trunkline.types import Ask, Examples, Folds, Ints, Prediction

HeldOut: TypeAlias = Generator[tuple[Ints, Prediction], None, None]


class Searched(NamedTuple):
    """settings: all that the method knows. ranges: of those worth searching, where the product names none."""

    settings: type[Struct]
    ranges: Ranges


@runtime_checkable
class Tunable(Protocol):
    def searched(self, spec: Spec) -> Searched: ...


@runtime_checkable
class FoldByFold(Protocol):
    """A method so dear that a fold's figures are worth knowing before the next fold is learned, and that learns no
    network on all rows where only figures are asked for."""

    def held_out(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> HeldOut:
        """(rows, their prediction by a model that hadn't seen them), until every row had its turn. Same values as
        `fit`'s out-of-fold predictions. Whoever has seen enough closes it."""
        ...
