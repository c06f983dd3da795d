from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trunkline.serve.recent import Recent


def test_the_oldest_use_goes_first_and_hits_are_counted() -> None:
    recent = Recent(3 * (400 + 300))
    for key in "abc":
        recent.put(key, np.full(100, ord(key), np.float32))
    assert recent.get("a") is not None
    recent.put("d", np.zeros(100, np.float32))
    assert recent.get("b") is None
    assert [recent.get(key) is not None for key in "acd"] == [True] * 3
    assert (recent.hits, recent.misses) == (4, 1)


def test_what_is_larger_than_the_whole_is_not_kept() -> None:
    recent = Recent(1_000)
    recent.put("a", np.zeros(10_000, np.float32))
    assert (len(recent), recent.bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300)), max_size=60))
def test_never_over_the_bound(puts: list[tuple[int, int]]) -> None:
    recent = Recent(5_000)
    for key, size in puts:
        recent.put(key, np.zeros(size, np.float32))
        assert 0 <= recent.bytes <= 5_000
    assert (recent.bytes == 0) == (len(recent) == 0)
