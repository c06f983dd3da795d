"""Which version of a product answers a request, what its traffic measured, and what follows from that.

    live      answers
    canary    answers a share of the end users, always the same ones; the live version answers some of its rows too
    shadow    answers rows of the live version after the caller has had the answer; only compared, never returned
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Literal

from trunkline.errors import RequestError, TrunklineError
from trunkline.metrics.traffic import Counts
from trunkline.serve.catalog import Served
from trunkline.serve.figures import Figures
from trunkline.serve.log import log

MOST = 8  # comparisons under way at a time; more are dropped

Again = Callable[[Served, list[Any]], Awaitable[Sequence[Mapping[str, Any]]]]  # answers of another version


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class Route:
    """The versions of a product, and their traffic since this set of versions serves.

    era: of the record that named them, "" where none did; a canary or shadow that can't serve changes nothing of it.
    silent: its owner switched explanations off while it serves.
    """

    live: Served
    canary: Served | None = None
    share: float = 0.0  # of the end users, for the canary
    shadow: Served | None = None
    troubles: tuple[TrunklineError, ...] = ()  # why a canary or shadow on record is not in its role
    era: str = ""
    since: str = field(default_factory=_now)
    silent: bool = False
    figures: Figures = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", Figures(served.bundle.version for served in self.versions))

    @property
    def name(self) -> str:
        return self.live.name

    @property
    def versions(self) -> list[Served]:
        """Live first."""
        return [served for served in (self.live, self.canary, self.shadow) if served is not None]

    @property
    def compared(self) -> bool:
        """Is a version tried beside the live one?"""
        return self.canary is not None or self.shadow is not None

    def choose(self, user: str | None, request_id: str) -> Served:
        """The version that answers: for one end user always the same, and without one by the request's id.

        Whoever is among the first 10 % stays there when the share grows.
        """
        if self.canary is None:
            return self.live
        return self.canary if _place(self.name, user or request_id) < self.share else self.live

    def beside(self, served: Served, request_id: str) -> tuple[Served, Served] | None:
        """(who is asked the same rows too, whose agreement that measures), for this request; None for most."""
        if served is self.live and self.shadow is not None:
            return self.shadow, self.shadow
        if served is self.canary:
            compare = served.bundle.spec.rollout.compare
            if _place("compare", request_id) < compare:
                return self.live, served
        return None

    def roles(self) -> dict[str, str]:
        """role -> version"""
        named = {"live": self.live, "canary": self.canary, "shadow": self.shadow}
        return {role: served.bundle.version for role, served in named.items() if served is not None}

    def without(self, served: Served, why: TrunklineError) -> Route:
        """The route without a canary or shadow that can't take its role."""
        canary = None if served is self.canary else self.canary
        shadow = None if served is self.shadow else self.shadow
        troubles = (*self.troubles, why)
        return replace(self, canary=canary, share=self.share if canary else 0.0, shadow=shadow, troubles=troubles)

    def of(self, served: Served) -> Counts:
        """To count a version's traffic into."""
        return self.figures.of(served.bundle.version)

    def measured(self, served: Served) -> Counts:
        """A version's traffic as far as it is known here, over all processes."""
        return self.figures.sum(served.bundle.version)

    def as_dict(self) -> dict[str, Any]:
        """The report: roles, rules, and each version's figures with intervals."""
        rules = self.canary.bundle.spec.rollout if self.canary is not None else None
        return {
            "product": self.name,
            "since": self.since,
            "share": self.share if self.canary is not None else None,
            "rules": rules and {"promote": rules.promote, "rollback": rules.rollback, "min_requests": rules.min_requests},
            "versions": [
                {"role": role, **identity(served), **self.measured(served).as_dict()}
                for role, served in zip(self.roles(), self.versions, strict=True)
            ],
            "troubles": [trouble.as_dict() for trouble in self.troubles],
        }


def identity(served: Served) -> dict[str, str]:
    """What every answer says of who gave it; `digest` is the bundle's `answers` digest."""
    manifest = served.bundle.manifest
    return {"product": manifest.product, "version": manifest.version, "digest": manifest.digest.answers}


@dataclass(frozen=True)
class Outcome:
    """What the rules say of a canary, by its figures."""

    change: Literal["promote", "rollback"]
    reason: str
    figures: dict[str, float]


def judge_canary(route: Route) -> Outcome | None:
    """What its own rules, frozen in its bundle, want done with the canary now: nothing most of the time."""
    if route.canary is None:
        return None
    rules, counts = route.canary.bundle.spec.rollout, route.measured(route.canary)
    if counts.requests < rules.min_requests:
        return None
    from trunkline.proof.gate import judge  # only a server with a canary needs it

    figures = counts.figures()
    numbers = {name: value for name, value in figures.items() if isinstance(value, float)}
    against = [result.rule for result in judge(rules.rollback, figures).results if result.passed]
    if against:
        return Outcome("rollback", "; ".join(against), numbers)
    if rules.promote and judge(rules.promote, figures).passed:
        return Outcome("promote", "; ".join(rules.promote), numbers)
    return None


class Comparisons:
    """Asks other versions the same rows, in the background of the event loop; used on it alone.

    busy: when nothing may be added to what callers wait for.
    """

    def __init__(self, busy: Callable[[], bool] = lambda: False, most: int = MOST) -> None:
        self._busy, self._most = busy, most
        self._tasks: set[asyncio.Task[None]] = set()

    def after(
        self,
        route: Route,
        served: Served,
        rows: list[Any],
        answers: Sequence[Mapping[str, Any]],
        seconds: float,
        request_id: str,
        again: Again,
    ) -> None:
        """To be called when the answers go out: counts the request, and has other versions asked if it is their
        turn. While the server is busy that is dropped, and counted as such. A call that broke is counted by
        `route.of(served).failure()` instead."""
        route.of(served).request(answers, seconds)
        pair = route.beside(served, request_id)
        if pair is None:
            return
        other, measured = pair
        if len(self._tasks) >= self._most or self._busy():
            route.of(measured).drop()
            return
        task = asyncio.get_running_loop().create_task(_compare(route, other, measured, rows, answers, again))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Until none is under way; for a server that stops."""
        while self._tasks:
            await asyncio.gather(*self._tasks)


async def _compare(
    route: Route,
    other: Served,
    measured: Served,
    rows: list[Any],
    answers: Sequence[Mapping[str, Any]],
    again: Again,
) -> None:
    counts, began = route.of(measured), perf_counter()
    try:
        found = await again(other, rows)
    except RequestError:  # too busy or too late for something that nobody waits for
        counts.drop()
        return
    except Exception as error:  # noqa: BLE001 - nobody waits for it: it is the figure of the version that broke
        if other is measured:
            counts.failure()
        else:
            counts.drop()
        fields = {"product": route.name, "version": other.bundle.version, "error": type(error).__name__}
        log.warning("a comparison broke", extra={"fields": fields})
        return
    if other is measured:  # a shadow: no caller's request counts for it
        counts.request(found, perf_counter() - began)
    pairs = zip(answers, found, strict=True)
    counts.comparison([agree(one, two) for one, two in pairs if _comparable(one)])


def agree(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Do two answers say the same: status and label or labels; for a number, each inside the other's interval?"""
    if one["status"] != two["status"]:
        return False
    if "value" in one and "value" in two:
        return _inside(one, two) and _inside(two, one)
    if "labels" in one:
        return set(one["labels"]) == set(two.get("labels", ()))
    return one.get("label") == two.get("label")


def _comparable(answer: Mapping[str, Any]) -> bool:
    """A row that no version can read says nothing of either."""
    return answer["status"] != "error" or answer.get("error") == "broken"


def _inside(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    value, other = one["value"], two["value"]
    if value is None or other is None:  # out of scope
        return value is other
    return bool(two.get("low", other) <= value <= two.get("high", other))


def _place(product: str, who: str) -> float:
    """A stable place in [0, 1) for somebody in a product."""
    digest = hashlib.blake2b(f"{product}\0{who}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
