"""Which rows go through the model together: equal length buckets only, bounded by tokens.

A row is padded to its own bucket and never further, so what the model gives for it depends on the
row alone, not on its batch-mates. This is half of "same answer whatever the batch"; the other half
is a runtime that keeps rows of a batch apart, which `benchmarks/trunk_runtime.py` measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

BUCKET = 8  # tokens; part of what decides an answer, so part of the fingerprint
MAX_ROWS = 8  # `shared/LIMITS.md` A: larger batches gain nothing on a processor
MAX_TOKENS = 256  # of one batch, padding counted; more costs memory (40 MiB at 1,024) and gains nothing


def bucket_of(length: int, bucket: int = BUCKET) -> int:
    """The padded length of a row with `length` tokens: the next multiple of `bucket`."""
    return max(1, -(-length // bucket)) * bucket


def batches(
    lengths: Sequence[int],
    *,
    bucket: int = BUCKET,
    max_rows: int = MAX_ROWS,
    max_tokens: int = MAX_TOKENS,
) -> Iterator[tuple[int, list[int]]]:
    """(padded length, row numbers) of each batch, longest first; every row exactly once.

    lengths: tokens of each row. A row longer than max_tokens goes alone.
    """
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        groups.setdefault(bucket_of(length, bucket), []).append(row)
    for padded in sorted(groups, reverse=True):
        rows = groups[padded]
        step = max(1, min(max_rows, max_tokens // padded))
        for start in range(0, len(rows), step):
            yield padded, rows[start : start + step]
