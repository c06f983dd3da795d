"""What was decoded just now, and how much of it."""

from __future__ import annotations

from trunkline.inputs.kept import Kept


def test_the_last_things_are_kept_by_their_weight() -> None:
    kept: Kept[str] = Kept(10)
    for at in range(4):
        kept.remember(bytes([at]), str(at), 3)
    assert [kept.recall(bytes([at])) for at in range(4)] == [None, "1", "2", "3"]
    kept.remember(b"\1", "again", 4)
    assert (kept.recall(b"\1"), kept.weight) == ("again", 10)
    kept.remember(b"large", "too large for all", 11)
    assert kept.weight == 0
