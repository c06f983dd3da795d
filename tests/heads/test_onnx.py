from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import BundleError, DataError
from trunkline.heads.onnx import OnnxHead, Reading, Tensor
from trunkline.program import one
from trunkline.types import Call, Outputs

LABELS = ("bad", "good")
ROWS: list[dict[str, Any]] = [
    {"age": 30.0, "house": "own", "名称": "好", "text": "one"},
    {"age": float("nan"), "house": None, "名称": None, "text": "two"},
    {"age": 50.0, "house": "castle", "名称": "坏", "text": "three"},
]


def head(*tensors: Tensor, mean: Sequence[float] = (), scale: Sequence[float] = (), reading: Reading | None = None) -> OnnxHead:
    plain = Reading("value", "regress")
    return OnnxHead(tensors, np.array(mean, np.float64), np.array(scale, np.float64), "y", reading or plain)


def items_of(made: OnnxHead) -> list[tuple[Any, ...]]:
    """What the network is asked for ROWS; texts have pooled vectors of their length."""
    seen: list[tuple[Any, ...]] = []

    def ask(calls: Sequence[Call]) -> Outputs:
        if calls[0].engine == "own:net":
            seen.extend(calls[0].items)
            assert dict(calls[0].options)["tensors"] == tuple(t.name for t in made.tensors)
            return [np.zeros((len(calls[0].items), 1))]
        return [np.array([[len(text)] * 2 for text in call.items], np.float32) for call in calls]

    one(made.run(ROWS), ask)
    return seen


def test_numbers_in_order_scaled_with_codes_of_names() -> None:
    tensor = Tensor("x", ("house", "age"), codes={"house": ("rent", "own")}, missing=20)
    items = items_of(head(tensor, mean=[0, 10], scale=[1, 2]))
    assert [row.tolist() for (row,) in items] == [[1, 10], [20, 5], [-1, 20]]


def test_missing_numbers_stay_nan_if_nothing_is_said() -> None:
    (_, (row,), _) = items_of(head(Tensor("x", ("age",)), mean=[0], scale=[1]))
    assert np.isnan(row).all()


def test_names_go_as_they_are() -> None:
    items = items_of(head(Tensor("x", ("house", "名称"), strings=True, missing="?")))
    assert [row for (row,) in items] == [("own", "好"), ("?", "?"), ("castle", "坏")]


def test_a_text_as_its_trunks_vector_beside_numbers() -> None:
    items = items_of(head(Tensor("v", ("text",), trunk="trunk:x"), Tensor("x", ("age",)), mean=[0], scale=[1]))
    assert [vector.tolist() for vector, _ in items] == [[3, 3], [3, 3], [5, 5]]
    assert items[0][1].tolist() == [30]


def reading(holds: str, task: str = "classify", output: tuple[str, ...] = ("good", "bad")) -> Reading:
    return Reading(holds, task, output, tuple(output.index(label) for label in LABELS))


@pytest.mark.parametrize(
    ("how", "given", "want"),
    [
        (reading("probabilities"), [[0.2, 0.8]], [[0.8, 0.2]]),
        (reading("probabilities"), [[0.3]], [[0.3, 0.7]]),
        (reading("logits"), [[0.0, np.log(3)]], [[0.75, 0.25]]),
        (reading("logits"), [[np.log(3)]], [[0.75, 0.25]]),
        (reading("logits", "multilabel"), [[0.0, np.log(3)]], [[0.75, 0.5]]),
        (reading("probabilities", "multilabel"), [[0.9, 0.8]], [[0.8, 0.9]]),
        (reading("label"), [[0], [1]], [[0, 1], [1, 0]]),
        (reading("label"), [["bad"], ["good"]], [[1, 0], [0, 1]]),
        (Reading("value", "regress"), [[1.5], [2.5]], [1.5, 2.5]),
    ],
)
def test_outputs_are_read_in_the_products_order(how: Reading, given: Any, want: Any) -> None:
    cells: NDArray[Any] = np.array(given, object if isinstance(given[0][0], str) else None)
    np.testing.assert_allclose(how.values(cells), want, atol=1e-12)
    assert how.values(cells[:0]).shape == np.array(want)[:0].shape


@pytest.mark.parametrize(
    ("how", "given", "found"),
    [
        (reading("probabilities"), [[0.2, 0.2]], "other numbers"),
        (reading("probabilities"), [[5.0, -4.0]], "other numbers"),
        (reading("probabilities", "multilabel"), [[1.5, 0.0]], "other numbers"),
        (reading("logits"), [[0.1, 0.2, 0.3]], "3 numbers"),
        (reading("label"), [[2]], "something else"),
        (reading("label"), [["unknown"]], "something else"),
        (Reading("value", "regress"), [[1.0, 2.0]], "2 numbers"),
    ],
)
def test_an_output_that_holds_something_else(how: Reading, given: Any, found: str) -> None:
    with pytest.raises(BundleError, match="holds no") as raised:
        how.values(np.array(given, object if isinstance(given[0][0], str) else None))
    assert found in raised.value.found


@pytest.mark.parametrize("cell", [np.nan, np.inf])
def test_a_row_that_has_no_answer(cell: float) -> None:
    with pytest.raises(DataError, match="no answer") as raised:
        reading("logits").values(np.array([[cell, 0.2]]))
    assert "missing = 0" in raised.value.hint


def test_a_head_that_does_not_fit_itself() -> None:
    with pytest.raises(BundleError, match="scales"):
        head(Tensor("x", ("age",)), mean=[0, 1], scale=[1, 1])
    with pytest.raises(BundleError, match="scales"):
        head(Tensor("x", ("age",)), mean=[0], scale=[0])
    good = head(Tensor("x", ("age",)), mean=[0], scale=[1], reading=reading("label"))
    meta, arrays = good.save()
    assert OnnxHead.load(msgspec.json.decode(msgspec.json.encode(meta)), arrays).save()[0] == meta
    for wrong in ({"holds": "secrets"}, {"order": [0, 0]}, {"tensors": [{"name": "x"}]}, {"labels": None}):
        with pytest.raises(BundleError):
            OnnxHead.load({**meta, **wrong}, arrays)
