from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trunkline.errors import BundleError
from trunkline.heads.dense import Dense
from trunkline.heads.neighbours import NeighboursHead
from trunkline.program import one
from trunkline.types import Call

POINTS = np.array([[127, 0], [0, 127], [-127, 0]], np.int8)


def head(targets: Any, prior: Any, nearest: int = 1, number: bool = False) -> NeighboursHead:
    return NeighboursHead(
        Dense.of_texts("trunk:t", ("text",)),
        np.zeros(2, np.float32),
        POINTS,
        np.array(targets, np.float32),
        np.array(prior, np.float32),
        nearest=nearest,
        sharpness=4.0,
        number=number,
    )


def ask(calls: list[Call]) -> list[Any]:
    return [np.array([[float(x) for x in item.split()] for item in call.items], np.float32) for call in calls]


def test_the_nearest_point_speaks_and_the_prior_keeps_its_share() -> None:
    found = one(head(np.eye(3), [0.5, 0.25, 0.25]).run([{"text": "3 0.1"}]), ask)  # type: ignore[arg-type]
    assert found.values[0].tolist() == pytest.approx([0.9995, 0.00025, 0.00025], abs=1e-6)
    assert found.outside is not None
    assert found.outside[0] == pytest.approx(0, abs=1e-2)


def test_numbers_are_the_mean_of_the_nearest() -> None:
    found = one(head([[1], [3], [100]], [0], nearest=2, number=True).run([{"text": "1 1"}]), ask)  # type: ignore[arg-type]
    assert found.values.tolist() == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("targets", "prior", "number"),
    [(np.eye(3), [0.3, 0.3, 0.4], False), ([[1, 1], [0, 1], [0, 0]], [0.3, 0.6], False), ([[1], [3], [9.5]], [4], True)],
)
def test_every_form_survives_saving(targets: Any, prior: Any, number: bool) -> None:
    made = head(targets, prior, nearest=2, number=number)
    meta, arrays = made.save()
    again = NeighboursHead.load(meta, arrays)
    rows = [{"text": "1 0.5"}, {"text": "-1 2"}]
    assert np.array_equal(one(again.run(rows), ask).values, one(made.run(rows), ask).values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"nearest": 0},
        {"nearest": 9},
        {"sharpness": "no"},
        {"said": "song"},
        {"targets": np.array([0, 1, 7], np.int32)},
        {"targets": np.array([0, -1, 1], np.int32)},
        {"points": POINTS[:, :1].copy()},
        {"prior": np.ones(2, np.float64)},
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    meta, arrays = head(np.eye(3), [0.3, 0.3, 0.4]).save()
    ours = {k: v for k, v in change.items() if k in meta}
    theirs = {k: v for k, v in change.items() if k in arrays}
    with pytest.raises(BundleError):
        NeighboursHead.load({**meta, **ours}, {**arrays, **theirs})
