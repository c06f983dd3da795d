"""The cache of what engines gave: a text that was encoded once, by any product, is not encoded again.

Rows lie in segment files, written whole and never changed, so any number of processes may read and
write one folder, and Ctrl-C leaves it readable. A row comes back bit-equal to what the engine gave.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.settings import settle
from trunkline.inputs.tensors import item_key
from trunkline.program import merged
from trunkline.segments import Segments
from trunkline.terminal import SILENT, Progress
from trunkline.trunks.cache import cache_folder, settings_folder
from trunkline.types import Ask, Call, Engine, EngineCard, Trunk, Value

MAX_BYTES = 2_000_000_000
SIZE_VARIABLE = "TRUNKLINE_CACHE_GB"
_SHOWN_ROWS = 256  # rows between two looks of the progress bar
_WRITE_ROWS = 2048  # computed rows are kept from here on, so that an interruption costs little


@dataclass
class Counts:
    """Rows looked up so far in this process."""

    hits: int = 0
    misses: int = 0
    seconds: float = 0.0  # that engines took for the misses

    @property
    def rate(self) -> float:
        """Share of rows that were known, 0..1; 0 before the first."""
        return self.hits / (self.hits + self.misses) if self.hits else 0.0


class Features:
    """The feature cache of a machine (or of `folder`), at most `max_bytes` large.

    Only the form `pooled` is kept. writes: or is it only read? Constructing it opens nothing. Thread-safe.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int | None = None, writes: bool = True) -> None:
        self.folder = folder or cache_folder() / "features"
        self.max_bytes, self.writes = _limit() if max_bytes is None else max_bytes, writes
        self.counts = Counts()
        self._spaces: dict[str, Segments] = {}
        self._loaded: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def ask(self, trunks: Mapping[str, Trunk], progress: Progress = SILENT) -> Ask:
        """An `Ask` for programs: what is known comes from here, the rest from the engines.

        trunks: "trunk:e5-small" -> trunk; loaded only when a row is new. New rows show as progress.
        """

        def run(call: Call) -> Any:
            trunk = trunks[call.engine]
            if not _kept(call):
                return self.engine(trunk).run(call)
            known, done = self.counts.misses, 0

            def compute(new: Call) -> NDArray[np.float32]:
                nonlocal done
                engine, parts = self.engine(trunk), []
                for start in range(0, len(new.items), _SHOWN_ROWS):
                    part = replace(new, items=new.items[start : start + _SHOWN_ROWS])
                    started = time.perf_counter()
                    parts.append(engine.run(part))
                    self.counts.seconds += time.perf_counter() - started
                    done += len(part.items)
                    progress.step("encode", done, self.counts.misses - known)
                return np.concatenate(parts)

            keys = [self.key(trunk.card, item) for item in call.items]
            return self.rows(trunk.card, call, keys, compute)

        return merged(run, lambda call, item: self.key(trunks[call.engine].card, item))

    def ask_uncached(self, trunks: Mapping[str, Trunk]) -> Ask:
        """An `Ask` straight through the engines: what a server would do."""
        return merged(
            lambda call: self.engine(trunks[call.engine]).run(call),
            lambda call, item: self.key(trunks[call.engine].card, item),
        )

    def engine(self, trunk: Trunk) -> Engine:
        """The trunk's engine, loaded on first use, once. Raises TrunkError."""
        with self._lock:
            if trunk.card.fingerprint not in self._loaded:
                self._loaded[trunk.card.fingerprint] = settle(trunk.load(), settings_folder())
            return self._loaded[trunk.card.fingerprint]

    def key(self, card: EngineCard, item: Value) -> bytes:
        """16 bytes that name an item; equal items of one kind have equal keys."""
        return item_key(card.kind)(item)

    def rows(
        self, card: EngineCard, call: Call, keys: Sequence[bytes], compute: Callable[[Call], Any]
    ) -> NDArray[np.float32]:
        """float32 (n, dim) for call.items, which `keys` name; `compute` answers a call of new items."""
        space = self._space(card, call)
        out = np.empty((len(keys), card.dim), np.float32)
        known = space.get(keys, out)
        new = np.flatnonzero(~known)
        self.counts.hits += len(keys) - len(new)
        self.counts.misses += len(new)
        for start in range(0, len(new), _WRITE_ROWS):
            part = new[start : start + _WRITE_ROWS]
            items = [call.items[i] for i in part]
            out[part] = compute(replace(call, items=items))
            if self.writes:
                space.put([keys[i] for i in part], out[part])
        return out

    def size(self) -> int:
        """Bytes of all segments, other processes' too."""
        return sum(_size(path) for path in self.folder.glob("*/*.rows"))

    def clear(self) -> None:
        """Forget everything; safe while others read."""
        for path in self.folder.glob("*/*.rows"):
            path.unlink(missing_ok=True)
        with self._lock:
            self._spaces.clear()

    def _space(self, card: EngineCard, call: Call) -> Segments:
        told = repr((card.fingerprint, call.form, None, call.options)).encode()  # None: what is cached keeps its name
        name = hashlib.sha256(told).hexdigest()[:24]
        with self._lock:
            if name not in self._spaces:
                folder = self.folder / f"{card.id.replace('/', '_').replace(':', '_')[:40]}-{name}"
                self._spaces[name] = Segments(folder, card.dim, self.max_bytes)
            return self._spaces[name]


def _limit() -> int:
    """TRUNKLINE_CACHE_GB, else MAX_BYTES."""
    asked = os.environ.get(SIZE_VARIABLE, "")
    return int(float(asked) * 1e9) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", asked) else MAX_BYTES


def _kept(call: Call) -> bool:
    return call.form == "pooled"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # another process has just evicted it
        return 0
