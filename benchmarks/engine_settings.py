"""What measured settings bring against the constants they replace, and what measuring costs.

    python -m benchmarks.engine_settings [--repeats 7] [--trunks e5-small minilm] [--given ROWS TOKENS]

Both sides are one engine in one process that takes turns between the two settings. `--given` puts a batch in the
place of the measured one, where the machine is too busy to be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.record import record
from benchmarks.trunk_common import banking, column, hotel, in_process, middle

from trunkline.engines.batching import Batch
from trunkline.engines.measure import measure
from trunkline.engines.settings import Settings
from trunkline.engines.text import TextEngine
from trunkline.serve.residence import resident_bytes
from trunkline.serve.schedule import Scheduler, Ticket
from trunkline.trunks import find
from trunkline.types import Call, Steps

CALLERS = 32
TRIES = 20  # a measurement each, while others are busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--trunks", nargs="*", default=["e5-small", "minilm"])
    parser.add_argument("--given", type=int, nargs=2, metavar=("ROWS", "TOKENS"))
    parser.add_argument("--cost", help="internal: measure one trunk in this process, print what that took")
    asked = parser.parse_args()
    if asked.cost:
        print_cost(asked.cost)
        return
    lines = [line for trunk in asked.trunks for line in measured(trunk, asked.repeats, asked.given)]
    print(record("engine_settings", "Batches measured on the machine against constants", lines,
                 spread=f"median (lowest-highest) of {asked.repeats} repeats; in a repeat both settings were measured in turn, the ratio is taken within it",
                 note=f"Settings: rows, tokens, threads. Scheduler: {CALLERS} callers at a time in the server's queue, no HTTP. Nothing is reused.",
                 packages=("openvino",)))  # fmt: skip


def measured(trunk: str, repeats: int, given: Sequence[int] | None) -> Iterator[dict[str, Any]]:
    engine = find(trunk).load()
    assert isinstance(engine, TextEngine)
    constants = engine.settings
    chosen = Settings(Batch(*given)) if given else quiet_measurement(engine)
    if not given:
        yield {"trunk": trunk, "what": "measuring it: seconds, MB of memory that stay", **in_process("engine_settings", "--cost", trunk)}
    sets = {"banking77": banking()[:512], "medical titles": column("faq_medical_zh", "test.csv", "title")[:512], "hotel": hotel(128)}
    ways: dict[str, Callable[[list[str]], None]] = {
        "bare": lambda texts: engine.run(Call(f"trunk:{trunk}", texts)),
        "scheduler, 1 row a call": lambda texts: through(engine, trunk, texts, 1),
        "scheduler, 16 rows a call": lambda texts: through(engine, trunk, texts, 16),
    }
    for name, texts in sets.items():
        for way, run in ways.items():
            rates: dict[Settings, list[float]] = {constants: [], chosen: []}
            spent: dict[Settings, list[float]] = {constants: [], chosen: []}
            for repeat in range(repeats + 1):
                for settings in rates:
                    engine.settings = settings
                    began, used = time.perf_counter(), time.process_time()
                    run(texts)
                    if repeat:  # the first is a warm-up
                        rates[settings].append(len(texts) / (time.perf_counter() - began))
                        spent[settings].append((time.process_time() - used) / len(texts) * 1000)
            yield {
                "trunk": trunk,
                "what": f"{name}, {way}",
                f"constants {told(constants)}, rows/s": middle(rates[constants]),
                "measured": told(chosen),
                "rows/s": middle(rates[chosen]),
                "ratio": middle([new / old for new, old in zip(rates[chosen], rates[constants], strict=True)], 2),
                "processor ms a row, the best": f"{min(spent[constants]):.2f} to {min(spent[chosen]):.2f}",
            }


def told(settings: Settings) -> str:
    return f"{settings.batch.rows}, {settings.batch.tokens}, {settings.threads}"


def quiet_measurement(engine: TextEngine) -> Settings:
    for _ in range(TRIES):
        found = measure(engine)
        if found is not None:
            return found.settings
        time.sleep(1)
    raise SystemExit("other processes are busy on this machine: stop them, or --given ROWS TOKENS")


def print_cost(trunk: str) -> None:
    """After some hundred texts, as a server's first answers would be."""
    import json

    engine = find(trunk).load()
    assert isinstance(engine, TextEngine)
    engine.run(Call(f"trunk:{trunk}", [*banking()[:256], *hotel(16)]))
    before, seconds = resident_bytes(), []
    for _ in range(TRIES):
        began = time.perf_counter()
        found = measure(engine)
        seconds.append(time.perf_counter() - began)
        if found is not None:
            break
        time.sleep(1)
    print(json.dumps({"rows/s": f"{seconds[-1]:.2f} s, {(resident_bytes() - before) / 1e6:.1f} MB"}))


def through(engine: TextEngine, trunk: str, texts: list[str], rows: int) -> None:
    """All texts through the server's queue, CALLERS calls under way at a time."""
    scheduler = Scheduler({"e": engine}, lambda call, item: str(item))
    calls = [texts[at : at + rows] for at in range(0, len(texts), rows)]

    def asking(part: list[str]) -> Steps[int]:
        (vectors,) = yield [Call("e", part)]
        return len(vectors)

    async def caller(mine: Sequence[list[str]]) -> None:
        for part in mine:
            await scheduler.run(asking(part), Ticket(reuse=False))

    async def all_of_them() -> None:
        await asyncio.gather(*(caller(calls[at::CALLERS]) for at in range(CALLERS)))

    asyncio.run(all_of_them())


if __name__ == "__main__":
    main()
