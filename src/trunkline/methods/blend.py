"""The method `blend`: the scores of `tabular` and `boosting`, weighed against each other out of fold.

A straight model and trees are wrong in different rows. On tables of a few hundred rows, where they
come out alike, their mean is better than either (German credit: log loss 0.487 each, 0.481 at equal
weights, 0.485 at weights that the other folds chose).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from trunkline.heads.blend import BlendHead, scores_of
from trunkline.heads.links import apply_link
from trunkline.methods.boosting import Boosting, BoostingSettings
from trunkline.methods.dense_rows import check_budget, size_of
from trunkline.methods.settings import named, read_settings
from trunkline.methods.table_target import answers_of
from trunkline.methods.tabular import Tabular, TabularSettings
from trunkline.methods.tunable import Searched
from trunkline.methods.weigh import held_out, weigh
from trunkline.spec import Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused

UNTOLD = (0.5, 0.5)


class BlendSettings(BoostingSettings, frozen=True):
    """Those of `boosting` and of `tabular`; no two have one name. None: the part chooses its own."""

    C: Annotated[float, Meta(gt=0)] | None = None
    knots: Annotated[int, Meta(ge=0, le=64)] | None = None


class Blend:
    """A joint head of two parts, which the ladder may hand over if it has learned them already."""

    name: ClassVar[str] = "blend"
    parts: ClassVar[tuple[str, ...]] = ("tabular", "boosting")

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, BlendSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        refused = Tabular().can(spec, examples) or Boosting().can(spec, examples)
        return Refused(refused.code, f"blend joins two methods: {refused.message}") if refused else None

    def searched(self, spec: Spec) -> Searched:
        return Searched(BlendSettings, {**Tabular().searched(spec).ranges, **Boosting().searched(spec).ranges})

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises MissingExtra, SpecError (settings), TrainError (the head is over its budget)."""
        settings = read_settings(spec, self.name, BlendSettings)
        tabular = Tabular().fit(_part(spec, settings, "tabular", TabularSettings), examples, folds, ask)
        boosting = Boosting().fit(_part(spec, settings, "boosting", BoostingSettings), examples, folds, ask)
        return self.join(spec, examples, folds, ask, {"tabular": tabular, "boosting": boosting})

    def join(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask, parts: Mapping[str, Candidate]) -> Candidate:
        """`fit` from what its parts became on the same examples and folds."""
        settings = read_settings(spec, self.name, BlendSettings)
        tabular, boosting = parts["tabular"], parts["boosting"]
        room = spec.method.head_mb * 1e6 - size_of(tabular.head) - np.dtype(np.float64).itemsize * len(self.parts)
        if size_of(boosting.head) > room:
            own = _part(spec, settings, "boosting", BoostingSettings)
            boosting = Boosting().fit(_within(own, room), examples, folds, ask)
        answers = answers_of(spec, examples)
        first, second = (scores_of(part.out_of_fold.values, answers.link) for part in (tabular, boosting))
        weights = weigh(first, second, answers, UNTOLD)
        head = BlendHead(answers.link, np.array(weights), (tabular.head, boosting.head))
        check_budget(head, spec, self.name)
        chosen = {"weights": list(weights), "tabular": tabular.settings, "boosting": boosting.settings}
        values = apply_link(answers.link, held_out(first, second, answers, folds, UNTOLD))
        return Candidate(head, Prediction(values), chosen)


def _part(spec: Spec, settings: BlendSettings, method: str, known: type[msgspec.Struct]) -> Spec:
    given: dict[str, Any] = {field.name: getattr(settings, field.name) for field in msgspec.structs.fields(known)}
    return named(spec, method, **given)


def _within(spec: Spec, size: float) -> Spec:
    """With room for a head of `size` bytes."""
    return msgspec.structs.replace(spec, method=msgspec.structs.replace(spec.method, head_mb=size / 1e6))
