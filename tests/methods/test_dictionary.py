from __future__ import annotations

import numpy as np
from tests.methods.texts import ask, spec_of

from trunkline.heads.dictionary import DictionaryHead, Entry
from trunkline.methods.dictionary import Dictionary
from trunkline.program import one
from trunkline.tasks.tag import ragged
from trunkline.types import Examples, Span

ROWS = [
    ("Ana Lee lives in New York", [(0, 7, 0), (17, 25, 1)]),
    ("Ana Lee left York", [(0, 7, 0), (13, 17, 1)]),
    ("高勇 met Ana Lee", [(0, 2, 0), (7, 14, 0)]),
    ("I met May in May", [(6, 9, 0)]),
    ("in May it rains", []),
]


def examples() -> Examples:
    texts = [text for text, _ in ROWS]
    target = ragged([[Span(a, b, label, text[a:b]) for a, b, label in spans] for text, spans in ROWS])
    return Examples([{"text": t} for t in texts], target, ("PER", "LOC"), [t.encode() for t in texts], np.arange(len(ROWS)))


def said(head: DictionaryHead, text: str) -> list[tuple[str, int]]:
    (spans,) = one(head.run([{"text": text}]), ask).values
    assert all(text[span.start : span.end] == span.text for span in spans)
    return [(span.text, span.label) for span in spans]


def test_known_spans_are_found_the_longest_first_and_doubtful_ones_not() -> None:
    folds = np.array([0, 1, 2, 0, 1])
    found = Dictionary().fit(spec_of("tag"), examples(), folds, ask)
    assert isinstance(found.head, DictionaryHead)
    assert said(found.head, "高勇 and Ana  Lee saw New York, York and May") == [("高勇", 0), ("Ana  Lee", 0), ("New York", 1), ("York", 1)]
    assert said(found.head, "") == []
    assert said(found.head, "NewYork ana lee") == []
    # out of fold: `New York` stands in no other fold, `Ana Lee` in two
    assert [[span.text for span in spans] for spans in found.out_of_fold.values] == [["Ana Lee", "York"], ["Ana Lee"], ["Ana Lee"], [], ["May"]]


def test_a_score_is_the_share_of_places_where_it_was_a_span() -> None:
    rows = examples()
    rows = rows.take([0, 1, 2, 3])  # May: a person in one place of two
    head = Dictionary().fit(spec_of("tag"), rows, np.array([0, 1, 0, 1]), ask).head
    ((may,),) = one(head.run([{"text": "May"}]), ask).values
    assert may.score == 0.5


def test_the_rarest_entries_go_where_the_head_is_full() -> None:
    texts = [f"w{i % 40}x common{i}" for i in range(80)] + ["always here"] * 20
    spans = [[Span(0, text.index(" "), 0, text.split()[0])] for text in texts]
    rows = Examples([{"text": t} for t in texts], ragged(spans), ("X",), [t.encode() for t in texts], np.arange(100))
    head = Dictionary().fit(spec_of("tag", method={"head_mb": 0.0002}), rows, np.arange(100) % 2, ask).head
    assert 0 < head.save()[0]["entries"] < 41
    assert said(head, "always") == [("always", 0)]  # type: ignore[arg-type]


def test_none_is_found_by_an_empty_dictionary() -> None:
    head = DictionaryHead("text", {})
    again = DictionaryHead.load(*head.save())
    assert said(again, "Ana") == []
    assert said(DictionaryHead.load(*DictionaryHead("text", {("Ana",): Entry(1, 0.5)}).save()), "Ana") == [("Ana", 1)]
