"""One small product of every sort, for the contracts of methods and heads."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from tests.berts import bert_folder, has_bert
from tests.methods.texts import ask, asked, examples, pair, spec_of, tagged

from trunkline.inputs import KINDS
from trunkline.methods import METHODS
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.types import Ask, Candidate, Examples, Folds, Refused

TEXT = {"text": "text"}
MIXED = {"text": "text", "note": "text", "size": "number", "shop": "category"}
ASKED = {"question": "text", "context": "text"}
TABLE = {"size": "number", "shop": "category"}
HEAD_MB = 0.2
SCRATCH = {"lstm": TEXT, "cnn1d": TEXT, "transformer": TEXT, "table_mlp": TABLE}
SHORT = {"epochs": 2, "folds": 2}
_BERT = tempfile.TemporaryDirectory(prefix="trunkline-bert-")  # removed when the process ends
NETWORK = {"inputs": {"x": {"columns": ["size", "shop"], "codes": {"shop": ["a", "b"]}, "missing": 0}}}


@dataclass(frozen=True)
class Made:
    """A product's spec, its training rows, and what to ask the head afterwards."""

    spec: Spec
    examples: Examples

    @property
    def folds(self) -> Folds:
        return TASKS.get(self.spec.task)().folds(self.examples, 5, 0)


def make(task: str, inputs: dict[str, str], known: Examples, **keys: Any) -> Made:
    rows = [{name: row[name] for name in inputs} for row in known.inputs]
    spec = spec_of(task, inputs, **{"method": {"head_mb": HEAD_MB}, **keys})
    return Made(spec, Examples(rows, known.target, known.labels, known.keys, known.rows))


def photos() -> Examples:
    """Thirty pictures of three colours."""
    inputs = []
    for at in range(30):
        file = io.BytesIO()
        Pillow.new("RGB", (8, 8), [(200 + at, at, 0), (0, 200 + at, at), (at, 0, 200 + at)][at % 3]).save(file, "PNG")
        inputs.append({"photo": KINDS.get("image")().read(file.getvalue())})
    keys = [KINDS.get("image")().key(row["photo"]) for row in inputs]
    return Examples(inputs, np.arange(30) % 3, ("red", "green", "blue"), keys, np.arange(30))


@cache
def products() -> dict[str, Made]:
    found = {f"{task} {name}": make(task, inputs, examples(task)) for task in ("classify", "multilabel", "regress")
             for name, inputs in (("text", TEXT), ("mixed", MIXED), ("table", TABLE))}  # fmt: skip
    found["tag text"] = make("tag", TEXT, tagged())
    found["extract"] = make("extract", ASKED, asked())
    found["two classes text"] = make("classify", TEXT, pair())
    found["two classes table"] = make("classify", TABLE, pair())
    found["network"] = make("classify", TABLE, examples("classify"), method={"name": "onnx", "head_mb": HEAD_MB, "settings": NETWORK})
    for name, inputs in SCRATCH.items():
        how = {"name": name, "head_mb": HEAD_MB, "settings": SHORT}
        found[f"scratch {name}"] = make("classify", inputs, examples("classify"), method=how)
    how = {"name": "cnn", "head_mb": HEAD_MB, "settings": {**SHORT, "side": 8}}
    found["scratch cnn"] = make("classify", {"photo": "image"}, photos(), method=how, trunks={"image": "none"})
    if has_bert():
        trunks = {"text": f"folder:{bert_folder(Path(_BERT.name))}"}
        for name in ("finetune", "lora"):
            how = {"name": name, "head_mb": HEAD_MB, "settings": SHORT}
            found[f"scratch {name}"] = make("classify", TEXT, examples("classify"), method=how, trunks=trunks)
        how = {"name": "contrastive", "head_mb": HEAD_MB, "settings": SHORT}
        found["few contrastive"] = make("classify", TEXT, examples("classify"), method=how, trunks=trunks)
    few = examples(n=90).take(np.arange(9))
    return {**found, "nine rows": make("classify", TEXT, few)}


@cache
def learned(method: str, product: str) -> Candidate | Refused:
    made = products()[product]
    part = METHODS.get(method)()
    refused = part.can(made.spec, made.examples)
    return refused if refused is not None else part.fit(made.spec, made.examples, made.folds, ask)


def ask_of(candidate: Candidate) -> Ask:
    """What a head may ask: the networks that it was learned with, else those of `texts`."""
    engines = {name: network.load() for name, network in candidate.networks.items()}
    return lambda calls: [engines[c.engine].run(c) if c.engine in engines else ask([c])[0] for c in calls]


def able() -> list[tuple[str, str]]:
    """(method, product) for every pair that can; nothing is learned yet."""
    return [
        (method, product) for method in METHODS.names() for product, made in products().items()
        if METHODS.get(method)().can(made.spec, made.examples) is None
    ]  # fmt: skip
