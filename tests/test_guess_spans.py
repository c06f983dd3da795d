"""`init --from` on files of spans: tags of tokens, spans as JSON, answers within a context."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.methods.texts import asked

from trunkline.guess_spans import guess_spans
from trunkline.init import init_from_file
from trunkline.product import Product
from trunkline.spec import load_spec


def bio(n: int = 30) -> list[dict[str, Any]]:
    return [{"nr": f"r-{i}", "words": f"Ana met Bob {i}", "ner": "B-PER O B-PER O" if i % 3 else "O O O O", "source": "x"} for i in range(n)]


def spans(n: int = 30) -> list[dict[str, Any]]:
    found = [{"start": 0, "end": 3, "type": "PER"}]
    return [{"id": f"r-{i}", "text": f"Ana left {i}", "entities": json.dumps(found if i % 3 else [])} for i in range(n)]


def questions(n: int = 40) -> list[dict[str, Any]]:
    known, out = asked(n), []
    for i, (row, right) in enumerate(zip(known.inputs, known.target, strict=True)):
        answer = {"answer": right[0].text, "answer_start": right[0].start} if right else {"answer": "", "answer_start": ""}
        out.append({"id": f"q{i}", "context": row["context"], "question": row["question"], **answer})
    return out


def squad(n: int = 40) -> list[dict[str, Any]]:
    return [
        {**{k: row[k] for k in ("context", "question")},
         "answers": json.dumps({"text": [row["answer"]] if row["answer"] else [], "answer_start": [row["answer_start"]] if row["answer"] else []})}
        for row in questions(n)
    ]  # fmt: skip


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("rows", "task", "label", "inputs"),
    [
        (bio(), "tag", "ner", ["words"]),
        (spans(), "tag", "entities", ["text"]),
        (questions(), "extract", "answer", ["question", "context"]),
        (squad(), "extract", "answers", ["question", "context"]),
    ],
)
def test_a_product_of_spans_from_ones_own_file(
    tmp_path: Path, rows: list[dict[str, Any]], task: str, label: str, inputs: list[str]
) -> None:
    guess = init_from_file(tmp_path / "p", "p", written(tmp_path / "rows.csv", rows), None, None)
    assert (guess.task, guess.label, list(guess.inputs)) == (task, label, inputs)
    assert set(guess.inputs.values()) == {"text"}
    spec = load_spec(tmp_path / "p")
    assert (spec.task, spec.label, list(spec.inputs)) == (task, label, inputs)
    report = Product(tmp_path / "p").validate()
    assert report.rows["dropped"] == 0
    assert report.rows["train"] + report.rows["test"] == len(rows)


def test_lists_as_json_lines_have_them(tmp_path: Path) -> None:
    lines = [{"tokens": row["words"].split(), "tags": row["ner"].split()} for row in bio()]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    guess = init_from_file(tmp_path / "p", "p", file, None, None)
    assert (guess.task, guess.label, dict(guess.inputs)) == ("tag", "tags", {"tokens": "text"})


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": f"a b-c d {i}", "label": "xy"[i % 2]} for i in range(30)],
        [{"question": f"why {i}?", "context": f"because {i}", "answer": ["yes", "no"][i % 2]} for i in range(30)],
        [{"text": f"T-shirt {i}", "label": "B-ware"} for i in range(30)],
        [{"words": f"Ana met Bob {i}", "ner": "B-PER O"} for i in range(30)],
    ],
)
def test_other_files_are_not_taken_for_spans(rows: list[dict[str, Any]]) -> None:
    assert guess_spans(rows, None, None) is None


def test_the_named_columns_are_taken(tmp_path: Path) -> None:
    rows = [{"q": row["question"], "t": row["context"], "a": row["answer"], "a_start": row["answer_start"]} for row in questions()]
    assert guess_spans(rows, None, None) is None
    found = guess_spans(rows, "a", ["q", "t"])
    assert found is not None
    assert (found.task, dict(found.inputs)) == ("extract", {"q": "text", "t": "text"})
    assert guess_spans(bio(), "source", None) is None
