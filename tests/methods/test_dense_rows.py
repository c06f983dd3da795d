from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tests.methods.texts import DIM, ask, examples, spec_of

from trunkline.heads.dense import Dense
from trunkline.methods.dense_rows import DenseRows, landmarks_of, members_of, outside_of, read_rows
from trunkline.methods.table_target import Answers
from trunkline.types import Call


def rows_of(pooled: NDArray[np.float32]) -> DenseRows:
    centre = pooled.mean(axis=0)
    return DenseRows(Dense.of_texts("trunk:t", ("text",)), pooled, pooled - centre, centre, np.ones(DIM, np.float32))


def test_strangers_are_found_even_with_two_opposite_classes() -> None:
    """Rows share a subject, tell their classes apart a little, and differ much else, as reviews do."""
    rng = np.random.default_rng(0)
    subject, other, side = np.linalg.qr(rng.normal(size=(DIM, 3)))[0].T
    label = np.arange(600) % 2
    noise = rng.normal(size=(1000, DIM)) * 0.6 / np.sqrt(DIM)
    inside = (subject + np.outer(label * 0.4 - 0.2, side) + noise[:600]).astype(np.float32)
    strangers = (other + noise[600:]).astype(np.float32)
    rows, answers, spec = rows_of(inside), Answers(label, "logistic", 1), spec_of()
    own, marks = outside_of(spec, rows, answers, np.arange(600) % 5), landmarks_of(spec, rows, answers)
    assert own is not None
    assert marks is not None
    assert (marks.outside(strangers) > np.quantile(own, 0.995)).mean() > 0.95


def test_no_landmarks_where_the_budget_has_no_room_for_them() -> None:
    rows, answers = rows_of(np.eye(DIM, dtype=np.float32)), Answers(np.arange(DIM), "softmax", DIM)
    tiny = spec_of(method={"head_mb": 0.001})
    assert landmarks_of(tiny, rows, answers) is None
    assert outside_of(tiny, rows, answers, np.arange(DIM) % 5) is None


def test_groups_of_every_sort_of_target() -> None:
    assert members_of(Answers(np.array([0, 2]), "softmax", 3)).tolist() == [[True, False, False], [False, False, True]]
    labels = members_of(Answers(np.array([[1, 1], [0, 0]]), "labels", 2))
    assert labels.tolist() == [[True, True, False], [False, False, True]]
    bins = members_of(Answers(np.arange(80.0), "identity", 1))
    assert bins.sum(axis=0).tolist() == [10] * 8


def test_pooled_vectors_are_scaled_to_length_one_and_columns_to_variance_one() -> None:
    rows = read_rows(spec_of(inputs={"text": "text", "size": "number"}), examples(), ask)
    assert np.isclose((rows.x[:, :DIM] ** 2).sum(axis=1).mean(), 1, atol=1e-3)
    assert np.isclose(rows.x[:, DIM].std(), 1, atol=0.15)
    assert np.allclose(rows.x.mean(axis=0), 0, atol=1e-4)


def test_each_trunk_weighs_the_same_and_texts_of_one_trunk_as_they_always_did() -> None:
    rng = np.random.default_rng(0)
    made = {"text": rng.normal(size=(60, DIM)), "image": rng.normal(size=(60, 5)) * 100}

    def vectors(calls: Sequence[Call]) -> list[NDArray[np.float32]]:
        return [(made["image"] if "efficientnet" in call.engine else made["text"]).astype(np.float32) for call in calls]

    given = replace(examples(), inputs=[{"text": "x", "image": "y"}] * 60)
    rows = read_rows(spec_of(inputs={"text": "text", "image": "image"}), given, vectors)
    lengths = [(part**2).sum(axis=1).mean() for part in (rows.x[:, :DIM], rows.x[:, DIM:])]
    assert np.allclose(lengths, 2, rtol=1e-3)
    twice = read_rows(spec_of(inputs={"text": "text", "more": "text"}), given, vectors)
    spread = np.sqrt(((twice.pooled - twice.centre) ** 2).sum(axis=1, dtype=np.float64).mean())
    assert (twice.scale == np.float32(2 / float(spread))).all()
