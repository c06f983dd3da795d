"""How much an engine takes at a time and on how many threads: by hand, else as `measure` found it on this machine,
else the defaults. Never what decides an answer: precision and runtime are the trunk's.

What was measured lies in one small file for each machine and engine, written whole. One that can't be read, or
belongs to another processor, runtime or number of cores, counts for nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Protocol, TypeVar, runtime_checkable

import msgspec

from trunkline.engines.batching import ROWS, ROWS_VARIABLE, TOKENS, TOKENS_VARIABLE, Batch
from trunkline.engines.processor import kind, model
from trunkline.engines.threads import threads_by_hand, workers
from trunkline.errors import TrunklineError
from trunkline.files import write_atomic
from trunkline.types import Call, EngineCard

log = logging.getLogger("trunkline.engines")

DEFAULT, MEASURED, BY_HAND = "default", "measured", "by hand"
_FORMAT = 1  # raise it when `measure` measures otherwise

E = TypeVar("E")


@dataclass(frozen=True)
class Settings:
    batch: Batch = field(default_factory=Batch)
    threads: int = field(default_factory=workers)  # of the pool, that may work in the engine at a time
    why: str = DEFAULT

    @property
    def measured(self) -> bool:
        return self.why == MEASURED


@runtime_checkable
class Tunable(Protocol):
    """An engine that a machine may give other settings: the bits of its outputs don't depend on them."""

    card: EngineCard
    settings: Settings

    def examples(self) -> Sequence[Call]:
        """Calls of generated items for a measurement, all items of one call of equal cost, the longest last."""
        ...


def measured_card(engine: Tunable) -> EngineCard:
    """Whose measurement is good for it: its own, or that of a graph which many engines share."""
    card: EngineCard = getattr(engine, "measured_as", engine.card)
    return card


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: what was measured, where, and what it stands on."""

    engine: str
    fingerprint: str
    machine: dict[str, str]
    rows: Annotated[int, msgspec.Meta(ge=ROWS[0], le=ROWS[1])]
    tokens: Annotated[int, msgspec.Meta(ge=TOKENS[0], le=TOKENS[1])]
    threads: Annotated[int, msgspec.Meta(ge=1, le=1_024)]
    when: str  # ISO 8601, UTC
    seconds: float  # that measuring took
    row_ms: dict[str, dict[str, float]]  # tokens of a text -> rows in a batch -> processor time of a row
    rows_per_s: dict[str, float]  # threads -> rows a second
    format: int = _FORMAT

    @property
    def settings(self) -> Settings:
        return Settings(Batch(self.rows, self.tokens), self.threads, MEASURED)


def settle(engine: E, folder: Path) -> E:
    """The engine itself, with the settings of this machine. folder: of the files.

    Raises TrunklineError for a number in the environment that can't be used.
    """
    if isinstance(engine, Tunable):
        record = known(folder, measured_card(engine))
        engine.settings = with_hand(record.settings if record else engine.settings)
    return engine


def with_hand(settings: Settings) -> Settings:
    """`settings`, but what the environment fixes. Raises TrunklineError."""
    rows, tokens = _number(ROWS_VARIABLE, ROWS), _number(TOKENS_VARIABLE, TOKENS)
    batch = Batch(rows or settings.batch.rows, tokens or settings.batch.tokens)
    threads = min(threads_by_hand() or settings.threads, workers())
    return Settings(batch, threads, BY_HAND if rows or tokens else settings.why)


def known(folder: Path, card: EngineCard) -> Record | None:
    """What was measured for an engine on this machine."""
    here = machine(card)
    path = _file(folder, card, here)
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("measured settings can't be read and are left alone", extra={"fields": {"file": str(path), "found": str(error)}})
        return None
    right = (record.fingerprint, record.machine, record.format) == (card.fingerprint, here, _FORMAT)
    return record if right else None


def keep(folder: Path, card: EngineCard, record: Record) -> Path:
    """Write a record; of several processes the last one's stays. Raises TrunklineError."""
    path = _file(folder, card, record.machine)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1))
    return path


def machine(card: EngineCard) -> dict[str, str]:
    """What a measurement of an engine is good for."""
    try:
        runtime = version(card.runtime)
    except (PackageNotFoundError, ValueError):
        runtime = ""
    named = threads_by_hand()
    return {
        "processor": model(),
        "kind": kind(),
        "cores": str(workers()),
        "threads": "" if named is None else str(named),
        "runtime": f"{card.runtime} {runtime}".strip(),
    }


def _file(folder: Path, card: EngineCard, here: dict[str, str]) -> Path:
    told = "\0".join([str(_FORMAT), card.fingerprint, *(f"{name}={value}" for name, value in sorted(here.items()))])
    return folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"


def _number(name: str, bounds: tuple[int, int]) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    low, high = bounds
    if not (text.isascii() and text.isdigit() and len(text) < 8 and low <= int(text) <= high):
        raise TrunklineError(f"{name} can't be used", found=repr(text[:40]), wanted=f"a number from {low} to {high}")
    return int(text)
