"""The method `fused`: the scores of `linear` and `ngrams`, weighed against each other out of fold.

One model on both kinds of features does worse: the many n-grams drown the few dimensions of the
vectors, or the other way round, whatever their scales (banking77, hotel reviews).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingExtra, TrainError
from trunkline.heads.linear import LinearHead
from trunkline.heads.links import apply_link
from trunkline.methods.linear import Linear
from trunkline.methods.ngrams import Ngrams
from trunkline.methods.settings import read_settings
from trunkline.methods.table_target import Answers, answers_of, loss_of
from trunkline.methods.text_rows import check_budget, refuse_text, size_of
from trunkline.spec import Spec
from trunkline.tasks.common import judgeable
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused

FLOOR = 1e-12  # a probability is never taken for less
PULL = 2.0
UNTOLD = (1.0, 0.5)  # about what banking77 chooses from two rows a class on
STARTS = ((1.0, 0.0), (0.7, 0.7), (0.0, 1.0))


class FusedSettings(msgspec.Struct, frozen=True):
    """None: the parts choose their own."""


class Fused:
    """A joint head of two parts, which the ladder may hand over if it has learned them already."""

    name: ClassVar[str] = "fused"
    parts: ClassVar[tuple[str, ...]] = ("linear", "ngrams")

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return refuse_text(spec, self.name)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises MissingExtra, TrainError (the head is over its budget)."""
        linear = Linear().fit(spec, examples, folds, ask)
        return self.join(spec, examples, folds, {"linear": linear, "ngrams": Ngrams().fit(spec, examples, folds, ask)})

    def join(self, spec: Spec, examples: Examples, folds: Folds, parts: Mapping[str, Candidate]) -> Candidate:
        """`fit` from what its parts became on the same examples and folds."""
        read_settings(spec, self.name, FusedSettings)
        linear, ngrams = parts["linear"], parts["ngrams"]
        room = int(spec.method.head_mb * 1e6) - size_of(linear.head)
        if size_of(ngrams.head) > room:
            ngrams = Ngrams().fit_within(spec, examples, folds, room)
        answers = answers_of(spec, examples)
        scores = [scores_of(part.out_of_fold, answers.link) for part in (linear, ngrams)]
        shares = _weigh(scores, answers)
        head = _joined(linear.head, ngrams.head, shares)
        check_budget(head, spec, self.name)
        values = apply_link(answers.link, shares[0] * scores[0] + shares[1] * scores[1])
        chosen = {"weights": list(shares), "linear": linear.settings, "ngrams": ngrams.settings}
        return Candidate(head, Prediction(values, linear.out_of_fold.outside), chosen)


def scores_of(prediction: Prediction, link: str) -> NDArray[np.float64]:
    """The scores (n, k) that `link` would turn into these values (softmax: up to a row's constant)."""
    values = prediction.values.astype(np.float64)
    if link == "identity":
        return values[:, None]
    values = np.clip(values, FLOOR, 1)
    if link == "softmax":
        return np.asarray(np.log(values))
    no, yes = (values[:, :1], values[:, 1:]) if link == "logistic" else (np.clip(1 - values, FLOOR, 1), values)
    return np.asarray(np.log(yes) - np.log(no))


def _weigh(scores: list[NDArray[np.float64]], answers: Answers) -> tuple[float, float]:
    """Weights >= 0 of least loss; together they also set the temperature. For numbers they sum to 1.
    A weak pull towards UNTOLD decides where rows are too few to tell (it is worth PULL rows): out of
    fold, two rows a class are one, and saying nothing can seem best."""
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise MissingExtra("scipy", "heads") from None

    fair = np.flatnonzero(judgeable(answers.values))
    if not len(fair):
        return UNTOLD
    scores, answers = [score[fair] for score in scores], answers.take(fair)

    def loss(shares: NDArray[np.float64]) -> float:
        return loss_of(answers, shares[0] * scores[0] + shares[1] * scores[1])

    def pulled(shares: NDArray[np.float64]) -> float:
        return loss(shares) + PULL / len(fair) * float(((shares - UNTOLD) ** 2).sum())

    if answers.link == "identity":
        share = np.linspace(0, 1, 41)
        best = min(share, key=lambda s: loss(np.array([s, 1 - s])))
        return float(best), float(1 - best)
    bounds = [(0.0, 20.0)] * 2
    found = min((minimize(pulled, start, bounds=bounds) for start in STARTS), key=lambda r: float(r.fun))
    return float(found.x[0]), float(found.x[1])


def _joined(first: object, second: object, shares: tuple[float, float]) -> LinearHead:
    if not isinstance(first, LinearHead) or not isinstance(second, LinearHead) or not first.dense or not second.lexical:
        raise TrainError("fused joins a head with a trunk and a head of n-grams", found=f"{type(first)}, {type(second)}")
    dense = replace(first.dense, scale=first.dense.scale * np.float32(shares[0]))
    lexical = replace(second.lexical, scale=second.lexical.scale * np.float32(shares[1]))
    bias = shares[0] * first.bias + shares[1] * second.bias
    return LinearHead(first.link, bias.astype(np.float32), dense, lexical)
