"""Measures engines while nobody calls: each once on a machine, after its first answers, so that no start waits for
it and no call meets more of it than one batch. A measurement that a call came into counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from trunkline.engines.measure import measure
from trunkline.engines.settings import DEFAULT, Settings, Tunable, keep, measured_card, settle, with_hand
from trunkline.errors import BusyError, TrunklineError
from trunkline.files import folder_lock
from trunkline.serve.log import log
from trunkline.serve.residence import Residence
from trunkline.trunks.cache import settings_folder

QUIET_SECONDS = 3.0  # without a row, before anything is measured; twice as long after each vain try
_LONGEST_WAIT = 600.0


def settings_of(engines: Residence) -> dict[str, Settings]:
    """Engine -> its settings, of those in memory that have some."""
    here = engines.peek().items()
    return {name: engine.settings for name, engine in here if isinstance(engine, Tunable)}


class Tuner:
    """`look` is one look, every second or so, by one thread that isn't of the pool.

    engines: those in memory are measured. folder: where it is kept; the cache's by default.
    """

    def __init__(self, engines: Residence, folder: Path | None = None, quiet: float = QUIET_SECONDS) -> None:
        self.engines, self.folder, self.quiet = engines, folder or settings_folder(), quiet
        self._asked, self._since, self._wait = 0, monotonic(), quiet
        self._left: set[str] = set()  # fingerprints of engines that can't be measured

    def look(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Measure one engine, if one was never measured here and it has long been quiet. `stopped`: end it now?"""
        asked = self.engines.asked
        if asked != self._asked or not self.engines.idle():
            self._asked, self._since = asked, monotonic()
        elif asked and monotonic() - self._since >= self._wait:
            engine = next((one for one in self.engines.peek().values() if self._wanted(one)), None)
            if isinstance(engine, Tunable):
                self._try(engine, lambda: stopped() or self.engines.asked != asked)

    def _wanted(self, engine: object) -> bool:
        return isinstance(engine, Tunable) and engine.settings.why == DEFAULT and engine.card.fingerprint not in self._left

    def _try(self, engine: Tunable, stopped: Callable[[], bool]) -> None:
        try:
            with folder_lock(self.folder, "measuring an engine"):
                self._settle(engine, stopped)
        except BusyError:
            return  # another process measures; its result is read at a later look
        except Exception as error:  # noqa: BLE001 - an engine may raise anything; it serves on with what it has
            self._left.add(engine.card.fingerprint)
            why = error.as_dict() if isinstance(error, TrunklineError) else {"error": f"{type(error).__name__}: {error}"}
            log.warning("an engine's settings weren't measured and kept", extra={"fields": {"engine": engine.card.id, **why}})

    def _settle(self, engine: Tunable, stopped: Callable[[], bool]) -> None:
        """From the file, if another process has measured meanwhile; else measured now."""
        settle(engine, self.folder)
        if engine.settings.why != DEFAULT:
            return
        record = measure(engine, stopped)
        self._since = monotonic()
        if record is None:
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            log.info("measuring an engine was cut short", extra={"fields": {"engine": engine.card.id, "again_after": self._wait}})
            return
        self._wait = self.quiet
        engine.settings = with_hand(record.settings)
        chosen = {"rows": record.rows, "tokens": record.tokens, "threads": record.threads, "seconds": record.seconds}
        log.info("an engine was measured", extra={"fields": {"engine": record.engine, **chosen}})
        keep(self.folder, measured_card(engine), record)
