from __future__ import annotations

import numpy as np

from trunkline.inputs import KINDS
from trunkline.inputs.tensors import TENSORS, item_key, tensors_key


def test_equal_rows_have_equal_keys_and_no_others() -> None:
    rows = [
        (np.array([1.0, 2.0]), ("a", "b")),
        (np.array([1.0, 2.5]), ("a", "b")),
        (np.array([1.0, 2.0]), ("ab", "")),
        (np.array([1.0, 2.0]), ("a",), ("b",)),
        (("a", "b"), np.array([1.0, 2.0])),
        (np.array([1.0]), np.array([2.0]), ("a", "b")),
        (np.array([1.0, 2.0]), ("值", "b")),
    ]
    assert len({tensors_key(row) for row in rows}) == len(rows)
    assert tensors_key(rows[0]) == tensors_key((np.array([1.0, 2.0]), ["a", "b"]))


def test_a_key_for_every_kind() -> None:
    assert item_key(TENSORS)((("a",),)) == tensors_key((("a",),))
    assert item_key("text")("a") == KINDS.get("text")().key("a")
    assert TENSORS not in KINDS.names(), "no column is of this kind"
