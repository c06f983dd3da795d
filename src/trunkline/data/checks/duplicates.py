"""Rows that say the same: inside a part, across train and test, and with different labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline.data.checks.view import MOST_ROWS, View, percent
from trunkline.data.loaded import Loaded
from trunkline.types import Finding

_RARE = 0.9  # from this share of distinct rows on, equal table rows are copies rather than coincidence
_ALL = 0.5  # this share of copied training rows is no accident: the files are mixed up


def leak_mask(loaded: Loaded) -> NDArray[np.bool_]:
    """(train,) rows that equal or nearly equal a test row, or have a test row's group.

    Rows of a table without text count only where equal rows are rare: with a few columns of few
    values equal rows are natural, and leaving them out would bias what is learned.
    """
    out = np.zeros(len(loaded.train), bool)
    if loaded.train.groups is not None and loaded.test.groups is not None:
        out |= _held(loaded.train.groups, loaded.test.groups)
    if loaded.columns("text") or loaded.distinct_share >= _RARE:
        out |= _held(loaded.input_keys["train"], loaded.input_keys["test"])
    if loaded.columns("text"):
        pairs, _ = loaded.near
        across = pairs[(pairs[:, 0] < len(out)) & (pairs[:, 1] >= len(out))]
        out[across[:, 0]] = True
    return out


def leaks(loaded: Loaded) -> NDArray[np.bool_]:
    """(train,) True for rows to leave out of training: `leak_mask`, but none where that would be more
    than half. Then train and test are one and the same, which the finding "leaks" (stop) says."""
    mask = leak_mask(loaded)
    return np.zeros_like(mask) if mask.mean() > _ALL else mask


def _held(train: Iterable[Hashable], test: Iterable[Hashable]) -> NDArray[np.bool_]:
    held = set(test)
    return np.array([name in held for name in train], bool)


def leaked_rows(view: View) -> list[Finding]:
    """Training rows that a test row gives away."""
    mask = leak_mask(view.loaded)
    count = int(mask.sum())
    share = count / view.n_train
    if not count:
        return []
    everywhere = share > _ALL
    return [
        Finding(
            check="leaks",
            severity="stop" if everywhere else "warn",
            score=share,
            count=count,
            message=f"{count:,} training rows ({percent(share)}) equal or nearly equal a test row"
            + (": train and test look like the same rows" if everywhere else "; they are left out of training"),
            message_zh=f"{count:,} 行训练数据（{percent(share)}）与测试数据相同或几乎相同"
            + ("：两份数据像是同一份" if everywhere else "，训练时不使用"),
            rows=_leak_examples(view, mask),
            fix="give other test rows, or none: then some are split off" if everywhere else "",
        )
    ]


def _leak_examples(view: View, mask: NDArray[np.bool_]) -> list[dict[str, object]]:
    """Each leaked row followed by the test row that it equals."""
    partner = {key: i + view.n_train for i, key in enumerate(view.loaded.input_keys["test"])}
    near = {int(a): int(b) for a, b in view.loaded.near[0] if a < view.n_train <= b} if view.loaded.texts else {}
    found: list[dict[str, object]] = []
    for at in np.flatnonzero(mask)[: MOST_ROWS // 2].tolist():
        other = near.get(at, partner.get(view.loaded.input_keys["train"][at]))
        found.append(view.example(at, "" if other is not None else "its group is in test too"))
        if other is not None:
            found.append(view.example(other, "equals the row above"))
    return found


def duplicates(view: View) -> list[Finding]:
    """Equal rows and nearly equal texts inside each part."""
    findings = []
    for part, offset in (("train", 0), ("test", view.n_train)):
        again = repeats(view.loaded.input_keys[part])
        if again and (view.loaded.columns("text") or view.loaded.distinct_share >= _RARE):
            findings.append(_repeated(view, "duplicates", part, [offset + i for i in again], ("equal", "相同")))
        near = _near_inside(view, part, {offset + i for i in again})
        if near:
            findings.append(_repeated(view, "near_duplicates", part, near, ("nearly equal", "几乎相同")))
    return findings


def repeats(keys: Iterable[Hashable]) -> list[int]:
    """Numbers of the keys that an earlier one equals; empty keys don't count."""
    seen: set[Hashable] = set()
    again = []
    for i, key in enumerate(keys):
        if key in seen:
            again.append(i)
        elif key:
            seen.add(key)
    return again


def _near_inside(view: View, part: str, equal: set[int]) -> list[int]:
    """Later rows of near pairs of a part that are not simply equal rows, most similar first."""
    if not view.loaded.texts:
        return []
    pairs, similar = view.loaded.near
    n = view.n_train
    inside = (pairs[:, 1] < n) if part == "train" else (pairs[:, 0] >= n)
    order = np.argsort(-similar[inside], kind="stable")
    later = dict.fromkeys(pairs[inside][order, 1].tolist())
    return [at for at in later if at not in equal]


def _repeated(view: View, check: str, part: str, rows: Sequence[int], how: tuple[str, str]) -> Finding:
    share = len(rows) / len(view.loaded.part(part))
    part_zh = "训练" if part == "train" else "测试"
    return Finding(
        check=check,
        severity="warn" if share > 0.05 else "info",
        score=share,
        count=len(rows),
        message=f"{len(rows):,} {part} rows ({percent(share)}) are {how[0]} to an earlier one",
        message_zh=f"{len(rows):,} 行{part_zh}数据（{percent(share)}）与前面的行{how[1]}",
        rows=view.examples(rows),
        fix="remove copies that real use would not show" if share > 0.05 else "",
    )


def conflicts(view: View) -> list[Finding]:
    """One input with different labels in train: at most one of them can be right."""
    if not view.loaded.train.labels or not (view.loaded.columns("text") or view.loaded.distinct_share >= _RARE):
        return []
    by_key: dict[bytes, list[int]] = {}
    for at, key in enumerate(view.loaded.input_keys["train"]):
        by_key.setdefault(key, []).append(at)
    cells = view.loaded.cells["train"]
    bad = [at for group in by_key.values() if len({repr(cells[i]) for i in group}) > 1 for at in group]
    if not bad:
        return []
    share = len(bad) / view.n_train
    return [
        Finding(
            check="conflicting_labels",
            severity="warn",
            score=share,
            count=len(bad),
            message=f"{len(bad):,} training rows ({percent(share)}) have equal inputs but different labels",
            message_zh=f"{len(bad):,} 行训练数据（{percent(share)}）输入相同而标签不同",
            rows=view.examples(bad),
            fix="decide which label is right",
        )
    ]


def duplicate_ids(view: View) -> list[Finding]:
    """Ids that name several rows."""
    column = view.spec.data.id
    if column is None:
        return []
    ids = [*_ids(view, column, "train"), *_ids(view, column, "test")]
    again = repeats(ids)
    if not again:
        return []
    return [
        Finding(
            check="duplicate_ids",
            severity="warn",
            score=len(again) / len(ids),
            count=len(again),
            message=f"{len(again):,} rows have an id ({column!r}) that an earlier row has",
            message_zh=f"{len(again):,} 行的 id（{column!r}）与前面的行重复",
            rows=view.examples(again, "id seen before"),
            fix="an id should name one row; for rows that belong together use [data] group",
        )
    ]


def _ids(view: View, column: str, part: str) -> Iterable[str]:
    return ["" if cell is None else str(cell).strip() for cell in view.loaded.part(part).columns[column]]
