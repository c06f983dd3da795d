"""Rows that could not be used, and input cells that hold nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trunkline.data.checks.view import MOST_ROWS, View, percent
from trunkline.data.rows import RefusedRow
from trunkline.types import Finding

_WHY = {
    "missing": ("a missing or empty input", "输入缺失或为空"),
    "missing_label": ("no label", "没有标签"),
    "unreadable": ("a cell that can't be read", "无法读取的单元格"),
    "too_long": ("a cell that is too long", "过长的单元格"),
    "no_time": ("no readable time", "没有可读的时间"),
    "unseen_label": ("a label that no training row has", "训练数据中没有的标签"),
}
_FIX = {
    "missing_label": "label these rows, or remove them",
    "unseen_label": "add rows with these labels, so that some fall into the training part",
}


def refused_rows(view: View) -> list[Finding]:
    """One finding for each reason that rows were left out."""
    total = view.n_train + len(view.loaded.test) + len(view.loaded.refused)
    by_code: dict[str, list[RefusedRow]] = {}
    for row in view.loaded.refused:
        by_code.setdefault(row.code, []).append(row)
    return [_refused(code, rows, total) for code, rows in by_code.items()]


def _refused(code: str, rows: Sequence[RefusedRow], total: int) -> Finding:
    english, chinese = _WHY.get(code, (code, code))
    share = len(rows) / total
    columns = Counter(row.column for row in rows if row.column)
    place = f" (column {', '.join(columns)})" if columns else ""
    return Finding(
        check="missing_labels" if code == "missing_label" else "refused_rows",
        severity="warn",
        score=share,
        count=len(rows),
        message=f"{len(rows):,} rows ({percent(share)}) were left out: {english}{place}",
        message_zh=f"{len(rows):,} 行（{percent(share)}）未使用：{chinese}{place}",
        rows=[_example(row) for row in rows[:MOST_ROWS]],
        fix=_FIX.get(code, "fill or remove these cells"),
    )


def _example(row: RefusedRow) -> dict[str, Any]:
    return {"row": row.row, "part": row.part, "cells": {}, "note": row.message}


def missing_cells(view: View) -> list[Finding]:
    """Numbers, dates and names that are unknown in the training rows."""
    findings = []
    for column in view.spec.inputs:
        empty = [i for i, value in enumerate(view.values(column)) if value is None or value != value]
        if empty:
            findings.append(_missing(view, column, empty))
    return findings


def _missing(view: View, column: str, empty: Sequence[int]) -> Finding:
    share = len(empty) / view.n_train
    return Finding(
        check="missing_inputs",
        severity="warn" if share > 0.3 else "info",
        score=share,
        count=len(empty),
        message=f"{column!r} is missing in {len(empty):,} training rows ({percent(share)})",
        message_zh=f"训练数据中 {column!r} 有 {len(empty):,} 行缺失（{percent(share)}）",
        rows=view.examples(empty),
        fix="fill the cells, or remove the column from [inputs]" if share > 0.3 else "",
    )
