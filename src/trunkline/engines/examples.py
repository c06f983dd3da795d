"""Generated items for a measurement: nobody's rows, the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from trunkline.inputs.tensors import Tensors

_SAID = (
    "my card has not arrived yet and I would like to know why the transfer was declined",
    "please help me with a refund for this payment how long does it take to change the address on my account",
    "房间 很 干净 早餐 不错 服务 态度 好 位置 方便 价格 有点 贵 下次 还会 再来",
    "我的 银行卡 还没 收到 请问 如何 退款",
)
_WORDS = [word for sentence in _SAID for word in sentence.split()]
_GROWN, _TRIES = 60, 40  # pairs of words in a text; texts that may miss the cost or repeat another


def texts(cost_of: Callable[[str], int], cost: int, count: int) -> list[str]:
    """`count` different texts of this cost, or none where texts can't have it."""
    draw, found, missed = random.Random(cost), list[str](), 0
    while len(found) < count and missed < _TRIES:
        text = _text(cost_of, cost, draw)
        if cost_of(text) == cost and text not in found:
            found.append(text)
        else:
            missed += 1
    return found if len(found) == count else []


def _text(cost_of: Callable[[str], int], cost: int, draw: random.Random) -> str:
    """At least of this cost, if texts can be. Grown by two words, so that few looks are needed."""
    text = draw.choice(_WORDS)
    for _ in range(_GROWN):
        if cost_of(text) >= cost:
            break
        text = f"{text} {draw.choice(_WORDS)} {draw.choice(_WORDS)}"
    return text


def tensors(ports: Sequence[tuple[bool, int]], count: int) -> list[Tensors]:
    """`count` rows of (is it text, values) parts: small numbers that are whole, so that they may be codes."""
    draw = np.random.default_rng(0)
    return [
        tuple(["a"] * width if text else draw.integers(0, 2, width).astype(np.float64) for text, width in ports)
        for _ in range(count)
    ]
