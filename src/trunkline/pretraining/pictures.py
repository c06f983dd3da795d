"""Learning an image network's body from pictures without labels; `cnn` starts from it with the setting `start`.

The start is a folder: body.safetensors, and start.json, which names its digest and how it was learned.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from trunkline.errors import DataError, SpecError
from trunkline.files import atomic_folder, digest_file, write_atomic
from trunkline.inputs.blob import DataFile
from trunkline.inputs.file_kinds import SUFFIXES
from trunkline.inputs.image import Image, Picture
from trunkline.terminal import SILENT, Progress
from trunkline.training.settings import LoopSettings
from trunkline.trunks.cache import cache_folder

if TYPE_CHECKING:
    from trunkline.networks.cnn import ImageCnn

BODY, RECORD = "body.safetensors", "start.json"
HELD = 0.05  # share of the pictures whose loss tells whether it learns what pictures share
FEWEST = 50
JUDGED = 256  # held-out pictures at a time


class StartSettings(LoopSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """size, side and activation: those of the `cnn` that will start here. augment: moved a little."""

    size: Literal["small", "base"] = "small"
    side: Annotated[int, Meta(ge=8, le=512)] = 64
    activation: Literal["relu", "gelu", "tanh", "sigmoid"] = "relu"
    augment: bool = True
    rate: float = 3e-3
    patience: int = 0


class Start(Struct, frozen=True, forbid_unknown_fields=True):
    """start.json. loss: by epoch, of pictures learned from and of those held out."""

    size: str
    activation: str
    side: int
    pictures: int
    loss: list[tuple[float, float]]
    sha256: str


def read_pictures(folders: Sequence[Path]) -> tuple[list[Picture], int]:
    """(pictures of files or of folders and all below them, how many could not be read). By name: the same order anywhere."""
    files = (file for folder in folders for file in (sorted(folder.rglob("*")) if folder.is_dir() else [folder]))
    read = [Image().read(DataFile(file)) for file in files if SUFFIXES.get(file.suffix.lower()) == "image"]
    pictures = [each for each in read if isinstance(each, Picture)]
    return pictures, len(read) - len(pictures)


def pretrain_pictures(
    pictures: Sequence[Picture], settings: StartSettings, seed: int, folder: Path, progress: Progress = SILENT
) -> Start:
    """Learn by `networks.masked_patches`, and write the start to `folder`, whole. An interrupted run goes on where it was.

    Raises DataError for under FEWEST pictures, TrainError where learning fails.
    """
    import torch
    from safetensors.torch import save

    from trunkline.networks.cnn import ImageCnn
    from trunkline.networks.masked_patches import MaskedPatches, hide
    from trunkline.training.augment import moved
    from trunkline.training.gradient import Recipe
    from trunkline.training.loop import train_loop

    distinct = {picture.blob.digest: picture for picture in pictures}
    if len(distinct) < FEWEST:
        raise DataError("too few pictures to learn from", found=f"{len(distinct)} distinct ones", wanted=f"at least {FEWEST}")
    pixels = torch.from_numpy(np.stack([picture.pixels(settings.side) for picture in distinct.values()]))
    about = hashlib.sha256(b"".join(distinct) + repr((settings, seed)).encode()).hexdigest()
    order = np.random.default_rng(seed).permutation(len(pixels))
    held, fit = np.split(order, [max(1, int(HELD * len(order)))])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = MaskedPatches(ImageCnn(3, 1, size=settings.size, activation=settings.activation), 3)
    places = (-(-settings.side // module.patch),) * 2

    def batch(rows: Any, rng: np.random.Generator) -> Any:
        block = pixels[fit[rows]].float()
        return moved(block, rng) if settings.augment else block, hide(len(rows), places, rng)

    def judge(learned: Any) -> dict[str, float]:
        """Of the same hidden blocks each time."""
        rng, device, total = np.random.default_rng(seed), next(module.parameters()).device, 0.0
        for at in range(0, len(held), JUDGED):
            some = held[at : at + JUDGED]
            total += float(learned(pixels[some].to(device), hide(len(some), places, rng).to(device))) * len(some)
        return {"loss": total / len(held)}

    recipe = Recipe(module, len(fit), batch, lambda learned, made: learned(*made), judge)
    place = cache_folder() / "training" / f"pretrain-{about[:16]}"
    learned = train_loop(recipe, settings, seed, folder=place, about=about, progress=progress, name="pretrain")
    content = save({name: value.cpu() for name, value in module.cnn.body.state_dict().items()})
    losses = [(round(each.loss, 5), round(each.figures["loss"], 5)) for each in learned.epochs]
    start = Start(settings.size, settings.activation, settings.side, len(distinct), losses, hashlib.sha256(content).hexdigest())
    with atomic_folder(folder) as new:
        write_atomic(new / BODY, content)
        write_atomic(new / RECORD, msgspec.json.format(msgspec.json.encode(start)))
    shutil.rmtree(place, ignore_errors=True)
    return start


def read_start(folder: Path, size: str, activation: str) -> Start:
    """Raises SpecError where there is no start, or one of another network."""
    where = "method.settings.start"
    try:
        start = msgspec.json.decode((folder / RECORD).read_bytes(), type=Start)
    except FileNotFoundError:
        raise SpecError("no start is here", where=where, found=str(folder), wanted=f"a folder with {RECORD}", hint="trunkline pretrain") from None
    except msgspec.MsgspecError as error:
        raise SpecError("this start can't be read", where=where, found=f"{folder / RECORD}: {error}") from None
    if (start.size, start.activation) != (size, activation):
        raise SpecError(
            "this start is another network's", where=where, found=f"{start.size}, {start.activation}", wanted=f"{size}, {activation}"
        )
    if digest_file(folder / BODY) != start.sha256:
        raise SpecError("this start was changed after it was learned", where=where, found=str(folder / BODY))
    return start


def begin(cnn: ImageCnn, folder: Path) -> None:
    """Give the network the body that lies in `folder`."""
    from safetensors.torch import load_file

    cnn.body.load_state_dict(load_file(folder / BODY))
