"""Augmentation changes a row and not its answer; the same random numbers change it alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from trunkline.methods.text_networks import dropped, padded  # noqa: E402
from trunkline.training import augment  # noqa: E402

CHANGES: dict[str, tuple[Callable[[Any, np.random.Generator], Any], tuple[int, ...]]] = {
    "moved": (augment.moved, (6, 1, 12, 12)),
    "flipped": (augment.flipped, (12, 3, 4, 5)),
    "cropped": (lambda x, rng: augment.cropped(x, rng, 2), (6, 3, 8, 9)),
    "varied": (augment.varied, (12, 3, 8, 8)),
    "noisy": (augment.noisy, (3, 20, 8)),
    "masked": (augment.masked, (6, 20, 16)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_changes_rows_by_the_seed_alone_and_leaves_what_it_was_given(name: str) -> None:
    change, shape = CHANGES[name]
    torch.manual_seed(0)
    given = torch.rand(shape) * 255
    before = given.clone()
    one, same, other = (change(given, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == given.shape
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(given, before)
    assert torch.isfinite(one).all()


def test_a_voice_is_another_pace_and_height() -> None:
    ramp = torch.arange(40.0)[:, None] + 100 * torch.arange(8.0)
    still = augment.spoken(ramp, np.random.default_rng(0), 0.0, 0)
    assert torch.equal(still, ramp)
    found = [augment.spoken(ramp, np.random.default_rng(seed)) for seed in range(60)]
    lengths = {len(one) for one in found}
    assert (min(lengths), max(lengths)) >= (34, 44)
    assert max(lengths) <= 46
    assert {float((one[0] - one[0].min()).diff().count_nonzero()) for one in found} == {5.0, 6.0, 7.0}  # edges repeat
    assert len(augment.spoken(ramp[:1], np.random.default_rng(1))) == 1


def test_a_short_sound_keeps_four_fifths_of_its_frames() -> None:
    given = torch.arange(60.0).reshape(1, 10, 6)
    for seed in range(40):
        found = augment.masked(given, np.random.default_rng(seed), bands=0)
        assert int((found != given).any(2).sum()) <= 2


def test_nothing_moved_is_nothing_changed() -> None:
    given = torch.rand(2, 1, 9, 9)
    still = augment.moved(given, np.random.default_rng(0), 0.0, 0.0, 0.0)
    assert torch.allclose(still, given, atol=1e-5)


def test_flips_are_of_left_and_right() -> None:
    given = torch.arange(8.0).reshape(1, 1, 2, 4)
    seen = {tuple(augment.flipped(given, np.random.default_rng(seed))[0, 0, 0].tolist()) for seed in range(20)}
    assert seen == {(0, 1, 2, 3), (3, 2, 1, 0)}


def test_pixels_stay_pixels() -> None:
    given = torch.rand(40, 3, 8, 8) * 255
    found = augment.varied(given, np.random.default_rng(0), 0.9)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255


def test_dropped_words_are_unknown_and_padding_stays() -> None:
    block = padded([[5, 6, 7, 8] * 50, [9]])
    found = dropped(block, 0.5, np.random.default_rng(0))
    assert ((found == 0) == (block == 0)).all()
    assert 0.3 < (found[0] == 1).mean() < 0.7
    assert set(found[0].tolist()) == {1, 5, 6, 7, 8}
