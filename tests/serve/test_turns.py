from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.serve.turns import Turns


@dataclass
class Item:
    name: str
    cost: int = 1
    taken: bool = False


def popped(turns: Turns[Item]) -> list[str]:
    return [turns.pop().name for _ in range(len(turns))]


def test_a_flood_waits_behind_itself() -> None:
    turns: Turns[Item] = Turns()
    for i in range(100):
        turns.push(("flood", "p"), Item(f"flood{i}"))
    turns.push(("quiet", "p"), Item("quiet"))
    assert "quiet" in popped(turns)[:2]


def test_a_caller_with_many_products_gets_no_more_than_one_with_one() -> None:
    turns: Turns[Item] = Turns()
    for i in range(30):
        turns.push(("many", f"p{i}"), Item("many"))
    for _ in range(10):
        turns.push(("one", "p"), Item("one"))
    assert popped(turns)[:20].count("one") == 10


def test_dear_items_count_for_more() -> None:
    turns: Turns[Item] = Turns()
    for _ in range(10):
        turns.push(("long",), Item("long", 100))
        turns.push(("short",), Item("short", 10))
    assert popped(turns)[:11].count("short") >= 9


def test_idleness_earns_nothing_and_leaving_clears_no_debt() -> None:
    turns: Turns[Item] = Turns()
    for _ in range(5):
        turns.push(("busy",), Item("busy", 10))
    popped(turns)
    for _ in range(4):
        turns.push(("late",), Item("late", 10))
        turns.push(("busy",), Item("busy", 10))
    first = popped(turns)
    assert first[0] == "late"
    assert first[:4].count("late") <= 3


def test_what_was_taken_beside_others_is_left_out_and_charged() -> None:
    turns: Turns[Item] = Turns()
    items = [Item(f"a{i}", 10) for i in range(4)]
    for item in items:
        turns.push(("a", "p"), item)
    for item in items[1:3]:
        item.taken = True
    for i in range(4):
        turns.push(("b", "p"), Item(f"b{i}", 10))
    assert [turns.pop().name for _ in range(6)] == ["a0", "b0", "b1", "b2", "a3", "b3"]


def test_none_waiting() -> None:
    with pytest.raises(IndexError):
        Turns[Item]().pop()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(1, 9)) | st.none(), max_size=60))
def test_every_item_comes_once_and_lanes_keep_their_order(steps: list[tuple[str, str, int] | None]) -> None:
    turns: Turns[Item] = Turns()
    pushed: dict[str, list[str]] = {}
    came: dict[str, list[str]] = {}

    def pop() -> None:
        name = turns.pop().name
        came.setdefault(name.split("#")[0], []).append(name)

    for number, step in enumerate(steps):
        if step is None:
            if len(turns):
                pop()
            continue
        caller, product, cost = step
        name = f"{caller}{product}#{number}"
        pushed.setdefault(f"{caller}{product}", []).append(name)
        turns.push((caller, product), Item(name, cost))
    while len(turns):
        pop()
    assert came == pushed
