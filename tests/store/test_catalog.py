"""Both places of a record do the same: the file beside a product, and the catalog table on either database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from tests.store.conftest import address

from trunkline.metrics.traffic import Counts
from trunkline.record import Deployment, How, Kept, Record, Role, record_of
from trunkline.recordfile import RecordFile
from trunkline.store.catalog import Registry
from trunkline.store.database import Store, open_store
from trunkline.store.place import StoreError
from trunkline.store.tables import catalog

OK = {"status": "ok", "label": "fee"}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def change(version: str = "v1", role: Role = "live", how: How = "deploy", minute: int = 0, **more: Any) -> Deployment:
    when = (START + timedelta(minutes=minute)).isoformat(timespec="seconds")
    parts = {"passed": True, "digest": f"{version}-digest", "reason": "第一版", **more}
    return Deployment(when=when, who="me", version=version, role=role, how=how, **parts)


@dataclass
class Place:
    """A place where records are kept, and a way to a second view of it, as another process has."""

    kept: Kept
    registry: Registry | None
    folder: Path

    def other(self) -> Kept:
        return self.registry.of("客服") if self.registry else RecordFile(self.folder)


@pytest.fixture(params=["file", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "file":
        yield Place(RecordFile(tmp_path), None, tmp_path)
        return
    url = address(request.param, request, tmp_path)
    registry = Registry(url, open_store(url))
    yield Place(registry.of("客服"), registry, tmp_path)
    registry.close()


@pytest.fixture
def registry(url: str, store: Store) -> Registry:
    return Registry(url, store)


def test_a_record_is_what_its_changes_say(place: Place) -> None:
    assert (place.kept.read(), place.kept.read().era) == (Record(), "")
    for at, one in enumerate(
        (
            change("v1"),
            change("v2", passed=False, override=True, reason="a pilot"),
            change("v3", "canary", share=0.07),
            change("v1", "shadow"),
            change("v3", "canary", "rollback", figures={"error_rate": 0.5, "requests": 20.0}),
            change("v3", how="promote"),
        )
    ):
        assert place.kept.change(one)
        assert len(place.other().read().deployments) == at + 1
    record = place.other().read()
    assert (record.live, record.previous, record.canary, record.shadow) == ("v3", "v2", None, "v1")
    assert (record.overridden("v2"), record.overridden("v3"), record.digest("v2")) == (True, False, "v2-digest")
    assert record.deployments[2].share == 0.07
    assert record.deployments[4].figures == {"error_rate": 0.5, "requests": 20.0}
    assert place.kept.change(change("v2", how="rollback", minute=1))
    record = place.kept.read()
    assert (record.live, record.previous, record.era) == ("v2", None, "7 2026-03-01T12:01:00+00:00")


def test_a_change_that_no_longer_holds_is_not_made(place: Place) -> None:
    place.kept.change(change("v1"))
    place.kept.change(change("v2", "canary", share=0.5))
    promote = change("v2", how="promote")
    assert place.kept.change(promote, lambda record: record.is_canary("v2"))
    assert not place.other().change(promote, lambda record: record.is_canary("v2"))
    assert len(place.kept.read().deployments) == 3


def test_of_many_who_promote_one_does(registry: Registry, url: str) -> None:
    kept, won, rounds = registry.of("客服"), list[bool](), 8

    def promote() -> None:
        own = Registry(url).of("客服")  # a connection of its own, as another process has
        won.append(own.change(change("v2", how="promote"), lambda record: record.is_canary("v2")))

    for _ in range(rounds):
        won.clear()
        kept.change(change("v1"))
        kept.change(change("v2", "canary", share=0.5))
        threads = [threading.Thread(target=promote) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False, False, False, True]
    assert len(kept.read().deployments) == 3 * rounds


changes = st.builds(
    change,
    st.sampled_from(["v1", "v2", "v3"]),
    st.sampled_from(["live", "canary", "shadow"]),
    st.sampled_from(["deploy", "promote", "rollback", "silence", "explain"]),
    st.integers(0, 3),
    passed=st.booleans(),
)


def told(one: Deployment) -> Deployment:
    """What the commands and the server write, of what hypothesis drew."""
    if one.switches:
        return change("", how=one.how, digest="")
    role: Role = "live" if one.how == "promote" else one.role
    return change(
        one.version, role, one.how, passed=one.passed, override=one.how == "deploy" and not one.passed,
        share=0.25 if (role, one.how) == ("canary", "deploy") else None,
    )  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(changes, max_size=8))
def test_file_and_table_agree_whatever_happens(registry: Registry, store: Store, tmp_path: Path, drawn: list[Deployment]) -> None:
    with store.write() as connection:
        connection.execute(catalog.delete())
    (tmp_path / "bundles" / "shelf.json").unlink(missing_ok=True)
    file, table, wanted = RecordFile(tmp_path), registry.of("客服"), list(map(told, drawn))
    for one in wanted:
        assert file.change(one)
        assert table.change(one)
    assert table.read() == file.read() == record_of(wanted)
    record = table.read()
    with store.read() as connection:
        held = dict(connection.execute(select(catalog.c.role, catalog.c.version).where(catalog.c.ended.is_(None))).all())
    assert held == {role: v for role in ("live", "canary", "shadow") if (v := record.holder(role))}


def test_products_are_apart_and_all_are_read_at_once(registry: Registry) -> None:
    assert (registry.records(), registry.stamps()) == ({}, {})
    registry.of("客服").change(change("v1"))
    registry.of("other").change(change("v7"))
    before = registry.stamps()
    registry.of("客服").change(change("v2"))
    after = registry.stamps()
    assert {name: record.live for name, record in registry.records().items()} == {"客服": "v2", "other": "v7"}
    assert (after["客服"] > before["客服"], after["other"]) == (True, before["other"])
    assert registry.of("other").read() == registry.records()["other"]


def test_only_one_can_be_live(registry: Registry, store: Store) -> None:
    """Whatever writes to the table: the database itself refuses a second holder."""
    registry.of("客服").change(change("v1"))
    with pytest.raises(StoreError, match="can't be read or written"), store.write() as connection:
        connection.execute(text("INSERT INTO catalog SELECT 99, product, version, digest, role, share, created, who, reason, ended, how, passed, figures FROM catalog"))


# ---- what traffic measured ----


def counted(n: int, seconds: float = 0.01) -> Counts:
    counts = Counts()
    for _ in range(n):
        counts.request([OK, OK], seconds)
    counts.comparison([True, True, False])
    return counts


@pytest.fixture
def era(place: Place) -> str:
    place.kept.change(change("v1"))
    return place.kept.read().era


def test_counts_of_all_add_up(place: Place, era: str) -> None:
    first = place.kept.count(era, {"v1": counted(3), "v2": counted(1, 5.0)})
    second = place.other().count(era, {"v1": counted(4, 0.02)})
    assert first is not None
    assert second is not None
    assert (first["v1"].requests, second["v1"].requests, second["v2"].requests) == (3, 7, 1)
    read = place.kept.count(era, {})
    assert read is not None
    assert read["v1"].as_dict() == second["v1"].as_dict()
    assert read["v1"].shares()["agreement"].n == 6
    assert read["v2"].latencies()["latency_p50_ms"].value == pytest.approx(5000, rel=0.05)


def test_a_new_era_begins_at_nothing(place: Place, era: str) -> None:
    place.kept.count(era, {"v1": counted(3)})
    place.kept.change(change("v2"))
    assert place.kept.count(era, {"v1": counted(3)}) is None
    now = place.kept.read().era
    assert now != era
    assert place.kept.count(now, {}) == {}
    sums = place.kept.count(now, {"v2": counted(2)})
    assert sums is not None
    assert {version: counts.requests for version, counts in sums.items()} == {"v2": 2}
    assert place.kept.count("", {"v2": counted(1)}) is None


def test_nothing_is_lost_between_many(place: Place, era: str) -> None:
    def add() -> None:
        kept = place.other()
        for _ in range(20):
            kept.count(era, {"v1": counted(1)})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sums = place.kept.count(era, {})
    assert sums is not None
    assert (sums["v1"].requests, sums["v1"].rows, sums["v1"].compared) == (80, 160, 240)


@pytest.mark.parametrize("content", [b"", b"{", b'{"versions": {"v1": {"buckets": {"400": 1}}}}', b'{"more": 1}'])
def test_damaged_figures_begin_anew(tmp_path: Path, content: bytes) -> None:
    kept = RecordFile(tmp_path)
    kept.change(change("v1"))
    era = kept.read().era
    kept.count(era, {"v1": counted(2)})
    (tmp_path / ".trunkline" / "traffic.json").write_bytes(content)
    sums = kept.count(era, {"v1": counted(3)})
    assert sums is not None
    assert sums["v1"].requests == 3

