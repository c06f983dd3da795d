"""The method `mlp`: a network with one small hidden layer on the trunk's vectors and table columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.engines.threads import run_all
from trunkline.errors import MissingExtra
from trunkline.heads.links import apply_link
from trunkline.heads.mlp import MlpHead
from trunkline.methods.dense_rows import (
    DenseRows,
    check_budget,
    landmarks_of,
    outside_of,
    read_rows,
    refuse_dense,
)
from trunkline.methods.settings import read_settings
from trunkline.methods.table_target import Answers, answers_of
from trunkline.methods.tunable import HeldOut, Searched
from trunkline.spec import Range, Ranges, Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused

EPOCHS = 30
STEPS = 200  # at least, however few the rows
BATCH = 64
WIDEST = 128
RANGES: Ranges = {"hidden": Range(16, 256, log=True), "decay": Range(1e-4, 10.0, log=True)}
_WEIGHTS_SHARE = 0.7  # of the head's budget, for the layers


class MlpSettings(msgspec.Struct, frozen=True):
    """hidden: None = 128, or what the head's budget holds. decay: scikit-learn's alpha."""

    hidden: Annotated[int, Meta(ge=1, le=4096)] | None = None
    decay: Annotated[float, Meta(ge=0)] = 0.01


@dataclass(frozen=True)
class _Net:
    """float64 layers of features as `DenseRows.x` has them, times `sqrt(d)`."""

    into: NDArray[np.float64]
    into_bias: NDArray[np.float64]
    out: NDArray[np.float64]
    out_bias: NDArray[np.float64]

    def scores(self, x: NDArray[Any]) -> NDArray[np.float64]:
        return np.maximum(x @ self.into + self.into_bias, 0) @ self.out + self.out_bias


class Mlp:
    """Bends where a linear model can't; wants some hundred rows a class to gain anything."""

    name: ClassVar[str] = "mlp"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, MlpSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return refuse_dense(spec, self.name)

    def searched(self, spec: Spec) -> Searched:
        return Searched(MlpSettings, RANGES)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises MissingExtra, SpecError (settings), TrainError (the head is over its budget)."""
        todo = _Todo.of(spec, examples, ask)
        rows, answers, every = todo.rows, todo.answers, np.unique(folds)
        nets = run_all(todo.learn, [*(np.flatnonzero(folds != fold) for fold in every), np.arange(len(todo.x))])
        scores = np.empty((len(todo.x), answers.outputs))
        for fold, net in zip(every, nets, strict=False):
            scores[folds == fold] = net.scores(todo.x[folds == fold])
        head = _head(spec, rows, answers, nets[-1], todo.spread)
        check_budget(head, spec, self.name)
        out_of_fold = Prediction(apply_link(answers.link, scores), outside_of(spec, rows, answers, folds))
        return Candidate(head, out_of_fold, {"hidden": todo.hidden, "decay": todo.decay})

    def held_out(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> HeldOut:
        """Raises as `fit`."""
        todo = _Todo.of(spec, examples, ask)
        for fold in np.unique(folds):
            net, held = todo.learn(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)
            check_budget(_head(spec, todo.rows, todo.answers, net, todo.spread), spec, self.name)
            scores = net.scores(todo.x[held]).astype(np.float64)
            yield held, Prediction(apply_link(todo.answers.link, scores))


@dataclass(frozen=True)
class _Todo:
    """x: float32 (n, d), features of variance about 1 by `spread`."""

    rows: DenseRows
    answers: Answers
    x: NDArray[np.float32]
    spread: float
    hidden: int
    decay: float
    seed: int

    @classmethod
    def of(cls, spec: Spec, examples: Examples, ask: Ask) -> _Todo:
        settings = read_settings(spec, Mlp.name, MlpSettings)
        rows, answers = read_rows(spec, examples, ask), answers_of(spec, examples)
        spread = np.sqrt(rows.x.shape[1], dtype=np.float32)
        hidden = settings.hidden or _widest(spec, rows.x.shape[1], answers.outputs)
        return cls(rows, answers, rows.x * spread, float(spread), hidden, settings.decay, spec.seed)

    def learn(self, at: NDArray[np.intp]) -> _Net:
        return _learn(self.x[at], self.answers.take(at), self.hidden, self.decay, self.seed)


def _widest(spec: Spec, width: int, outputs: int) -> int:
    fits = _WEIGHTS_SHARE * spec.method.head_mb * 1e6 / (2 * width + 4 * outputs)
    return max(1, min(WIDEST, int(fits)))


def _learn(x: NDArray[Any], answers: Answers, hidden: int, decay: float, seed: int) -> _Net:
    """Adam for a fixed number of epochs: no rows are set aside, and no warning depends on luck."""
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
    except ImportError:
        raise MissingExtra("scikit-learn", "heads") from None
    number = answers.link == "identity"
    make: Any = MLPRegressor if number else MLPClassifier
    batch = min(BATCH, len(x))
    model = make(
        hidden_layer_sizes=(hidden,), alpha=decay, batch_size=batch, random_state=seed, learning_rate_init=2e-3
    )
    middle, spread = (float(answers.values.mean()), float(answers.values.std()) or 1.0) if number else (0.0, 1.0)
    target = (answers.values - middle) / spread if number else answers.values
    classes = {} if number else {"classes": np.arange(max(2, answers.outputs))}
    if answers.link == "labels":
        classes = {"classes": np.arange(answers.outputs)}
    for _ in range(max(EPOCHS, STEPS * batch // len(x))):
        model.partial_fit(x, target, **classes)
    (into, out), (into_bias, out_bias) = model.coefs_, model.intercepts_
    return _Net(into, into_bias, out * spread, out_bias * spread + middle)


def _head(spec: Spec, rows: DenseRows, answers: Answers, net: _Net, spread: float) -> MlpHead:
    """The net for features as they come; the bias makes up for the rounding of the weights."""
    into = (net.into * (rows.scale[:, None] * spread)).astype(np.float16)
    into_bias = net.into_bias - rows.centre.astype(np.float64) @ into.astype(np.float64)
    layers = (into, into_bias.astype(np.float32), net.out.astype(np.float32), net.out_bias.astype(np.float32))
    return MlpHead(rows.dense, answers.link, layers, landmarks_of(spec, rows, answers))
