"""Columns of a table: constant ones, ids, and those that give the answer away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.data.checks.view import View, percent
from trunkline.types import Finding

_BINS = 20
_ID_ROWS = 50  # fewer rows can have distinct names by chance
_SURE = 0.9  # share of the majority's errors that a single column removes: too good to be an input


def constant_columns(view: View) -> list[Finding]:
    """Columns with one value: they say nothing."""
    if view.n_train < 2:
        return []
    found = []
    for column in view.spec.inputs:
        values = {None if value != value else value for value in view.values(column)}
        if len(values) == 1:
            shown = next(iter(values))
            found.append(
                Finding(
                    check="constant_columns",
                    severity="warn",
                    score=1.0,
                    count=view.n_train,
                    message=f"{column!r} is {str(shown)[:40]!r} in every training row: it says nothing",
                    message_zh=f"{column!r} 在所有训练行中都是 {str(shown)[:40]!r}，没有信息",
                    fix=f"remove {column!r} from [inputs]",
                )
            )
    return found


def identifier_columns(view: View) -> list[Finding]:
    """Columns that name rows: names all different, or whole numbers counting up without a gap."""
    found = []
    for column in view.loaded.columns("category", "number", "text"):
        values = [value for value in view.values(column) if value is not None and value == value]
        if len(values) >= _ID_ROWS and len(set(values)) == len(values) and _names_rows(values):
            found.append(
                Finding(
                    check="identifier_columns",
                    severity="warn",
                    score=1.0,
                    count=len(values),
                    message=f"{column!r} is different in every row, like an id: nothing can be learned from it",
                    message_zh=f"{column!r} 每行都不同，像是编号，无法从中学习",
                    rows=view.examples(range(3)),
                    fix=f"remove {column!r} from [inputs]; [data] id is the place for an id",
                )
            )
    return found


def _names_rows(values: list[Any]) -> bool:
    if isinstance(values[0], float):
        whole = all(value.is_integer() for value in values)
        return whole and max(values) - min(values) < 2 * len(values)
    return all(len(value) <= 40 and value.isascii() and " " not in value for value in values)


def target_leakage(view: View) -> list[Finding]:
    """A single column that predicts the answer almost perfectly on held-out training rows.

    Numbers are cut at 20 quantiles, names taken as they are; the rule "each bin's usual answer" is
    learned on every other row and tried on the rest.
    """
    train = view.loaded.train
    if view.n_train < _ID_ROWS or train.target.ndim != 1 or train.target.dtype == object or len(set(train.target.tolist())) < 2:
        return []
    found = []
    for column in view.loaded.columns("number", "category", "date", "bool"):
        codes = _codes(view.values(column))
        removed = _explained(codes, train.target, bool(train.labels))
        if removed >= _SURE:
            found.append(_leak(view, column, removed, _information(codes, train.target) if train.labels else None))
    return found


def _codes(values: list[Any]) -> NDArray[np.int64]:
    """A small number for each value; missing is one of its own."""
    if all(value is None or isinstance(value, str) for value in values):
        return np.unique([value or "" for value in values], return_inverse=True)[1].astype(np.int64)
    numbers = np.array([np.nan if value is None else value for value in values], float)
    known = numbers[~np.isnan(numbers)]
    levels = np.unique(known)
    edges = levels if len(levels) <= _BINS else np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
    codes = np.searchsorted(edges, numbers, side="right")
    return np.where(np.isnan(numbers), len(edges) + 1, codes).astype(np.int64)


def _explained(codes: NDArray[np.int64], target: NDArray[Any], classes: bool) -> float:
    """Share of the error of the usual answer (or the mean) that knowing the bin removes."""
    learn, test = np.arange(len(codes)) % 2 == 0, np.arange(len(codes)) % 2 == 1
    k = int(codes.max()) + 1
    if classes:
        table = np.zeros((k, int(target.max()) + 1), np.int64)
        np.add.at(table, (codes[learn], target[learn]), 1)
        usual = int(table.sum(axis=0).argmax())
        answer = np.where(table.any(axis=1), table.argmax(axis=1), usual)
        base, left = (target[test] != usual).mean(), (target[test] != answer[codes[test]]).mean()
    else:
        mean = float(target[learn].mean())
        counts = np.bincount(codes[learn], minlength=k)
        sums = np.bincount(codes[learn], weights=target[learn], minlength=k)
        answer = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
        base, left = ((target[test] - mean) ** 2).mean(), ((target[test] - answer[codes[test]]) ** 2).mean()
    return float(1 - left / base) if base > 0 else 0.0


def _information(codes: NDArray[np.int64], target: NDArray[Any]) -> float:
    """Mutual information of bin and answer over the answer's entropy, 0..1 (Cover & Thomas, ch. 2)."""
    joint = np.zeros((int(codes.max()) + 1, int(target.max()) + 1))
    np.add.at(joint, (codes, target), 1)
    joint /= joint.sum()
    a, b = joint.sum(axis=1), joint.sum(axis=0)
    some = joint > 0
    shared = float((joint[some] * np.log(joint[some] / np.outer(a, b)[some])).sum())
    entropy = float(-(b[b > 0] * np.log(b[b > 0])).sum())
    return shared / entropy if entropy > 0 else 0.0


def _leak(view: View, column: str, removed: float, information: float | None) -> Finding:
    shared = "" if information is None else f", {information:.2f} of the answer's information"
    shared_zh = "" if information is None else f"，含答案信息量的 {information:.2f}"
    return Finding(
        check="target_leakage",
        severity="warn",
        score=removed,
        count=view.n_train,
        message=f"{column!r} alone removes {percent(removed)} of the error{shared}: is it known before the answer?",
        message_zh=f"仅 {column!r} 一列就消除了 {percent(removed)} 的误差{shared_zh}：它在得到答案之前已知吗？",
        rows=view.examples(range(5)),
        fix=f"if {column!r} is filled in after {view.spec.label!r}, remove it from [inputs]",
    )
