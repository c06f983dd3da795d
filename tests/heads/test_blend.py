"""What the head `blend` is for, beyond the contract that every head passes (tests/contracts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.blend import BlendHead, blended, scores_of
from trunkline.heads.constant import ConstantHead
from trunkline.heads.links import LINKS, apply_link
from trunkline.program import one
from trunkline.types import Arrays, Call, Inputs, Outputs, Prediction, Program

ROWS: list[Inputs] = [{"text": "a"}, {"text": "b"}, {"text": "c"}]
SCORES = np.random.default_rng(0).normal(size=(20, 3))


class Asking:
    """Asks `rounds` times before it answers `values` for each row; `outside` is the number of its rounds."""

    format: ClassVar[str] = "asking"

    def __init__(self, rounds: int, values: tuple[float, ...], fails: bool = False) -> None:
        self.rounds, self.values, self.fails = rounds, values, fails

    def run(self, rows: Sequence[Inputs]) -> Program:
        for i in range(self.rounds):
            (heard,) = yield [Call(f"trunk:{self.rounds}", [f"{row['text']}{i}" for row in rows])]
            assert list(heard) == [f"{row['text']}{i}!" for row in rows]
        if self.fails:
            raise ValueError("this part can't answer")
        return Prediction(np.tile(self.values, (len(rows), 1)), np.full(len(rows), float(self.rounds)))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        return {}, {}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        raise AssertionError("not saved here")


def values_of(link: str) -> NDArray[np.float64]:
    return apply_link(link, SCORES[:, :1] if link in ("logistic", "identity") else SCORES)


def constant(*values: float) -> ConstantHead:
    return ConstantHead(np.array(values))


def test_parts_ask_in_step_and_each_hears_its_own_answers() -> None:
    asked: list[list[str]] = []

    def ask(calls: Sequence[Call]) -> Outputs:
        asked.append([call.engine for call in calls])
        return [[f"{item}!" for item in call.items] for call in calls]

    parts = (Asking(1, (0.2, 0.8)), Asking(3, (0.6, 0.4)), constant(0.5, 0.5))
    found = one(BlendHead("logistic", np.array([1.0, 0.5, 2.0]), parts).run(ROWS), ask)
    assert asked == [["trunk:1", "trunk:3"], ["trunk:3"], ["trunk:3"]]
    odds = (0.8 / 0.2) * (0.4 / 0.6) ** 0.5
    np.testing.assert_allclose(found.values, np.tile([1 / (1 + odds), odds / (1 + odds)], (3, 1)))
    assert found.outside is not None
    assert found.outside.tolist() == [1.0, 1.0, 1.0]  # the first part's


def test_a_part_that_fails_fails_the_blend() -> None:
    head = BlendHead("logistic", np.array([1.0, 1.0]), (Asking(0, (0.5, 0.5)), Asking(0, (0.5, 0.5), fails=True)))
    with pytest.raises(ValueError, match="this part can't answer"):
        one(head.run(ROWS), lambda calls: [])


@pytest.mark.parametrize("link", LINKS)
def test_scores_undo_the_link(link: str) -> None:
    scores = SCORES[:, :1] if link in ("logistic", "identity") else SCORES
    found = scores_of(values_of(link), link)
    gap = found - scores
    np.testing.assert_allclose(gap if link != "softmax" else gap - gap.mean(axis=1, keepdims=True), 0, atol=1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_one_part_of_weight_one_is_itself_and_no_weight_is_silence(link: str) -> None:
    one_part, other = Prediction(values_of(link)), Prediction(values_of(link)[::-1])
    np.testing.assert_allclose(blended([one_part, other], (1.0, 0.0), link).values, one_part.values, atol=1e-12)
    halves = blended([one_part, other], (0.5, 0.5), link).values
    np.testing.assert_allclose(halves, halves[::-1], atol=1e-12)


def test_certain_parts_stay_finite() -> None:
    for link in ("logistic", "softmax", "labels"):
        found = blended([Prediction(np.array([[0.0, 1.0]])), Prediction(np.array([[1.0, 0.0]]))], (1.0, 1.0), link)
        assert np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("link", "parts"),
    [
        ("softmax", (constant(0.2, 0.8), constant(0.2, 0.3, 0.5))),
        ("logistic", (constant(0.2, 0.3, 0.5), constant(0.2, 0.3, 0.5))),
        ("identity", (constant(0.2, 0.8), constant(0.2, 0.8))),
        ("softmax", (ConstantHead(np.array(3.0)), ConstantHead(np.array(3.0)))),
    ],
)
def test_parts_of_unequal_outputs_or_of_another_link_are_refused(link: str, parts: tuple[ConstantHead, ...]) -> None:
    with pytest.raises(BundleError, match="equal outputs"):
        one(BlendHead(link, np.array([1.0, 1.0]), parts).run(ROWS), lambda calls: [])


def test_what_does_not_fit_is_not_loaded() -> None:
    meta, arrays = BlendHead("logistic", np.array([1.0, 0.5]), (constant(0.2, 0.8), constant(0.6, 0.4))).save()
    assert sorted(arrays) == ["0.values", "1.values", "weights"]
    first, second = meta["parts"]
    wrong: list[tuple[dict[str, Any], Arrays]] = [
        ({**meta, "link": "odds"}, arrays),
        ({**meta, "parts": [first]}, arrays),
        ({**meta, "parts": []}, {**arrays, "weights": np.zeros(0)}),
        ({**meta, "parts": [first, {**second, "format": "tree"}]}, arrays),
        ({**meta, "parts": [first, {"format": "blend", "meta": meta}]}, arrays),
        ({**meta, "parts": [first, {"format": "constant"}]}, arrays),
        ({**meta, "parts": [first, "constant"]}, arrays),
        ({**meta, "parts": None}, arrays),
        (meta, {**arrays, "weights": np.array([1.0, np.nan])}),
        (meta, {name: array for name, array in arrays.items() if name != "1.values"}),
    ]
    for bad, own in wrong:
        with pytest.raises(BundleError):
            BlendHead.load(bad, own)
