from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest

from trunkline.engines.batching import Batch
from trunkline.engines.settings import Settings
from trunkline.errors import TrunklineError
from trunkline.serve.residence import Residence
from trunkline.serve.schedule import Scheduler, Spent, Ticket
from trunkline.serve.wire import LateError
from trunkline.types import Call, EngineCard, Steps


class Slow:
    """pooled: the length of each text; takes a while, counts what it is given."""

    card = EngineCard("slow", "f" * 64, "text", ("pooled",), 1, "CC0", "made up")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.calls = seconds, [list[str]() for _ in range(0)]
        self.running = self.most = 0
        self._lock = threading.Lock()

    def cost(self, item: str) -> int:
        return len(item)

    def run(self, call: Call) -> Any:
        with self._lock:
            self.calls.append(list(call.items))
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        with self._lock:
            self.running -= 1
        if "poison" in call.items:
            raise ValueError("poison")
        return np.array([[len(item)] for item in call.items], np.float32)

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)

    @property
    def items(self) -> list[str]:
        return [item for call in self.calls for item in call]


def asking(*texts: str, times: int = 1) -> Steps[list[float]]:
    found: list[float] = []
    for _ in range(times):
        (vectors,) = yield [Call("e", list(texts))]
        found += [float(row[0]) for row in vectors]
    return found


def scheduler(engine: Slow) -> Scheduler:
    return Scheduler({"e": engine}, lambda call, item: str(item))


async def gathered(*runs: Any) -> Sequence[Any]:
    return await asyncio.gather(*runs, return_exceptions=True)


def test_programs_end_in_what_they_ask_for() -> None:
    found, spent = asyncio.run(scheduler(Slow()).run(asking("a", "bbb", times=2), Ticket()))
    assert found == [1, 3, 1, 3]
    assert (spent.asked, spent.computed) == (4, 2)  # the second time all was known


def test_a_program_without_calls_and_one_that_breaks() -> None:
    def nothing() -> Steps[int]:
        return 7
        yield []

    def breaks() -> Steps[int]:
        yield [Call("e", ["a"])]
        raise KeyError("mine")

    under = scheduler(Slow())
    assert asyncio.run(under.run(nothing(), Ticket()))[0] == 7
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(under.run(breaks(), Ticket()))


def test_rows_of_many_callers_meet_in_one_batch_and_equal_ones_are_computed_once() -> None:
    engine = Slow(0.05)
    under = scheduler(engine)
    runs = [under.run(asking(f"t{i % 10}"), Ticket(product=f"p{i}")) for i in range(60)]

    async def all_of_them() -> Sequence[Any]:
        return await gathered(*runs)

    found = asyncio.run(all_of_them())
    assert [ends for ends, _ in found] == [[2.0]] * 60
    assert sorted(engine.items) == [f"t{i}" for i in range(10)]
    assert len(engine.calls) <= 6


def test_organisations_share_nothing_and_a_product_may_opt_out() -> None:
    engine = Slow()
    under = scheduler(engine)

    async def three() -> list[Spent]:
        tickets = [Ticket("a"), Ticket("b"), Ticket("a"), Ticket("a", reuse=False)]
        return [(await under.run(asking("same"), ticket))[1] for ticket in tickets]

    assert [spent.computed for spent in asyncio.run(three())] == [1, 1, 0, 1]


def test_a_round_is_as_large_as_the_engines_settings_say() -> None:
    engine = Slow(0.02)
    engine.settings = Settings(Batch(rows=3, tokens=20), 1)  # type: ignore[attr-defined]
    under = scheduler(engine)
    runs = [under.run(asking(*(f"{length * 'x'}{i}" for i in range(10) for length in (3, 9))), Ticket())]

    async def all_of_them() -> Sequence[Any]:
        return await gathered(*runs)

    (found,) = asyncio.run(all_of_them())
    assert found[0] == [4.0, 10.0] * 10
    assert {(len(call[0]), len(call)) for call in engine.calls} <= {(4, n) for n in (1, 2, 3)} | {(10, 1), (10, 2)}
    assert max(map(len, engine.calls)) == 3


def test_an_engine_gets_no_more_threads_than_its_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.serve.schedule.workers", lambda: 4)
    monkeypatch.setattr("trunkline.serve.schedule.pool", cache(lambda: ThreadPoolExecutor(4)))
    one, other = Slow(0.01), Slow(0.01)
    one.settings = Settings(Batch(rows=1), 1)  # type: ignore[attr-defined]
    other.settings = Settings(Batch(rows=1), 3)  # type: ignore[attr-defined]
    under = Scheduler({"e": one, "other": other}, lambda call, item: str(item))

    def elsewhere() -> Steps[int]:
        (vectors,) = yield [Call("other", [f"o{i}" for i in range(30)])]
        return len(vectors)

    async def both() -> Sequence[Any]:
        return await gathered(*(under.run(asking(f"t{i}"), Ticket()) for i in range(20)), under.run(elsewhere(), Ticket()))

    found = asyncio.run(asyncio.wait_for(both(), 60))
    assert [ends for ends, _ in found] == [[float(len(f"t{i}"))] for i in range(20)] + [30]
    assert one.most == 1 < other.most <= 3
    assert under._running.total() == 0


def test_a_poisoned_row_fails_alone() -> None:
    engine = Slow(0.02)
    under = scheduler(engine)

    async def many() -> Sequence[Any]:
        return await gathered(*(under.run(asking(t), Ticket()) for t in ["a", "poison", "b", "c", "d"]))

    found = asyncio.run(many())
    assert isinstance(found[1], ValueError)
    assert [ends for ends, _ in (found[0], *found[2:])] == [[1.0]] * 4


def test_an_engine_that_loses_outputs_is_an_error_and_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Slow()
    monkeypatch.setattr(engine, "run", lambda call: [])
    with pytest.raises(TrunklineError, match="number of outputs"):
        asyncio.run(scheduler(engine).run(asking("a", "b"), Ticket()))


def test_rows_past_their_deadline_are_dropped_before_they_are_computed() -> None:
    engine = Slow(0.2)
    under = scheduler(engine)

    async def flood() -> Sequence[Any]:
        soon = Ticket(caller="b", deadline=time.monotonic() + 0.05)
        first = [under.run(asking(f"{'x' * 600}{i}"), Ticket(caller="a")) for i in range(4)]
        tasks = [asyncio.ensure_future(run) for run in first]
        await asyncio.sleep(0.02)
        return await gathered(*tasks, under.run(asking("late"), soon), under.run(asking("after"), Ticket()))

    found = asyncio.run(flood())
    assert isinstance(found[4], LateError)
    assert "late" not in engine.items
    assert found[5][0] == [5.0]


def test_a_row_that_somebody_still_waits_for_is_computed() -> None:
    engine = Slow(0.2)
    under = scheduler(engine)

    async def both() -> Sequence[Any]:
        busy = [asyncio.ensure_future(under.run(asking(f"{'x' * 600}{i}"), Ticket())) for i in range(4)]
        await asyncio.sleep(0.02)
        late = under.run(asking("shared"), Ticket(deadline=time.monotonic() + 0.01))
        return await gathered(late, under.run(asking("shared"), Ticket()), *busy)

    assert asyncio.run(both())[1][0] == [6.0]
    assert engine.items.count("shared") == 1


def test_a_flood_does_not_starve_another_caller() -> None:
    engine = Slow(0.01)
    under = scheduler(engine)

    async def flood() -> int:
        busy = [asyncio.ensure_future(under.run(asking(f"f{i}"), Ticket(caller="flood"))) for i in range(600)]
        await asyncio.sleep(0.03)
        before = len(engine.calls)
        await under.run(asking("quiet"), Ticket(caller="quiet"))
        between = len(engine.calls) - before
        assert sum(task.done() for task in busy) < 400  # the flood was not over yet
        await gathered(*busy)
        return between

    assert asyncio.run(flood()) <= 4  # calls of the engine, its own among them, however slow the machine is


def test_one_engine_cannot_starve_another() -> None:
    slow, quick = Slow(0.05), Slow()
    under = Scheduler({"slow": slow, "e": quick}, lambda call, item: str(item))

    def heavy(i: int) -> Steps[int]:
        yield [Call("slow", [f"{'x' * 1100}{i}"])]
        return i

    async def both() -> int:
        busy = [asyncio.ensure_future(under.run(heavy(i), Ticket())) for i in range(20)]
        await asyncio.sleep(0.02)
        for i in range(5):
            await under.run(asking(f"t{i}"), Ticket())
        done = sum(task.done() for task in busy)
        await gathered(*busy)
        return done

    assert asyncio.run(both()) <= 14


def test_never_more_threads_at_work_than_the_pool_has() -> None:
    engine = Slow(0.01)
    under = scheduler(engine)

    async def many() -> None:
        await gathered(*(under.run(asking(f"{'x' * 600}{i}"), Ticket()) for i in range(12)))

    asyncio.run(many())
    from trunkline.engines.threads import workers

    assert 1 <= engine.most <= workers()
    assert under.waiting() == {"e": 0}


def test_a_caller_that_leaves_harms_nobody() -> None:
    engine = Slow(0.05)
    under = scheduler(engine)

    async def leave() -> Any:
        gone = asyncio.ensure_future(under.run(asking("a"), Ticket()))
        await asyncio.sleep(0.01)
        gone.cancel()
        return (await under.run(asking("b"), Ticket()))[0]

    assert asyncio.run(leave()) == [1.0]


def test_an_engine_is_held_while_rows_wait_for_it() -> None:
    loaded = {name: Slow(0.05) for name in ("e", "other")}
    engines = Residence(loaded.__getitem__, budget_bytes=0)  # room for nothing that isn't needed
    under = Scheduler(engines, lambda call, item: str(item))

    def other(i: int) -> Steps[int]:
        yield [Call("other", [f"o{i}"])]
        return i

    async def both() -> Sequence[Any]:
        runs = [run for i in range(20) for run in (under.run(asking(f"t{i}"), Ticket()), under.run(other(i), Ticket()))]
        return await gathered(*runs)

    found = asyncio.run(both())
    assert not any(isinstance(one, Exception) for one in found)
    assert engines.loads < 20  # not anew for every row


def test_rows_of_a_caller_who_left_are_dropped() -> None:
    engine = Slow(0.1)
    under = scheduler(engine)

    async def leave() -> Any:
        texts = [f"{'x' * 300}{i}" for i in range(40)]
        gone = asyncio.ensure_future(under.run(asking(*texts), Ticket()))
        await asyncio.sleep(0.05)
        gone.cancel()
        began = time.perf_counter()
        await under.run(asking("b"), Ticket())
        return time.perf_counter() - began

    assert asyncio.run(leave()) < 1
    assert len(engine.items) < 12
