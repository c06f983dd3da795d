"""What the report tells of why: mistakes with their reasons, what the product looks at, whether that is true."""

from __future__ import annotations

from msgspec import Struct

from trunkline.proof.details import Interval


class Reason(Struct, frozen=True):
    """A part of a row that pushed its answer, as in `explain.why.Reason`."""

    column: str
    kind: str
    name: str
    weight: float
    without: float | None = None


class Near(Struct, frozen=True):
    """A training row that lies near another row."""

    row: int
    inputs: dict[str, str]
    label: str


class Mistake(Struct, frozen=True):
    """A wrong answer. probability: what the answer was sure of (None for numbers); size: how wrong,
    for ordering."""

    row: int
    inputs: dict[str, str]
    truth: str
    answer: str
    probability: float | None
    size: float
    why: tuple[Reason, ...] = ()  # of the worst ones, as is
    near: tuple[Near, ...] = ()


class Leaning(Struct, frozen=True):
    """As `explain.survey.Leaning`."""

    column: str
    kind: str
    name: str
    label: str
    weight: float
    rows: int


class Faithful(Struct, frozen=True):
    """How far the answer falls without its `removed` heaviest parts, and without as many at random; the difference, and
    how many times as far. unit: "%" of probabilities, "" of a number."""

    removed: int
    unit: str
    top: Interval
    random: Interval
    difference: Interval
    ratio: Interval


class Rule(Struct, frozen=True):
    """As `methods.imitation.Rule`."""

    depth: int
    question: str
    answer: str
    rows: int


class Imitation(Struct, frozen=True):
    """A small tree, how often it says what the product says (of the test rows), and how often the commonest answer is it."""

    rules: tuple[Rule, ...]
    fidelity: Interval
    commonest: float


class Why(Struct, frozen=True):
    faithful: Faithful | None
    overall: tuple[Leaning, ...]
    imitation: Imitation | None = None


class Filter(Struct, frozen=True):
    """As `explain.inside.Filter`; pixels as #rrggbb, row by row."""

    kind: str
    side: int
    pixels: tuple[str, ...]


class Attention(Struct, frozen=True):
    """As `explain.inside.Attention`, of the row by its number in the source."""

    row: int
    words: tuple[str, ...]
    more: int
    shares: tuple[tuple[tuple[float, ...], ...], ...]


class Inside(Struct, frozen=True):
    """What a network that was learned here looks with."""

    filters: tuple[Filter, ...] = ()
    attention: tuple[Attention, ...] = ()
