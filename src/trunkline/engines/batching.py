"""Which rows go through the model together: equal length buckets only, bounded by rows and tokens.

A row is padded to its own bucket and never further, so what the model gives for it depends on the
row alone, not on its batch-mates. This is half of "same answer whatever the batch"; the other half
is a runtime that keeps rows of a batch apart, which `benchmarks/trunk_runtime.py` measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BUCKET = 8  # tokens; part of what decides an answer, so part of the fingerprint
ROWS, TOKENS = (1, 64), (8, 4_096)  # of a batch, that may be fixed by hand; at the most a row's bits stay the same
ROWS_VARIABLE, TOKENS_VARIABLE = "TRUNKLINE_BATCH_ROWS", "TRUNKLINE_BATCH_TOKENS"


@dataclass(frozen=True)
class Batch:
    """How much goes through an engine at a time. Not measured, it is what `shared/LIMITS.md` A found good:
    more gains little on a processor and costs memory (40 MiB at 1,024 tokens)."""

    rows: int = 8
    tokens: int = 256  # padding counted; for items that aren't text: what `Engine.cost` counts

    def room(self, cost: int) -> int:
        """Items of this cost that go together; one always does."""
        return max(1, min(self.rows, self.tokens // max(1, cost)))

    def within(self, most: Batch) -> Batch:
        return Batch(min(self.rows, most.rows), min(self.tokens, most.tokens))


def bucket_of(length: int, bucket: int = BUCKET) -> int:
    """The padded length of a row with `length` tokens: the next multiple of `bucket`."""
    return max(1, -(-length // bucket)) * bucket


def batches(
    lengths: Sequence[int], batch: Batch | None = None, *, bucket: int = BUCKET
) -> Iterator[tuple[int, list[int]]]:
    """(padded length, row numbers) of each batch, longest first; every row exactly once.

    lengths: tokens of each row. A row longer than batch.tokens goes alone.
    """
    batch = batch or Batch()
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        groups.setdefault(bucket_of(length, bucket), []).append(row)
    for padded in sorted(groups, reverse=True):
        rows, step = groups[padded], batch.room(padded)
        for start in range(0, len(rows), step):
            yield padded, rows[start : start + step]
