"""Follows what is deployed while the server answers: one thread that looks every second.

It swaps what shelf.json names, takes on new products, proves bundles that nobody asked yet, and promotes or
withdraws canaries by their rules. The change itself is written to shelf.json, so that every process follows.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from trunkline.errors import BusyError, TrunklineError
from trunkline.serve.live import LiveCatalog
from trunkline.serve.log import log
from trunkline.serve.opening import find_products
from trunkline.serve.rollout import Outcome, Route, judge_canary
from trunkline.shelf import Shelf

EVERY_SECONDS = 1.0
_FIND_EVERY = 10  # looks, for products that are new or gone
_PROVE_SHARE = 0.25  # of the time, so that traffic keeps the cores

Stamp = tuple[int, int, int] | None


class Watcher:
    """A context manager: watching within it. `look` is one look, for tests and for SIGHUP."""

    def __init__(self, live: LiveCatalog, every: float = EVERY_SECONDS) -> None:
        self.live, self.every = live, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._stamps: dict[Path, Stamp] = {}
        self._looks = 0
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            try:
                self.look()
                self.live.prove_some(self.every * _PROVE_SHARE)
            except Exception as error:  # noqa: BLE001 - said in the log; watching goes on
                self._say("", error)

    def look(self, find: bool = False) -> None:
        """Judge the canaries, then swap what changed on disk. find: look for new products too."""
        for route in list(self.live.snapshot().routes.values()):
            self._judge(route)
        if find or self._looks % _FIND_EVERY == 0:
            self._find()
        self._looks += 1
        for folder in set(self.live.snapshot().folders.values()):
            stamp = _stamp(folder)
            if self._stamps.get(folder, ()) != stamp:
                self._stamps[folder] = stamp
                self.live.update(folder)

    def _find(self) -> None:
        found, known = set(find_products(self.live.root)), set(self.live.snapshot().folders.values())
        for folder in known - found:
            if not folder.exists():
                self.live.remove(folder)
        for folder in sorted(found - known):
            if _stamp(folder) is not None:  # what was never deployed isn't taken on by itself
                self._stamps[folder] = _stamp(folder)
                self.live.update(folder)

    def _judge(self, route: Route) -> None:
        try:
            outcome = judge_canary(route)
            if outcome is not None and route.canary is not None:
                self._change(route, route.canary.bundle.version, outcome)
        except BusyError:
            return  # somebody deploys at this moment; judged again at the next look
        except TrunklineError as error:
            self._say(route.name, error)

    def _change(self, route: Route, version: str, outcome: Outcome) -> None:
        shelf = Shelf(self.live.snapshot().folders[route.name])
        change = shelf.promote if outcome.change == "promote" else shelf.withdraw
        if change(version, outcome.reason, outcome.figures):
            fields = {"product": route.name, "version": version, "rules": outcome.reason, **outcome.figures}
            log.warning(f"canary: {outcome.change}", extra={"fields": fields})

    def _say(self, product: str, error: Exception) -> None:
        """Once, not every second."""
        if self._said.get(product) != str(error):
            self._said[product] = str(error)
            parts = error.as_dict() if isinstance(error, TrunklineError) else {"error": type(error).__name__}
            log.error("watching broke", extra={"fields": {"product": product, **parts}})


def _stamp(folder: Path) -> Stamp:
    """What changes when a deployment is written: the shelf's record, or a lone bundle's manifest."""
    for name in ("bundles/shelf.json", "manifest.json"):
        try:
            found = (folder / name).stat()
        except OSError:  # none there, or not to be read: opening the product says which
            continue
        return (found.st_mtime_ns, found.st_ino, found.st_size)
    return None
