"""A catalog from disk: bundles found below a folder and routed; their trunks loaded once and shared.

A product that can't serve keeps its error and the others serve. So that a thousand products start in a second,
bundles are verified, replayed and loaded on first use (or by the watcher before it); the first ones at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.bundle import Bundle
from trunkline.engines.settings import settle
from trunkline.errors import BundleError, TrunklineError
from trunkline.record import Record
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.elsewhere import Elsewhere
from trunkline.serve.log import log
from trunkline.serve.places import Places, name_beside
from trunkline.serve.replay import Proven
from trunkline.serve.residence import Residence
from trunkline.serve.rollout import Route
from trunkline.shelf import Shelf
from trunkline.trunks import find
from trunkline.trunks.cache import settings_folder
from trunkline.trunks.hub_files import BACK
from trunkline.types import Engine, EngineCard, Refused, Trunk

LOADED_AT_START = 50  # products; about as long as a trunk takes to load


@dataclass(frozen=True)
class Snapshot(Catalog):
    """A catalog with the routes of its products; it never changes, the next one takes its place."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)  # of all products, the refused ones too
    troubles: Mapping[str, TrunklineError] = field(default_factory=dict)  # why an old version serves on

    def explains(self, name: str) -> bool:
        return super().explains(name) and not self.routes[name].silent


def open_catalog(root: Path, budget_bytes: int = sys.maxsize) -> Snapshot:
    """Every product at or below `root` (at most two folders deep). budget_bytes: of all engines together.

    Products that can't serve are in `refused`. Raises BundleError if there is none at all.
    """
    return Loader(budget_bytes).open(root)


def find_products(root: Path) -> list[Path]:
    """Folders with bundles: the root itself, its folders and theirs; hidden ones are left out."""
    levels = [[root]]
    for _ in range(2):
        levels.append([sub for folder in levels[-1] for sub in _folders(folder)])
    return [folder for level in levels for folder in level if _holds_bundles(folder)]


def _folders(folder: Path) -> list[Path]:
    if folder.name == "bundles" or is_bundle(folder):
        return []
    subs = (sub for sub in folder.iterdir() if sub.is_dir() and not sub.is_symlink())
    return sorted(sub for sub in subs if not sub.name.startswith((".", "__")))


def is_bundle(folder: Path) -> bool:
    """A bundle by itself, beside no product."""
    return (folder / "manifest.json").is_file() and (folder / "head.json").is_file()


def _holds_bundles(folder: Path) -> bool:
    if folder.name == "bundles":
        return False
    return (folder / "product.toml").is_file() or (folder / "bundles").is_dir() or is_bundle(folder)


class Loader:
    """Makes routes from folders, and knows where their engines come from.

    engines: "trunk:<id>" and "own:<digest>" -> engine, in memory under the budget. here: is a trunk computed in this
    process? Of another only the card is known, and its products aren't replayed.
    """

    def __init__(
        self,
        budget_bytes: int = sys.maxsize,
        places: Places | None = None,
        here: Callable[[str], bool] = lambda trunk: True,
    ) -> None:
        self.places, self._here = places or Places(), here
        self._sources: dict[str, Trunk] = {}
        self.engines = Residence(self._loaded, budget_bytes)
        self._ask = Catalog({}, {}, self.engines).ask()

    def open(self, root: Path) -> Snapshot:
        """All products below a folder; see `open_catalog`."""
        if not root.is_dir():
            raise BundleError("there is no such folder", where=str(root))
        routes: dict[str, Route] = {}
        refused: dict[str, TrunklineError] = {}
        folders: dict[str, Path] = {}
        loading: dict[str, Future[Engine]] = {}
        record_of = self.places.records()
        with ThreadPoolExecutor(1, thread_name_prefix="trunk") as pool:  # an engine's load uses the cores itself
            for folder in find_products(root):
                try:
                    route = self.route(folder, record=record_of(folder), beside=folders)
                    self.only_one(route.name, folder, folders)
                except (TrunklineError, OSError) as error:
                    name = name_beside(folder, folders)
                    refused[name] = as_trunkline(error, folder)
                    folders.setdefault(name, folder)
                    continue
                routes[route.name], folders[route.name] = route, folder
                for name in {name for served in route.versions for name in _trunks(served)} - loading.keys():
                    loading[name] = pool.submit(self.engines.__getitem__, name)  # while the others are opened
            refused |= self.places.absent(folders)
            if not folders and not refused:
                raise BundleError(
                    "there is no product here", where=str(root), wanted="folders with product.toml", hint="trunkline init"
                )
            _load_first(routes, refused)
            _without_trunks(routes, refused, loading)
        for name, why in refused.items():
            log.error("product refused", extra={"fields": {"product": name, **why.as_dict()}})
        products = {name: route.live for name, route in routes.items()}
        return Snapshot(products, refused, self.engines, routes, folders)

    def route(
        self, folder: Path, current: Route | None = None, record: Record | None = None, beside: Mapping[str, Path] | None = None
    ) -> Route:
        """What should serve from a folder. `current` itself where that is unchanged; versions that served
        already are taken over.

        record: the product's, if it was read already. beside: the products that serve; with it, where nothing was
        ever deployed, the newest bundle that passed goes live, unless another has its name. Raises TrunklineError for the live version; a canary or shadow that can't be opened is in
        the route's `troubles`.
        """
        if is_bundle(folder) and self.places.registry is None:
            bundle = Bundle.open(folder, verify=False)
            if current is not None and bundle.manifest.digest == current.live.bundle.manifest.digest:
                return current
            return Route(self._served(_alone(bundle)))
        shelf = self.places.shelf(folder)
        record = record or shelf.record()
        if record.live is None and beside is not None and self.places.registry is None:
            self._pinned(shelf, beside)
            record = shelf.record()
        if current is not None and _same(record, current):
            return current
        return self._from_record(shelf, record, current)

    def deployed(self, folder: Path) -> bool:
        """Is there a version that should serve? Raises BundleError for a damaged record, StoreError."""
        return is_bundle(folder) or self.places.shelf(folder).live() is not None

    def one_version(self, folder: Path, version: str) -> Route:
        """A route with one named version, whatever the record says is live. Raises TrunklineError."""
        shelf = self.places.shelf(folder)
        record = shelf.record()
        return Route(self._served(shelf.served(version, record, verify=False)), silent=record.silent)

    def prove(self, route: Route, but: Iterable[Served] = ()) -> None:
        """Engines loaded, every version verified and replayed. Raises TrunklineError, or what a head raises."""
        known = set(but)
        for served in route.versions:
            if served not in known:
                for name in _trunks(served):
                    _ = self.engines[name]  # in memory before the first caller waits for it
                prove(served)

    def _pinned(self, shelf: Shelf, beside: Mapping[str, Path]) -> None:
        bundle, _ = shelf.pin(fit=lambda chosen: self.only_one(chosen.name, shelf.product, beside))
        log.warning(
            "nothing was deployed; the newest bundle that passed is live from now on",
            extra={"fields": {"product": bundle.name, "version": bundle.version}},
        )

    def _from_record(self, shelf: Shelf, record: Record, current: Route | None) -> Route:
        if record.live is None:
            raise BundleError("no version of the product was deployed", where=shelf.kept.where, hint="trunkline deploy")
        before = current.versions if current is not None else []
        kept = {served.bundle.version: served for served in before if _meant(served, record)}
        troubles: list[TrunklineError] = []

        def role(version: str | None) -> Served | None:
            if version is None or version in kept:
                return kept.get(version or "")
            try:
                return self._served(shelf.served(version, record, verify=False))
            except TrunklineError as error:
                troubles.append(error)
                return None

        live = kept.get(record.live) or self._served(shelf.served(record.live, record, verify=False))
        canary = role(record.canary.version) if record.canary else None
        share = record.canary.share if record.canary and canary else 0.0
        since = record.deployments[-1].when
        return Route(live, canary, share, role(record.shadow), tuple(troubles), record.era, since, record.silent)

    def _served(self, bundle: Bundle) -> Served:
        for card in bundle.manifest.trunks:
            name = f"trunk:{card.id}"
            if name not in self._sources:
                self._sources[name] = _available(card.id) if self._here(name) else find(card.id)
            _same_trunk(card, self._sources[name].card)
        elsewhere = not all(self._here(f"trunk:{card.id}") for card in bundle.manifest.trunks)
        return Proven(bundle, self._ask, self._sources.update, elsewhere)

    def _loaded(self, name: str) -> Engine:
        source = self._sources[name]
        if name.startswith("trunk:") and not self._here(name):
            return Elsewhere(source.card)
        return settle(source.load(), settings_folder())

    def only_one(self, name: str, folder: Path, folders: Mapping[str, Path]) -> None:
        """Raises BundleError where another folder has the name already."""
        if name in folders:
            raise BundleError(
                f"two folders hold a product called {name!r}",
                where=str(folder),
                found=str(folders[name]),
                hint="rename one of them in its product.toml and train it again: a bundle keeps the name it was trained under",
            )


def _load_first(routes: dict[str, Route], refused: dict[str, TrunklineError]) -> None:
    """Verify the first products and load their heads; what fails moves to `refused`."""
    for name, route in list(routes.items())[:LOADED_AT_START]:
        try:
            route.live.bundle.verify()
            route.live.bundle.head()
        except TrunklineError as error:
            refused[name] = error
            del routes[name]


def _without_trunks(
    routes: dict[str, Route], refused: dict[str, TrunklineError], loading: Mapping[str, Future[Engine]]
) -> None:
    """Wait for the trunks; the products of one that can't be loaded move to `refused`."""
    for trunk, future in loading.items():
        try:
            future.result()
        except TrunklineError as error:
            for name in [name for name, route in routes.items() if trunk in _trunks(route.live)]:
                refused[name] = error
                del routes[name]


def prove(served: Served) -> None:
    """Those of a folder are `Proven`; others, made ready by hand, have nothing to prove."""
    if isinstance(served, Proven):
        served.prove()


def as_trunkline(error: Exception, folder: Path) -> TrunklineError:
    """Whatever went wrong with a product's folder, as one clear error."""
    if isinstance(error, TrunklineError):
        return error
    if isinstance(error, OSError):
        return BundleError("the product's folder can't be read", where=str(folder), found=str(error))
    return BundleError("the bundle breaks on its own rows", where=str(folder), found=type(error).__name__)


def _alone(bundle: Bundle) -> Bundle:
    if bundle.manifest.passed:
        return bundle
    raise BundleError(
        "the bundle didn't pass its gate, and an override can be recorded only on a product's shelf",
        where=str(bundle.folder),
        hint="trunkline import, then trunkline deploy with an override",
    )


def _meant(served: Served, record: Record) -> bool:
    """Versions of one name may differ: the record tells them apart by their digest."""
    manifest = served.bundle.manifest
    return record.digest(manifest.version) in ("", manifest.digest.answers)


def _same(record: Record, route: Route) -> bool:
    if record.era != route.era:
        return False
    canary, shadow = (served and served.bundle.version for served in (route.canary, route.shadow))
    wanted = (record.live, record.canary and record.canary.version, record.shadow)
    share = record.canary.share if record.canary else 0.0
    return wanted == (route.live.bundle.version, canary, shadow) and share == route.share


def _trunks(served: Served) -> list[str]:
    return [f"trunk:{card.id}" for card in served.bundle.manifest.trunks]


def _available(name: str) -> Trunk:
    trunk = find(name)
    lacking = trunk.available()
    if isinstance(lacking, Refused):
        hint = BACK if name.startswith("folder:") else f"trunkline trunks pull {name}"
        raise BundleError(f"the trunk {name!r} is not on this machine", found=lacking.message, hint=hint)
    return trunk


def _same_trunk(wanted: EngineCard, found: EngineCard) -> None:
    if wanted.fingerprint != found.fingerprint:
        raise BundleError(
            f"the bundle was trained on another {wanted.id!r} than this machine has",
            found=f"fingerprint {found.fingerprint[:12]} ({found.precision}, {found.runtime})",
            wanted=f"{wanted.fingerprint[:12]} ({wanted.precision}, {wanted.runtime})",
            hint="train the product again here, or install the Trunkline that trained it",
        )
