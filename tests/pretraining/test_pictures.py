"""Masked patches by their formula, and what a network starts from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.errors import DataError, SpecError
from trunkline.inputs.image import Image, Picture
from trunkline.types import Refused

torch = pytest.importorskip("torch")

from trunkline.networks.cnn import ImageCnn  # noqa: E402
from trunkline.networks.masked_patches import MaskedPatches, hide  # noqa: E402
from trunkline.pretraining.pictures import (  # noqa: E402
    BODY,
    RECORD,
    StartSettings,
    begin,
    pretrain_pictures,
    read_start,
)


def stripes(count: int) -> list[Picture]:
    """Each of one direction throughout, so that what is hidden follows from what is shown."""
    from PIL import Image as Pillow

    made, rng = [], np.random.default_rng(0)
    for at in range(count):
        lines = np.repeat((rng.random(16) > 0.5).astype(np.uint8) * 255, 16).reshape(16, 16)
        file = io.BytesIO()
        Pillow.fromarray(lines if at % 2 else lines.T).save(file, "PNG")
        read = Image().read(file.getvalue())
        assert not isinstance(read, Refused)
        made.append(read)
    return made


def test_as_many_blocks_are_hidden_of_each_picture() -> None:
    hidden = hide(50, (4, 5), np.random.default_rng(0))
    assert hidden.sum((1, 2)).tolist() == [12] * 50
    assert len({row.numpy().tobytes() for row in hidden}) > 40
    assert hide(3, (1, 1), np.random.default_rng(0), 0.1).all()


def test_the_loss_is_the_mean_square_over_hidden_blocks() -> None:
    torch.manual_seed(0)
    module = MaskedPatches(ImageCnn(1, 1), 1).eval()
    pixels = torch.randint(0, 256, (2, 1, 16, 12))
    hidden = torch.zeros(2, 2, 2, dtype=torch.bool)
    hidden[0, 1, 0] = hidden[1, 0, 1] = True
    shown = pixels.float().clone()
    shown[0, 0, 8:16, 0:8] = 127.5
    shown[1, 0, 0:8, 8:12] = 127.5
    drawn = module.draw(module.cnn.places(shown)).detach()
    wide = torch.nn.functional.pad(pixels.float(), (0, 4, 0, 0), mode="replicate")
    total = 0.0
    for row, y, x in ((0, 1, 0), (1, 0, 1)):
        block = wide[row, 0, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8].flatten()
        wanted = (block - block.mean()) / (block.std() + 8)
        total += float(((drawn[row, :, y, x] - wanted) ** 2).mean())
    assert float(module(pixels, hidden).detach()) == pytest.approx(total / 2, rel=1e-5)


def test_what_is_hidden_is_never_seen() -> None:
    torch.manual_seed(0)
    module = MaskedPatches(ImageCnn(1, 1), 1).eval()
    given: list[Any] = []
    module.cnn.body.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    one, other = torch.zeros(1, 1, 8, 16), torch.zeros(1, 1, 8, 16)
    other[..., 8:] = 200
    hidden = torch.tensor([[[False, True]]])
    module(one, hidden)
    module(other, hidden)
    assert torch.equal(given[0], given[1])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start of its own for every test: checkpoints lie in the cache."""
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


def test_a_start_is_learned_kept_and_given_to_a_network(tmp_path: Path, one_thread: None) -> None:
    settings = StartSettings(side=16, epochs=12, batch=16, augment=False)
    start = pretrain_pictures(stripes(200), settings, 0, tmp_path / "start")
    assert start.loss[-1][1] < 0.8 * start.loss[0][1], start.loss
    assert read_start(tmp_path / "start", "small", "relu") == start
    cnn, other = ImageCnn(3, 2), ImageCnn(3, 2)
    begin(cnn, tmp_path / "start")
    begin(other, tmp_path / "start")
    assert all(torch.equal(a, b) for a, b in zip(cnn.body.parameters(), other.body.parameters(), strict=True))
    assert not torch.equal(cnn.out.weight, other.out.weight)
    again = pretrain_pictures(stripes(200), settings, 0, tmp_path / "again")
    assert again.sha256 == start.sha256


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path, one_thread: None) -> None:
    with pytest.raises(SpecError, match="no start"):
        read_start(tmp_path, "small", "relu")
    pretrain_pictures(stripes(60), StartSettings(side=16, epochs=1), 0, tmp_path / "start")
    tmp_path = tmp_path / "start"
    with pytest.raises(SpecError, match="another network's"):
        read_start(tmp_path, "base", "relu")
    (tmp_path / BODY).write_bytes((tmp_path / BODY).read_bytes()[:-4] + b"abcd")
    with pytest.raises(SpecError, match="was changed"):
        read_start(tmp_path, "small", "relu")
    record = json.loads((tmp_path / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps({**record, "side": "wide"}))
    with pytest.raises(SpecError, match="can't be read"):
        read_start(tmp_path, "small", "relu")
    with pytest.raises(DataError, match="too few"):
        pretrain_pictures(stripes(40), StartSettings(side=16), 0, tmp_path / "few")
