"""What each region adds to a score: all of it together is the score, and the place that decides has most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL")

from PIL import Image as Pillow

from trunkline.explain.cam import WHOLE, mapped, summed
from trunkline.explain.parts import Parts
from trunkline.explain.regions import Regions, box_of
from trunkline.explain.subject import Subject
from trunkline.explain.why import Asked, Explanation, explaining
from trunkline.heads.dense import Dense, Landmarks, Part
from trunkline.heads.linear import DensePart, LinearHead
from trunkline.inputs.image import Picture, picture_of
from trunkline.program import one
from trunkline.tasks.classify import Classify
from trunkline.tasks.regress import Regress
from trunkline.trunks import find
from trunkline.trunks.efficientnet import DIM
from trunkline.types import Call, Decision, Outputs, Places, Refused

LITE = "trunk:efficientnet-lite0"


def picture(width: int = 90, height: int = 60) -> Picture:
    """Grey noise with a red block at the right, in the middle."""
    pixels = np.random.default_rng(0).integers(90, 110, (height, width, 3)).astype(np.uint8)
    pixels[20:40, 56:72] = (255, 0, 0)
    return picture_of(Pillow.fromarray(pixels))


def head_of(weights: np.ndarray[Any, Any], link: str, engine: str = LITE, **more: Any) -> LinearHead:
    outputs = weights.shape[1]
    dense = DensePart(Dense((Part(engine, "photo"),)), weights.astype(np.float32), np.full(outputs, 0.5, np.float32), **more)
    return LinearHead(link, np.linspace(0.1, 0.3, outputs).astype(np.float32), dense)


@given(
    box=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 9),
)  # fmt: skip
def test_nothing_of_a_map_is_lost_or_counted_twice(box: tuple[float, float, float, float], shape: tuple[int, int, int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape)
    cells = Regions("photo", picture()).parts(16)
    np.testing.assert_allclose(sum(summed(Places(box, values), cells)), values.sum((1, 2)), atol=1e-9)


def test_a_place_counts_where_it_lies() -> None:
    values = np.zeros((1, 8, 8))
    values[0, 1, 6] = 1  # in the second row from above, the seventh from the left: the top right cell
    cells = Regions("photo", picture()).parts(16)
    found = summed(Places(WHOLE, values), cells)
    (at,) = [at for at, number in enumerate(found) if number[0] > 0]
    assert box_of(cells[at]) == (24, 0, 32, 8)
    cut = summed(Places((0.25, 0.25, 0.75, 0.75), np.ones((1, 2, 2))), cells)
    assert [round(float(number[0]), 9) for number in cut] == [0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]


class Fixed:
    """A head that says what it is told; not a network."""

    format = "fixed"


def test_other_products_have_none() -> None:
    row = {"photo": picture(), "size": 3.0}
    two = Parts(row, {"photo": "image", "size": "number"}, {})
    hub = head_of(np.ones((4, 2)), "softmax", "trunk:hash")
    for head, parts in ((hub, Parts({"photo": picture()}, {"photo": "image"}, {})), (hub, two), (Fixed(), two)):
        assert one(mapped(head, parts), lambda calls: pytest.fail("no engine is asked")) is None  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lite() -> Any:
    trunk = find("efficientnet-lite0")
    if trunk.available() is not None:
        pytest.skip("its package is not installed")
    return trunk.load()


def test_the_trunks_places_add_up_to_its_vector(lite: Any) -> None:
    photo = picture()
    (places,) = lite.run(Call(LITE, [photo], "places"))
    assert places.values.shape == (DIM, 7, 7)
    np.testing.assert_allclose(places.values.sum((1, 2)), lite.run(Call(LITE, [photo]))[0], atol=1e-5)
    left, top, right, bottom = places.box
    assert (left + right, top + bottom) == pytest.approx((1, 1), abs=0.01)
    assert ((right - left) * 90, (bottom - top) * 60) == pytest.approx((52.5, 52.5), abs=0.3)  # 224 of 256 of the short side


@pytest.mark.parametrize(("link", "outputs"), [("softmax", 3), ("logistic", 1)])
def test_regions_of_a_linear_head_add_up_to_the_log_odds_and_the_block_has_most(lite: Any, link: str, outputs: int) -> None:
    photo = picture()
    grey = picture_of(Pillow.fromarray(np.full((60, 90, 3), 100, np.uint8)))
    seen, plain = lite.run(Call(LITE, [photo, grey]))
    weights = np.zeros((DIM, outputs))
    weights[:, 0] = 40 * (seen - plain)
    labels = ("yes", "no", "other") if outputs > 1 else ("no", "yes")
    subject = Subject(head_of(weights, link), Classify(), Decision(temperature=1.5), labels, {"photo": "image"})
    calls: list[str] = []

    def ask(asked: Sequence[Call]) -> Outputs:
        calls.extend(call.form for call in asked for _ in call.items)
        return [lite.run(call) for call in asked]

    answer, found = one(explaining(subject, {"photo": photo}, Asked(method="cam", top=16)), ask)
    assert isinstance(found, Explanation)
    assert calls == ["pooled", "places"]
    assert (answer.fields["label"], found.method, found.rows, found.parts) == ("yes", "cam", 1, 16)
    assert found.reasons[0].box is not None
    left, top, right, bottom = found.reasons[0].box
    assert left <= 64 / 90 <= right
    assert 0.25 <= top < bottom <= 0.75
    if link == "softmax":
        assert found.base is None
    else:
        assert found.base is not None
        assert found.base + sum(reason.weight for reason in found.reasons) == pytest.approx(found.figure, abs=1e-6)
        assert found.base == pytest.approx(0.1 / 1.5, abs=1e-3)


def test_a_number_and_a_strange_row(lite: Any) -> None:
    weights = np.random.default_rng(0).normal(size=(DIM, 1))
    ask = lambda calls: [lite.run(call) for call in calls]  # noqa: E731
    subject = Subject(head_of(weights, "identity"), Regress(), Decision(residual=1.0), (), {"photo": "image"})
    _, found = one(explaining(subject, {"photo": picture()}, Asked(method="cam", top=16)), ask)
    assert isinstance(found, Explanation)
    assert (found.of, found.unit) == ("", "value")
    assert found.base == pytest.approx(0.1, abs=1e-4)
    marks = Landmarks(np.zeros(DIM, np.float32), np.eye(1, DIM, dtype=np.int8) * 127)
    strange = Subject(head_of(weights, "logistic", landmarks=marks), Classify(), Decision(outside_above=0.0), ("no", "yes"), {"photo": "image"})
    answer, refused = one(explaining(strange, {"photo": picture()}, Asked(method="cam")), ask)
    assert answer.status == "out_of_scope"
    assert isinstance(refused, Refused)
    assert refused.code == "no_map"
    assert math.isfinite(found.figure)
