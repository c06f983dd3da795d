"""The catalog that serves now. It is replaced as a whole: a request takes one snapshot and ends in it, whatever
is swapped meanwhile. What goes in was verified and replayed aside; what fails leaves the old one serving."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from trunkline.errors import BundleError, TrunklineError, nearest
from trunkline.serve.catalog import Served
from trunkline.serve.describe import describe_one
from trunkline.serve.log import log
from trunkline.serve.opening import Loader, Snapshot, as_trunkline, prove
from trunkline.serve.places import Places, name_beside
from trunkline.serve.replay import Proven
from trunkline.serve.residence import Residence
from trunkline.serve.rollout import Route
from trunkline.serve.wire import UnavailableError, UnknownProductError
from trunkline.store.place import StoreError

if TYPE_CHECKING:
    from trunkline.store.catalog import Registry


class HasLive(Protocol):
    """A server that answers from a live catalog."""

    @property
    def live(self) -> LiveCatalog: ...


def routes(server: HasLive) -> list[HttpRoute]:
    """GET /v1/products/{name}/rollout."""

    async def rollout(request: Request) -> Response:
        found = await asyncio.to_thread(server.live.rollout, request.path_params["name"])
        return Response(orjson.dumps(found), media_type="application/json")

    return [HttpRoute("/v1/products/{name}/rollout", rollout)]


class LiveCatalog:
    """The products at or below a folder. Reading a snapshot needs no lock; changes come one at a time.

    budget_bytes: of all engines in memory together. registry: what says which versions serve, instead of the
    folder; it is the caller's to close. here: see `Loader`.

    Raises BundleError if there is no product at all, StoreError.
    """

    def __init__(
        self,
        root: Path,
        budget_bytes: int = sys.maxsize,
        registry: Registry | None = None,
        here: Callable[[str], bool] = lambda trunk: True,
    ) -> None:
        self.root = Path(root)
        self.places = Places(registry)
        self._loader = Loader(budget_bytes, self.places, here)
        self._changing = threading.RLock()
        self._snapshot = self._loader.open(self.root)
        self._described: dict[str, tuple[str, orjson.Fragment]] = {}  # product -> (digest of all files, JSON)

    @property
    def engines(self) -> Residence:
        """Shared by all products."""
        return self._loader.engines

    def snapshot(self) -> Snapshot:
        """What serves at this moment; take it once a request."""
        return self._snapshot

    def version(self, name: str, version: str) -> Served:
        """A version of a product, whatever its role is by now: one in memory, else from its shelf. What serves stays
        as it is. Raises UnknownProductError, and BundleError or GateFailed where the version is gone or may not serve.
        """
        with self._changing:
            now = self._snapshot
            versions = now.routes[name].versions if name in now.routes else []
            for served in versions:
                if served.bundle.version == version:
                    return served
            return self._loader.one_version(self._folder(name), version).live

    def load(self, name: str, version: str | None = None) -> Served:
        """Serve a product anew: the version named, or what its shelf says. Until the next change of its shelf;
        the shelf itself isn't written.

        Raises UnknownProductError, StoreError, or UnavailableError where the bundle may not or can't serve: what
        served before serves on.
        """
        with self._changing:
            error = self._swap(self._folder(name), name, version) or self._damage(name)
            if error is not None:
                raise UnavailableError(error.what, found=error.found, wanted=error.wanted, hint=error.hint)
            return self._snapshot.products[name]

    def unload(self, name: str) -> None:
        """Answer no more for a product until it is loaded, or its shelf changes. Raises UnknownProductError."""
        with self._changing:
            if name not in self._snapshot.products:
                raise UnknownProductError(
                    f"no product called {name[:80]!r} serves", hint=nearest(name[:80], self._snapshot.products)
                )
            self._put(name, None)
            log.info("unloaded", extra={"fields": {"product": name}})

    def verify(self) -> None:
        """Read again what serves, so that damage on disk is said before a restart refuses it."""
        with self._changing:
            for name in list(self._snapshot.routes):
                if self._damage(name) is None and name in self._snapshot.troubles:
                    self._swap(self._snapshot.folders[name], name)

    def update(self, folder: Path) -> TrunklineError | None:
        """Serve what a product's record says now; why not, where it can't be, and then the old serves on.

        Raises StoreError where the record can't be had at this moment.
        """
        with self._changing:
            return self._swap(folder, self._name(folder))

    def remove(self, folder: Path) -> None:
        """Forget a product whose folder is gone."""
        with self._changing:
            name, old = self._name(folder), self._snapshot
            self._put(name, None)
            keep = {key: place for key, place in old.folders.items() if key != name}
            refused = {key: error for key, error in old.refused.items() if key != name}
            self._snapshot = replace(self._snapshot, folders=keep, refused=refused)
            log.warning("the product's folder is gone", extra={"fields": {"product": name}})

    def note_absent(self) -> None:
        """Refuse what the registry names and this folder doesn't hold. Raises StoreError."""
        with self._changing:
            old = self._snapshot
            absent = self.places.absent(old.folders)
            refused = {name: error for name, error in old.refused.items() if name in old.folders} | absent
            for name in absent.keys() - old.refused.keys():
                log.error("product refused", extra={"fields": {"product": name, **absent[name].as_dict()}})
            self._snapshot = replace(old, refused=refused)

    def hand_over(self, route: Route, ask: bool) -> None:
        """See `Figures.hand_over`; nothing where no record names the route's versions. Raises TrunklineError."""
        folder = self._snapshot.folders.get(route.name)
        if route.era and folder is not None:
            route.figures.hand_over(self.places.shelf(folder, route.name).kept, route.era, ask)

    def prove_some(self, seconds: float) -> bool:
        """Verify, replay and describe products that nobody asked yet, for about so long. True when all are."""
        until = perf_counter() + seconds
        for route, served in self._unproven():
            if perf_counter() > until:
                return False
            try:
                prove(served)
                self._description(route.live)
            except Exception as error:  # noqa: BLE001 - a head may raise anything; the product is refused with it
                self._failed(route, served, error)
        return True

    def listing(self) -> bytes:
        """GET /v1/products as JSON: those that serve, then those refused. Each is described once."""
        now = self._snapshot
        serving = [self._description(now.products[name]) for name in sorted(now.products)]
        refused = [
            {"name": name, "status": "refused", "reason": now.refused[name].as_dict()} for name in sorted(now.refused)
        ]
        return orjson.dumps({"products": [*serving, *refused]})

    def rollout(self, name: str) -> dict[str, Any]:
        """What is compared for a product, and why the version on record doesn't serve, if it doesn't: see
        `Route.as_dict`. Raises UnknownProductError."""
        now = self._snapshot
        if name not in now.routes:
            raise UnknownProductError(f"no product called {name[:80]!r} serves", hint=nearest(name[:80], now.routes))
        trouble = now.troubles.get(name)
        with contextlib.suppress(TrunklineError):  # the watcher says it; what is known here is better than nothing
            self.hand_over(now.routes[name], ask=True)
        return {**now.routes[name].as_dict(), "trouble": trouble and trouble.as_dict()}

    def _description(self, served: Served) -> orjson.Fragment:
        digest = served.bundle.manifest.digest.files
        known = self._described.get(served.name)
        if known is None or known[0] != digest:
            # A copy, so that the report it reads doesn't stay in memory.
            shown = describe_one(Proven(replace(served.bundle), lambda calls: ()))
            known = self._described[served.name] = (digest, orjson.Fragment(orjson.dumps(shown)))
        return known[1]

    def _folder(self, name: str) -> Path:
        folders = self._snapshot.folders
        if name not in folders:
            raise UnknownProductError(f"no product is called {name[:80]!r}", hint=nearest(name[:80], folders))
        return folders[name]

    def _name(self, folder: Path) -> str:
        known = (name for name, place in self._snapshot.folders.items() if place == folder)
        return next(known, None) or name_beside(folder, self._snapshot.folders)

    def _swap(self, folder: Path, name: str, version: str | None = None) -> TrunklineError | None:
        current = self._snapshot.routes.get(name)
        try:
            if version is not None:
                route = self._loader.one_version(folder, version)
            elif current is None and not self._loader.deployed(folder):
                return self._snapshot.refused.get(name)  # training never goes live by itself
            else:
                route = self._loader.route(folder, current)
            if route is not current:
                if route.name != name and route.name in self._snapshot.folders:
                    self._loader.only_one(route.name, folder, self._snapshot.folders)
                route = self._proven(route, current)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a new bundle breaks on, the old one serves on
            known = as_trunkline(error, folder)
            self._trouble(name, folder, known)
            return known
        if route is not current or name in self._snapshot.troubles:
            self._put(route.name, route, folder)
            log.info("swapped", extra={"fields": {"product": route.name, **route.roles()}})
        return None

    def _proven(self, route: Route, current: Route | None) -> Route:
        """The route with every new version proven; a canary or shadow that fails is left out of it."""
        kept = current.versions if current is not None else []
        self._loader.prove(Route(route.live), kept)
        for served in route.versions[1:]:
            try:
                self._loader.prove(Route(served), kept)
            except Exception as error:  # noqa: BLE001 - the live version serves all the same
                route = route.without(served, as_trunkline(error, served.bundle.folder))
        for trouble in route.troubles:
            log.error("a version can't take its role", extra={"fields": {"product": route.name, **trouble.as_dict()}})
        return route

    def _put(self, name: str, route: Route | None, folder: Path | None = None) -> None:
        """The next snapshot: a product's route, or none."""
        old = self._snapshot
        routes = {key: kept for key, kept in old.routes.items() if key != name}
        if route is not None:
            routes[name] = route
        self._snapshot = replace(
            old,
            products={key: kept.live for key, kept in routes.items()},
            routes=routes,
            refused={key: error for key, error in old.refused.items() if route is None or key != name},
            troubles={key: error for key, error in old.troubles.items() if key != name},
            folders={**old.folders, name: folder} if folder is not None else old.folders,
        )

    def _trouble(self, name: str, folder: Path, error: TrunklineError) -> None:
        """What should serve can't: noted, and said once."""
        old = self._snapshot
        part = "troubles" if name in old.routes else "refused"
        known = getattr(old, part).get(name)
        if known is not None and str(known) == str(error):
            return
        noted = {part: {**getattr(old, part), name: error}, "folders": {**old.folders, name: folder}}
        self._snapshot = replace(old, **noted)
        said = "the old version serves on" if part == "troubles" else "product refused"
        log.error(said, extra={"fields": {"product": name, **error.as_dict()}})

    def _damage(self, name: str) -> BundleError | None:
        """What is wrong on disk with the bundles that serve a product: noted, and they serve on from memory."""
        try:
            for served in self._snapshot.routes[name].versions:
                served.bundle.verify()
        except BundleError as error:
            self._trouble(name, self._snapshot.folders[name], error)
            return error
        return None

    def _unproven(self) -> Iterator[tuple[Route, Served]]:
        for route in self._snapshot.routes.values():
            for served in route.versions:
                if isinstance(served, Proven) and not served.proven:
                    yield route, served

    def _failed(self, route: Route, served: Served, error: Exception) -> None:
        """A version that was routed on trust didn't prove itself."""
        with self._changing:
            if self._snapshot.routes.get(route.name) is not route:
                return  # swapped meanwhile
            known = as_trunkline(error, served.bundle.folder)
            if served is route.live:
                self._put(route.name, None)
                self._trouble(route.name, self._snapshot.folders[route.name], known)
            else:
                self._put(route.name, route.without(served, known))
                log.error("a version can't take its role", extra={"fields": {"product": route.name, **known.as_dict()}})
