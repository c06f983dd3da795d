"""Regions of a picture: they cover it once, and the one that decides is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from trunkline.explain.parts import Parts
from trunkline.explain.regions import FINEST, Regions, box_of
from trunkline.explain.subject import Subject
from trunkline.explain.why import Asked, Explanation, explaining
from trunkline.inputs.image import Picture, picture_of
from trunkline.program import one
from trunkline.tasks.classify import Classify
from trunkline.types import Call, Decision, Inputs, Outputs, Prediction, Program

pytest.importorskip("PIL")


def picture(width: int = 60, height: int = 40) -> Picture:
    """Grey noise with a red spot at the top right."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(90, 110, (height, width, 3)).astype(np.uint8)
    pixels[2:8, 50:58] = (255, 0, 0)
    return picture_of(Image.fromarray(pixels))


class RedHead:
    """Yes where a pixel is red."""

    format: ClassVar[str] = "red"

    def run(self, rows: Sequence[Inputs]) -> Program:
        yield from ()
        reds = [np.asarray(row["photo"].rgb())[..., 0].max() / 255 for row in rows]
        yes = np.array([0.95 if red > 0.9 else 0.1 for red in reds])
        return Prediction(np.stack([1 - yes, yes], axis=1))

    def save(self) -> Any:
        raise NotImplementedError

    @classmethod
    def load(cls, meta: Any, arrays: Any) -> RedHead:
        raise NotImplementedError


def no_engine(calls: Sequence[Call]) -> Outputs:
    raise AssertionError("no engine is asked")


def test_regions_cover_the_picture_once() -> None:
    regions = Regions("photo", picture())
    for parts in (regions.parts(26), regions.parts(5), regions.finer(regions.parts(26)[3]), regions.single(regions.parts(26)[0])):
        seen = np.zeros((FINEST, FINEST), int)
        for part in parts:
            left, top, right, bottom = box_of(part)
            seen[top:bottom, left:right] += 1
        assert seen.max() == 1
    assert len(regions.parts(26)) == 16
    assert len(regions.parts(5)) == 4


def test_a_left_out_region_has_the_mean_colour_and_the_rest_stays() -> None:
    whole = picture()
    regions = Regions("photo", whole)
    left = np.asarray(regions.without(regions.parts(16)[:1]).rgb()).astype(int)
    given = np.asarray(whole.rgb()).astype(int)
    assert (left[:10, :15] == given.reshape(-1, 3).mean(axis=0).round()).all()
    assert (left[10:] == given[10:]).all()
    assert (left[:, 15:] == given[:, 15:]).all()


def test_the_spot_that_decides_is_found_and_cut_finer() -> None:
    row = {"photo": picture(), "size": 3.0}
    subject = Subject(RedHead(), Classify(), Decision(), ("no", "yes"), {"photo": "image", "size": "number"})
    answer, found = one(explaining(subject, row, Asked()), no_engine)
    assert answer.fields["label"] == "yes"
    assert isinstance(found, Explanation)
    first = found.reasons[0]
    assert (first.kind, first.name) == ("region", "top right")
    assert first.box is not None
    left, top, right, bottom = first.box
    assert left <= 50 / 60 < right
    assert top <= 2 / 40 < bottom
    assert found.rows <= 26
    assert {reason.column for reason in found.reasons} == {"photo", "size"} or len(found.reasons) == 10
    assert Parts(row, subject.kinds, {}).first(26)[-1].column == "size"
