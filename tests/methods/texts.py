"""Small text products, English and Chinese, with a tiny encoder in the trunk's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.networks import contract_engine

from trunkline.lexical import count_ngrams
from trunkline.spec import Spec, parse_spec
from trunkline.trunks.hash import HashTrunk
from trunkline.types import Call, Examples, Outputs, Span

DIM = 48
SUBJECTS = {
    "card": ("my card has not arrived", "the new card is late", "我的卡还没到", "新卡什么时候寄到"),
    "fee": ("why was i charged a fee", "an unknown fee on my account", "为什么收我手续费", "账户里多了一笔费用"),
    "cash": ("the machine kept my cash", "cash withdrawal was declined", "取款机吞了我的现金", "取现被拒绝了"),
}
TAILS = ("please help", "since monday", "again", "谢谢", "请尽快处理", "第三次了", "help me {i}", "编号 {i}")


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, DIM) unit vectors: n-gram hashes thrown into bins, each text by itself."""
    out = np.zeros((len(texts), DIM), np.float32)
    for i, text in enumerate(texts):
        counts = count_ngrams([[text]])
        np.add.at(out[i], counts.hash % DIM, np.where(counts.hash % 7 < 4, 1.0, -1.0).astype(np.float32))
        out[i] /= max(float(np.linalg.norm(out[i])), 1e-6)
    return out


def ask(calls: Sequence[Call]) -> Outputs:
    return [_answered(call) for call in calls]


def _answered(call: Call) -> Any:
    if call.form == "tokens":
        return HashTrunk().run(call)
    return contract_engine().run(call) if call.engine == "own:net" else encode(list(call.items))


def spec_of(task: str = "classify", inputs: dict[str, str] | None = None, **keys: Any) -> Spec:
    return parse_spec({"name": "x", "task": task, "label": "label", "inputs": inputs or {"text": "text"}, **keys})


def rows(n: int, seed: int = 0) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """texts, subject of each, and a number beside it."""
    rng = np.random.default_rng(seed)
    subject = rng.permutation(np.arange(n) % len(SUBJECTS))
    names = list(SUBJECTS)
    texts = []
    for i, s in enumerate(subject.tolist()):
        said = SUBJECTS[names[s]]
        tail = TAILS[int(rng.integers(len(TAILS)))].format(i=i)
        texts.append(f"{said[int(rng.integers(len(said)))]} {tail} {i % 17}")
    return texts, subject.astype(np.int64), rng.normal(size=n)


def examples(task: str = "classify", n: int = 90, seed: int = 0) -> Examples:
    """Rows with columns text, note (text), size (number) and shop (category)."""
    texts, subject, number = rows(n, seed)
    inputs = [
        {"text": t, "note": t[::-1], "size": float(v) if i % 5 else float("nan"), "shop": ("a", "b", None)[i % 3]}
        for i, (t, v) in enumerate(zip(texts, number.tolist(), strict=True))
    ]
    target: NDArray[Any] = subject
    labels = tuple(SUBJECTS)
    if task == "multilabel":
        target = np.column_stack([subject == 0, subject > 0, np.arange(n) % 2 == 0])
    if task == "regress":
        target, labels = 1000.0 * subject + 10 * number, ()
    return Examples(inputs, target, labels, [t.encode() for t in texts], np.arange(n, dtype=np.int64))


def tagged(n: int = 90) -> Examples:
    """The word for the subject of each text, where it is written out, as a span of its type."""
    found = examples(n=n)
    words = {"card": ("card", "卡"), "fee": ("fee", "费"), "cash": ("cash", "现金")}
    target = np.empty(n, object)
    for i, row in enumerate(found.inputs):
        places = ((row["text"].find(word), word, label) for label, name in enumerate(SUBJECTS) for word in words[name])
        target[i] = tuple(Span(at, at + len(word), label, word) for at, word, label in sorted(places) if at >= 0)
    return Examples(found.inputs, target, found.labels, found.keys, found.rows)


def asked(n: int = 60) -> Examples:
    """Who did what where: questions on a text of three sentences each, one in five of them on someone else."""
    rng, inputs, target, keys = np.random.default_rng(0), [], np.empty(n, object), []
    for i in range(n):
        people = rng.permutation(["Ana", "Bob", "Eva", "李娜", "高勇"]).tolist()
        places = rng.permutation(["Oslo", "Paris", "Rome", "北京", "上海"]).tolist()
        context = " ".join(f"{who} moved to {where} in {1990 + i}." for who, where in zip(people[:3], places, strict=False))
        who, where = people[3 if i % 5 == 0 else i % 3], places[i % 3]
        at = -1 if i % 5 == 0 else context.index(f"to {where} in") + 3
        inputs.append({"question": f"Where did {who} move to?", "context": context})
        target[i] = () if at < 0 else (Span(at, at + len(where), 0, where),)
        keys.append(context.encode())
    return Examples(inputs, target, (), keys, np.arange(n, dtype=np.int64))


def pair(n: int = 80) -> Examples:
    """Two classes."""
    found = examples(n=n)
    return Examples(found.inputs, (found.target > 0).astype(np.int64), ("no", "yes"), found.keys, found.rows)
