from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.serve.parts import make_bundle

from trunkline.serve.catalog import Served, ready
from trunkline.serve.rollout import Comparisons, Route, agree, identity, judge_canary
from trunkline.serve.wire import TooBusyError

OK = {"status": "ok", "label": "费用"}
OTHER = {"status": "ok", "label": "card"}


def served(tmp_path: Path, version: str, **rollout: Any) -> Served:
    return ready(make_bundle(tmp_path / version, version, spec={"rollout": rollout}))


@pytest.fixture
def route(tmp_path: Path) -> Route:
    rules = {"promote": ["requests >= 60", "agreement.low >= 0.5"], "compare": 1.0, "min_requests": 20}
    return Route(served(tmp_path, "v1"), served(tmp_path, "v2", **rules), 0.1, served(tmp_path, "v3"))


def test_a_user_stays_with_a_version_whatever_the_request(route: Route) -> None:
    users = [f"用户{n}" for n in range(4_000)]
    chosen = {user: route.choose(user, "r1") for user in users}
    assert all(route.choose(user, f"r{n}") is chosen[user] for n in range(3) for user in users)
    share = sum(one is route.canary for one in chosen.values()) / len(users)
    assert 0.08 < share < 0.12
    assert route.shadow not in chosen.values()


def test_without_a_user_the_request_decides(route: Route) -> None:
    chosen = [route.choose(None, f"r{n}") is route.canary for n in range(4_000)]
    assert 0.08 < sum(chosen) / len(chosen) < 0.12
    assert route.choose(None, "r7") is route.choose("", "r7")


def test_a_growing_share_takes_nobody_back(route: Route) -> None:
    more = Route(route.live, route.canary, 0.3)
    first = [user for user in map(str, range(1_000)) if route.choose(user, "") is route.canary]
    assert first
    assert all(more.choose(user, "") is more.canary for user in first)
    assert all(Route(route.live).choose(user, "") is route.live for user in first)


def test_every_answer_can_name_who_gave_it(route: Route) -> None:
    bundle = route.live.bundle
    assert identity(route.live) == {"product": "support", "version": "v1", "digest": bundle.manifest.digest.answers}


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (OK, {**OK, "scores": {"费用": 0.9}}, True),
        (OK, OTHER, False),
        (OK, {"status": "abstained", "label": "费用"}, False),
        ({"status": "ok", "labels": ["a", "b"]}, {"status": "ok", "labels": ["b", "a"]}, True),
        ({"status": "ok", "labels": ["a"]}, {"status": "ok", "labels": []}, False),
        ({"status": "ok", "value": 5.0, "low": 4, "high": 6}, {"status": "ok", "value": 5.5, "low": 4, "high": 6}, True),
        ({"status": "ok", "value": 5.0, "low": 4, "high": 6}, {"status": "ok", "value": 6.5, "low": 4, "high": 9}, False),
        ({"status": "out_of_scope", "value": None}, {"status": "out_of_scope", "value": None}, True),
    ],
)
def test_agreement(one: dict[str, Any], two: dict[str, Any], same: bool) -> None:
    assert agree(one, two) is same
    assert agree(two, one) is same


class Asked:
    """Stands in for the server: the answers other versions give, and who was asked."""

    def __init__(self, answer: Mapping[str, Any] | Exception) -> None:
        self.answer, self.versions = answer, list[str]()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, served: Served, rows: list[Any]) -> Sequence[Mapping[str, Any]]:
        self.versions.append(served.bundle.version)
        await self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer for _ in rows]


def compare(route: Route, who: Served, asked: Asked, times: int = 1, busy: bool = False, answer: Any = OK) -> None:
    async def run() -> None:
        comparisons = Comparisons(lambda: busy)
        for n in range(times):
            comparisons.after(route, who, [{"text": "a"}], [answer], 0.01, f"r{n}", asked)
        assert asked.versions == []  # nothing is asked before the caller has the answer
        await comparisons.drain()

    asyncio.run(run())


def test_a_shadow_is_asked_the_live_one_s_rows_and_counted(route: Route) -> None:
    asked = Asked(OTHER)
    compare(route, route.live, asked, 3)
    assert route.shadow is not None
    counts = route.of(route.shadow)
    assert asked.versions == ["v3", "v3", "v3"]
    assert (counts.requests, counts.rows, counts.compared, counts.agreed) == (3, 3, 3, 0)
    assert (route.of(route.live).requests, route.of(route.live).compared) == (3, 0)


def test_the_live_version_is_asked_a_share_of_the_canary_s_rows(route: Route, tmp_path: Path) -> None:
    assert route.canary is not None
    asked = Asked(OK)
    compare(route, route.canary, asked, 5)
    counts = route.of(route.canary)
    assert asked.versions == ["v1"] * 5
    assert (counts.requests, counts.compared, counts.agreed) == (5, 5, 5)
    assert route.of(route.live).requests == 0  # nobody called it
    never = Route(route.live, served(tmp_path, "v4", compare=0.0), 0.5)
    assert all(never.beside(never.versions[1], f"r{n}") is None for n in range(100))
    some = Route(route.live, served(tmp_path, "v5", compare=0.2), 0.5)
    found = sum(some.beside(some.versions[1], f"r{n}") is not None for n in range(2_000))
    assert 300 < found < 500


def test_under_load_comparisons_are_dropped(route: Route) -> None:
    assert route.shadow is not None
    counts = route.of(route.shadow)
    compare(route, route.live, Asked(OK), 3, busy=True)
    assert (counts.dropped, counts.requests) == (3, 0)
    compare(route, route.live, Asked(TooBusyError("too many")), 2)
    assert (counts.dropped, counts.errors) == (5, 0)
    compare(route, route.live, Asked(OK), 20)  # 8 at a time
    assert (counts.dropped, counts.requests) == (17, 8)


def test_a_version_that_breaks_is_counted_and_breaks_nothing(route: Route) -> None:
    assert route.shadow is not None
    compare(route, route.live, Asked(ValueError("secret row")), 2)
    counts = route.of(route.shadow)
    assert (counts.requests, counts.errors, counts.compared) == (2, 2, 0)
    compare(route, route.live, Asked({"status": "error", "error": "broken"}), 1)
    assert (counts.errors, counts.compared, counts.agreed) == (3, 1, 0)
    unreadable = {"status": "error", "error": "missing_column"}
    compare(route, route.live, Asked(unreadable), 1, answer=unreadable)
    assert counts.compared == 1


def traffic(route: Route, requests: int, errors: int = 0, agreed: int = 0) -> None:
    assert route.canary is not None
    counts = route.of(route.canary)
    for _ in range(requests):
        counts.request([OK], 0.01)
    for _ in range(errors):
        counts.failure()
    counts.comparison([True] * agreed)


def test_rules_decide_on_a_canary(route: Route, tmp_path: Path) -> None:
    assert judge_canary(Route(route.live)) is None
    traffic(route, 10, errors=9)
    assert judge_canary(route) is None  # too few to judge
    again = Route(route.live, route.canary, 0.1)
    traffic(again, 70)
    assert judge_canary(again) is None  # agreement wasn't measured
    traffic(again, 0, agreed=30)
    outcome = judge_canary(again)
    assert outcome is not None
    assert (outcome.change, outcome.reason) == ("promote", "requests >= 60; agreement.low >= 0.5")
    assert (outcome.figures["requests"], outcome.figures["agreement"]) == (70, 1.0)
    traffic(again, 0, errors=10)  # now worse: the rule of rollback comes first
    outcome = judge_canary(again)
    assert outcome is not None
    assert (outcome.change, outcome.reason) == ("rollback", "error_rate.low > 0.01")
    slow = Route(route.live, served(tmp_path, "v6", rollback=["latency_p95_ms > 5", "agreement.high < 0.8"]), 0.1)
    traffic(slow, 60)
    outcome = judge_canary(slow)
    assert outcome is not None
    assert outcome.reason == "latency_p95_ms > 5"


def test_the_report_is_plain(route: Route) -> None:
    traffic(route, 20, errors=1, agreed=4)
    report = route.as_dict()
    assert [(v["role"], v["version"]) for v in report["versions"]] == [("live", "v1"), ("canary", "v2"), ("shadow", "v3")]
    canary = report["versions"][1]
    assert (canary["requests"], canary["errors"], canary["error_rate"]["n"]) == (21, 1, 21)
    assert canary["error_rate"]["low"] < 1 / 21 < canary["error_rate"]["high"]
    assert canary["agreement"]["value"] == 1.0
    assert report["versions"][0]["error_rate"] is None
    assert (report["share"], report["rules"]["min_requests"]) == (0.1, 20)
