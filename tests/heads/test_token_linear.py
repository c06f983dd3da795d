"""Atoms, their vectors, and the best path of tags."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trunkline.heads.token_linear import allowed, atoms_of, best_path, log_shares, spans_of, vectors_of
from trunkline.methods.token_linear import tags_of
from trunkline.types import Span, Tokens


def test_atoms() -> None:
    assert atoms_of("在ABC银行, 1966年😀").words == ["在", "ABC", "银", "行", ",", "1966", "年", "😀"]


def test_an_atom_has_the_mean_of_the_tokens_it_shares_characters_with() -> None:
    tokens = Tokens(np.array([[9.0], [1], [3], [5]], np.float32), np.array([0, 0, 2, 5], np.int32), np.array([0, 2, 4, 6], np.int32))
    assert vectors_of(tokens, atoms_of("abcd e"), 1).tolist() == [[2.0], [5.0]]
    assert vectors_of(tokens, atoms_of("银行cd e"), 1).tolist() == [[1.0], [1.0], [3.0], [5.0]]


def possible(path: tuple[int, ...], may: np.ndarray) -> bool:
    last = [path[-1] == 0 or (path[-1] - 1) % 4 >= 2]
    return all([may[-1, path[0]], *(may[a, b] for a, b in itertools.pairwise(path)), *last])


@given(seed=st.integers(0, 10_000), n=st.integers(1, 4))
def test_the_path_is_the_best_of_all_that_are_allowed(seed: int, n: int) -> None:
    logs = log_shares(np.random.default_rng(seed).normal(size=(n, 9)) * 3)
    may = allowed(2)
    paths = [path for path in itertools.product(range(9), repeat=n) if possible(path, may)]
    best = max(paths, key=lambda path: sum(logs[i, tag] for i, tag in enumerate(path)))
    assert tuple(best_path(logs, may).tolist()) == best


@given(seed=st.integers(0, 10_000))
def test_tags_and_spans_are_two_ways_to_write_one_thing(seed: int) -> None:
    text, rng = "张三 works at ABC银行 since 2019年", np.random.default_rng(seed)
    atoms = atoms_of(text)
    at, spans = 0, []
    while at < len(atoms.words):
        size = int(rng.integers(1, 4))
        low, high = at, min(at + size, len(atoms.words))
        if rng.random() < 0.5:
            start, end = int(atoms.starts[low]), int(atoms.ends[high - 1])
            spans.append(Span(start, end, int(rng.integers(2)), text[start:end], 1.0))
        at = high
    sure = np.full((len(atoms.words), 9), -100.0)
    sure[np.arange(len(atoms.words)), tags_of(atoms, tuple(spans))] = 0.0
    assert spans_of(text, atoms, sure, allowed(2)) == tuple(spans)
