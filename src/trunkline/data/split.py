"""Which row is train and which is test; folds for out-of-fold predictions.

The key of a row is its group, else its id, else its normalised inputs; never label, order or seed.
Assignments are recorded, so that no row moves when others are added or the share changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.errors import DataError
from trunkline.files import write_atomic
from trunkline.types import Examples, Folds

RECORD = Path(".trunkline") / "split.json"


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """split.json: the keys of each part, as hex digits."""

    train: list[str]
    test: list[str]
    boundary: float | None = None  # time: days since 1970
    format: Literal[1] = 1


@dataclass(frozen=True)
class Split:
    """How rows were split: "published" (own test file), "key" or "time"."""

    how: str
    share: float  # of rows in test, as it came out
    boundary: float | None = None  # time: days since 1970; later rows are test


def place(key: bytes) -> float:
    """A key's fixed place in [0, 1): test if below the share."""
    return int.from_bytes(blake2b(key, digest_size=8, person=b"split").digest()) / 2.0**64


def place_by(key: bytes, seed: int) -> float:
    """A key's place in [0, 1) for a seed: what a part of the training rows is set aside by."""
    return int.from_bytes(blake2b(key, digest_size=8, key=str(seed).encode()).digest()) / 2.0**64


def split_by_key(keys: Sequence[bytes], share: float, root: Path) -> tuple[NDArray[np.bool_], Split]:
    """(is test (n,), split). Reads and adds to the record below `root`.

    Raises DataError where all rows have one key, for then they can't be split.
    """
    recorded, _ = _load(root)
    parts = {key: recorded.get(key, place(key) < share) for key in set(keys)}
    _fill_empty_part(parts)
    is_test = np.array([parts[key] for key in keys], bool)
    _save(root, recorded, parts, None)
    return is_test, Split("key", float(is_test.mean()))


def split_by_time(
    keys: Sequence[bytes], times: Sequence[float], share: float, root: Path
) -> tuple[NDArray[np.bool_], Split]:
    """The latest rows are test: those after a boundary, which is recorded. Rows of one key (a group)
    go together, by their latest time; equal times are never parted. Raises DataError where all rows
    have one time or one key."""
    recorded, boundary = _load(root)
    latest: dict[bytes, float] = {}
    for key, time in zip(keys, times, strict=True):
        latest[key] = max(time, latest.get(key, -np.inf))
    row_times = np.array([latest[key] for key in keys])
    if boundary is None:
        boundary = _boundary(row_times, share)
    parts = {key: recorded.get(key, time > boundary) for key, time in latest.items()}
    is_test = np.array([parts[key] for key in keys], bool)
    if is_test.all() or not is_test.any():
        raise DataError("these rows can't be split by time", found="one part would be empty", wanted="several times")
    _save(root, recorded, parts, boundary)
    return is_test, Split("time", float(is_test.mean()), boundary)


def _boundary(row_times: NDArray[np.float64], share: float) -> float:
    """The time whose later rows come nearest to `share` of all."""
    times = np.unique(row_times)
    if len(times) < 2:
        raise DataError("all rows have one time", wanted="several times, or no [data] time")
    later = 1 - np.searchsorted(np.sort(row_times), times[:-1], side="right") / len(row_times)
    return float(times[np.argmin(np.abs(later - share))])


def _fill_empty_part(parts: dict[bytes, bool]) -> None:
    """Few keys may all fall on one side; then the one nearest to the border changes over."""
    if len(parts) < 2:
        raise DataError(
            "these rows can't be split into train and test",
            found="one and the same group, id or input in all of them",
            wanted="at least two",
            hint="check the columns of [inputs], and id and group in [data]",
        )
    if not any(parts.values()):
        parts[min(parts, key=place)] = True
    elif all(parts.values()):
        parts[max(parts, key=place)] = False


def _load(root: Path) -> tuple[dict[bytes, bool], float | None]:
    """The record: key -> is test, and the time boundary. Raises DataError if it is damaged."""
    file = root / RECORD
    if not file.exists():
        return {}, None
    try:
        record = msgspec.json.decode(file.read_bytes(), type=Record)
        parts = {bytes.fromhex(key): False for key in record.train}
        return parts | {bytes.fromhex(key): True for key in record.test}, record.boundary
    except (msgspec.DecodeError, OSError, ValueError) as error:
        raise DataError(
            "the record of the split is damaged",
            where=str(file),
            found=f"{error!s:.120}",
            hint="restore it from a backup; removing it means a new split, so old reports can't be compared",
        ) from error


def _save(root: Path, recorded: Mapping[bytes, bool], parts: Mapping[bytes, bool], boundary: float | None) -> None:
    if parts.keys() <= recorded.keys():
        return
    merged = {**parts, **recorded}
    train, test = ([key.hex() for key in sorted(merged) if merged[key] is side] for side in (False, True))
    write_atomic(root / RECORD, msgspec.json.encode(Record(train, test, boundary)))


def folds(examples: Examples, k: int, seed: int, stratify: bool) -> Folds:
    """(n,) fold of each example, 0..k-1; rows of one group or one key share a fold.

    With times: k blocks in time order, equal times together. Else units (groups, keys) are dealt out
    largest first, each to the fold with fewest rows of its class, then fewest rows; with `stratify`
    every class that has k units is in every fold. The order of rows doesn't matter. With fewer than k
    units there are as many folds as units. Raises DataError below two units.
    """
    unit, first = _units(examples)
    sizes = np.bincount(unit)
    if len(sizes) < 2:
        raise DataError("these rows can't be cut into folds", found="one group or one input", wanted="at least two")
    k = min(k, len(sizes))
    if examples.times is not None:
        return _blocks(unit, np.asarray(examples.times, float), k)
    classes = _classes(examples.target) if stratify else np.zeros(len(unit), np.int64)
    order = sorted(range(len(sizes)), key=lambda u: first[u])
    shuffled = np.array(order)[np.random.default_rng(seed).permutation(len(order))]
    shuffled = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    return _deal(unit, classes, shuffled, k)


def _units(examples: Examples) -> tuple[NDArray[np.int64], list[bytes]]:
    """(unit of each row, key of each unit)."""
    names = examples.keys if examples.groups is None else [group.encode() for group in examples.groups]
    numbers: dict[bytes, int] = {}
    unit = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return unit, list(numbers)


def _classes(target: NDArray[np.generic]) -> NDArray[np.int64]:
    """What is spread over folds: the class; of several labels the rarest, none being one more."""
    if target.ndim == 1:
        return np.asarray(np.unique(target, return_inverse=True)[1], np.int64)
    rarity = np.where(target, target.sum(axis=0)[None, :], np.iinfo(np.int64).max)
    return np.asarray(np.where(target.any(axis=1), rarity.argmin(axis=1), target.shape[1]), np.int64)


def _deal(unit: NDArray[np.int64], classes: NDArray[np.int64], order: NDArray[np.int64], k: int) -> Folds:
    rows_of = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit))[:-1])
    per_class = np.zeros((int(classes.max()) + 1, k), np.int64)
    total = np.zeros(k, np.int64)
    out = np.empty(len(unit), np.int64)
    for u in order:
        rows = rows_of[u]
        main = np.bincount(classes[rows]).argmax()
        fold = int(np.lexsort((total, per_class[main]))[0])
        np.add.at(per_class[:, fold], classes[rows], 1)
        total[fold] += len(rows)
        out[rows] = fold
    return out


def _blocks(unit: NDArray[np.int64], times: NDArray[np.float64], k: int) -> Folds:
    """Blocks with about as many rows each, by the latest time of a row's unit."""
    latest = np.full(int(unit.max()) + 1, -np.inf)
    np.maximum.at(latest, unit, times)
    row_times = latest[unit]
    before = np.searchsorted(np.sort(row_times), row_times, side="left")
    blocks = np.unique(before * k // len(unit), return_inverse=True)[1]
    return blocks.astype(np.int64)
