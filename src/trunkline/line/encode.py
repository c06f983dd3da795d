"""The features of a large table into the cache, by several processes or machines, so that trainings find them there.

Rows stream in blocks; each process reads the table and encodes every n-th block. What is in the cache is only looked up,
so a process that was killed goes on where it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from trunkline.data.paths import rows_of
from trunkline.data.read import open_path, open_source
from trunkline.data.rows import checked
from trunkline.desk import PREFIX, Desk
from trunkline.errors import DataError, SpecError, TrunklineError
from trunkline.heads.dense import Dense, Part
from trunkline.inputs.row import RowReader
from trunkline.methods.dense_rows import TRUNK_KINDS
from trunkline.spec import Query, Spec
from trunkline.spec.model import trunk_of
from trunkline.terminal import SILENT, Progress
from trunkline.types import Inputs, Source

BLOCK = 2048  # rows in memory at once, and in a segment of the cache


@dataclass(frozen=True)
class Encoded:
    """rows read by this process; of their cells: known before, and new in the cache."""

    rows: int
    refused: int
    known: int
    new: int

    def __add__(self, other: Encoded) -> Encoded:
        return Encoded(self.rows + other.rows, self.refused + other.refused, self.known + other.known, self.new + other.new)


def encode(
    spec: Spec, folder: Path, desk: Desk, data: Path | None = None, part: tuple[int, int] = (1, 1), progress: Progress = SILENT
) -> Encoded:
    """Blocks k, k + n, ... of `data`, else of the product's own rows; part: (k, n), k from 1.

    Raises SpecError for a product whose features aren't kept, DataError: an unreadable table, or more rows than the cache holds.
    """
    parts = [Part(f"{PREFIX}{trunk_of(spec, kind)}", name) for name, kind in spec.inputs.items() if kind in TRUNK_KINDS and trunk_of(spec, kind)]
    if not parts or spec.task in ("tag", "extract"):
        raise SpecError("this product has no features to keep", where=str(folder), found=f"task {spec.task}, {', '.join(spec.inputs.values())}")
    dense, ask, reader, counts = Dense(tuple(parts), None), desk.ask(), RowReader(spec.inputs), desk.features.counts
    before, rows, refused = (counts.hits, counts.misses), 0, 0
    wide = sum(desk.width(each.engine) for each in parts) * 4
    for block in _blocks(spec, folder, data, part):
        read = [reader.read(row) for row in block]
        kept: list[Inputs] = [row for row in read if isinstance(row, dict)]
        rows, refused = rows + len(block), refused + len(read) - len(kept)
        if rows * part[1] * wide > desk.features.max_bytes:
            raise DataError(
                "the cache doesn't hold the features of these rows", where=str(desk.features.folder),
                found=f"over {rows * part[1]:,} rows of {wide:,} bytes", wanted=f"at most {desk.features.max_bytes / 1e9:g} GB",
                hint="TRUNKLINE_CACHE_GB=20, for this and for trainings",
            )  # fmt: skip
        if kept:
            ask(dense.calls(kept))
        progress.step("rows", rows, rows)
    progress.close()
    return Encoded(rows, refused, counts.hits - before[0], counts.misses - before[1])


def encode_by(processes: int, words: Sequence[str]) -> Encoded:
    """`trunkline encode` with these words, a part by each of so many processes. Raises TrunklineError where one failed, with its
    own words if it had any; what the others did is kept."""
    start = [sys.executable, "-m", "trunkline.training.bound", str(os.getpid()), "trunkline", "encode", *words, "--json", "--part"]
    running = [  # Ctrl-C is this process's
        subprocess.Popen([*start, f"{at}/{processes}"], stdout=subprocess.PIPE, process_group=0) for at in range(1, processes + 1)
    ]
    try:
        said = [child.communicate()[0] for child in running]
    except BaseException:
        for child in running:
            child.terminate()
        raise
    failed = [(f"part {at} with code {child.returncode}", told) for at, (child, told) in enumerate(zip(running, said, strict=True), 1) if child.returncode]
    if failed:
        raise _failed(failed)
    return sum((msgspec.json.decode(text, type=Encoded) for text in said), Encoded(0, 0, 0, 0))


def _failed(parts: Sequence[tuple[str, bytes]]) -> TrunklineError:
    """What the first one that told an error said; a process that was killed said nothing."""
    for _, told in parts:
        if told:
            return TrunklineError.from_dict(msgspec.json.decode(told, type=dict[str, str]))
    return TrunklineError(
        "a process failed", found=", ".join(which for which, _ in parts), hint="the same command again: what is encoded is kept"
    )


def _blocks(spec: Spec, folder: Path, data: Path | None, part: tuple[int, int]) -> Iterator[list[dict[str, object]]]:
    number, (own, every) = 0, part
    for source in _sources(spec, folder, data):
        left = checked(rows_of(source, spec.inputs), list(spec.inputs), source.describe())
        while block := list(islice(left, BLOCK)):
            number += 1
            if number % every == own % every:
                yield [dict(row) for row in block]


def _sources(spec: Spec, folder: Path, data: Path | None) -> list[Source]:
    if data is not None:
        return [open_path(data)]
    named: list[str | Query] = [spec.data.train, *([spec.data.test] if spec.data.test is not None else [])]
    return [open_source(each, folder, spec.data.encoding) for each in named]
