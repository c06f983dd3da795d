"""Follows what is deployed while the server answers: one thread that looks every second.

It swaps what the record of a product names, takes on new products, proves bundles that nobody asked yet, hands over
what was counted, promotes or withdraws canaries by their rules, and measures engines while nobody calls. The change
itself is written to the record, so that every process follows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from trunkline.errors import BusyError, TrunklineError
from trunkline.serve.live import LiveCatalog
from trunkline.serve.log import log
from trunkline.serve.opening import find_products
from trunkline.serve.places import Stamp, contents
from trunkline.serve.rollout import Outcome, Route, judge_canary
from trunkline.serve.tuning import Tuner
from trunkline.shelf import Shelf

EVERY_SECONDS = 1.0
_FIND_EVERY = 10  # looks: for products that are new, gone or mended
_COUNT_EVERY = 60  # looks: for the figures of products that no rule hangs on
_PROVE_SHARE = 0.25  # of the time, so that traffic keeps the cores
_STOP_SECONDS = 5.0  # that a look may take to end: a registry that can't be reached must not hold the server up


class Watcher:
    """A context manager: watching within it. `look` is one look, for tests and for SIGHUP."""

    def __init__(self, live: LiveCatalog, every: float = EVERY_SECONDS) -> None:
        self.live, self.every, self.tuner = live, every, Tuner(live.engines)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._stamps: dict[Path, Stamp] = {}
        self._contents: dict[Path, object] = {}  # of products in trouble
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
        """Ends the watching, and hands over what was counted since the last look."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._hand_over(lambda at, route: True)

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            self._step("deployments", self.look)
            self._step("bundles", lambda: self.live.prove_some(self.every * _PROVE_SHARE))
            self._step("engines", lambda: self.tuner.look(self._stop.is_set))

    def _step(self, about: str, step: Callable[[], object]) -> None:
        try:
            step()
            self._said.pop(about, None)
        except Exception as error:  # noqa: BLE001 - said in the log; watching goes on
            self._say(about, error)

    def look(self, find: bool = False) -> None:
        """Judge the canaries by what all processes counted, then swap what changed. find: look for new products too."""
        self._hand_over(lambda at, route: route.compared or at % _COUNT_EVERY == self._looks % _COUNT_EVERY)
        for route in list(self.live.snapshot().routes.values()):
            self._judge(route)
        if find or self._looks % _FIND_EVERY == 0:
            self._find()
        self._looks += 1
        for folder, stamp in self.live.places.stamps(self.live.snapshot().folders.items()).items():
            if self._stamps.get(folder, ()) != stamp:
                self.live.update(folder)
                self._stamps[folder] = stamp

    def _find(self) -> None:
        found, known = set(find_products(self.live.root)), set(self.live.snapshot().folders.values())
        for folder in known - found:
            if not folder.exists():
                self.live.remove(folder)
        new = [(Shelf(folder).name, folder) for folder in sorted(found - known)]
        for folder, stamp in self.live.places.stamps(new).items():
            if stamp is not None:  # what was never deployed isn't taken on by itself
                self.live.update(folder)
                self._stamps[folder] = stamp
        self._try_again()
        self.live.note_absent()

    def _try_again(self) -> None:
        """Products in trouble, if a file of theirs has changed since they were tried."""
        now = self.live.snapshot()
        for folder in {now.folders[name] for name in (*now.refused, *now.troubles) if name in now.folders}:
            seen = contents(folder)
            if self._contents.get(folder) != seen:
                self.live.update(folder)
                self._contents[folder] = seen

    def _hand_over(self, due: Callable[[int, Route], bool]) -> None:
        """Give what was counted here to the sums, and learn them where rules hang on them."""
        for at, route in enumerate(list(self.live.snapshot().routes.values())):
            if due(at, route):
                try:
                    self.live.hand_over(route, ask=route.compared)
                except BusyError:
                    continue  # it is kept till the next look
                except TrunklineError as error:
                    return self._say("figures", error)  # the others would fail like it
                self._said.pop("figures", None)

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
        shelf = self.live.places.shelf(self.live.snapshot().folders[route.name], route.name)
        change = shelf.promote if outcome.change == "promote" else shelf.withdraw
        if change(version, outcome.reason, outcome.figures):
            fields = {"product": route.name, "version": version, "rules": outcome.reason, **outcome.figures}
            log.warning(f"canary: {outcome.change}", extra={"fields": fields})

    def _say(self, about: str, error: Exception) -> None:
        """Once, not every second."""
        if self._said.get(about) != str(error):
            self._said[about] = str(error)
            parts = error.as_dict() if isinstance(error, TrunklineError) else {"error": type(error).__name__}
            log.error("watching broke", extra={"fields": {"about": about, **parts}})
