"""What rows without labels bring: a trunk from the texts of two sets, and a start for `cnn` from digits.

    python -m benchmarks.pretraining texts|pictures

Texts: perplexity of held-out texts, and a linear head on few labels by both trunks, on the same draws and test rows.
Pictures: digits by `cnn`'s network at 100 labels from its start and from scratch. Data: ../shared/data (measuring only).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.networks import digits
from benchmarks.record import record
from benchmarks.text_accuracy import SETS, sample
from numpy.typing import NDArray

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.methods import METHODS
from trunkline.pretraining.language import Settings, pretrain
from trunkline.pretraining.texts import read_texts
from trunkline.program import one
from trunkline.spec import Spec, parse_spec
from trunkline.tasks import TASKS
from trunkline.types import Examples

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TEXTS = 3_000  # drawn from the training rows of both sets together
FEW, DRAWS, BOOTSTRAP = (32, 100), 10, 2_000
SHOTS, SEEDS = 10, 5  # digits a class


def gathered() -> list[str]:
    """Hotel reviews and patients' questions of the training parts, without their labels."""
    hotel = read_texts([DATA / "chnsenticorp_hotel" / "train.csv"], ["review"])
    patients = read_texts([DATA / "faq_medical_zh" / "train.csv"], ["question"])
    every = [*hotel, *patients]
    return [every[at] for at in np.sort(np.random.default_rng(0).permutation(len(every))[:TEXTS])]


def texts() -> None:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "trunk"
        found = pretrain("e5-small", gathered(), out, Settings(epochs=2))
        rows: list[dict[str, Any]] = [{
            "what": "perplexity of held-out texts", "n": found.texts, "words' frequencies": found.unigram,
            "e5-small": found.before, "learned on": found.after, "seconds": found.seconds,
        }]  # fmt: skip
        print(rows, flush=True)
        for few in FEW:
            rows.append(labels(few, f"folder:{out}"))
            print(rows[-1], flush=True)
    told = record(
        "pretraining_texts", "A trunk learned on from 3,000 texts without labels", rows, packages=("torch", "transformers", "openvino"),
        spread=f"accuracy on hotel's test rows, mean of {DRAWS} draws; gain paired, 95 % by drawing draws and test rows anew",
        note="Hotel reviews and patients' questions (training parts); 2 epochs of a head alone, 2 of all layers, one seed.",
    )  # fmt: skip
    print(told)


def labels(few: int, learned: str) -> dict[str, Any]:
    """Accuracy by a linear head on `few` labels, the same draws for both trunks."""
    right = {name: [] for name in ("e5-small", learned)}  # type: dict[str, list[NDArray[np.float64]]]
    (data,) = [one for one in SETS if one.folder == "chnsenticorp_hotel"]
    for name in right:
        spec, desk = _spec(name), Desk()
        loaded = read_examples(spec, TASKS.get("classify")(), DATA / data.folder)
        for draw in range(DRAWS):
            train = loaded.train.take(sample(loaded.train, few, False, draw))
            right[name].append(_right(spec, train, loaded.test, desk))
    base, new = (np.stack(found) for found in right.values())
    rng, gains = np.random.default_rng(0), []
    for _ in range(BOOTSTRAP):
        draws, at = rng.integers(0, DRAWS, DRAWS), rng.integers(0, base.shape[1], base.shape[1])
        gains.append(float((new - base)[np.ix_(draws, at)].mean()))
    low, high = np.percentile(gains, [2.5, 97.5])
    return {
        "what": f"hotel, {few} labels, linear", "n": base.shape[1], "e5-small": f"{base.mean():.1%}", "learned on": f"{new.mean():.1%}",
        "gain": f"{100 * (new - base).mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
    }  # fmt: skip


def _spec(trunk: str) -> Spec:
    data = {"train": "train.csv", "test": "test.csv"}
    keys = {"name": "hotel", "task": "classify", "label": "label", "inputs": {"review": "text"}, "data": data}
    return parse_spec({**keys, "method": {"name": "linear"}, "trunks": {"text": trunk}})


def _right(spec: Spec, train: Examples, test: Examples, desk: Desk) -> NDArray[np.float64]:
    folds = TASKS.get("classify")().folds(train, spec.method.folds, spec.seed)
    learned = METHODS.get("linear")().fit(spec, train, folds, desk.ask())
    values = one(learned.head.run(test.inputs), desk.ask()).values
    return np.asarray(values.argmax(axis=1) == test.target, np.float64)


def pictures() -> None:
    """As `pretraining.pictures` does, on 10,000 grey digits of 28 pixels."""
    import torch
    from torch.nn import functional

    from trunkline.networks.cnn import ImageCnn
    from trunkline.networks.masked_patches import MaskedPatches, hide
    from trunkline.training.augment import moved
    from trunkline.training.gradient import Recipe
    from trunkline.training.loop import train_loop
    from trunkline.training.settings import LoopSettings

    pixels, target = digits("train")
    test, wanted = digits("test")
    torch.manual_seed(0)
    module = MaskedPatches(ImageCnn(1, 1), 1)
    recipe = Recipe(
        module, len(pixels), lambda rows, rng: (moved(pixels[rows].float(), rng), hide(len(rows), (4, 4), rng)), lambda module, made: module(*made)
    )
    began = time.perf_counter()
    train_loop(recipe, LoopSettings(epochs=10, rate=3e-3), 0)
    seconds, body = time.perf_counter() - began, module.cnn.body.state_dict()

    def accuracy(seed: int, start: bool) -> float:
        rng = np.random.default_rng(seed)
        at = np.concatenate([rng.choice(np.flatnonzero(target.numpy() == digit), SHOTS, replace=False) for digit in range(10)])
        torch.manual_seed(seed)
        cnn = ImageCnn(1, 10)
        if start:
            cnn.body.load_state_dict(body)
        few = Recipe(
            cnn, len(at), lambda rows, rng: (moved(pixels[at[rows]].float(), rng), target[at[rows]]),
            lambda module, made: functional.cross_entropy(module(made[0]), made[1]),
        )  # fmt: skip
        train_loop(few, LoopSettings(epochs=60, batch=20, rate=3e-3), seed)
        with torch.no_grad():
            right = sum(int((cnn(test[i : i + 500]).argmax(1) == wanted[i : i + 500]).sum()) for i in range(0, len(test), 500))
        return right / len(test)

    found = np.array([[accuracy(seed, start) for start in (False, True)] for seed in range(SEEDS)])
    gain = found[:, 1] - found[:, 0]
    half = 2.776 * gain.std(ddof=1) / SEEDS**0.5  # Student's t, 4 degrees of freedom
    row = {
        "data": "mnist, 100 labels", "from scratch": f"{found[:, 0].mean():.1%}", "from the start": f"{found[:, 1].mean():.1%}",
        "gain": f"{100 * gain.mean():+.1f} [{100 * (gain.mean() - half):+.1f}, {100 * (gain.mean() + half):+.1f}]", "seconds without labels": round(seconds),
    }  # fmt: skip
    print(record(
        "pretraining_pictures", "cnn from a start that masked patches gave", [row], packages=("torch", "accelerate", "numpy"),
        spread=f"{SEEDS} draws of {SHOTS} digits a class, 10,000 test digits; gain paired, 95 % by Student's t over the draws",
        note="Start: 10,000 training digits without labels, 10 epochs. Then 60 epochs of 100 digits, moved a little.",
    ))  # fmt: skip


if __name__ == "__main__":
    for name in sys.argv[1:] or ["texts", "pictures"]:
        {"texts": texts, "pictures": pictures}[name]()
