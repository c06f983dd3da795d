"""Is a file one of spans: tags of tokens, spans of a text, or answers within a context? By its cells, not by its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.errors import DataError
from trunkline.guess import Guessed
from trunkline.tasks.answers import answers_of
from trunkline.tasks.tags import spans_of_cell, spans_of_tags, words_of

LOOKED = 200  # rows
ENOUGH = 0.9  # of them, that must fit
QUESTIONS = ("question", "query", "问题", "提问")
CONTEXTS = ("context", "passage", "paragraph", "document", "text", "上下文", "段落", "文章", "原文")
Rows = Sequence[Mapping[str, Any]]


def guess_spans(rows: Rows, label: str | None, inputs: Sequence[str] | None) -> Guessed | None:
    """The guess for task tag or extract; None where the rows look like neither."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    seen = rows[:LOOKED]
    for name in columns if label is None else [label]:
        found = _extract(seen, name, columns, inputs) or _tag(seen, name, columns, inputs)
        if found is not None:
            return found
    return None


def _extract(rows: Rows, label: str, columns: Sequence[str], inputs: Sequence[str] | None) -> Guessed | None:
    """Answers that say where in their context they start, beside a question."""
    question, context = _pair(columns, inputs)
    if question is None or context is None or label in (question, context):
        return None
    start = f"{label}_start"
    cells = [(row.get(label), row.get(start), str(row.get(context) or "")) for row in rows]
    if start not in columns and not any("answer_start" in str(cell) or '"start"' in str(cell) for cell, _, _ in cells):
        return None
    if not any(_answers(*cell) for cell in cells) or _share([_answers(*cell) is not None for cell in cells]) < ENOUGH:
        return None
    guess = Guessed("extract", label, inputs={question: "text", context: "text"})
    guess.note(
        f"task extract: {label!r} holds parts of {context!r} that answer {question!r}",
        f"任务 extract：{label!r} 是 {context!r} 中回答 {question!r} 的片段",
    )
    _leave(guess, rows, [name for name in columns if name not in (label, start, question, context)])
    return guess


def _tag(rows: Rows, label: str, columns: Sequence[str], inputs: Sequence[str] | None) -> Guessed | None:
    """Tags, one for each token of another column, or spans of its text."""
    cells = [row.get(label) for row in rows]
    if not any(_looks(cell) for cell in cells):
        return None
    for text in inputs or sorted(columns, key=lambda name: -sum(len(str(row.get(name) or "")) for row in rows)):  # the longest
        fits = [_fits(cell, row.get(text)) for cell, row in zip(cells, rows, strict=True)]
        if text == label or not any(fits) or _share([fit is not None for fit in fits]) < ENOUGH:
            continue
        guess = Guessed("tag", label, inputs={text: "text"})
        types = len({kind for fit in fits for kind in fit or ()})
        guess.note(
            f"task tag: {label!r} marks parts of {text!r}, of {types} types in the first {len(rows)} rows",
            f"任务 tag：{label!r} 标出 {text!r} 中的片段，前 {len(rows)} 行共 {types} 种类型",
        )
        _leave(guess, rows, [name for name in columns if name not in (label, text)])
        return guess
    return None


def _pair(columns: Sequence[str], inputs: Sequence[str] | None) -> tuple[str | None, str | None]:
    if inputs is not None:
        return (inputs[0], inputs[1]) if len(inputs) == 2 and set(inputs) <= set(columns) else (None, None)
    plain = {column.strip().casefold(): column for column in reversed(columns)}
    question, context = ([plain[name] for name in names if name in plain] for names in (QUESTIONS, CONTEXTS))
    return (question[0] if question else None), (context[0] if context else None)


def _answers(cell: Any, start: Any, context: str) -> list[Any] | None:
    try:
        return answers_of(cell, start, context)
    except DataError:
        return None


def _looks(cell: Any) -> bool:
    """May it be tags or spans? Cheap, since every column is asked."""
    if isinstance(cell, list):
        return bool(cell)
    text = str(cell or "").lstrip()
    return text.startswith("[{") or any(word[1:2] == "-" for word in text.split())  # B-PER


def _fits(cell: Any, text: Any) -> set[str] | None:
    """Types of the spans that the cell marks in the text; None where it marks none, or can't."""
    try:
        spans = cell if isinstance(cell, list) and cell and isinstance(cell[0], Mapping) else None
        if spans is not None or str(cell or "").lstrip().startswith("[{") or str(cell).strip() == "[]":
            return {one["type"] for one in spans_of_cell(cell, str(text or ""))}
        return {one["type"] for one in spans_of_tags(words_of(text), words_of(cell))[1]} if cell else None
    except DataError:
        return None


def _share(fits: Sequence[bool]) -> float:
    return sum(fits) / len(fits) if fits else 0.0


def _leave(guess: Guessed, rows: Rows, names: Sequence[str]) -> None:
    """Other columns aren't read; one that tells all rows apart by a name like an id's names them."""
    for name in names:
        cells = [str(row.get(name)) for row in rows]
        if guess.id is None and len(cells) >= 10 and len(set(cells)) == len(cells) and name.casefold().endswith(("id", "编号")):
            guess.id = name
            guess.left_out[name] = "an identifier, different in every row"
        else:
            guess.left_out[name] = f"{guess.task} doesn't read it"
        guess.note(f"{name!r} is left out: {guess.left_out[name]}", f"未使用 {name!r}")
