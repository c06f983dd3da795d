"""The method `fused`: the scores of `linear` and `ngrams`, weighed against each other out of fold.

One model on both kinds of features does worse: the many n-grams drown the few dimensions of the
vectors, or the other way round, whatever their scales (banking77, hotel reviews).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from trunkline.errors import TrainError
from trunkline.heads.blend import blended, scores_of
from trunkline.heads.linear import LinearHead
from trunkline.methods.dense_rows import check_budget, refuse_dense, refuse_text, size_of
from trunkline.methods.linear import Linear
from trunkline.methods.ngrams import Ngrams
from trunkline.methods.settings import named, read_settings
from trunkline.methods.table_target import answers_of
from trunkline.methods.tunable import Searched
from trunkline.methods.weigh import Weights, weigh
from trunkline.spec import Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Refused

UNTOLD = (1.0, 0.5)  # about what banking77 chooses from two rows a class on


class FusedSettings(msgspec.Struct, frozen=True):
    """None: the parts choose their own. penalty: of `linear`; words_penalty: of `ngrams`."""

    penalty: Annotated[float, Meta(gt=0)] | None = None
    words_penalty: Annotated[float, Meta(gt=0)] | None = None


class Fused:
    """A joint head of two parts, which the ladder may hand over if it has learned them already."""

    name: ClassVar[str] = "fused"
    parts: ClassVar[tuple[str, ...]] = ("linear", "ngrams")

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, FusedSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return refuse_text(spec, self.name) or refuse_dense(spec, self.name)

    def searched(self, spec: Spec) -> Searched:
        own, words = (part().searched(spec).ranges["penalty"] for part in (Linear, Ngrams))
        return Searched(FusedSettings, {"penalty": own, "words_penalty": words})

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises MissingExtra, SpecError (settings), TrainError (the head is over its budget)."""
        settings = read_settings(spec, self.name, FusedSettings)
        linear = Linear().fit(named(spec, "linear", penalty=settings.penalty), examples, folds, ask)
        ngrams = Ngrams().fit(named(spec, "ngrams", penalty=settings.words_penalty), examples, folds, ask)
        return self.join(spec, examples, folds, ask, {"linear": linear, "ngrams": ngrams})

    def join(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask, parts: Mapping[str, Candidate]) -> Candidate:
        """`fit` from what its parts became on the same examples and folds."""
        settings = read_settings(spec, self.name, FusedSettings)
        linear, ngrams = parts["linear"], parts["ngrams"]
        room = int(spec.method.head_mb * 1e6) - size_of(linear.head)
        if size_of(ngrams.head) > room:
            ngrams = Ngrams().fit_within(named(spec, "ngrams", penalty=settings.words_penalty), examples, folds, room)
        answers = answers_of(spec, examples)
        held_out = (linear.out_of_fold, ngrams.out_of_fold)
        first, second = (scores_of(part.values, answers.link) for part in held_out)
        shares = weigh(first, second, answers, UNTOLD)
        head = _joined(linear.head, ngrams.head, shares)
        check_budget(head, spec, self.name)
        chosen = {"weights": list(shares), "linear": linear.settings, "ngrams": ngrams.settings}
        return Candidate(head, blended(held_out, shares, answers.link), chosen)

    def refit(self, spec: Spec, examples: Examples, ask: Ask, settings: Mapping[str, Any]) -> LinearHead:
        first, second = settings["weights"]
        linear = Linear().refit(spec, examples, ask, settings["linear"])
        ngrams = Ngrams().refit(spec, examples, ask, settings["ngrams"])
        return _joined(linear, ngrams, (first, second))


def _joined(first: object, second: object, shares: Weights) -> LinearHead:
    if not isinstance(first, LinearHead) or not isinstance(second, LinearHead) or not first.dense or not second.lexical:
        raise TrainError("fused joins a head with a trunk and a head of n-grams", found=f"{type(first)}, {type(second)}")
    dense = replace(first.dense, scale=first.dense.scale * np.float32(shares[0]))
    lexical = replace(second.lexical, scale=second.lexical.scale * np.float32(shares[1]))
    bias = shares[0] * first.bias + shares[1] * second.bias
    return LinearHead(first.link, bias.astype(np.float32), dense, lexical)
