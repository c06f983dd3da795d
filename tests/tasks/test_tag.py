"""Tags to spans, and spans judged as whole entities; figures by hand, as conlleval and seqeval count them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.methods.texts import spec_of

from trunkline.errors import DataError
from trunkline.metrics.spans import counts, exact_spans, span_f1, span_macro_f1, span_precision, span_recall
from trunkline.tasks.tag import Tag, ragged
from trunkline.tasks.tags import joined, spans_of_cell, spans_of_tags
from trunkline.types import Answer, Decision, Prediction, Refused, Span


def said(tokens: str, tags: str) -> list[tuple[str, str]]:
    text, spans = spans_of_tags(tokens.split(), tags.split())
    assert all(text[s["start"] : s["end"]] == s["text"] for s in spans)
    return [(s["text"], s["type"]) for s in spans]


@pytest.mark.parametrize(
    "tags",
    ["B-PER I-PER O B-LOC I-LOC I-LOC", "B-PER E-PER O B-LOC I-LOC E-LOC", "B-PER E-PER O B-LOC M-LOC E-LOC",
     "B-PER L-PER O B-LOC I-LOC L-LOC"],
)  # fmt: skip
def test_every_scheme_reads_the_same(tags: str) -> None:
    assert said("John Smith visits New York City", tags) == [("John Smith", "PER"), ("New York City", "LOC")]


def test_neighbours_and_single_tokens() -> None:
    assert said("高 勇 ： 男 汉 族", "B-NAME E-NAME O S-SEX B-RACE E-RACE") == [("高勇", "NAME"), ("男", "SEX"), ("汉族", "RACE")]
    assert said("a b c", "B-X B-X I-X") == [("a", "X"), ("b c", "X")]
    assert said("a b", "B-X B-Y") == [("a", "X"), ("b", "Y")]


def test_no_space_stands_beside_a_chinese_sign() -> None:
    assert joined(["用", "PMP", "in", "2019", "年"]) == ("用PMP in 2019年", [0, 1, 5, 8, 12])


@pytest.mark.parametrize(
    ("tokens", "tags", "what", "where"),
    [
        ("a b", "O", "differ in number", ""),
        ("a b", "O I-X", "continues no span", "token 2"),
        ("a b", "B-Y I-X", "continues no span", "token 2"),
        ("a b", "Q-X O", "is no tag", "token 1"),
        ("a b", "B O", "is no tag", "token 1"),
        ("a b c d", "B-X I-X O S-X", "never ended", "token 2"),
    ],
)
def test_tags_that_do_not_parse_are_named_with_their_position(tokens: str, tags: str, what: str, where: str) -> None:
    with pytest.raises(DataError) as error:
        spans_of_tags(tokens.split(), tags.split())
    assert what in error.value.what
    assert error.value.where == where


@pytest.mark.parametrize(
    "cell",
    ['[{"start": 0, "end": 99, "type": "X"}]', '[{"start": 3, "end": 3, "type": "X"}]', '[{"start": 0}]', "{", "3",
     '[{"start": 0, "end": 3, "type": "X"}, {"start": 2, "end": 4, "type": "Y"}]'],
)  # fmt: skip
def test_spans_that_can_not_be_are_refused(cell: str) -> None:
    with pytest.raises(DataError):
        spans_of_cell(cell, "some text")


def test_a_row_is_arranged_by_tags_or_by_spans_and_refused_with_a_reason() -> None:
    spec = spec_of("tag", {"text": "text"})
    row = Tag().arrange(spec, {"text": "高 勇", spec.label: "B-NAME E-NAME"})
    assert not isinstance(row, Refused)
    assert row["text"] == "高勇"
    assert Tag().arrange(spec, {"text": "高勇", spec.label: row[spec.label]}) == row
    refused = Tag().arrange(spec, {"text": "a b", spec.label: "O I-X"})
    assert isinstance(refused, Refused)
    assert "token 2" in refused.message


TRUE = ragged([[Span(0, 2, 0), Span(3, 6, 1)], [Span(0, 1, 0)], [], [Span(5, 9, 1)]])
SAID = ragged([[Span(0, 2, 0), Span(3, 5, 1)], [Span(0, 1, 1)], [Span(0, 4, 0)], [Span(5, 9, 1)]])


def test_entities_are_counted_whole() -> None:
    """True 4, said 5, right 2 (the first, and the last): precision 2/5, recall 2/4, F1 4/9. Type 0: true 2, said 2,
    right 1, F1 1/2; type 1: true 2, said 3, right 1, F1 2/5; macro 0.45. One row of four is right as a whole."""
    assert span_precision(TRUE, SAID) == pytest.approx(0.4)
    assert span_recall(TRUE, SAID) == pytest.approx(0.5)
    assert span_f1(TRUE, SAID) == pytest.approx(4 / 9)
    assert span_macro_f1(TRUE, SAID, labels=2) == pytest.approx(0.45)
    assert exact_spans(TRUE, SAID) == 0.25
    assert [int(part.sum()) for part in counts(TRUE, SAID, 1)] == [1, 3, 2]


def test_seqeval_s_own_example() -> None:
    """Its readme: y_true O O O B-MISC I-MISC I-MISC O, y_pred one tag too early, then a person found: F1 0.50."""
    text = [spans_of_tags(list("abcdefg"), tags.split())[1] for tags in ("O O O B-M I-M I-M O", "O O B-M I-M I-M I-M O")]
    person = spans_of_tags(list("abc"), ["B-P", "I-P", "O"])[1]
    target, values = (ragged([[Span(s["start"], s["end"], 0) for s in row] for row in rows])
                      for rows in ([text[0], person], [text[1], person]))  # fmt: skip
    assert span_f1(target, values) == 0.5


def test_weights_are_rows() -> None:
    weights = np.array([[1.0, 1, 1, 1], [1, 0, 0, 1]])
    assert span_f1(TRUE, SAID, weights=weights).tolist() == pytest.approx([4 / 9, 4 / 6])


def test_a_span_that_is_not_sure_is_left_out_and_a_correction_is_a_label_cell() -> None:
    task, unsure = Tag(), ragged([[Span(0, 2, 0, "高勇", 0.9), Span(3, 4, 0, "男", 0.4)]])
    decision = Decision(abstain_below=0.5)
    (answer,) = task.decode(task.finish(Prediction(unsure), decision), decision, ["NAME"])
    assert answer.status == "ok"
    assert answer.fields["spans"] == [{"start": 0, "end": 2, "type": "NAME", "text": "高勇", "score": 0.9}]
    cell = task.correct(answer, [{"start": 1, "end": 2, "type": "NAME"}], ["NAME"])
    assert task.target(spec_of("tag"), [cell], ["NAME"])[0][0] == (Span(1, 2, 0),)
    with pytest.raises(DataError):
        task.correct(Answer("ok"), [{"start": 1, "end": 2, "type": "NAMES"}], ["NAME"])
