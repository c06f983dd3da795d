"""What the method `blend` is for, beyond the contract that every method passes (tests/contracts)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.methods.tables import KINDS, examples_of, folds_of, no_engine, spec_of

from trunkline.errors import SpecError, TrainError
from trunkline.heads.blend import BlendHead, scores_of
from trunkline.heads.links import apply_link
from trunkline.methods.blend import Blend
from trunkline.methods.boosting import Boosting
from trunkline.methods.dense_rows import size_of
from trunkline.methods.table_target import answers_of, loss_of
from trunkline.methods.tabular import Tabular
from trunkline.program import one
from trunkline.spec import Spec
from trunkline.types import Candidate, Examples

TASKS = {"two": "classify", "classify": "classify", "multilabel": "multilabel", "regress": "regress"}


def parts_of(spec: Spec, known: Examples) -> Mapping[str, Candidate]:
    return {m.name: m().fit(spec, known, folds_of(len(known)), no_engine) for m in (Tabular, Boosting)}


@pytest.mark.parametrize("sort", TASKS)
def test_the_blend_is_no_worse_than_its_parts_and_says_what_they_say_together(sort: str) -> None:
    spec, known, new = spec_of(TASKS[sort]), examples_of(sort, n=200), examples_of(sort, n=50, seed=5)
    parts = parts_of(spec, known)
    found = Blend().join(spec, known, folds_of(200), no_engine, parts)
    answers = answers_of(spec, known)
    held = {n: loss_of(answers, scores_of(c.out_of_fold.values, answers.link)) for n, c in {**parts, "blend": found}.items()}
    assert held["blend"] <= min(held.values()) + 2 / 200
    served = {n: one(c.head.run(new.inputs), no_engine).values for n, c in {**parts, "blend": found}.items()}
    a, b = found.settings["weights"]
    together = a * scores_of(served["tabular"], answers.link) + b * scores_of(served["boosting"], answers.link)
    np.testing.assert_allclose(served["blend"], apply_link(answers.link, together), atol=1e-9)


def test_learned_alone_it_is_what_the_ladder_joins() -> None:
    spec, known = spec_of("classify", name="blend"), examples_of("two", n=120)
    alone = Blend().fit(spec, known, folds_of(120), no_engine)
    joined = Blend().join(spec, known, folds_of(120), no_engine, parts_of(spec_of("classify"), known))
    assert alone.settings == joined.settings
    assert alone.out_of_fold.values.tobytes() == joined.out_of_fold.values.tobytes()


def test_boosting_makes_room_within_the_budget() -> None:
    known = examples_of("two", n=300)
    large = parts_of(spec_of("classify"), known)
    size = size_of(large["boosting"].head)
    spec = spec_of("classify", head_mb=size / 1e6)  # enough for either, not for both
    found = Blend().join(spec, known, folds_of(300), no_engine, large)
    assert isinstance(found.head, BlendHead)
    assert size / 2 < size_of(found.head) <= size
    assert found.settings["boosting"]["rounds"] < large["boosting"].settings["rounds"]
    with pytest.raises(TrainError, match="budget"):
        Blend().join(spec_of("classify", head_mb=size_of(large["tabular"].head) / 1e6), known, folds_of(300), no_engine, large)


def test_settings_are_refused() -> None:
    with pytest.raises(SpecError, match="knotts"):
        Blend().fit(spec_of("classify", name="blend", settings={"knotts": 8}), examples_of("two", n=60), folds_of(60), no_engine)


@pytest.mark.parametrize(
    ("kinds", "rows", "why"),
    [(KINDS, 30, "boosting needs 50 rows"), ({**KINDS, "note": "text"}, 100, "tabular reads"), ({"note": "text"}, 100, "tabular reads")],
)
def test_it_can_only_what_both_parts_can(kinds: Mapping[str, str], rows: int, why: str) -> None:
    refused: Any = Blend().can(spec_of("classify", kinds), examples_of("two", n=rows))
    assert refused is not None
    assert why in refused.message
    assert Blend().can(spec_of("classify"), examples_of("two", n=100)) is None
