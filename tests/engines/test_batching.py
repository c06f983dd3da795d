from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline.engines.batching import Batch, batches, bucket_of


@given(st.lists(st.integers(0, 600), max_size=200))
def test_every_row_once_in_its_own_bucket(lengths: list[int]) -> None:
    seen = []
    for padded, rows in batches(lengths, Batch(8, 256)):
        assert 1 <= len(rows) <= 8
        assert len(rows) == 1 or padded * len(rows) <= 256
        assert all(bucket_of(lengths[row]) == padded >= lengths[row] for row in rows)
        seen += rows
    assert sorted(seen) == list(range(len(lengths)))
