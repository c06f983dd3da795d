"""The keys of product.toml with their defaults. Field descriptions become the reference page."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct, field

from trunkline.errors import SpecError

Share: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Above: TypeAlias = Annotated[float, Meta(gt=0)]


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows from a database. The connection is a name in the user's own configuration."""

    connection: Annotated[str, Meta(description="Name of a connection in the user's connections.toml.")]
    query: Annotated[str, Meta(description="A SELECT; its columns are the row's columns.")]


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rows are and how they are split."""

    train: Annotated[
        str | Query,
        Meta(description="A .csv, .jsonl or .parquet file, a folder of class folders, or a query; paths are relative to product.toml and stay below it."),
    ] = "train.csv"
    test: Annotated[
        str | Query | None,
        Meta(description="Rows kept for the proof. Without it, `test_share` of train is split off, stable by key."),
    ] = None
    id: Annotated[str | None, Meta(description="Column that names a row; the split key when there is no group.")] = None
    group: Annotated[str | None, Meta(description="Column whose rows stay together (a customer, a patient).")] = None
    time: Annotated[str | None, Meta(description="Column with a date; the latest rows become the test part.")] = None
    test_share: Annotated[
        float, Meta(gt=0, lt=1, description="Share of rows for the proof where no test part is given.")
    ] = 0.2
    encoding: Annotated[str | None, Meta(description="Text encoding of the files; detected if not given.")] = None


class MethodChoice(Struct, frozen=True, forbid_unknown_fields=True):
    """How the product is learned."""

    name: Annotated[str, Meta(description="A method's name, or auto: the ladder that fits the data.")] = "auto"
    adapt: Annotated[
        bool,
        Meta(description="auto: climb on from the frozen trunk to contrastive tuning, LoRA and full fine-tuning while each brings a clear gain. Minutes to hours."),
    ] = False
    settings: Annotated[dict[str, Any], Meta(description="Settings of that method; unknown ones are refused.")] = {}
    head_mb: Annotated[float, Meta(gt=0, description="Size budget of the saved head, megabytes (10^6 bytes).")] = 1.0
    folds: Annotated[int, Meta(ge=2, le=20, description="Folds for out-of-fold predictions.")] = 5
    min_class_rows: Annotated[int, Meta(ge=1, description="Classes with fewer training rows are reported.")] = 5


class Proof(Struct, frozen=True, forbid_unknown_fields=True):
    """What the report measures besides the task's own metrics."""

    metric: Annotated[str | None, Meta(description="Primary metric; the task's own choice if not given.")] = None
    positive: Annotated[str | None, Meta(description="The label of interest in a two-class task (spam, bad).")] = None
    alarm_rate: Annotated[
        float, Meta(gt=0, lt=1, description="Share of rows that may raise an alarm, for recall at that rate.")
    ] = 0.05
    costs: Annotated[
        dict[str, dict[str, float]],
        Meta(description="Cost of a mistake: costs.<true label>.<answer> = price. Unnamed mistakes cost 1, right answers 0. When given, answers minimise expected cost."),
    ] = {}
    slices: Annotated[list[str], Meta(description="Columns by whose values metrics are split.")] = []
    language: Annotated[str, Meta(pattern="^(auto|en|zh)$", description="Language of the report; auto follows the data.")] = "auto"
    core_hour_price: Annotated[
        float, Meta(ge=0, description="Price of one processor core for an hour, for the cost per 1,000 calls.")
    ] = 0.04
    currency: Annotated[str, Meta(description="Currency of core_hour_price.")] = "USD"


class Gate(Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold before the server answers with a bundle."""

    rules: Annotated[
        list[str],
        Meta(description="`<figure> <op> <number>`: accuracy.low >= 0.85, gain.ngrams.low > -0.01, latency_p95_ms <= 50."),
    ] = field(default_factory=lambda: ["gain.majority.low > 0"])


class Serve(Struct, frozen=True, forbid_unknown_fields=True):
    """How answers are given."""

    abstain_precision: Annotated[
        Share | None,
        Meta(description="Answer only where this share of answers is right (out-of-fold); abstain elsewhere."),
    ] = None
    abstain_below: Annotated[
        Probability | None, Meta(description="Abstain under this probability, set by hand.")
    ] = None
    thresholds: Annotated[dict[str, float], Meta(description="multilabel: probability from which a label is given, by hand.")] = {}
    reuse: Annotated[
        bool,
        Meta(description="May equal inputs of one organisation be computed once and kept in memory for a while?"),
    ] = True
    out_of_scope: Annotated[
        bool, Meta(description="Answer out_of_scope for rows unlike anything seen in training.")
    ] = True
    in_scope_share: Annotated[
        float, Meta(gt=0.5, lt=1, description="Share of training rows that must count as in scope.")
    ] = 0.995


class Rollout(Struct, frozen=True, forbid_unknown_fields=True):
    """When a canary is promoted, and when it is withdrawn, by what was measured on traffic."""

    promote: Annotated[
        list[str],
        Meta(description="All must hold for a canary to go live by itself: requests >= 1000, error_rate.high <= 0.01, agreement.low >= 0.95, answered.low >= 0.8, latency_p95_ms <= 50. Without rules only a person promotes."),
    ] = []
    rollback: Annotated[
        list[str], Meta(description="Any one that holds withdraws a canary by itself.")
    ] = field(default_factory=lambda: ["error_rate.low > 0.01"])
    min_requests: Annotated[int, Meta(ge=1, description="Requests that a canary must have answered before a rule is judged.")] = 50
    compare: Annotated[
        Probability, Meta(description="Share of a canary's requests that the live version answers too, unseen, to measure agreement.")
    ] = 0.1


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers to search between; whole numbers where the setting takes only those."""

    low: Annotated[int | float, Meta(description="The least; a whole number for a setting of whole numbers.")]
    high: Annotated[int | float, Meta(description="The most.")]
    log: Annotated[bool, Meta(description="Search by factors rather than by steps: for rates and penalties.")] = False


Choices: TypeAlias = list[str | bool | int | float]
Ranges: TypeAlias = dict[str, Choices | Range]  # setting -> what is tried


class Tune(Struct, frozen=True, forbid_unknown_fields=True):
    """What `trunkline tune` searches."""

    trials: Annotated[int, Meta(ge=1, description="Settings that are tried, at most.")] = 30
    seconds: Annotated[Above | None, Meta(description="No further trial is begun after so long.")] = None
    methods: Annotated[
        list[str],
        Meta(description="Methods to try; if not given those of tune.ranges, else the product's own, and under auto those of its ladder that have ranges."),
    ] = []
    ranges: Annotated[
        dict[str, Ranges],
        Meta(description="ranges.<method>.<setting> = a list of choices, or { low, high, log }. A method without ranges here is searched over its own."),
    ] = {}
    trunks: Annotated[dict[str, list[str]], Meta(description="Trunks to try per input kind: text = [\"e5-small\", \"minilm\"].")] = {}


class Spec(Struct, frozen=True, forbid_unknown_fields=True):
    """A product, as declared in product.toml."""

    name: Annotated[
        str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name in commands and URLs.")
    ]
    task: Annotated[str, Meta(description="What is answered: classify, multilabel, regress, tag, extract.")]
    label: Annotated[str, Meta(description="Column with the right answer.")]
    inputs: Annotated[dict[str, str], Meta(min_length=1, description="Columns that go in: column = kind.")]
    title: Annotated[str, Meta(description="Name for people; the report's headline.")] = ""
    separator: Annotated[str, Meta(min_length=1, description="multilabel: what stands between labels in one cell.")] = "|"
    data: Data = Data()
    trunks: Annotated[dict[str, str], Meta(description="Trunk per input kind: text = \"e5-small\"; auto if not given; none = no trunk.")] = {}
    method: MethodChoice = MethodChoice()
    proof: Proof = Proof()
    gate: Gate = Gate()
    serve: Serve = Serve()
    rollout: Rollout = Rollout()
    explain: Annotated[
        bool, Meta(description="May callers ask why an answer is what it is? With false the report holds no reasons either.")
    ] = True
    tune: Tune = Tune()
    keep: Annotated[int, Meta(ge=1, description="Bundles kept beside the product; the serving one is always kept.")] = 5
    seed: Annotated[int, Meta(ge=0, description="Seed of every random choice.")] = 0


# Defaults which depend on the kind: the trunk that `auto` means.
AUTO_TRUNKS = {"text": "e5-small", "image": "efficientnet-lite0"}


def trunk_of(spec: Spec, kind: str) -> str | None:
    """The trunk id for an input kind; None where the kind has no trunk."""
    named = spec.trunks.get(kind, "auto")
    if named == "none":
        return None
    return AUTO_TRUNKS.get(kind) if named == "auto" else named


def document_of(spec: Spec) -> str:
    """The column in which an answer of the task extract stands: the last input."""
    return list(spec.inputs)[-1]


def question_of(spec: Spec) -> str:
    """The column of the question: the first input. Raises SpecError where extract has not two texts."""
    if list(spec.inputs.values()) != ["text", "text"]:
        wanted = "two columns of kind text, the question before its context"
        raise SpecError("extract reads a question and a context", where="inputs", found=", ".join(spec.inputs), wanted=wanted)
    return next(iter(spec.inputs))


def document_column(spec: Spec) -> str | None:
    """The input whose rows go together where the spec names no group: questions on one context are alike."""
    return document_of(spec) if spec.task == "extract" and spec.data.group is None else None
