"""A network of digits with half of its channels, for `benchmarks.shrink`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.networks import digits
from benchmarks.shrink import FEW, percent, told

from trunkline.engines.own import NET, OwnNetwork
from trunkline.shrink.measure import Loss, costs, loss
from trunkline.shrink.pictures import folded, halved
from trunkline.shrink.quantise import quantised
from trunkline.spec import parse_spec
from trunkline.tasks import TASKS
from trunkline.types import Call, Examples


def prune(folder: Path) -> list[dict[str, Any]]:
    """10,000 training digits, 10,000 test digits: the network of `benchmarks.networks`, pruned by half and learned for half as many epochs."""
    import torch

    from trunkline.networks.cnn import ImageCnn

    pixels, target = digits("train")
    if FEW:
        pixels, target = pixels[:FEW], target[:FEW]
    torch.manual_seed(0)
    began = time.process_time()
    whole = taught(ImageCnn(1, 10), pixels, target, 8, 4e-3, 0.99)
    minutes = [(time.process_time() - began) / 60]
    models = {"whole": exported(whole, folder / "whole.onnx", pixels)}
    began = time.process_time()
    small = taught(halved(folded(ImageCnn(1, 10), load(models["whole"]))), pixels, target, 4, 1.3e-3, 0.99)
    minutes.append((time.process_time() - began) / 60)
    models["half of the channels"] = exported(small, folder / "half.onnx", pixels)
    feeds = [{"pixels": pixels[at : at + 1].numpy()} for at in range(min(256, len(pixels)))]
    for name in list(models):
        path = models[name].model.with_suffix(".int8.onnx")
        path.write_bytes(quantised(load(models[name]), feeds).SerializeToString())
        models[f"{name}, int8"] = OwnNetwork(path)
    return compared(models, minutes)


def taught(module: Any, pixels: Any, target: Any, epochs: int, rate: float, average: float) -> Any:
    from torch.nn import functional

    from trunkline.training.augment import moved
    from trunkline.training.gradient import Recipe
    from trunkline.training.loop import train_loop
    from trunkline.training.settings import LoopSettings

    recipe = Recipe(
        module, len(pixels), lambda rows, rng: (moved(pixels[rows].float(), rng), target[rows]),
        lambda module, made: functional.cross_entropy(module(made[0]), made[1]),
    )  # fmt: skip
    train_loop(recipe, LoopSettings(epochs=epochs, batch=64, rate=rate, average=average), 0)
    return module


def exported(module: Any, path: Path, pixels: Any) -> OwnNetwork:
    from trunkline.networks.export import export

    path.parent.mkdir(parents=True, exist_ok=True)
    export(module, path, [{"pixels": pixels[:2]}, {"pixels": pixels[:1]}], {"pixels": {0: "rows"}})
    return OwnNetwork(path)


def load(network: OwnNetwork) -> Any:
    import onnx

    return onnx.load(network.model)


def compared(models: dict[str, OwnNetwork], minutes: list[float]) -> list[dict[str, Any]]:
    pixels, target = (part.numpy() for part in digits("test"))
    spec = parse_spec({"name": "digits", "task": "classify", "label": "y", "inputs": {"x": "image"}})
    task, labels = TASKS.get("classify")(), tuple("0123456789")
    known = Examples([{}] * len(target), target, labels, [b""] * len(target), np.arange(len(target)))
    options = (("output", ""), ("tensors", ("pixels",)))
    items = [(row,) for row in pixels]

    def answering(network: OwnNetwork) -> Callable[[Any], Any]:
        engine = network.load()
        return lambda some: engine.run(Call(NET, some, "outputs", options=options))

    answers = {name: one_hot(answering(network)(items)) for name, network in models.items()}
    found = []
    for name, network in models.items():
        lost: Loss = loss(spec, task, known, answers["whole"], answers[name])
        spent = costs(answering(models["whole"]), answering(network), items)
        found.append({
            "network": name, "test rows": len(target), "accuracy": percent(lost.after, 2), "points lost": told(lost.points, 2),
            "kB": round(network.size_bytes / 1e3), "ms a call": told(spent.after, 3), "times faster": told(spent.times, 2),
            "processor minutes": {"whole": round(minutes[0], 1), "half of the channels": round(minutes[1], 1)}.get(name, ""),
        })  # fmt: skip
    return found


def one_hot(logits: Any) -> Any:
    from trunkline.heads.links import apply_link
    from trunkline.types import Prediction

    return Prediction(apply_link("softmax", np.asarray(logits, np.float64)))
