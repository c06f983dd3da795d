"""What a file's columns seem to be: task, kinds, identifiers. Says in sentences what was guessed."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trunkline.errors import DataError, nearest
from trunkline.types import Refused

SEPARATORS = ("|", ";", "；", "、", ",", "，")
MANY_VALUES = 20  # whole numbers with more different values are amounts, with fewer they are grades
LABEL_NAMES = (
    "label", "labels", "target", "class", "category", "categories", "intent", "sentiment", "stars",
    "rating", "y", "标签", "類別", "类别", "分类", "意图", "情感", "评分",
)  # fmt: skip
_ID_NAME = re.compile(r"(?:^|[_\W])(?:id|uuid|guid|key|编号|编码|序号|单号)$|[a-z]Id$|[a-z]ID$", re.IGNORECASE)


@dataclass
class Guessed:
    """The guess of one file. `groups` are identifiers that repeat (customers, patients)."""

    task: str
    label: str
    separator: str = "|"
    inputs: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    id: str | None = None
    groups: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, english: str, chinese: str) -> None:
        self.notes.append(f"{english} / {chinese}")


def guess_columns(
    rows: Sequence[Mapping[str, Any]], label: str | None, inputs: Sequence[str] | None, where: str
) -> Guessed:
    """Task, label, kinds and left-out columns of `rows`. Raises DataError where no product can be made:
    a missing column, a label with one value or as many values as rows, no column to learn from."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    found = label if label is not None else _label_column(columns, where)
    for name in (found, *(inputs or ())):
        if name not in columns:
            raise DataError(
                f"there is no column {name!r}", where=where, found=", ".join(columns[:20]), hint=nearest(name, columns)
            )
    guess = _task(found, [row.get(found) for row in rows], where)
    if label is None:
        guess.notes.insert(0, f"the label is {found!r}, by its name / 按列名认为 {found!r} 是标签")
    for name in [c for c in columns if c != found] if inputs is None else inputs:
        _column(guess, name, [row.get(name) for row in rows], asked=inputs is not None)
    if not guess.inputs:
        raise DataError(
            "no column to learn from is left",
            where=where,
            found="; ".join(f"{column}: {why}" for column, why in guess.left_out.items()) or "only the label",
            hint="name the columns that go in with --input",
        )
    return guess


def _label_column(columns: Sequence[str], where: str) -> str:
    for name in LABEL_NAMES:
        for column in columns:
            if column.strip().casefold() == name:
                return column
    raise DataError(
        "which column is the right answer?",
        where=where,
        found=", ".join(columns[:20]),
        hint="name it with --label COLUMN",
    )


def _missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)


def _task(label: str, raw: Sequence[Any], where: str) -> Guessed:
    cells = [cell for cell in raw if not _missing(cell)]
    texts = [str(cell).strip() for cell in cells]
    distinct = len(set(texts))
    if distinct < 2:
        raise DataError(
            f"the label {label!r} has {'one value only' if distinct else 'no values'}",
            where=where,
            found=repr(texts[0]) if texts else "empty cells",
            wanted="at least two different answers to tell apart",
        )
    if separator := _separator(texts):
        return _multilabel(label, separator, texts)
    if _is_amount(cells, distinct):
        guess = Guessed("regress", label)
        guess.note(
            f"task regress: {label!r} holds numbers with {distinct} different values",
            f"任务 regress：{label!r} 是数值，有 {distinct} 个不同的值",
        )
        return guess
    if distinct > max(MANY_VALUES, len(cells) / 2):
        raise DataError(
            f"the label {label!r} looks like a text or an identifier",
            where=where,
            found=f"{distinct} different values in {len(cells)} rows",
            wanted="labels that repeat, or numbers",
        )
    guess = Guessed("classify", label)
    guess.note(
        f"task classify: {label!r} has {distinct} different values in {len(cells)} rows",
        f"任务 classify：{label!r} 在 {len(cells)} 行里有 {distinct} 个不同的值",
    )
    return guess


def _multilabel(label: str, separator: str, texts: Sequence[str]) -> Guessed:
    parts = {part.strip() for text in texts for part in text.split(separator)} - {""}
    guess = Guessed("multilabel", label, separator)
    guess.note(
        f"task multilabel: cells of {label!r} hold several of {len(parts)} labels, separated by {separator!r}",
        f"任务 multilabel：{label!r} 一格里有多个标签（共 {len(parts)} 种），以 {separator!r} 分隔",
    )
    return guess


def _separator(texts: Sequence[str]) -> str | None:
    """A sign that splits many cells into short parts, most of which come back in other cells.

    So "red, large" and "blue, small" stay whole, and so do numbers with commas. Cells that all stand
    between two signs ("|red||large|", "|blue|") are lists whatever their parts.
    """
    whole = set(texts)
    for sign in SEPARATORS:
        if all(len(text) > 2 and text.startswith(sign) and text.endswith(sign) for text in whole):
            return sign
        split = [text for text in texts if sign in text]
        if len(split) < max(2, 0.05 * len(texts)) or _all_numbers(split):
            continue
        homes = Counter(part for text in whole for part in {p.strip() for p in text.split(sign)} - {""})
        shared = sum(count > 1 for count in homes.values())
        if homes and max(map(len, homes)) <= 40 and shared >= len(homes) / 2 and len(texts) >= 3 * len(homes):
            return sign
    return None


def _all_numbers(cells: Sequence[Any]) -> bool:
    from trunkline.inputs import KINDS

    number = KINDS.get("number")()
    return not any(isinstance(cell, bool) or isinstance(number.read(cell), Refused) for cell in cells)


def _is_amount(cells: Sequence[Any], distinct: int) -> bool:
    if not _all_numbers(cells):
        return False
    fractions = sum("." in str(cell) and not str(cell).endswith(".0") for cell in cells)
    return distinct > MANY_VALUES or (distinct > MANY_VALUES // 2 and fractions > len(cells) / 2)


def _column(guess: Guessed, name: str, raw: Sequence[Any], asked: bool) -> None:
    cells = [cell for cell in raw if not _missing(cell)]
    distinct = len({str(cell) for cell in cells})
    kind = _kind(cells)
    if not asked and (why := _useless(guess, name, cells, distinct, kind)):
        guess.left_out[name] = why[0]
        guess.note(f"{name!r} is left out: {why[0]}", f"未使用 {name!r}：{why[1]}")
        return
    guess.inputs[name] = kind or "category"
    guess.note(f"{name!r} is read as {guess.inputs[name]}", f"{name!r} 按 {guess.inputs[name]} 读取")


def _kind(cells: Sequence[Any]) -> str | None:
    """The input kind that fits best; None where none does."""
    from trunkline.inputs import KINDS

    scores = {name: KINDS.get(name)().guess(cells) for name in KINDS.names()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0 else None


def _useless(
    guess: Guessed, name: str, cells: Sequence[Any], distinct: int, kind: str | None
) -> tuple[str, str] | None:
    """Why a column says nothing, in English and Chinese."""
    if distinct <= 1:
        return ("the same in every row", "每行都一样") if cells else ("empty", "是空的")
    if kind is None:
        return "its cells can't be read as one kind", "各格无法按同一种类型读取"
    unique = distinct == len(cells) and len(cells) >= 10
    if unique and (_ID_NAME.search(name) or kind == "category" or _counts_up(cells)):
        guess.id = guess.id or name
        return "an identifier, different in every row", "像编号，每行都不同"
    if _ID_NAME.search(name) and distinct > MANY_VALUES:
        guess.groups.append(name)
        return "an identifier that repeats", "像会重复出现的编号"
    return None


def _counts_up(cells: Sequence[Any]) -> bool:
    """A row number: whole, one more in each row."""
    texts = [str(cell) for cell in cells]
    if not all(text.isdecimal() for text in texts):
        return False
    numbers = [int(text) for text in texts]
    return all(b - a == 1 for a, b in itertools.pairwise(numbers))
