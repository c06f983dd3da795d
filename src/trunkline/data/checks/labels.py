"""How many rows each label has, and whether train and test agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.data.checks.view import View, counted, percent
from trunkline.data.normal import normal
from trunkline.types import Examples, Finding


def label_counts(examples: Examples) -> dict[str, int]:
    """label -> rows, largest first; {} where targets are numbers."""
    if not examples.labels:
        return {}
    if examples.target.dtype == object:  # spans: how many of each type
        found = [span.label for spans in examples.target for span in spans]
        counts = np.bincount(np.array(found, np.int64), minlength=len(examples.labels))
    elif examples.target.ndim == 2:
        counts = examples.target.sum(axis=0)
    else:
        counts = np.bincount(examples.target, minlength=len(examples.labels))
    pairs = zip(examples.labels, counts.tolist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def one_answer(train: Examples, label: str) -> Finding | None:
    """Nothing can be learned from a single answer: this stops training. Without its rows. label: the column."""
    constant = (
        len(set(train.target.tolist())) < 2 if train.target.ndim == 1 else not train.target.any() or train.target.all()
    )
    if not constant:
        return None
    count, only = len(train), shown_answer(train)
    return Finding(
        check="one_class",
        severity="stop",
        score=1.0,
        count=count,
        message=f"all {count:,} training rows have one answer ({only}): there is nothing to learn",
        message_zh=f"全部 {count:,} 行训练数据只有一种答案（{only}），没有可学习的内容",
        fix=f"add rows with other values of {label!r}, or name another label column",
    )


def one_class(view: View) -> list[Finding]:
    """`one_answer`, with rows to look at."""
    found = one_answer(view.loaded.train, view.spec.label)
    return [replace(found, rows=view.examples(range(min(3, view.n_train))))] if found is not None else []


def shown_answer(train: Examples) -> str:
    if train.target.ndim == 1 and train.labels and train.target.dtype != object:
        return repr(train.labels[int(train.target[0])])
    if train.target.dtype == object and not train.labels:
        return "the same answer"
    return "the same labels" if train.labels else f"{float(train.target[0]):g}"


def small_classes(view: View) -> list[Finding]:
    """Classes with fewer training rows than method.min_class_rows."""
    least = view.spec.method.min_class_rows
    counts = label_counts(view.loaded.train)
    small = {name: count for name, count in reversed(counts.items()) if count < least}
    if not small:
        return []
    return [
        Finding(
            check="small_classes",
            severity="warn",
            score=len(small) / len(counts),
            count=len(small),
            message=f"{len(small)} of {len(counts)} labels have fewer than {least} training rows: {counted(small)}",
            message_zh=f"{len(counts)} 个标签中有 {len(small)} 个训练行数少于 {least}：{counted(small)}",
            rows=view.examples(_rows_of(view.loaded.train, set(small))),
            fix="add rows for these labels, or join them with others",
        )
    ]


def _rows_of(train: Examples, labels: set[str]) -> NDArray[np.int64]:
    wanted = np.array([name in labels for name in train.labels])
    if train.target.dtype == object:
        return np.flatnonzero([any(wanted[span.label] for span in spans) for spans in train.target])
    has = train.target[:, wanted].any(axis=1) if train.target.ndim == 2 else wanted[train.target]
    return np.flatnonzero(has)


def alike_labels(view: View) -> list[Finding]:
    """Labels that differ only in case, width or spaces: most likely one, written in two ways."""
    written: dict[str, list[str]] = {}
    for name in view.loaded.train.labels:
        written.setdefault(str(normal(name)), []).append(name)
    twice = [names for names in written.values() if len(names) > 1]
    if not twice:
        return []
    counts = label_counts(view.loaded.train)
    shown = "; ".join(counted({name: counts[name] for name in names}) for names in twice[:5])
    every = {name for names in twice for name in sorted(names, key=lambda name: -counts[name])[1:]}
    return [
        Finding(
            check="alike_labels",
            severity="warn",
            score=len(every) / len(counts),
            count=len(twice),
            message=f"labels that differ only in case or spaces count as different ones: {shown}",
            message_zh=f"仅大小写、全半角或空格不同的标签会被当作不同的标签：{shown}",
            rows=view.examples(_rows_of(view.loaded.train, every)),
            fix="write each label in one way, unless they mean different things",
        )
    ]


def imbalance(view: View) -> list[Finding]:
    """One answer dwarfs another: accuracy alone says little then."""
    counts = {name: count for name, count in label_counts(view.loaded.train).items() if count}
    if len(counts) < 2 or view.loaded.train.target.ndim == 2 or view.loaded.train.target.dtype == object:
        return []
    most, least = next(iter(counts.items())), list(counts.items())[-1]
    share, ratio = most[1] / view.n_train, most[1] / least[1]
    if share < 0.8 and ratio < 20:
        return []
    return [
        Finding(
            check="imbalance",
            severity="warn" if share >= 0.9 else "info",
            score=share,
            count=most[1],
            message=f"{most[0]!r} has {percent(share)} of the training rows, {least[0]!r} {least[1]:,}: "
            f"{ratio:.0f} to 1. Look at recall and AUPRC rather than accuracy",
            message_zh=f"{most[0]!r} 占训练数据的 {percent(share)}，{least[0]!r} 只有 {least[1]:,} 行，"
            f"相差 {ratio:.0f} 倍；请看召回率和 AUPRC，而不是准确率",
            fix="add rows of the rare labels, or set [proof] positive and costs",
        )
    ]


def label_shift(view: View) -> list[Finding]:
    """Answers are spread differently in train and test, by more than chance would give."""
    train, test = view.loaded.train, view.loaded.test
    if not train.labels:
        return [] if train.target.dtype == object else _number_shift(train.target, test.target)
    a, b = _shares(train), _shares(test)
    distance = float(np.abs(a - b).sum() / 2)
    # Mean of that distance if both parts came from one population, by the normal approximation.
    pooled = (a * len(train) + b * len(test)) / (len(train) + len(test))
    expected = float(np.sqrt(2 / np.pi * pooled * (1 - pooled) * (1 / len(train) + 1 / len(test))).sum() / 2)
    if distance < 0.05 or distance < 2 * expected:
        return []
    gap = {train.labels[i]: f"{percent(float(a[i]))} -> {percent(float(b[i]))}" for i in np.argsort(-np.abs(a - b))[:3]}
    return [_shift(distance, ", ".join(f"{name!r} {change}" for name, change in gap.items()))]


def _shares(examples: Examples) -> NDArray[np.float64]:
    counts = label_counts(examples)
    shares = np.array([counts[name] for name in examples.labels], float)
    return shares / max(1.0, float(shares.sum()))


def _number_shift(train: NDArray[Any], test: NDArray[Any]) -> list[Finding]:
    spread = float(train.std())
    if not spread:
        return []
    gap = abs(float(test.mean() - train.mean())) / spread
    chance = np.sqrt(1 / len(train) + 1 / len(test))
    if gap < 0.25 or gap < 3 * chance:
        return []
    return [_shift(min(1.0, gap), f"mean {train.mean():.4g} -> {test.mean():.4g}")]


def _shift(score: float, change: str) -> Finding:
    return Finding(
        check="label_shift",
        severity="warn",
        score=score,
        count=0,
        message=f"answers are spread differently in train and test: {change}",
        message_zh=f"训练与测试数据的答案分布不同：{change}",
        fix="check how the test rows were chosen; they should be what the product will meet",
    )
