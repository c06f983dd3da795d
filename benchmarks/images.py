"""Pictures: cats and dogs by the offline trunk and by a network from scratch; chest X-rays against a floor of brightness.

python -m benchmarks.images [cats_dogs|chest]; needs the `train` extra. Data: ../shared/data (measuring only).
Chest X-rays stand here because they are hard and have a trap. Nothing here is a medical device.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.networks import DATA, PACKAGES, trained
from benchmarks.record import record
from numpy.typing import NDArray

DRAWS = 2_000  # of the bootstrap
NOTE = (
    "Chest X-rays: NIH images, split by patient (no patient in both parts). Brightness alone is the floor: it tells scanners "
    "and wards apart, not lungs, and a model may use it too. This is a measurement of software, no medical device, and no "
    "figure here says anything about a patient."
)

SCRATCH = (
    "From 1,099 pictures a network from scratch learns little; without early stopping (patience 0) it was right on 69 % of 220 "
    "training pictures held back, its best epoch on 73 %."
)


def product(place: Path, data: str, settings: str) -> Path:
    """A product on class folders that are split already. Files are copied: paths may not leave the folder."""
    for part in ("train", "test"):
        shutil.copytree(DATA / data / part, place / part)
    (place / "product.toml").write_text(
        f'name = "pictures"\ntask = "classify"\nlabel = "label"\ninputs = {{ image = "image" }}\ndata = {{ train = "train", test = "test" }}\n{settings}',
        encoding="utf-8",
    )
    return place


ROADS = {
    "trunk efficientnet-lite0, linear head": '[method]\nname = "linear"\n',
    "cnn small from scratch, 32 pixels a side": '[method]\nname = "cnn"\n[method.settings]\nfolds = 2\nside = 32\nflip = true\n',
    "the trunk fine-tuned": '[method]\nname = "finetune"\n',
}


def cats_dogs() -> list[dict[str, Any]]:
    rows = []
    for road, settings in list(ROADS.items())[:2]:
        with tempfile.TemporaryDirectory() as place:
            found = trained(product(Path(place), "cats_dogs", settings))
            kept = {name: found[name] for name in ("accuracy", "95 %", "seconds", "ms a row")}
            rows.append({"data": "cats_dogs, 300 test pictures", "road": road, **kept})
        print(rows[-1], flush=True)
    return rows


def chest() -> list[dict[str, Any]]:
    """Accuracy and AUC (of pneumonia) on the test part: by mean brightness, cut where training rows are told apart best,
    by the trunk's vectors with a linear head, and by the trunk fine-tuned."""
    from trunkline.desk import Desk
    from trunkline.product import Product

    told: list[tuple[str, NDArray[np.float64], NDArray[np.bool_], float]] = []
    for road in ("trunk efficientnet-lite0, linear head", "the trunk fine-tuned"):
        with tempfile.TemporaryDirectory() as place:
            home = product(Path(place), "chest_xray_nih", ROADS[road])
            train, test = (brightness(home / part) for part in ("train", "test"))
            started = time.perf_counter()
            found = Product(home, Desk())
            found.train()
            rows = [{"image": path.read_bytes()} for path in test[2]]
            scores = np.array([answer["scores"]["pneumonia"] for answer in found.predict(rows)])
            told.append((road, scores, scores > 0.5, time.perf_counter() - started))
            print(road, round(told[-1][-1]), "s", flush=True)
    sign, cut = best_cut(*train[:2])
    floor = sign * test[0]
    told.insert(0, ("mean brightness alone", floor, floor > cut, 0.0))
    return [scored(name, values, said, test[1], took) for name, values, said, took in told]


def brightness(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[Path]]:
    """(mean of each picture, whether it is of pneumonia, its file)."""
    from PIL import Image

    files = sorted(folder.rglob("*.jpg"))
    return np.array([np.asarray(Image.open(f).convert("L")).mean() for f in files]), np.array([f.parent.name == "pneumonia" for f in files]), files


def best_cut(values: NDArray[np.float64], wanted: NDArray[np.bool_]) -> tuple[int, float]:
    """(sign, cut): sign * value > cut says yes, right most often on these rows."""
    tried = [(float(((sign * values > sign * cut) == wanted).mean()), sign, sign * float(cut)) for sign in (1, -1) for cut in values]
    _, sign, cut = max(tried)
    return sign, cut


def auc(values: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    """How often a row of the one class lies above one of the other; ties count half."""
    above, below = values[wanted][:, None], values[~wanted][None]
    return float((above > below).mean() + 0.5 * (above == below).mean())


def scored(name: str, values: NDArray[np.float64], said: NDArray[np.bool_], wanted: NDArray[np.bool_], seconds: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    right, areas, shares = said == wanted, [], []
    for _ in range(DRAWS):
        at = rng.integers(0, len(wanted), len(wanted))
        areas.append(auc(values[at], wanted[at]))
        shares.append(right[at].mean())
    spans = {label: "-".join(f"{x:.3f}" for x in np.quantile(draws, [0.025, 0.975])) for label, draws in (("AUC", areas), ("accuracy", shares))}
    return {
        "data": f"chest_xray_nih, {len(wanted)} test pictures", "road": name, "AUC": f"{auc(values, wanted):.3f}", "AUC 95 %": spans["AUC"],
        "accuracy": f"{right.mean():.3f}", "accuracy 95 %": spans["accuracy"], "seconds": round(seconds),
    }  # fmt: skip


PARTS: dict[str, tuple[Callable[[], list[dict[str, Any]]], str, str, str]] = {
    "cats_dogs": (cats_dogs, "Cats and dogs: the offline trunk, and a network from scratch", "one run each, seed 0; the report's 95 % interval over the test pictures; seconds of everything, on a machine that was busy with other work", SCRATCH),
    "chest": (chest, "Chest X-rays: brightness as the floor, the offline trunk, and the trunk fine-tuned (no medical device)", f"one run, seed 0; 95 % of {DRAWS:,} bootstrap draws of the test pictures", NOTE),
}  # fmt: skip


def main(asked: list[str]) -> None:
    for name in asked or PARTS:
        measure, title, spread, note = PARTS[name]
        found = measure()
        print(found, flush=True)
        record(f"images_{name}", title, found, spread=spread, note=note, packages=PACKAGES)


if __name__ == "__main__":
    main(sys.argv[1:])
