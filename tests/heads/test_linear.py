from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.methods.texts import ask, examples, spec_of

from trunkline.errors import BundleError
from trunkline.heads.linear import LinearHead
from trunkline.methods.fused import Fused
from trunkline.program import one
from trunkline.tasks import TASKS
from trunkline.types import Arrays

MIXED = {"text": "text", "note": "text", "size": "number", "shop": "category"}


@pytest.fixture(scope="module")
def head() -> LinearHead:
    spec, known = spec_of(inputs=MIXED), examples()
    folds = TASKS.get("classify")().folds(known, 5, 0)
    found = Fused().fit(spec, known, folds, ask).head
    assert isinstance(found, LinearHead)
    return found


def test_all_parts_take_part(head: LinearHead) -> None:
    row = dict(examples().inputs[1])
    before = one(head.run([row]), ask).values
    for column, other in (("text", "cash machine"), ("note", "卡"), ("size", 3.0), ("shop", "a")):
        assert not np.array_equal(one(head.run([{**row, column: other}]), ask).values, before), column


def test_missing_cells_are_answered(head: LinearHead) -> None:
    found = one(head.run([{"text": "my card"}, {}]), ask)
    assert found.values.shape == (2, 3)
    assert np.isfinite(found.values).all()


def test_no_rows(head: LinearHead) -> None:
    assert one(head.run([]), ask).values.shape == (0, 3)


def test_a_trunk_of_another_width_is_named(head: LinearHead) -> None:
    with pytest.raises(BundleError, match="don't fit the head"):
        one(head.run([{"text": "a", "note": "b"}]), lambda calls: [np.ones((1, 7), np.float32) for _ in calls])


@pytest.mark.parametrize(
    "break_it",
    [
        lambda meta, arrays: arrays.pop("bias"),
        lambda meta, arrays: arrays.update(weights=arrays["weights"][:, :2]),
        lambda meta, arrays: arrays.update(weights=arrays["weights"][:3]),
        lambda meta, arrays: arrays.update(scale=arrays["scale"][:1]),
        lambda meta, arrays: arrays.update(bias=arrays["bias"] * np.nan),
        lambda meta, arrays: arrays.update({"lexicon.weights": arrays["lexicon.weights"][1:]}),
        lambda meta, arrays: arrays.update({"lexicon.scale": arrays["lexicon.scale"][:1]}),
        lambda meta, arrays: arrays.update({"landmarks.centre": arrays["landmarks.centre"][1:]}),
        lambda meta, arrays: arrays.update({"landmarks.points": arrays["landmarks.points"][:0]}),
        lambda meta, arrays: meta.update(link="cubic"),
        lambda meta, arrays: meta.update(lexical="text"),
        lambda meta, arrays: meta["dense"].update(texts=[]),
        lambda meta, arrays: [meta.pop("dense"), meta.pop("lexical")],
    ],
)
def test_what_does_not_fit_is_refused(head: LinearHead, break_it: Any) -> None:
    meta, arrays = head.save()
    broken: Arrays = dict(arrays)
    meta = {**meta, "dense": dict(meta["dense"])}
    break_it(meta, broken)
    with pytest.raises(BundleError):
        LinearHead.load(meta, broken)
