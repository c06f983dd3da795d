"""A small tree that imitates: it finds the rule that a product follows, and says how well."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from trunkline.methods.imitation import LEAVES, imitation

KINDS = {"age": "number", "job": "category", "note": "text"}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    words = ["late", "again", "包裹", "card", "please"]
    return [
        {"age": rng.choice([math.nan, *map(float, range(20, 60))]), "job": rng.choice(["clerk", "smith", None]), "note": " ".join(rng.sample(words, 2))}
        for _ in range(count)
    ]


def says(row: dict[str, Any]) -> str:
    if "late" in row["note"].split():
        return "angry"
    return "old" if row["age"] > 40 else "young"


def test_the_rules_of_a_product_are_found() -> None:
    train, test = rows(800, 0), rows(300, 1)
    found = imitation(KINDS, train, list(map(says, train)), test, list(map(says, test)))
    assert found is not None
    assert found.same.mean() > 0.95 > found.commonest
    questions = {rule.question for rule in found.rules}
    assert "note ∋ “late”" in questions
    assert any(question.startswith("age > 4") for question in questions)
    ends = [rule for rule in found.rules if rule.answer]
    assert len(ends) <= LEAVES
    assert sum(rule.rows for rule in ends) == 800
    assert found.rules[0].depth == 0


@pytest.mark.parametrize("kinds", [{"photo": "image"}, {}])
def test_nothing_to_ask_for(kinds: dict[str, str]) -> None:
    assert imitation(kinds, [{}, {}], ["a", "b"], [{}], ["a"]) is None


def test_a_product_that_always_says_the_same_needs_no_tree() -> None:
    train = rows(50, 0)
    assert imitation(KINDS, train, ["same"] * 50, train, ["same"] * 50) is None
