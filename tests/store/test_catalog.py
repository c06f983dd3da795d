from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from trunkline.store.catalog import Placement, end, history, place, placements
from trunkline.store.database import Store
from trunkline.store.place import StoreError


def live(now: datetime, version: str = "v1") -> Placement:
    return Placement("客服", version, "d" * 64, "live", now, "me", "第一版")


def test_the_next_in_a_role_ends_the_one_before(store: Store, now: datetime) -> None:
    later = now + timedelta(hours=1)
    place(store, live(now))
    place(store, live(later, "v2"))
    assert placements(store) == [live(later, "v2")]
    assert history(store, "客服") == [live(later, "v2"), replace(live(now), ended=later)]


def test_roles_and_products_are_apart(store: Store, now: datetime) -> None:
    canary = replace(live(now, "v2"), role="canary", share=2.5)
    place(store, live(now))
    place(store, canary)
    place(store, replace(live(now), product="other"))
    assert [(p.product, p.role, p.share) for p in placements(store)] == [
        ("other", "live", 100),
        ("客服", "canary", 2.5),
        ("客服", "live", 100),
    ]


def test_a_role_can_be_left_empty(store: Store, now: datetime) -> None:
    place(store, live(now))
    assert end(store, "客服", "live", now)
    assert not end(store, "客服", "live", now)
    assert placements(store) == []
    assert len(history(store, "客服")) == 1


@pytest.mark.parametrize("share", [0.0, 100.1])
def test_a_share_is_a_percentage(store: Store, now: datetime, share: float) -> None:
    place(store, live(now))
    with pytest.raises(StoreError, match="can't be read or written"):
        place(store, replace(live(now, "v2"), share=share))
    assert placements(store) == [live(now)]
