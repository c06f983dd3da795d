from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trunkline.data.split import RECORD, folds, place, split_by_key, split_by_time
from trunkline.errors import DataError
from trunkline.types import Examples

KEYS = st.lists(st.integers(0, 60).map(lambda i: b"key%d" % i), min_size=2, max_size=60)


def parts(keys: Sequence[bytes], share: float, root: Path) -> dict[bytes, bool]:
    is_test, _ = split_by_key(keys, share, root)
    return dict(zip(keys, is_test.tolist(), strict=True))


@settings(deadline=None)  # they write files: the disk sets the pace
@given(KEYS, KEYS, st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_nothing_moves_when_rows_are_added_or_the_share_changes(
    keys: list[bytes], more: list[bytes], share: float, later: float
) -> None:
    assume(len(set(keys)) > 1)
    with tempfile.TemporaryDirectory() as folder:
        before = parts(keys, share, Path(folder))
        after = parts([*more, *keys], later, Path(folder))
        assert {key: after[key] for key in before} == before
        assert parts(keys, later, Path(folder)) == before


@settings(deadline=None)  # they write files: the disk sets the pace
@given(KEYS, st.randoms())
def test_order_does_not_matter_and_equal_keys_stay_together(keys: list[bytes], random: object) -> None:
    assume(len(set(keys)) > 1)
    shuffled = list(keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        is_test, split = split_by_key(keys, 0.3, Path(one))
        first = dict(zip(keys, is_test.tolist(), strict=True))
        assert first == parts(shuffled, 0.3, Path(two))
        assert [first[key] for key in keys] == is_test.tolist()
        assert 0 < split.share < 1


def test_the_share_is_kept_and_places_are_even(tmp_path: Path) -> None:
    keys = [b"%d" % i for i in range(10_000)]
    _, split = split_by_key(keys, 0.2, tmp_path)
    assert split.share == pytest.approx(0.2, abs=0.015)
    assert split.how == "key"
    counts = np.histogram([place(key) for key in keys], 10, (0, 1))[0]
    assert counts.min() > 900


def test_places_never_change() -> None:
    assert place(b"a") == pytest.approx(0.6905872569381128, abs=1e-12)


def test_one_key_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be split"):
        split_by_key([b"a", b"a"], 0.2, tmp_path)
    assert not (tmp_path / RECORD).exists()


def test_a_damaged_record_is_no_new_split(tmp_path: Path) -> None:
    split_by_key([b"a", b"b"], 0.5, tmp_path)
    (tmp_path / RECORD).write_bytes(b"junk")
    with pytest.raises(DataError, match="damaged"):
        split_by_key([b"a", b"b"], 0.5, tmp_path)


def test_time_puts_the_latest_rows_in_test_and_records_the_boundary(tmp_path: Path) -> None:
    keys = [b"%d" % i for i in range(100)]
    is_test, split = split_by_time(keys, list(range(100)), 0.2, tmp_path)
    assert np.flatnonzero(is_test).tolist() == list(range(80, 100))
    assert split.boundary == 79
    more = [*keys, b"old", b"new"]
    again, later = split_by_time(more, [*range(100), 3, 500], 0.5, tmp_path)
    assert again[:100].tolist() == is_test.tolist()
    assert again[100:].tolist() == [False, True]
    assert later.boundary == 79


def test_time_keeps_ties_and_groups_together(tmp_path: Path) -> None:
    keys = [b"a", b"b", b"c", b"d", b"a"]
    is_test, _ = split_by_time(keys, [1, 2, 2, 1, 3], 0.2, tmp_path)
    assert is_test.tolist() == [True, False, False, False, True]
    with pytest.raises(DataError, match="one time"):
        split_by_time([b"x", b"y"], [5, 5], 0.2, tmp_path / "other")


def examples(
    target: Sequence[int] | np.ndarray, keys: Sequence[bytes] | None = None, **more: Sequence[object]
) -> Examples:
    n = len(target)
    names = keys or [b"%d" % i for i in range(n)]
    return Examples([{}] * n, np.asarray(target), ("a", "b", "c"), names, np.arange(n), **more)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15)), min_size=4, max_size=60), st.integers(2, 6))
def test_folds_keep_groups_whole_whatever_the_order(rows: list[tuple[int, int]], k: int) -> None:
    assume(len({group for _, group in rows}) > 1)
    target, groups = [cls for cls, _ in rows], [str(group) for _, group in rows]
    got = folds(examples(target, groups=groups), k, 0, True)
    assert len({(group, fold) for group, fold in zip(groups, got.tolist(), strict=True)}) == len(set(groups))
    assert sorted(set(got.tolist())) == list(range(min(k, len(set(groups)))))


def test_folds_spread_every_class_and_sizes() -> None:
    target = np.repeat([0, 1, 2], [1_000, 100, 5])
    got = folds(examples(target), 5, 1, True)
    for cls, count in ((0, 200), (1, 20), (2, 1)):
        assert np.bincount(got[target == cls]).tolist() == [count] * 5
    assert (folds(examples(target), 5, 1, True) == got).all()
    assert (folds(examples(target), 5, 2, True) != got).any()


def test_folds_are_a_function_of_keys_not_of_order() -> None:
    target = np.arange(50) % 3
    order = np.random.default_rng(0).permutation(50)
    plain = examples(target)
    assert (folds(plain.take(order), 5, 0, True) == folds(plain, 5, 0, True)[order]).all()


def test_equal_keys_share_a_fold() -> None:
    keys = [b"%d" % (i % 10) for i in range(40)]
    got = folds(examples(np.zeros(40, int), keys), 4, 0, False)
    assert all(len(set(got[i::10].tolist())) == 1 for i in range(10))


def test_folds_of_label_sets_spread_the_rare_label() -> None:
    table = np.zeros((100, 3), bool)
    table[:, 0] = True
    table[:5, 2] = True
    got = folds(examples(table), 5, 0, True)
    assert sorted(got[:5].tolist()) == [0, 1, 2, 3, 4]


def test_folds_in_time_are_blocks() -> None:
    times = [float(i // 2) for i in range(20)][::-1]
    got = folds(examples(np.zeros(20, int), times=times), 4, 0, True)
    assert np.diff(got[np.argsort(times, kind="stable")]).min() >= 0
    assert len(set(zip(times, got.tolist(), strict=True))) == 10
    assert sorted(set(got.tolist())) == [0, 1, 2, 3]


def test_one_group_makes_no_folds() -> None:
    with pytest.raises(DataError, match="can't be cut"):
        folds(examples([0, 1, 0], groups=["g"] * 3), 3, 0, True)
