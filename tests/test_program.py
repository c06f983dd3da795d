from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.program import drive, merged, one
from trunkline.types import Call, Outputs, Prediction, Program, Value


def lengths(items: Sequence[str], engine: str = "trunk:toy") -> Program:
    outputs = yield [Call(engine, items)]
    return Prediction(outputs[0])


def retrieve_then_answer(item: str) -> Program:
    first = yield [Call("trunk:toy", [item])]
    longer = item * int(first[0][0])
    second = yield [Call("trunk:toy", [longer])]
    return Prediction(second[0])


def key(call: Call, item: Value) -> bytes:
    return str(item).encode()


class Toy:
    """Counts what it is asked for; answers each text's length."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, call: Call) -> Any:
        self.calls.append(call)
        return np.array([len(item) for item in call.items], np.float32)


def test_products_share_one_call_and_equal_items_run_once() -> None:
    toy = Toy()
    results = drive([lengths(["a", "bb"]), lengths(["bb", "ccc"])], merged(toy, key))
    assert [r.values.tolist() for r in results if isinstance(r, Prediction)] == [[1, 2], [2, 3]]
    assert [list(c.items) for c in toy.calls] == [["a", "bb", "ccc"]]


def test_different_routes_are_not_merged() -> None:
    toy = Toy()
    drive([lengths(["a"]), lengths(["a"], engine="trunk:other")], merged(toy, key))
    assert len(toy.calls) == 2


def test_a_program_may_yield_twice_beside_one_that_yields_once() -> None:
    toy = Toy()
    two, single = drive([retrieve_then_answer("abc"), lengths(["x"])], merged(toy, key))
    assert isinstance(two, Prediction)
    assert isinstance(single, Prediction)
    assert two.values.tolist() == [9]
    assert len(toy.calls) == 2


def test_a_program_that_raises_leaves_the_others_alone() -> None:
    def broken() -> Program:
        yield [Call("trunk:toy", ["a"])]
        raise ValueError("head is broken")

    bad, good = drive([broken(), lengths(["a"])], merged(Toy(), key))
    assert isinstance(bad, ValueError)
    assert isinstance(good, Prediction)
    with pytest.raises(ValueError, match="head is broken"):
        one(broken(), merged(Toy(), key))


def test_an_engine_that_fails_answers_every_waiting_product() -> None:
    def ask(calls: Sequence[Call]) -> Outputs:
        raise RuntimeError("no weights")

    assert [str(r) for r in drive([lengths(["a"]), lengths(["b"])], ask)] == ["no weights"] * 2


@given(st.lists(st.lists(st.text(max_size=3), max_size=5), max_size=5))
def test_merging_changes_nothing_but_the_work(texts: list[list[str]]) -> None:
    toy = Toy()
    results = drive([lengths(t) for t in texts], merged(toy, key))
    assert [r.values.tolist() for r in results if isinstance(r, Prediction)] == [
        [len(t) for t in group] for group in texts
    ]
    asked = [item for call in toy.calls for item in call.items]
    assert len(asked) == len(set(asked))
