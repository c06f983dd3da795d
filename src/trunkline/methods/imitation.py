"""A small tree that imitates a product: what it says, in a few questions, and how often the tree says the same.

A tree of at most eight leaves is learned (CART, scikit-learn) from the product's own answers to training rows, and its
fidelity is counted on test rows, which neither saw (Craven & Shavlik 1996; Bastani, Kim & Bastani 2017).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import NUMERIC_KINDS
from trunkline.explain.words import units_of
from trunkline.types import Inputs

LEAVES = 8
ROWS = 2_000  # that it learns from, at most
WORDS, VALUES = 300, 12  # the commonest words of a text, and names of a category, that it may ask for
LEAST = 0.01  # share of the rows in each leaf


@dataclass(frozen=True)
class Rule:
    """A line of the tree. depth: how far it is indented; answer: "" where questions follow; rows: training rows here."""

    depth: int
    question: str
    answer: str
    rows: int


@dataclass(frozen=True)
class Imitation:
    """same (n,): 1 where tree and product say the same to a test row. commonest: the share that always saying the commonest answer has."""

    rules: tuple[Rule, ...]
    same: NDArray[np.float64]
    commonest: float


def imitation(kinds: Mapping[str, str], train: Sequence[Inputs], said: Sequence[str], test: Sequence[Inputs], answers: Sequence[str]) -> Imitation | None:
    """said, answers: the product's own answers to train and test rows. None where there is nothing to ask for, or it
    always says the same. Raises MissingExtra without scikit-learn."""
    questions = _questions(kinds, train)
    if not questions or len(set(said)) < 2 or not test:
        return None
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=max(2, math.ceil(LEAST * len(train))), random_state=0)
    tree.fit(_asked(questions, train), list(said))
    same = np.asarray(tree.predict(_asked(questions, test)) == np.asarray(answers), np.float64)
    commonest = Counter(said).most_common(1)[0][0]
    return Imitation(tuple(_rules(tree, questions)), same, float(np.mean([answer == commonest for answer in answers])))


@dataclass(frozen=True)
class _Question:
    """A number of a row: a column's own, or 1 where it has that word or name."""

    column: str
    kind: str
    wanted: str = ""

    def of(self, value: Any) -> float:
        if self.kind == "words":
            return float(self.wanted in value)
        if self.kind == "category":
            return float(value == self.wanted)
        return math.nan if value is None else float(value)


def _questions(kinds: Mapping[str, str], rows: Sequence[Inputs]) -> list[_Question]:
    found: list[_Question] = []
    for column, kind in kinds.items():
        if kind in NUMERIC_KINDS:
            found.append(_Question(column, "number"))
        elif kind == "category":
            names = Counter(row[column] for row in rows if row.get(column) is not None)
            found += (_Question(column, "category", name) for name, _ in names.most_common(VALUES))
        elif kind == "text":
            words = Counter(word for row in rows for word in _words(row.get(column)))
            found += (_Question(column, "words", word) for word, _ in words.most_common(WORDS))
    return found


def _words(text: Any) -> frozenset[str]:
    return frozenset(text[a:b].casefold() for a, b in units_of(text)) if text else frozenset()


def _asked(questions: Sequence[_Question], rows: Sequence[Inputs]) -> NDArray[np.float64]:
    """(rows, questions)."""
    texts = {question.column for question in questions if question.kind == "words"}
    read = [{**row, **{column: _words(row.get(column)) for column in texts}} for row in rows]
    return np.array([[question.of(row.get(question.column)) for question in questions] for row in read], np.float64)


def _rules(tree: Any, questions: Sequence[_Question], node: int = 0, depth: int = 0, asked: str = "") -> list[Rule]:
    inner, rows = tree.tree_, int(tree.tree_.n_node_samples[node])
    left, right = int(inner.children_left[node]), int(inner.children_right[node])
    if left < 0:
        return [Rule(depth, asked, str(tree.classes_[int(np.argmax(inner.value[node][0]))]), rows)]
    question, at = questions[int(inner.feature[node])], float(inner.threshold[node])
    own = [Rule(depth, asked, "", rows)] if asked else []
    below = depth + bool(asked)
    return [
        *own,
        *_rules(tree, questions, right, below, _words_of(question, at, True)),
        *_rules(tree, questions, left, below, _words_of(question, at, False)),
    ]


def _words_of(question: _Question, at: float, above: bool) -> str:
    if question.kind == "number":
        return f"{question.column} {'>' if above else '≤'} {at:.6g}"
    if question.kind == "category":
        return f"{question.column} {'=' if above else '≠'} {question.wanted}"
    return f"{question.column} {'∋' if above else '∌'} “{question.wanted}”"
