"""Rows to compare an exported product by, nobody's own: made from the vocabulary, from noise, from the columns' scales."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trunkline.bundle import Bundle
from trunkline.bundle.replay import answer_of
from trunkline.exporting.needs import VOCABULARY, Numbers
from trunkline.exporting.plan import Plan
from trunkline.tasks import TASKS
from trunkline.types import Ask, Inputs

ROWS = 12
_TEXTS = (
    "My card still hasn't arrived.", "我的卡还没到，请问什么时候可以收到？", "Où est mon café?  ＡＢＣ１２３ ﬁne", "ok",
    "I paid 12.50 € for order #4711 — twice! 🙂 Please refund it, thank you.", "退款 please: 订单 20260131 収まらない カード",
)  # fmt: skip
_SIZES = ((64, 64), (37, 53), (300, 40), (8, 8), (640, 700))  # of pictures: small, odd, long, tiny, larger than is kept


def example_rows(bundle: Bundle, plan: Plan) -> Iterator[dict[str, Any]]:
    """ROWS rows, the same ones each time. Table columns are told by the plan's `Numbers`."""
    rng = np.random.default_rng(0)
    words = plan.files[VOCABULARY].decode().split("\n") if VOCABULARY in plan.files else " ".join(_TEXTS).split()
    numbers = {c.column: (c.mean, c.scale, c.codes) for read in plan.reads if isinstance(read, Numbers) for c in read.columns}
    for i in range(ROWS):
        row: dict[str, Any] = {}
        for column, kind in bundle.spec.inputs.items():
            if kind == "text":
                row[column] = _text(i, words, rng)
            elif kind == "image":
                row[column] = _picture(_SIZES[i % len(_SIZES)], rng)
            else:
                row[column] = _cell(kind, *numbers[column], rng)
        yield row


def answered(bundle: Bundle, values: Inputs, ask: Ask) -> dict[str, Any]:
    """What the bundle answers to a row that was read, all scores."""
    task = TASKS.get(bundle.spec.task)()
    return answer_of(bundle.head(), task, bundle.decision, bundle.labels, values, ask)


def _text(i: int, words: Sequence[str], rng: np.random.Generator) -> str:
    if i < len(_TEXTS):
        return _TEXTS[i]
    chosen = rng.choice(len(words), int(rng.integers(2, 60)))
    return " ".join(words[at] for at in chosen.tolist()).capitalize() or _TEXTS[0]


def _picture(size: tuple[int, int], rng: np.random.Generator) -> str:
    """A PNG of soft colours with noise, in base64."""
    from PIL import Image

    width, height = size
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    mixed = np.stack([across, down, 1 - across], axis=2) @ rng.uniform(0, 255, (3, 3)) / 2
    pixels = np.clip(mixed + rng.normal(0, 8, mixed.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _cell(kind: str, mean: float, scale: float, codes: Sequence[str] | None, rng: np.random.Generator) -> Any:
    if codes is not None:
        return codes[int(rng.integers(len(codes)))] if codes and rng.random() < 0.9 else "something else"
    if kind == "bool":
        return bool(rng.random() < 0.5)
    return None if rng.random() < 0.1 else round(mean + scale * float(rng.normal()), 4)
