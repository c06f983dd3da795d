from __future__ import annotations

import gc
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.heads import arena
from trunkline.heads.arena import CHUNK, kept


@pytest.fixture(autouse=True)
def own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "_chunks", [])
    monkeypatch.setattr(arena, "_returned", deque())


def numbers(seed: int, size: int) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(-100, 100, size).astype(np.int8)


@given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5_000)), max_size=60))
def test_arrays_keep_what_they_hold_whatever_comes_and_goes(steps: list[tuple[int, int]]) -> None:
    held: dict[int, tuple[int, NDArray[Any]]] = {}
    for seed, (place, size) in enumerate(steps):
        held.pop(place, None)
        if size % 3:  # else only gone
            held[place] = seed, kept(numbers(seed, size))
        for made, array in held.values():
            assert np.array_equal(array, numbers(made, len(array)))


def test_an_array_is_copied_row_after_row() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for given_, wanted in ((array, array), (array.T, array.T), (array[:, ::2], array[:, ::2]), (np.zeros((0, 4)), np.zeros((0, 4)))):
        copy = kept(given_)
        assert copy.flags["C_CONTIGUOUS"]
        assert copy.dtype == wanted.dtype
        assert np.array_equal(copy, wanted)
    assert kept(array).ctypes.data % 64 == 0


def test_memory_is_used_again_once_no_view_is_left() -> None:
    first = kept(numbers(0, 1000))
    view, at = first[10:20].reshape(2, 5).T, first.ctypes.data
    del first
    other = kept(numbers(1, 1000))
    assert other.ctypes.data != at  # a view holds it
    assert np.array_equal(view, numbers(0, 1000)[10:20].reshape(2, 5).T)
    del view
    assert kept(numbers(2, 1000)).ctypes.data == at
    assert np.array_equal(other, numbers(1, 1000))


def test_a_thousand_swaps_take_no_more_than_one() -> None:
    stays, comes = kept(numbers(0, 100)), kept(numbers(1, 1_000_000))
    for seed in range(1000):
        comes = kept(numbers(seed, 1_000_000))  # the old one goes when the new one is there
    assert len(arena._chunks) == 1
    assert np.array_equal(comes, numbers(999, 1_000_000))
    assert np.array_equal(stays, numbers(0, 100))


def test_chunks_that_hold_nothing_are_given_back() -> None:
    many = [kept(np.ones(CHUNK // 2, np.int8)) for _ in range(4)]
    huge = kept(np.ones(CHUNK * 2, np.int8))
    assert len(arena._chunks) == 3
    del many, huge
    gc.collect()
    few = kept(np.ones(5, np.int8))
    assert len(arena._chunks) == 1
    assert few.tolist() == [1] * 5
