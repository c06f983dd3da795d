from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.methods.texts import ask, rows, spec_of

from trunkline.methods.ablation import REFITTED, without_each
from trunkline.methods.ladder import climb
from trunkline.program import one
from trunkline.proof.columns import brought
from trunkline.tasks import TASKS
from trunkline.types import Evidence, Examples, Without

CLASSIFY = TASKS.get("classify")()
INPUTS = {"text": "text", "decisive": "number", "noise": "number", "echo": "text"}


def product(n: int, seed: int, inputs: dict[str, str] = INPUTS, told: float = 3.0) -> Examples:
    """What a row is called is told by `decisive` alone; the text says something else, twice."""
    texts, _, noise = rows(n, seed)
    target = np.random.default_rng(seed + 100).permutation(np.arange(n) % 3).astype(np.int64)
    cells: dict[str, Any] = {"text": texts, "echo": texts, "decisive": target * told - told, "noise": noise}
    made = [{name: cells.get(name, noise)[i] for name in inputs} for i in range(n)]
    return Examples(made, target, ("a", "b", "c"), [str(i).encode() for i in range(n)], np.arange(n))


def ablated(method: str, inputs: dict[str, str] = INPUTS) -> tuple[dict[str, Without], dict[str, Any], Evidence]:
    spec = spec_of(inputs=inputs, method={"name": method})
    train, test = product(300, 1, inputs), product(200, 2, inputs)
    climbed = climb(spec, CLASSIFY, train, ask)
    decision = CLASSIFY.calibrate(spec, train, climbed.candidate.out_of_fold)
    prediction = CLASSIFY.finish(one(climbed.candidate.head.run(test.inputs), ask), decision)
    evidence = Evidence(spec, CLASSIFY, test, prediction, (), decision, {}, data=None)  # type: ignore[arg-type]
    found = without_each(spec, CLASSIFY, train, test, climbed, ask)
    gains = {each.column: each.gain for each in brought(replace(evidence, without=found), CLASSIFY.metrics(spec, test.labels)["accuracy"])}
    return {each.column: each for each in found}, gains, evidence


@pytest.mark.parametrize(("method", "how"), [("linear", "linear"), ("boosting", ""), ("fused", "fused")])
def test_a_decisive_column_brings_much_and_a_useless_one_nothing(method: str, how: str) -> None:
    found, gains, _ = ablated(method)
    assert [each.method for each in found.values()] == [how] * 4
    assert next(iter(gains)) == "decisive"
    assert gains["decisive"].low > 0.3
    for useless in ("noise", "text", "echo"):
        assert gains[useless].low <= 0 <= gains[useless].high, useless
    assert gains["noise"].n == 200


def test_the_same_twice() -> None:
    one_, two = (ablated("linear")[0] for _ in range(2))
    assert all(np.array_equal(one_[name].prediction.values, two[name].prediction.values) for name in one_)


def test_the_last_text_can_only_be_swapped_where_the_method_needs_it() -> None:
    found, gains, _ = ablated("linear", {"text": "text", "decisive": "number"})
    assert (found["text"].method, found["decisive"].method) == ("", "linear")
    assert gains["decisive"].low > 0.3
    assert gains["text"].low <= 0 <= gains["text"].high


def test_many_columns_are_swapped_on_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.methods.ablation.CELLS", 100)
    monkeypatch.setattr("trunkline.methods.ablation.FEWEST_ROWS", 50)
    inputs = {"text": "text", "decisive": "number"} | {f"n{i}": "number" for i in range(REFITTED)}
    found, gains, _ = ablated("linear", inputs)
    assert {each.method for each in found.values()} == {""}
    assert {len(each.rows) for each in found.values()} == {50}
    assert gains["decisive"].low > 0.3


def test_one_column_needs_no_question() -> None:
    assert not ablated("linear", {"text": "text"})[0]
