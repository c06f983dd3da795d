"""Products with untrained networks, frozen as a training freezes them: enough to compare numbers by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trunkline.bundle import Bundle, freeze
from trunkline.desk import Desk
from trunkline.engines.own import HOME, MODEL, NET, RECORD
from trunkline.features import Features
from trunkline.heads.dense import Dense, Landmarks, Part
from trunkline.heads.linear import DensePart, LinearHead
from trunkline.heads.mlp import MlpHead
from trunkline.heads.onnx import OnnxHead, Reading, Tensor
from trunkline.spec import parse_spec
from trunkline.trunks import find
from trunkline.types import Decision, EngineCard, Head
from trunkline.vocabulary import Vocabulary

LABELS = ("delivery", "refund", "其他")
WORDS = ("card", "arrived", "refund", "order", "please", "twice", "我", "的", "卡", "退", "款", "订", "单", "café", "abc123", "fine", ",", "!")
KINDS = ("lstm", "gru", "cnn1d", "transformer")


def frozen(
    folder: Path, inputs: Mapping[str, str], head: Head, decision: Decision | None = None, labels: tuple[str, ...] = LABELS,
    files: Mapping[str, bytes] | None = None, task: str = "classify", cards: tuple[EngineCard, ...] = (),
) -> Bundle:  # fmt: skip
    """A bundle of these parts in `folder`."""
    spec = parse_spec({"name": "p", "task": task, "label": "label", "inputs": dict(inputs)})
    return freeze(
        folder, spec=spec, version="v1", method="made", head=head, decision=decision or Decision(), labels=() if task == "regress" else labels,
        trunks=cards, report={}, html="", card="", data={}, verdict_passed=True, extra_files=files,
    )  # fmt: skip


def desk(folder: Path) -> Desk:
    return Desk(Features(folder / "features"))


def network_files(model: bytes) -> dict[str, bytes]:
    return {f"{HOME}/{NET}/{MODEL}": model, f"{HOME}/{NET}/{RECORD}": b"{}"}


def text_model(folder: Path, kind: str, outputs: int = len(LABELS)) -> bytes:
    """Random weights, exported as training does."""
    import torch

    from trunkline.networks.cnn1d import TextCnn
    from trunkline.networks.export import export
    from trunkline.networks.lstm import TextRnn
    from trunkline.networks.transformer import TextTransformer

    torch.manual_seed(1)
    words = len(Vocabulary(WORDS))
    if kind == "transformer":
        module: Any = TextTransformer(words, outputs, longest=64)
    else:
        module = TextCnn(words, outputs) if kind == "cnn1d" else TextRnn(words, outputs, cell=kind)  # type: ignore[arg-type]
    ids = torch.tensor([[2, 3, 4, 5, 0], [6, 7, 8, 9, 10]])
    export(module, folder / "net.onnx", [{"ids": ids}, {"ids": ids[1:, :1]}], {"ids": {0: "rows", 1: "words"}})
    return (folder / "net.onnx").read_bytes()


def text_product(folder: Path, kind: str = "cnn1d", decision: Decision | None = None, task: str = "classify") -> Bundle:
    """A text column by a network of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = 1 if task == "regress" else len(LABELS)
    labels = () if task == "regress" else LABELS
    reading = Reading("value" if task == "regress" else "logits", task, labels, tuple(range(len(labels))))
    none = np.empty(0)
    head = OnnxHead([Tensor("ids", ("text",), longest=64)], none, none, "logits", reading, vocabulary=Vocabulary(WORDS))
    files = network_files(text_model(folder, kind, outputs))
    return frozen(folder / "v1", {"text": "text"}, head, decision, files=files, task=task)


def image_product(folder: Path, side: int = 32) -> Bundle:
    """An image column by a network of its own."""
    import torch

    from trunkline.networks.cnn import ImageCnn
    from trunkline.networks.export import export

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    export(ImageCnn(3, len(LABELS)), folder / "net.onnx", [{"pixels": pixels}], {"pixels": {0: "rows"}})
    reading, none = Reading("logits", "classify", LABELS, (0, 1, 2)), np.empty(0)
    head = OnnxHead([Tensor("pixels", ("image",), side=side)], none, none, "logits", reading)
    return frozen(folder / "v1", {"image": "image"}, head, files=network_files((folder / "net.onnx").read_bytes()))


def linear_head(engine: str, column: str, dim: int, seed: int = 0, outside: bool = True) -> LinearHead:
    """Random weights on one column's vectors."""
    rng = np.random.default_rng(seed)
    marks = Landmarks.of(rng.normal(0, 0.01, dim).astype(np.float32), rng.normal(size=(5, dim))) if outside else None
    weights = rng.normal(0, 3, (dim, len(LABELS))).astype(np.float16).astype(np.float32)
    part = DensePart(Dense((Part(engine, column),)), weights, np.array([1.0, 0.5, 0.8], np.float32), marks)
    return LinearHead("softmax", np.array([0.1, 0.0, -0.1], np.float32), part)


def mlp_head(engine: str, column: str, dim: int) -> MlpHead:
    rng = np.random.default_rng(1)
    layers = (
        rng.normal(0, dim**-0.5, (dim, 16)).astype(np.float16), rng.normal(size=16).astype(np.float32),
        rng.normal(size=(16, len(LABELS))).astype(np.float32), np.zeros(len(LABELS), np.float32),
    )  # fmt: skip
    return MlpHead(Dense((Part(engine, column),)), "labels", layers)


def on_trunk(folder: Path, trunk: str, kind: str = "text", decision: Decision | None = None) -> Bundle:
    """A linear head on the vectors of a trunk."""
    card = find(trunk).card
    return frozen(folder / "v1", {kind: kind}, linear_head(f"trunk:{trunk}", kind, card.dim), decision, cards=(card,))
