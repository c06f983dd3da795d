"""The method `boosting`: LightGBM on table columns, and on the trunk's scores of text columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.columns import TABLE_KINDS, UNSEEN, ColumnReader
from trunkline.errors import MissingExtra, TrainError
from trunkline.heads.dense import texts_of
from trunkline.heads.links import apply_link
from trunkline.heads.trees import TextScores, TreesHead
from trunkline.methods.dense_rows import TRUNK_KINDS
from trunkline.methods.lightgbm_model import tree_arrays
from trunkline.methods.settings import read_settings
from trunkline.methods.table_target import Answers, answers_of, loss_of
from trunkline.methods.text_scores import learn_text_scores
from trunkline.methods.tunable import Searched
from trunkline.spec import Range, Ranges, Spec
from trunkline.spec.model import trunk_of
from trunkline.types import Ask, Call, Candidate, Examples, Folds, Prediction, Refused

MIN_ROWS = 50
MAX_CLASSES = 50  # a tree a class a round: more would neither fit the head's budget nor the time
MAX_ROUNDS = 1000
PATIENCE = 30  # rounds without a gain until learning stops
SMALL = 2000  # rows under which smaller steps pay
LARGE = 10_000  # rows from which small trees only take longer (adult, credit default)
# From large trees to small ones; each row random in columns (0.6) and rows (0.8) on top.
SHAPES: tuple[Mapping[str, Any], ...] = (
    {"num_leaves": 31, "min_data_in_leaf": 20, "lambda_l2": 1.0},
    {"num_leaves": 15, "min_data_in_leaf": 20, "lambda_l2": 5.0},
    {"num_leaves": 7, "min_data_in_leaf": 10, "lambda_l2": 5.0, "min_data_per_group": 10},
)
RANGES: Ranges = {
    "learning_rate": Range(0.02, 0.2, log=True), "num_leaves": Range(4, 128, log=True),
    "min_data_in_leaf": Range(5, 100, log=True), "lambda_l2": Range(0.01, 30.0, log=True),
}  # fmt: skip
OBJECTIVES = {"logistic": "binary", "softmax": "multiclass", "labels": "binary", "identity": "regression"}


class BoostingSettings(msgspec.Struct, frozen=True):
    """LightGBM's names. None = chosen by out-of-fold loss (learning_rate: by the number of rows)."""

    learning_rate: Annotated[float, Meta(gt=0, le=1)] | None = None
    num_leaves: Annotated[int, Meta(ge=2, le=1024)] | None = None
    min_data_in_leaf: Annotated[int, Meta(ge=1)] | None = None
    lambda_l2: Annotated[float, Meta(ge=0)] | None = None


@dataclass(frozen=True)
class _Problem:
    """One LightGBM model: features (n, columns), target (n,), its answers and parameters."""

    features: NDArray[np.float64]
    categorical: list[int]
    answers: Answers
    folds: Folds
    params: Mapping[str, Any]

    def parts(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """(train, held out) a fold."""
        return [
            (np.flatnonzero(self.folds != f), np.flatnonzero(self.folds == f)) for f in np.unique(self.folds)
        ]


@dataclass(frozen=True)
class _Trial:
    """A shape's fold boosters and the rounds at which their mean loss was least."""

    shape: Mapping[str, Any]
    boosters: Sequence[Any]
    rounds: int

    def out_of_fold(self, problem: _Problem, rounds: int) -> NDArray[np.float64]:
        """float64 (n, k) raw scores."""
        scores = np.empty((len(problem.features), problem.answers.outputs))
        for booster, (_, held) in zip(self.boosters, problem.parts(), strict=True):
            raw = booster.predict(problem.features[held], num_iteration=rounds, raw_score=True, num_threads=1)
            scores[held] = raw.reshape(len(held), -1)
        return scores


@dataclass(frozen=True)
class _Grown:
    model: str  # LightGBM's text
    scores: NDArray[np.float64]  # out of fold, (n, k)
    settings: dict[str, Any]


class Boosting:
    """Gradient-boosted trees; shape and rounds by out-of-fold loss, within the head's size budget."""

    name: ClassVar[str] = "boosting"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, BoostingSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        kinds = set(spec.inputs.values())
        if not kinds & set(TABLE_KINDS):
            return Refused("cannot", "boosting needs a number, date, bool or category column")
        blocked = sorted(k for k in kinds - set(TABLE_KINDS) if k not in TRUNK_KINDS or trunk_of(spec, k) is None)
        if blocked:
            return Refused("cannot", f"boosting can't read {', '.join(blocked)} columns without a trunk")
        if len(examples) < MIN_ROWS:
            return Refused("cannot", f"boosting needs {MIN_ROWS} rows, there are {len(examples)}")
        if len(examples.labels) > MAX_CLASSES:
            return Refused(
                "cannot", f"boosting takes at most {MAX_CLASSES} labels, there are {len(examples.labels)}"
            )
        return None

    def searched(self, spec: Spec) -> Searched:
        return Searched(BoostingSettings, RANGES)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises MissingExtra, SpecError (settings), TrainError (not even one round fits the budget)."""
        settings = read_settings(spec, self.name, BoostingSettings)
        answers = answers_of(spec, examples)
        reader = ColumnReader.fit(spec.inputs, examples.inputs)
        texts, scores = _texts(spec, examples, answers, folds, ask)
        table = reader.read(examples.inputs)
        codes = table[:, reader.categorical]
        table[:, reader.categorical] = np.where(codes == UNSEEN, np.nan, codes)  # both go the same way
        features = np.concatenate([table, *scores], axis=1)
        targets = answers.values.T if answers.link == "labels" else [answers.values]
        budget = (spec.method.head_mb * 1e6 - _size(texts)) / len(targets)
        grown = [
            _grow(
                _Problem(
                    features, reader.categorical, _single(answers, target), folds, _params(spec, answers)
                ),
                _shapes(settings, len(examples)),
                budget,
            )
            for target in targets
        ]
        trees = tree_arrays([g.model for g in grown])
        values = apply_link(answers.link, np.concatenate([g.scores for g in grown], axis=1))
        head = TreesHead(reader, trees, answers.link, answers.outputs, texts)
        chosen = grown[0].settings if len(grown) == 1 else {"labels": [g.settings for g in grown]}
        return Candidate(head, Prediction(values), chosen)


def _texts(
    spec: Spec, examples: Examples, answers: Answers, folds: Folds, ask: Ask
) -> tuple[list[TextScores], list[NDArray[np.float64]]]:
    """Each text or image column's scores: the map for serving, and the training rows' out-of-fold scores."""
    engines = {column: f"trunk:{trunk_of(spec, kind)}" for column, kind in spec.inputs.items() if kind in TRUNK_KINDS}
    if not engines:
        return [], []
    pooled = ask([Call(engine, texts_of(examples.inputs, column)) for column, engine in engines.items()])
    learned = [
        learn_text_scores(column, engine, vectors, answers, folds)
        for (column, engine), vectors in zip(engines.items(), pooled, strict=True)
    ]
    return [text for text, _ in learned], [scores for _, scores in learned]


def _size(texts: Sequence[TextScores]) -> int:
    return sum(text.weights.nbytes + text.bias.nbytes for text in texts)


def _single(answers: Answers, target: NDArray[Any]) -> Answers:
    """The answers of one model: a label of several is a two-class question."""
    return Answers(target, "logistic", 1) if answers.link == "labels" else answers


def _params(spec: Spec, answers: Answers) -> dict[str, Any]:
    classes = {"num_class": answers.outputs} if answers.link == "softmax" else {}
    return {
        "objective": OBJECTIVES[answers.link],
        "seed": spec.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,  # on busy cores LightGBM's threads wait for each other: 20 x slower was seen
        "verbosity": -1,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        **classes,
    }


def _shapes(settings: BoostingSettings, rows: int) -> list[dict[str, Any]]:
    """The shapes to try, what the spec sets put in its place, equal ones once."""
    given = {name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None}
    shapes: list[dict[str, Any]] = []
    for shape in SHAPES[:2] if rows >= LARGE else SHAPES:
        merged = {"learning_rate": 0.05 if rows < SMALL else 0.1, **shape, **given}
        if {"num_leaves", "min_data_in_leaf", "lambda_l2"} <= given.keys():
            merged.pop("min_data_per_group", None)
        if merged not in shapes:
            shapes.append(merged)
    return shapes


def _grow(problem: _Problem, shapes: Sequence[Mapping[str, Any]], budget: float) -> _Grown:
    """The best shape's trees on all rows; rounds are cut until they fit `budget` bytes."""
    trials = [_try(problem, shape) for shape in shapes]
    losses = [loss_of(problem.answers, trial.out_of_fold(problem, trial.rounds)) for trial in trials]
    trial = trials[int(np.argmin(losses))]
    lightgbm = _lightgbm()
    booster = lightgbm.train({**problem.params, **trial.shape}, _dataset(problem), trial.rounds)
    rounds = trial.rounds
    while True:
        model = booster.model_to_string(num_iteration=rounds)
        size = sum(array.nbytes for array in tree_arrays([model]).save().values())
        if size <= budget:
            break
        rounds = min(rounds - 1, int(rounds * budget / size))
        if rounds < 1:
            raise TrainError(
                "not even one round of trees fits the head's budget",
                where="method.head_mb",
                found=f"{size} bytes",
                wanted=f"at most {budget:.0f} bytes a model",
                hint="raise head_mb",
            )
    settings = {**trial.shape, "rounds": rounds, "loss": losses[int(np.argmin(losses))]}
    return _Grown(model, trial.out_of_fold(problem, rounds), settings)


def _try(problem: _Problem, shape: Mapping[str, Any]) -> _Trial:
    """All folds in step, until their mean loss stops falling."""
    lightgbm = _lightgbm()
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    result = lightgbm.cv(
        {**problem.params, **shape},
        _dataset(problem),
        MAX_ROUNDS,
        folds=problem.parts(),
        callbacks=[stop],
        return_cvbooster=True,
    )
    found = result["cvbooster"]
    return _Trial(shape, found.boosters, found.best_iteration if found.best_iteration > 0 else MAX_ROUNDS)


def _dataset(problem: _Problem) -> Any:
    return _lightgbm().Dataset(
        problem.features,
        problem.answers.values,
        categorical_feature=problem.categorical,
        free_raw_data=False,
    )


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("LightGBM", "heads") from None
    return lightgbm
