"""The plain types that travel along the line, left to right.

source rows -> Examples -> Call/outputs -> Candidate -> Evidence -> bundle -> Answer
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trunkline.proof.tuned import Tuned
    from trunkline.spec import Spec

Value: TypeAlias = Any  # what an input kind made of a raw cell: str, float, None, an image ...
Row: TypeAlias = Mapping[str, Any]  # one row of a source: column -> raw cell
Inputs: TypeAlias = Mapping[str, Value]  # one row as heads see it: input column -> Value
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.int64]
Arrays: TypeAlias = dict[str, NDArray[Any]]  # what safetensors holds


@dataclass(frozen=True)
class Refused:
    """A refusal is a value: `code` for programs, `message` for people."""

    code: str  # "missing", "unreadable", "too_long", "cannot" ...
    message: str


# ---- heavy compute: the only way to it is a Call ------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A request for heavy compute, yielded by a head's program.

    `items` are Values of the engine's kind. Calls with equal (engine, form, options) are merged and equal items computed once, whoever asks.
    """

    engine: str  # "trunk:e5-small", "own:net"; later "state:index", "product:faq"
    items: Sequence[Value]
    form: str = "pooled"
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def route(self) -> tuple[Any, ...]:
        return (self.engine, self.form, self.options)


Outputs: TypeAlias = Sequence[Any]  # one per Call; its first axis is the call's items
End = TypeVar("End")
Steps: TypeAlias = "Generator[Sequence[Call], Outputs, End]"  # asks by Calls, ends in whatever it is for
Program: TypeAlias = "Steps[Prediction]"
Ask: TypeAlias = Callable[[Sequence[Call]], Outputs]  # answers calls, in order


@dataclass(frozen=True)
class EngineCard:
    """Who an engine is. The fingerprint covers weights, graph, tokenizer, prefixes, length limit,
    pooling, normalisation, precision and runtime; a machine may choose threads and batch sizes only."""

    id: str
    fingerprint: str  # hex digest
    kind: str  # input kind it reads: "text"
    forms: tuple[str, ...]  # "pooled", "tokens", "places"
    dim: int
    licence: str
    source: str  # where the weights came from
    languages: tuple[str, ...] = ()
    max_tokens: int = 0  # 0 = no limit
    precision: str = ""
    runtime: str = ""


@dataclass(frozen=True)
class Tokens:
    """What the form `tokens` gives for one text: vectors float32 (t, dim), and the characters [starts, ends) of the
    text that each stands for, int32 (t,); equal where it stands for none. No marks, no prefix, nothing cut off."""

    vectors: Floats
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]


class Places(NamedTuple):
    """What the form `places` gives for one picture. box: the part of it that is looked at: left, top, right and bottom as
    shares; values: float (dim, height, width), what each place of it adds to `pooled`."""

    box: tuple[float, float, float, float]
    values: Floats


class Engine(Protocol):
    """One model in memory. `run` must be thread-safe, and a function of each item alone:
    the same item gives bit-equal output alone or in any batch."""

    card: EngineCard

    def cost(self, item: Value) -> int:
        """What a batch budget counts: tokens for text (padded as they are computed), pixels for images.
        Items of equal cost are computed together."""
        ...

    def run(self, call: Call) -> Any:
        """Outputs for call.items; `pooled` gives float32 (n, dim), `tokens` n `Tokens`, `places` n `Places`."""
        ...

    def stream(self, call: Call) -> Iterator[Any]:
        """Outputs in chunks as they come; most engines yield `run(call)` once."""
        ...


class Trunk(Protocol):
    """The trunk door: knows its weights; `load` is the only place where they are opened."""

    @property
    def card(self) -> EngineCard: ...

    def available(self) -> Refused | None:
        """None if the weights are on this machine (installed package, cache or folder)."""
        ...

    def load(self) -> Engine: ...


# ---- rows, inputs, examples ----------------------------------------------------------------------


class Source(Protocol):
    """The source door: where rows come from. Iterating streams; nothing is read before."""

    def describe(self) -> str:
        """For messages and the data pointer; never a secret."""
        ...

    def rows(self) -> Iterator[Row]: ...


class InputKind(Protocol):
    """The input-kind door: how one column is read, keyed and described. Stateless."""

    name: ClassVar[str]

    def read(self, raw: Any) -> Value | Refused:
        """A raw cell (str from CSV, or a JSON value) as a Value; a missing cell is Refused
        ("missing") only where the kind can't express absence (text); numbers give nan,
        categories None. Never opens a path or a URL."""
        ...

    def key(self, value: Value) -> bytes:
        """Digest of the normalised value: one key for cache, split and duplicates."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON Schema of one cell in a request."""
        ...

    def guess(self, cells: Sequence[Any]) -> float:
        """How well a sample of raw cells fits this kind, 0..1; used by `trunkline init --from`."""
        ...


class Span(NamedTuple):
    """A part of a text: characters [start, end), the type it has as an index into labels, its text, and how sure."""

    start: int
    end: int
    label: int
    text: str = ""
    score: float = 1.0


@dataclass(frozen=True)
class Examples:
    """What a task makes of rows. All sequences have length n.

    target: classify int64 (n,) indices into labels; multilabel bool (n, L); regress float64 (n,); tag object (n,),
    a tuple of `Span` each; extract likewise, each of them a right answer, with no labels.
    """

    inputs: Sequence[Inputs]
    target: NDArray[Any]
    labels: tuple[str, ...]
    keys: Sequence[bytes]  # split key: group, else id, else the normalised inputs
    rows: Ints  # row number in the source, first row = 0
    groups: Sequence[str] | None = None
    times: Sequence[float] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # raw, for slices

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Sequence[int] | NDArray[Any]) -> Examples:
        """The examples at `index` (integers, or a boolean mask), in that order."""
        at = np.asarray(index)
        at = np.flatnonzero(at) if at.dtype == bool else at.astype(np.int64)

        def pick(values: Sequence[Any]) -> list[Any]:
            return [values[i] for i in at.tolist()]

        return replace(
            self,
            inputs=pick(self.inputs),
            target=self.target[at],
            keys=pick(self.keys),
            rows=self.rows[at],
            groups=None if self.groups is None else pick(self.groups),
            times=None if self.times is None else pick(self.times),
            columns={name: pick(values) for name, values in self.columns.items()},
        )


Folds: TypeAlias = Ints  # (n,) fold number of each example, 0..k-1


# ---- predictions, decisions, answers --------------------------------------------------------------


@dataclass(frozen=True)
class Prediction:
    """What a head's program ends in.

    values: classify (n, classes) probabilities; multilabel (n, labels) probabilities; regress (n,); tag object
    (n,), a tuple of `Span` each; extract the same, of one at most.
    outside: (n,) how far each row lies from anything seen in training, larger = further; None if
    the head can't tell.
    """

    values: NDArray[Any]
    outside: Floats | None = None

    def take(self, index: NDArray[Any]) -> Prediction:
        return Prediction(self.values[index], None if self.outside is None else self.outside[index])


@dataclass(frozen=True)
class Decision:
    """The numbers that turn a prediction into an answer; all from out-of-fold predictions."""

    temperature: float = 1.0
    abstain_below: float = 0.0  # top probability under which a classify answer abstains
    outside_above: float | None = None  # `outside` over which an answer is out_of_scope
    thresholds: tuple[float, ...] = ()  # multilabel: one per label
    costs: tuple[tuple[float, ...], ...] = ()  # classify: price of saying column where row is true
    residual: float = 0.0  # regress: half width of the 90 % interval


Status: TypeAlias = Literal["ok", "abstained", "out_of_scope", "error"]


@dataclass(frozen=True)
class Answer:
    """One row's answer. `fields` are the task's own: classify {"label", "scores": {label: p}},
    multilabel {"labels", "scores"}, regress {"value", "low", "high"}, tag {"spans"}, extract {"answer", "start", "end", "score"}."""

    status: Status
    fields: Mapping[str, Any] = field(default_factory=dict)


# ---- head, method, task ------------------------------------------------------------------------


class Head(Protocol):
    """The head door, serving side: small weights and a program; numpy and engines only."""

    format: ClassVar[str]

    def run(self, rows: Sequence[Inputs]) -> Program: ...

    def save(self) -> tuple[dict[str, Any], Arrays]:
        """(JSON-ready meta, arrays); together they are the whole head."""
        ...

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A learned head with its out-of-fold predictions over the training examples."""

    head: Head
    out_of_fold: Prediction  # of all n training examples
    settings: Mapping[str, Any]  # what was chosen, JSON-ready
    networks: Mapping[str, Any] = field(default_factory=dict)  # "own:net" -> the `engines.own.Owned` that the head asks


class Method(Protocol):
    """The method door, training side: may import scikit-learn, LightGBM, torch (lazily)."""

    name: ClassVar[str]

    def can(self, spec: Spec, examples: Examples) -> Refused | None: ...

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Select by out-of-fold predictions, then refit on all examples. Deterministic by
        spec.seed. The saved head stays under spec.method.head_mb."""
        ...


@dataclass(frozen=True)
class Metric:
    """A pure figure of merit.

    of(target, values) -> float, both with first axis n (values = calibrated Prediction.values).
    per_row(target, values) -> (n,) whose mean is the metric, or None if it isn't a mean; where all
    entries are 0 or 1 the metric is a proportion (Wilson interval), else the bootstrap is used.
    weighted(target, values, weights) -> (draws,), the metric once per row of weights (draws, n):
    what lets the bootstrap draw a metric that isn't a mean fast; without it, draws call `of`.
    """

    name: str
    higher_is_better: bool
    of: Callable[[NDArray[Any], Floats], float]
    per_row: Callable[[NDArray[Any], Floats], Floats] | None = None
    unit: str = ""  # "%" = shown as percent of 1
    weighted: Callable[[NDArray[Any], Floats, Floats], Floats] | None = None


class Task(Protocol):
    """The task door: the question answered."""

    name: ClassVar[str]

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Raw label cells -> (target, labels); with `labels` given (from training) cells outside
        them raise DataError naming row, found label and the nearest known one."""
        ...

    def primary(self, spec: Spec) -> str:
        """Name of the metric the product is judged by."""
        ...

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]: ...

    def folds(self, examples: Examples, k: int, seed: int) -> Folds: ...

    def baselines(self, spec: Spec) -> Sequence[str]:
        """Names of the methods that give naive answers: "majority", "ngrams"."""
        ...

    def calibrate(self, spec: Spec, examples: Examples, out_of_fold: Prediction) -> Decision: ...

    def finish(self, prediction: Prediction, decision: Decision) -> Prediction:
        """Raw -> calibrated values (temperature)."""
        ...

    def decode(self, finished: Prediction, decision: Decision, labels: Sequence[str]) -> list[Answer]: ...

    def correct(self, answer: Answer, correction: Any, labels: Sequence[str]) -> Value:
        """What a user's correction of an answer is worth as a label cell; DataError if nothing."""
        ...

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON Schema of Answer.fields, with an example."""
        ...


# ---- proof --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and the rows it stands on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Finding:
    """One fault a data check found. score 0 (nothing) .. 1 (everything); rows are examples to look at."""

    check: str  # "near_duplicates"
    severity: Literal["info", "warn", "stop"]
    score: float
    count: int
    message: str  # English sentence with figures
    message_zh: str
    rows: Sequence[Mapping[str, Any]] = ()  # {"row": 12, "part": "train", "cells": {...}, "note": "..."}
    fix: str = ""


@dataclass(frozen=True)
class DataReport:
    """What `validate` shows and the proof repeats."""

    rows: Mapping[str, int]  # {"train": 9000, "test": 1000, "dropped": 12}
    findings: Sequence[Finding]
    columns: Mapping[str, Mapping[str, Any]]  # column -> {"kind", "missing", "distinct", ...}
    labels: Mapping[str, int]  # label -> training rows
    source: str  # data pointer, never a secret
    digest: str  # of the rows used


@dataclass(frozen=True)
class Rung:
    """One step of the method ladder, as the report shows it."""

    method: str
    metric: str
    value: Estimate
    gain: Estimate | None  # paired, over the rung before it that was kept
    seconds: float
    size_bytes: int
    kept: bool
    note: str = ""


@dataclass(frozen=True)
class Latency:
    """Measured here, one row a call, features uncached, in process."""

    p50_ms: float
    p95_ms: float
    rows_per_s: float
    n: int
    cpu_ms: float | None = None  # processor time of the middle call, all threads; the cost of a call


@dataclass(frozen=True)
class CurvePoint:
    rows: int
    value: Estimate
    extrapolated: bool = False


@dataclass(frozen=True)
class Without:
    """What the product answers without one input column. method: the one that learned again without it; "" where its
    cells were swapped between the rows instead."""

    column: str
    method: str
    prediction: Prediction  # finished, of the test rows at `rows`
    rows: Ints


@dataclass(frozen=True)
class Evidence:
    """All that the proof needs; it computes nothing with models itself."""

    spec: Spec
    task: Task
    test: Examples
    prediction: Prediction  # finished (calibrated), on the test examples
    answers: Sequence[Answer]
    decision: Decision
    baselines: Mapping[str, Prediction]  # same test rows, finished
    data: DataReport
    rungs: Sequence[Rung] = ()
    curve: Sequence[CurvePoint] = ()
    latency: Latency | None = None
    size_bytes: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)  # station -> seconds
    trunks: Sequence[EngineCard] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    without: Sequence[Without] = ()  # each input column, of a product that has several
    live: Prediction | None = None  # the serving bundle's, on the same rows
    epochs: Sequence[tuple[int, float, float | None]] = ()  # of a network learned here: epoch, loss, validation loss
    notes: Sequence[tuple[str, Mapping[str, Any]]] = ()  # of its learning: a key of `proof.messages` behind "learned.", values
    tuned: Tuned | None = None  # where the product is learned by settings that a search found
    version: str = ""
