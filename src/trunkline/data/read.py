"""Rows to examples: the one way in for training, evaluation and prediction."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trunkline.data.loaded import Loaded
from trunkline.data.rows import Arrange, RefusedRow, Rows, gather
from trunkline.data.sources import SOURCES
from trunkline.data.split import Split, split_by_key, split_by_time
from trunkline.errors import DataError, nearest
from trunkline.files import safe_below
from trunkline.spec import Query, Spec
from trunkline.types import Examples, Source, Task

_SUFFIXES = {"tsv": "csv", "ndjson": "jsonl", "pq": "parquet"}


def open_source(value: str | Query, root: Path, encoding: str | None = None) -> Source:
    """The source that a spec names: a query, or a path below `root`. Nothing is read yet.

    Raises DataError for a path that leaves `root` or a suffix no source knows.
    """
    if isinstance(value, Query):
        make: Any = SOURCES.get("sql")
        return cast(Source, make(value))
    return open_path(safe_below(root, value), encoding)


def open_path(path: Path, encoding: str | None = None) -> Source:
    """The source for a file or folder that the user named at the command line."""
    suffix = path.suffix.lower().removeprefix(".")
    name = "folder" if path.is_dir() else _SUFFIXES.get(suffix, suffix)
    if not path.is_dir() and name not in set(SOURCES.names()) - {"folder", "sql"}:
        if not path.exists():
            raise DataError("this file does not exist", where=str(path))
        raise DataError(
            "rows can't be read from this sort of file",
            where=str(path),
            found=path.suffix or "no suffix",
            wanted=".csv, .tsv, .jsonl, .parquet or a folder of class folders",
        )
    make: Any = SOURCES.get(name)
    return cast(Source, make(path, encoding))


def read_examples(spec: Spec, task: Task, root: Path) -> Loaded:
    """Train and test examples of a product whose folder is `root`; the split is recorded there.

    Raises DataError: a column missing (checked before the rows are read), no rows, labels that
    the task can't read, a label of the test file that training never shows, no way to split.
    """
    arrange = arrange_of(task)
    rows = gather(spec, open_source(spec.data.train, root, spec.data.encoding), "train", arrange)
    _some("train", rows, rows.refused)
    if spec.data.test is not None:
        test = gather(spec, open_source(spec.data.test, root, spec.data.encoding), "test", arrange)
        share = len(test) / (len(rows) + len(test))
        return _loaded(spec, task, rows, test, Split("published", share), [*rows.refused, *test.refused])
    if spec.data.time is not None:
        is_test, split = split_by_time(rows.keys, rows.times or (), spec.data.test_share, root)
    else:
        is_test, split = split_by_key(rows.keys, spec.data.test_share, root)
    train, test = rows.take(~is_test), rows.take(is_test)
    test, unseen = _without_unseen(spec, task, train, test)
    return _loaded(spec, task, train, test, split, [*rows.refused, *unseen])


def arrange_of(task: Task) -> Arrange | None:
    """How a task whose label cell points into an input reads a row (`tasks.tag.Tag.arrange`); None for the others."""
    return getattr(task, "arrange", None)


def read_training(spec: Spec, task: Task, root: Path) -> tuple[Examples, str]:
    """(training examples, sha256 of them) by the same split as `read_examples`: what a search of settings may look at.

    A test part of its own isn't opened; test rows among the others are let go of as soon as the split is known, with
    nothing decoded or answered. Rows that nearly equal test rows stay in, since to find them is to read those.
    Raises DataError as `read_examples` does.
    """
    rows = gather(spec, open_source(spec.data.train, root, spec.data.encoding), "train", arrange_of(task))
    _some("train", rows, rows.refused)
    if spec.data.test is None:
        share = spec.data.test_share
        if spec.data.time is not None:
            is_test, _ = split_by_time(rows.keys, rows.times or (), share, root)
        else:
            is_test, _ = split_by_key(rows.keys, share, root)
        rows = rows.take(~is_test)
        _some("train", rows, rows.refused)
    target, labels = targets(spec, task, rows, None)
    return rows.examples(target, labels), _digest(rows)


def read_rows(spec: Spec, source: Source, labels: Sequence[str], task: Task) -> tuple[Examples, Sequence[RefusedRow]]:
    """(examples, refused rows) of other rows for an evaluation; labels as in training.

    Raises DataError as `read_examples` does.
    """
    rows = gather(spec, source, "test", arrange_of(task))
    _some("test", rows, rows.refused)
    target, known = targets(spec, task, rows, labels)
    return rows.examples(target, known), rows.refused


def targets(spec: Spec, task: Task, rows: Rows, labels: Sequence[str] | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """`task.target` of the rows' label cells. Raises DataError naming source, row and label."""
    try:
        return task.target(spec, rows.cells, labels)
    except DataError as error:
        for at, cell in enumerate(rows.cells):
            try:
                task.target(spec, [cell], labels)
            except DataError as one:
                raise DataError(
                    one.what,
                    where=f"{rows.source}, row {int(rows.rows[at]) + 1}",
                    found=one.found or repr(cell),
                    wanted=one.wanted,
                    hint=one.hint or nearest(str(cell), labels or ()),
                ) from error
        raise


def _without_unseen(spec: Spec, task: Task, train: Rows, test: Rows) -> tuple[Rows, list[RefusedRow]]:
    """A test part split off by key may hold a label that no training row has: nothing could be
    right there, so those rows are left out of the proof, and counted."""
    _, labels = targets(spec, task, train, None)
    seen: dict[str, bool] = {}
    keep = np.ones(len(test), bool)
    for at, cell in enumerate(test.cells):
        name = repr(cell)
        if name not in seen:
            seen[name] = _known(spec, task, cell, labels)
        keep[at] = seen[name]
    refused = [
        RefusedRow("train", int(test.rows[at]), "", "unseen_label", f"no training row has the label {test.cells[at]!r}")
        for at in np.flatnonzero(~keep).tolist()
    ]
    return test.take(keep), refused


def _known(spec: Spec, task: Task, cell: Any, labels: Sequence[str]) -> bool:
    if not labels:
        return True
    try:
        task.target(spec, [cell], labels)
    except DataError:  # the task's way to say that the label is new
        return False
    return True


def _loaded(
    spec: Spec, task: Task, train: Rows, test: Rows, split: Split, refused: Sequence[RefusedRow]
) -> Loaded:
    _some("train", train, refused)
    _some("test", test, refused)
    train_target, labels = targets(spec, task, train, None)
    try:
        test_target, _ = targets(spec, task, test, labels)
    except DataError as error:
        if len(labels) != 1:
            raise
        raise DataError(  # the cause, not that a test label is new
            f"all {len(train):,} training rows have one answer ({labels[0]!r}): there is nothing to learn",
            where=train.source,
            wanted="rows of at least two labels",
        ) from error
    return Loaded(
        train=train.examples(train_target, labels),
        test=test.examples(test_target, labels),
        kinds=spec.inputs,
        cells={"train": train.cells, "test": test.cells},
        input_keys={"train": train.input_keys, "test": test.input_keys},
        refused=tuple(refused),
        notes=tuple(dict.fromkeys([*train.notes, *test.notes])),
        source=train.source if split.how != "published" else f"{train.source}, {test.source}",
        digest=_digest(train, test),
        split=split,
    )


def _some(name: str, rows: Rows, refused: Sequence[RefusedRow]) -> None:
    """Raises DataError where no row is left."""
    if not len(rows):
        raise DataError(
            f"no {name} rows are left",
            where=rows.source,
            found=_reasons(refused) or "no rows",
            wanted="at least one row with its inputs and its label",
        )


def _reasons(refused: Sequence[RefusedRow]) -> str:
    """How many rows were refused, with the first of each sort."""
    first = {row.code: row for row in reversed(refused)}
    counts = Counter(row.code for row in refused)
    told = "; ".join(f"{count:,} as {first[code].message}" for code, count in counts.most_common(3))
    return told and f"{len(refused):,} rows refused, {told}"


def _digest(*parts: Rows) -> str:
    whole = hashlib.sha256()
    for rows in parts:
        for key, own, cell in zip(rows.keys, rows.input_keys, rows.cells, strict=True):
            whole.update(key + own + repr(cell).encode("utf-8", "backslashreplace") + b"\n")
        whole.update(b"--\n")
    return whole.hexdigest()
