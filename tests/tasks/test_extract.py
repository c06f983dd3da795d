"""Answers of questions: read, judged by hand-computed figures, decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.methods.texts import spec_of

from trunkline.errors import DataError, SpecError
from trunkline.metrics.answers import answer_exact, answer_exact_rows, answer_f1, f1
from trunkline.tasks.answers import answers_of
from trunkline.tasks.extract import Extract
from trunkline.tasks.tag import ragged
from trunkline.types import Answer, Decision, Examples, Prediction, Refused, Row, Span

BOTH = {"question": "text", "context": "text"}
CONTEXT = "Super Bowl 50 was played on February 7, 2016."


def arranged(**cells: Any) -> Row | Refused:
    spec = spec_of("extract", BOTH)
    named = {name.replace("answer", spec.label): cell for name, cell in cells.items()}
    return Extract().arrange(spec, {"question": "When?", "context": CONTEXT, spec.label: "", **named})


@pytest.mark.parametrize(
    ("cell", "start"),
    [("2016", 40), ("2016", "40"), ("2016", 40.0), ({"text": ["2016"], "answer_start": [40]}, None),
     ('{"text": ["2016"], "answer_start": [40]}', None), ('["2016"]', "[40]"), ([{"start": 40, "end": 44}], None),
     ({"text": np.array(["2016"], object), "answer_start": np.array([40])}, None)],
)  # fmt: skip
def test_every_way_to_write_an_answer_reads_the_same(cell: Any, start: Any) -> None:
    assert answers_of(cell, start, CONTEXT) == [{"start": 40, "end": 44, "text": "2016"}]


@pytest.mark.parametrize("cell", [None, "", "[]", [], float("nan"), {"text": [], "answer_start": []}])
def test_an_empty_answer_is_none(cell: Any) -> None:
    assert answers_of(cell, None, CONTEXT) == []


@pytest.mark.parametrize(
    ("cell", "start", "what"),
    [("2016", 44, "outside its context"), ("2016", -1, "outside its context"), ("2016", 39, "not where its start says"),
     ("2016", "x", "no whole number"), ("2016", None, "has no start"), ("2016", 1.5, "no whole number"),
     (["a", "b"], [1], "differ in number"), ([{"start": 40, "end": 99}], None, "outside its context")],
)  # fmt: skip
def test_an_answer_that_can_not_be_is_refused(cell: Any, start: Any, what: str) -> None:
    with pytest.raises(DataError) as error:
        answers_of(cell, start, CONTEXT)
    assert what in error.value.what


def test_a_row_is_refused_with_a_reason_and_offsets_follow_the_text_as_it_is_read() -> None:
    refused = arranged(answer="2016", answer_start="7")
    assert isinstance(refused, Refused)
    assert "it stands at 40" in refused.message
    spec = spec_of("extract", BOTH)
    row = Extract().arrange(spec, {"question": "Who?", "context": "e\u0301t Ana\r\nleft", spec.label: "left", f"{spec.label}_start": 9})
    assert not isinstance(row, Refused)
    assert row[spec.label] == [{"start": 7, "end": 11, "text": "left"}]


def test_an_answer_alone_is_told_what_it_needs() -> None:
    alone, empty = arranged(answer="2016"), arranged(answer="2016", answer_start="")
    assert isinstance(alone, Refused)
    assert isinstance(empty, Refused)
    assert "an answer has no start (there is no column" in alone.message
    assert """_start' beside it, or {"text": [...], "answer_start": [...]} in its place""" in alone.message
    assert "is empty there" in empty.message


def test_extract_wants_a_question_and_a_context() -> None:
    with pytest.raises(SpecError):
        Extract().arrange(spec_of("extract", {"context": "text"}), {})


def test_f1_of_words_as_squad_counts() -> None:
    """Without the article "the" and the comma: denver broncos against denver: 1 common of 2 and 1, F1 2/3."""
    assert f1("the Denver, Broncos", "Denver") == pytest.approx(2 / 3)
    assert f1("Denver Broncos", "a denver BRONCOS!") == 1.0
    assert f1("to be to be", "to be or") == pytest.approx(2 * 2 / 7)


def test_f1_of_signs_as_cmrc_counts() -> None:
    """The longest common run: 光荣和 (3) of 光荣和ω-force (光 荣 和 ωforce: 4 parts) and 由光荣和 (4): F1 6/8. Marks go first."""
    assert f1("光荣和ω-force", "由光荣和") == pytest.approx(0.75)
    assert f1("《战国无双3》", "战国无双3") == 1.0
    assert f1("1998年", "1998") == pytest.approx(2 / 3)
    assert f1("三国志", "志国三") == pytest.approx(1 / 3)


TRUE = ragged([[Span(0, 4, 0, "2016"), Span(0, 9, 0, "May 2016")], [], [], [Span(0, 2, 0, "北京")]])
SAID = ragged([[Span(0, 9, 0, "May, 2016")], [], [Span(0, 1, 0, "x")], [Span(0, 3, 0, "北京市")]])


def test_the_best_of_several_answers_counts_and_none_is_right_where_none_is() -> None:
    """Exact: 1, 1, 0, 0. F1: 1, 1, 0, 2 * 2 / 5; mean 0.7."""
    assert answer_exact_rows(TRUE, SAID).tolist() == [1, 1, 0, 0]
    assert answer_exact(TRUE, SAID) == 0.5
    assert answer_f1(TRUE, SAID) == pytest.approx(0.7)
    assert answer_f1(TRUE, SAID, weights=np.array([[1.0, 0, 0, 1]])).tolist() == pytest.approx([0.9])


def decision(target: Any, scores: list[float], **serve: Any) -> Decision:
    values = ragged([[Span(0, 1, 0, "x", score)] for score in scores])
    n = len(scores)
    known = Examples([{}] * n, target, (), [bytes([i]) for i in range(n)], np.arange(n))
    return Extract().calibrate(spec_of("extract", BOTH, serve=serve), known, Prediction(values))


def test_the_score_from_which_an_answer_is_given_is_chosen_out_of_fold() -> None:
    """x is right at 0.9 and 0.6, nothing is at 0.7 and 0.2: answering from 0.6 on is right 3 of 4 times, and no cut is better."""
    right = [Span(0, 1, 0, "x")]
    assert decision(ragged([right, [], right, []]), [0.9, 0.7, 0.6, 0.2]).abstain_below in (0.9, 0.6)
    assert decision(ragged([right, [], [], []]), [0.9, 0.7, 0.6, 0.2]).abstain_below == 0.9
    assert decision(ragged([[], []]), [0.9, 0.7]).abstain_below > 1
    assert decision(ragged([right, right]), [0.9, 0.1]).abstain_below == 0.0
    assert decision(ragged([right, []]), [0.9, 0.1], abstain_below=0.3).abstain_below == 0.3


def test_answers_and_corrections() -> None:
    task, raw = Extract(), ragged([[Span(40, 44, 0, "2016", 0.9)], [Span(0, 5, 0, "Super", 0.2)], []])
    limit = Decision(abstain_below=0.5)
    found = task.decode(task.finish(Prediction(raw), limit), limit, ())
    assert [answer.status for answer in found] == ["ok"] * 3
    assert found[0].fields == {"answer": "2016", "start": 40, "end": 44, "score": 0.9}
    assert found[1].fields == {"answer": None, "start": None, "end": None, "score": 0.2}
    assert found[2].fields["answer"] is None
    assert task.correct(found[0], {"start": 28, "end": 44}, ()) == [{"start": 28, "end": 44}]
    assert task.correct(found[0], None, ()) == []
    with pytest.raises(DataError):
        task.correct(Answer("ok"), "2016", ())
