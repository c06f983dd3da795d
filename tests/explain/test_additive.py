"""Exact summands: with what they begin from they are the answer's figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.columns import ColumnEncoder, ColumnReader
from trunkline.explain.additive import sum_of
from trunkline.explain.parts import Part, Parts
from trunkline.explain.subject import Subject, Target, typical
from trunkline.heads.blend import BlendHead
from trunkline.heads.linear import LexicalPart, LinearHead
from trunkline.heads.table_linear import TableLinearHead
from trunkline.heads.tree_arrays import TreeArrays
from trunkline.heads.trees import TreesHead
from trunkline.lexical import Lexicon, count_ngrams, normalise, occurrences
from trunkline.program import one
from trunkline.tasks.classify import Classify
from trunkline.types import Call, Decision, Head, Outputs

LEARNED = ["my card is late", "退款还没到账", "the parcel was lost, again", "房间很干净", "Ünïcode Straße ＡＢＣ"]
TEXTS = st.text(alphabet=st.sampled_from(list("my card late 退款还没到账!,.Ü ＡbcStraße\u0301\n")), min_size=1, max_size=40)


def no_engine(calls: Sequence[Call]) -> Outputs:
    raise AssertionError("no engine is asked")


def ngrams(link: str, outputs: int, columns: Sequence[str] = ("text",)) -> LinearHead:
    rng = np.random.default_rng(0)
    texts = [LEARNED] * len(columns)
    hashes = np.unique(count_ngrams(texts).hash)
    lexicon = Lexicon(hashes, rng.uniform(1, 3, len(hashes)).astype(np.float16))
    weights = rng.integers(-100, 100, (len(hashes), outputs)).astype(np.int8)
    bias, scale = rng.normal(size=(2, outputs)).astype(np.float32)
    return LinearHead(link, bias, None, LexicalPart(tuple(columns), lexicon, weights, np.abs(scale) / 50))


@given(TEXTS, st.integers(0, 2))
def test_occurrences_are_what_is_counted(text: str, salt: int) -> None:
    text = normalise(text)
    starts, ends, hashes = occurrences(text, salt)
    counts = count_ngrams([[""]] * salt + [[text]])
    found, times = np.unique(hashes, return_counts=True)
    assert found.tolist() == counts.hash.tolist()
    assert times.tolist() == counts.count.tolist()
    assert ((starts >= 0) & (starts <= ends) & (ends <= len(text))).all()


def exact(head: Head, row: dict[str, Any], kinds: dict[str, str], labels: Sequence[str], index: int, decision: Decision) -> tuple[float, float | None]:
    """(the figure, what base and weights add up to)."""
    subject = Subject(head, Classify(), decision, labels, kinds)
    finished = one(subject.run([row]), no_engine)
    found = sum_of(head, Parts(row, kinds, typical(head)))
    assert found is not None
    target = Target("log_odds", labels[index], index)
    base, weights = found.weights(target, finished, decision)
    return float(target.figures(finished)[0]), None if base is None else base + sum(weights.values())


@given(TEXTS, st.sampled_from([0, 1]), st.sampled_from([1.0, 2.5]))
def test_ngrams_of_two_classes_add_up_to_the_log_odds(text: str, index: int, temperature: float) -> None:
    row = {"text": text}
    if not Parts(row, {"text": "text"}, {}).first(99) or sum_of(ngrams("logistic", 1), Parts(row, {"text": "text"}, {})) is None:
        return
    figure, total = exact(ngrams("logistic", 1), row, {"text": "text"}, ("no", "yes"), index, Decision(temperature=temperature))
    assert total == pytest.approx(figure, abs=1e-4)


def test_ngrams_of_several_columns_and_labels() -> None:
    row = {"subject": "my card", "text": "退款还没到账 again"}
    kinds = {"subject": "text", "text": "text"}
    head = ngrams("softmax", 3, ("subject", "text"))
    found = sum_of(head, Parts(row, kinds, {}))
    assert found is not None
    assert {part.column for part in found.summands} == {"subject", "text"}
    values = one(head.run([row]), no_engine).values[0]
    scores = found.base + sum(found.summands.values())
    np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(), values, atol=1e-5)


def test_the_word_that_decides_weighs_most() -> None:
    hashes = np.unique(count_ngrams([["late"]]).hash)
    lexicon = Lexicon(hashes, np.ones(len(hashes), np.float16))
    head = LinearHead(
        "logistic", np.zeros(1, np.float32), None, LexicalPart(("text",), lexicon, np.full((len(hashes), 1), 100, np.int8), np.ones(1, np.float32))
    )
    found = sum_of(head, Parts({"text": "my card is late today"}, {"text": "text"}, {}))
    assert found is not None
    weights = {part.first: float(summand[0]) for part, summand in found.summands.items()}
    assert max(weights, key=lambda at: weights[at]) == 3
    assert [weights[i] for i in (0, 1, 4)] == pytest.approx([0, 0, 0], abs=1e-9)


KINDS = {"age": "number", "job": "category", "paid": "bool"}
ROWS: list[dict[str, Any]] = [
    {"age": float(20 + i), "job": ["clerk", "clerk", "smith", None][i % 4], "paid": float(i % 2)} for i in range(40)
]


def table(seed: int) -> TableLinearHead:
    encoder = ColumnEncoder.fit(KINDS, ROWS, knots=3)
    rng = np.random.default_rng(seed)
    return TableLinearHead(encoder, rng.normal(size=(encoder.dim, 1)), rng.normal(size=1), "logistic")


@pytest.mark.parametrize("row", [ROWS[0], ROWS[7], {"age": math.nan, "job": None, "paid": math.nan}, {"age": 1e9, "job": "new", "paid": 1.0}])
@pytest.mark.parametrize("index", [0, 1])
def test_tables_and_blends_add_up_too(row: dict[str, Any], index: int) -> None:
    for head in (table(0), BlendHead("logistic", np.array([0.3, 0.7]), [table(1), table(2)])):
        figure, total = exact(head, row, KINDS, ("no", "yes"), index, Decision())
        assert total == pytest.approx(figure, abs=1e-6)


def test_a_typical_row_has_no_reasons() -> None:
    head = table(0)
    assert typical(head) == {"age": pytest.approx(39.5), "job": "clerk", "paid": pytest.approx(0.5)}
    found = sum_of(head, Parts(typical(head), KINDS, typical(head)))
    assert found is not None
    assert found.summands.keys() == {Part(name, "column") for name in KINDS}
    assert all(not summand.any() for summand in found.summands.values())


def forest() -> TreesHead:
    reader = ColumnReader.fit(KINDS, ROWS)
    arrays = {
        "nodes": np.array([2, 1]), "output": np.array([0, 0]), "feature": np.array([0, 1, 2]), "threshold": np.array([40.0, 0.0, 0.5]),
        "decision": np.array([8, 8, 8], np.uint8), "left": np.array([1, -1, -1]), "right": np.array([-3, -2, -2]),
        "leaf": np.array([1.0, -2.0, 0.5, 3.0, -1.0]), "bits": np.empty(0, np.uint32), "bounds": np.array([0]),
        "count": np.array([10, 15, 15, 20, 20]),
    }  # fmt: skip
    return TreesHead(reader, TreeArrays(**arrays), "logistic", 1)


@pytest.mark.parametrize("row", [ROWS[0], ROWS[30], {"age": math.nan, "job": None, "paid": 1.0}])
def test_trees_beside_a_linear_model_add_up(row: dict[str, Any]) -> None:
    for head in (forest(), BlendHead("logistic", np.array([0.5, 0.5]), [table(1), forest()])):
        figure, total = exact(head, row, KINDS, ("no", "yes"), 1, Decision(temperature=1.7))
        assert total == pytest.approx(figure, abs=1e-6)


def test_a_blend_with_a_part_that_is_no_sum_is_none() -> None:
    without = forest()
    without.trees = replace(without.trees, count=None)
    assert sum_of(BlendHead("logistic", np.ones(2), [table(1), without]), Parts(ROWS[0], KINDS, {})) is None
