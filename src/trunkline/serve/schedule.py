"""The heart of the server: programs of all products advance in one compute pool; what they ask of an engine
waits in that engine's queue and is computed together, equal items once, whoever asks.

A queue is never waited for: an idle engine starts at once, a busy one finds more rows when it is free. So
batches grow with the load, and a lone request pays for nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from trunkline.engines.batching import Batch
from trunkline.engines.settings import Settings
from trunkline.engines.threads import pool, workers
from trunkline.errors import TrunklineError
from trunkline.serve.recent import Recent
from trunkline.serve.residence import Residence
from trunkline.serve.traces import Traces
from trunkline.serve.turns import Turns
from trunkline.serve.wire import LateError
from trunkline.types import Call, End, Engine, Steps, Value

RECENT_BYTES = 64_000_000

Key = Callable[[Call, Value], Hashable]  # names an item of a call


@dataclass(frozen=True)
class Ticket:
    """On whose behalf rows are computed."""

    organisation: str = ""
    caller: str = ""
    product: str = ""
    deadline: float | None = None  # of `time.monotonic`
    reuse: bool = True  # may equal inputs of the organisation share one computation
    span: Any = None  # of its program, where there are traces


@dataclass
class Spent:
    """Where the time of a request went, seconds; `computed` rows of `asked` were not known already."""

    queue: float = 0.0
    compute: float = 0.0
    asked: int = 0
    computed: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.queue + other.queue,
            self.compute + other.compute,
            self.asked + other.asked,
            self.computed + other.computed,
        )


@dataclass(eq=False)
class _Waiter:
    """A place that an output goes to."""

    job: _Job
    call: int
    item: int


@dataclass(eq=False)
class _Entry:
    key: Hashable
    item: Value
    cost: int
    added: float
    waiters: list[_Waiter]
    taken: bool = False


class _Job:
    """One program under way. Only one thread steps it at a time."""

    def __init__(self, program: Steps[Any], ticket: Ticket, done: Callable[[Any], None]) -> None:
        self.program, self.ticket, self.done = program, ticket, done
        self.spent = Spent()
        self.calls: Sequence[Call] = ()
        self.outputs: list[list[Any]] = []
        self.missing = 0
        self.failed: Exception | None = None
        self.started = False
        self.gone = False  # nobody waits for it

    def late(self, now: float) -> bool:
        return self.gone or (self.ticket.deadline is not None and now > self.ticket.deadline)


@dataclass
class _Queue:
    """What waits for one route: engine, form and options."""

    call: Call  # without items
    turns: Turns[_Entry] = field(default_factory=Turns)
    alike: dict[int, deque[_Entry]] = field(default_factory=dict)  # those that wait, by cost
    waiting: int = 0
    used: float = 0.0  # seconds of the pool that it was given

    def push(self, path: tuple[str, ...], entry: _Entry) -> None:
        self.turns.push(path, entry)
        self.alike.setdefault(entry.cost, deque()).append(entry)
        self.waiting += 1

    def take(self, batch: Batch) -> list[_Entry]:
        """Whose turn it is, and others of equal cost (padded length) that go with it: they delay it least."""
        first = self.turns.pop()
        line, room = self.alike[first.cost], batch.room(first.cost) - 1
        line.remove(first)
        entries = [first, *(line.popleft() for _ in range(min(room, len(line))))]
        if not line:
            del self.alike[first.cost]
        for entry in entries:
            entry.taken = True
        self.waiting -= len(entries)
        return entries


class Scheduler:
    """Shared by all products of a process. Constructing it starts nothing; threads come from the one pool."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        key: Key,
        recent_bytes: int = RECENT_BYTES,
        executed: Callable[[str, int, float], None] | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.engines, self._key, self._executed, self._traces = engines, key, executed, traces
        self._residence = engines if isinstance(engines, Residence) else None
        self.recent = Recent(recent_bytes)
        self._lock = threading.Lock()
        self._ready: deque[_Job] = deque()
        self._queues: dict[Hashable, _Queue] = {}
        self._entries: dict[Hashable, _Entry] = {}  # under way, by key
        self._threads = 0
        self._running: Counter[str] = Counter()  # threads that work in an engine
        self._default = Settings()  # of engines that have none

    async def run(self, program: Steps[End], ticket: Ticket) -> tuple[End, Spent]:
        """(what the program ends in, where its time went). Raises what the program raises, and LateError."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()

        def done(value: Any) -> None:
            loop.call_soon_threadsafe(_settle, ended, value)

        job = _Job(program, ticket, done)
        self._make_ready([job])
        try:
            return await ended, job.spent
        except asyncio.CancelledError:
            job.gone = True  # what it waits for is dropped, unless others wait for it too
            raise

    def waiting(self) -> dict[str, int]:
        """Engine -> rows that wait for it."""
        found: dict[str, int] = {}
        with self._lock:
            for queue in self._queues.values():
                found[queue.call.engine] = found.get(queue.call.engine, 0) + queue.waiting
        return found

    def _make_ready(self, jobs: Sequence[_Job]) -> None:
        """Queue programs, and start as many threads as there is work for, rows that wait included."""
        with self._lock:
            self._ready.extend(jobs)
            start = self._threads_wanted()
            self._threads += start
        for _ in range(start):
            pool().submit(self._work)

    def _threads_wanted(self) -> int:
        todo = len(self._ready) + sum(queue.waiting for queue in self._queues.values())
        return min(workers() - self._threads, todo)

    def _work(self) -> None:
        """A pool thread's turn: until nothing is left to do."""
        try:
            while (task := self._taken()) is not None:
                task()
        except BaseException:  # its place must not stay taken
            with self._lock:
                self._threads -= 1
            raise

    def _taken(self) -> Callable[[], None] | None:
        """The next task; None, and this thread counts no longer, where there is none."""
        with self._lock:
            task = self._next()
            if task is None:
                self._threads -= 1
            return task

    def _next(self) -> Callable[[], None] | None:
        """Programs first: what they ask for fills the queues, and what they end in frees them."""
        if self._ready:
            job = self._ready.popleft()
            return lambda: self._advance(job)
        waiting = [queue for queue in self._queues.values() if queue.waiting and self._has_room(queue.call.engine)]
        if not waiting:
            return None
        queue = min(waiting, key=lambda queue: queue.used)
        entries, late = self._round(queue)
        self._running[queue.call.engine] += bool(entries)
        return lambda: self._compute(queue, entries, late)

    def _has_room(self, engine: str) -> bool:
        """May one more thread work in it?"""
        running = self._running[engine]
        return not running or running < self._settings(engine).threads

    def _settings(self, engine: str) -> Settings:
        """As this machine has them. Rows that wait hold their engine, so that nothing is loaded under the lock."""
        return getattr(self.engines[engine], "settings", self._default) if engine in self.engines else self._default

    def _round(self, queue: _Queue) -> tuple[list[_Entry], list[_Entry]]:
        """(what to compute now, what nobody waits for any longer)."""
        entries: list[_Entry] = []
        late: list[_Entry] = []
        now, batch = monotonic(), self._settings(queue.call.engine).batch
        while queue.waiting and not entries:
            for entry in queue.take(batch):
                if all(waiter.job.late(now) for waiter in entry.waiters):
                    late.append(entry)
                    self._entries.pop(entry.key, None)
                else:
                    entries.append(entry)
        return entries, late

    # ---- programs ----

    def _advance(self, job: _Job) -> None:
        try:
            if job.failed is not None:
                job.calls = job.program.throw(job.failed)
            elif not job.started:
                job.started = True
                job.calls = next(job.program)
            else:
                job.calls = job.program.send([_gathered(outputs) for outputs in job.outputs])
        except StopIteration as end:
            job.done(end.value)
            return
        except Exception as error:  # noqa: BLE001 - the request is answered with it
            job.done(error)
            return
        job.failed = None
        try:
            keys = [[self._name(job, call, item) for item in call.items] for call in job.calls]
            costs = [self._costs(call) for call in job.calls]
        except Exception as error:  # noqa: BLE001 - thrown into the program that asked
            job.failed = error
            self._make_ready([job])
            return
        with self._lock:
            known = self._enqueue(job, keys, costs)
        self._make_ready([job] if known else [])

    def _costs(self, call: Call) -> list[int]:
        engine = self.engines[call.engine]  # in memory from here on
        return [engine.cost(item) for item in call.items]

    def _name(self, job: _Job, call: Call, item: Value) -> Hashable:
        owner = job.ticket.organisation if job.ticket.reuse else id(job)
        return (owner, call.route, self._key(call, item))

    def _enqueue(self, job: _Job, keys: list[list[Hashable]], costs: list[list[int]]) -> bool:
        """Is all known already? Under the lock."""
        job.outputs = [[None] * len(call.items) for call in job.calls]
        job.missing = 1  # until all are counted
        now = perf_counter()
        for at, call in enumerate(job.calls):
            queue = self._queue(call)
            for i, item in enumerate(call.items):
                job.spent.asked += 1
                known = self.recent.get(keys[at][i]) if job.ticket.reuse else None
                if known is not None:
                    job.outputs[at][i] = known
                    continue
                job.missing += 1
                waiter = _Waiter(job, at, i)
                entry = self._entries.get(keys[at][i])
                if entry is not None:
                    entry.waiters.append(waiter)
                    continue
                job.spent.computed += 1
                entry = _Entry(keys[at][i], item, costs[at][i], now, [waiter])
                self._entries[entry.key] = entry
                if self._residence is not None:
                    self._residence.hold(call.engine)
                queue.push((job.ticket.caller, job.ticket.product), entry)
        job.missing -= 1
        return job.missing == 0

    def _queue(self, call: Call) -> _Queue:
        queue = self._queues.get(call.route)
        if queue is None:
            least = min((queue.used for queue in self._queues.values()), default=0.0)
            queue = self._queues[call.route] = _Queue(replace(call, items=()), used=least)
        return queue

    # ---- engines ----

    def _compute(self, queue: _Queue, entries: list[_Entry], late: list[_Entry]) -> None:
        if late:
            error = LateError("the deadline passed before the row was computed")
            self._deliver(queue, late, [error] * len(late), perf_counter(), 0.0)
        if not entries:
            return
        began = perf_counter()
        try:
            results = self._outputs(queue.call, entries)
        finally:
            with self._lock:
                self._running[queue.call.engine] -= 1
        seconds = perf_counter() - began
        if self._executed is not None:
            self._executed(queue.call.engine, len(entries), seconds)
        self._deliver(queue, entries, results, began, seconds)
        if self._traces is not None:
            asked = [(waiter.job.ticket.span, entry.added) for entry in entries for waiter in entry.waiters]
            cost = sum(entry.cost for entry in entries)
            self._traces.computed(queue.call.engine, asked, cost, len(entries), began, began + seconds)

    def _outputs(self, call: Call, entries: list[_Entry]) -> list[Any]:
        """One output, or what went wrong, for each entry. One that breaks the engine breaks no other."""
        whole = replace(call, items=[entry.item for entry in entries])
        try:
            found = list(self.engines[call.engine].run(whole))
            if len(found) == len(entries):
                return found
            raise TrunklineError(
                f"the engine {call.engine!r} gave another number of outputs than it was asked for",
                found=str(len(found)),
                wanted=str(len(entries)),
            )
        except Exception as error:  # noqa: BLE001 - thrown into the programs that asked
            if len(entries) == 1:
                return [error]
        return [self._outputs(call, [entry])[0] for entry in entries]

    def _deliver(
        self, queue: _Queue, entries: Sequence[_Entry], results: Sequence[Any], began: float, seconds: float
    ) -> None:
        """One result, or what went wrong, for each entry; programs that have all go on."""
        if self._residence is not None:
            for _ in entries:
                self._residence.release(queue.call.engine)
        ready: list[_Job] = []
        with self._lock:
            queue.used += seconds
            for entry, result in zip(entries, results, strict=True):
                self._entries.pop(entry.key, None)
                if isinstance(result, np.ndarray) and any(waiter.job.ticket.reuse for waiter in entry.waiters):
                    result = np.array(result)  # a view would keep the whole round alive
                    self.recent.put(entry.key, result)
                for waiter in entry.waiters:
                    job = waiter.job
                    if isinstance(result, Exception):
                        job.failed = job.failed or result
                    else:
                        job.outputs[waiter.call][waiter.item] = result
                    job.spent.queue = max(job.spent.queue, began - entry.added)
                    job.spent.compute = max(job.spent.compute, seconds)
                    job.missing -= 1
                    if not job.missing:
                        ready.append(job)
        if ready:
            self._make_ready(ready)


def _gathered(outputs: list[Any]) -> Any:
    """An array where every output is one of the same shape (`pooled`), else the list."""
    if outputs and all(isinstance(one, np.ndarray) and one.shape == outputs[0].shape for one in outputs):
        return np.stack(outputs)
    return outputs


def _settle(ended: asyncio.Future[Any], value: Any) -> None:
    if ended.done():  # the caller has gone
        return
    if isinstance(value, Exception):
        ended.set_exception(value)
    else:
        ended.set_result(value)
