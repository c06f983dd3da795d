"""Which bundle answers under which name: found below a folder, verified, loaded, ready.

A product that can't serve keeps its error and the others serve. Trunks are loaded once and shared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trunkline.bundle import Bundle
from trunkline.errors import BundleError, TrunklineError
from trunkline.inputs import KINDS
from trunkline.inputs.row import RowReader
from trunkline.program import engine_runner, merged
from trunkline.shelf import Shelf
from trunkline.tasks import TASKS
from trunkline.trunks import find
from trunkline.types import Ask, Call, Engine, EngineCard, Head, InputKind, Refused, Task, Trunk, Value

log = logging.getLogger("trunkline.serve")


@dataclass(frozen=True)
class Served:
    """A product that is ready to answer."""

    bundle: Bundle
    head: Head
    task: Task
    reader: RowReader

    @property
    def name(self) -> str:
        return self.bundle.name

    @property
    def kinds(self) -> dict[str, InputKind]:
        """Input column -> its kind."""
        return {column.name: column.kind for column in self.reader.columns}


@dataclass(frozen=True)
class Catalog:
    """What this server answers, and what it refused and why."""

    products: Mapping[str, Served]
    refused: Mapping[str, TrunklineError] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)  # "trunk:<id>" -> engine

    def ask(self) -> Ask:
        """Answers calls through the shared engines, equal items once."""
        return merged(engine_runner(self.engines), _item_key(self.engines))


def open_catalog(root: Path) -> Catalog:
    """Every product at or below `root` (at most two folders deep), loaded.

    Products that can't serve are in `refused`. Raises BundleError if there is none at all.
    """
    bundles, refused = _bundles(root)
    trunks, unfit = _trunks(bundles.values())
    with ThreadPoolExecutor(max(1, len(trunks)), thread_name_prefix="trunk") as pool:
        loading = {f"trunk:{name}": pool.submit(trunk.load) for name, trunk in trunks.items()}
        products = dict(_serve(bundles, unfit, refused))  # heads load while the trunks do
        engines = dict(_loaded(loading, products, refused))
    for name, error in refused.items():
        log.error("product refused", extra={"fields": {"product": name, **error.as_dict()}})
    return Catalog(products, refused, engines)


def find_products(root: Path) -> list[Path]:
    """Folders with bundles: the root itself, its folders and theirs; hidden ones are left out."""
    levels = [[root]]
    for _ in range(2):
        levels.append([sub for folder in levels[-1] for sub in _folders(folder)])
    return [folder for level in levels for folder in level if _holds_bundles(folder)]


def _folders(folder: Path) -> list[Path]:
    if folder.name == "bundles" or _is_bundle(folder):
        return []
    subs = (sub for sub in folder.iterdir() if sub.is_dir() and not sub.is_symlink())
    return sorted(sub for sub in subs if not sub.name.startswith((".", "__")))


def _is_bundle(folder: Path) -> bool:
    return (folder / "manifest.json").is_file() and (folder / "head.json").is_file()


def _holds_bundles(folder: Path) -> bool:
    if folder.name == "bundles":
        return False
    return _is_bundle(folder) or (folder / "product.toml").is_file() or (folder / "bundles").is_dir()


def _bundles(root: Path) -> tuple[dict[str, Bundle], dict[str, TrunklineError]]:
    if not root.is_dir():
        raise BundleError("there is no such folder", where=str(root))
    bundles: dict[str, Bundle] = {}
    refused: dict[str, TrunklineError] = {}
    for folder in find_products(root):
        try:
            bundle = _open(folder)
        except TrunklineError as error:
            refused[folder.name] = error
            continue
        except OSError as error:
            refused[folder.name] = BundleError(
                "the product's folder can't be read", where=str(folder), found=str(error)
            )
            continue
        if bundle.name in bundles:
            refused[folder.name] = BundleError(
                f"two folders hold a product called {bundle.name!r}",
                where=str(folder),
                found=str(bundles[bundle.name].folder),
                hint="rename one of them",
            )
            continue
        bundles[bundle.name] = bundle
    if not bundles and not refused:
        raise BundleError(
            "there is no product here",
            where=str(root),
            wanted="folders with product.toml",
            hint="trunkline init",
        )
    return bundles, refused


def _open(folder: Path) -> Bundle:
    if _is_bundle(folder):
        bundle = Bundle.open(folder)
        if not bundle.manifest.passed:
            raise BundleError(
                "the bundle didn't pass its gate, and an override can be recorded only on a product's shelf",
                where=str(folder),
                hint="trunkline import, then trunkline deploy with an override",
            )
        return bundle
    bundle, chosen = Shelf(folder).pin()
    if chosen:
        log.warning(
            "nothing was deployed; the newest bundle that passed is live from now on",
            extra={"fields": {"product": bundle.name, "version": bundle.version}},
        )
    return bundle


def _trunks(bundles: Iterable[Bundle]) -> tuple[dict[str, Trunk], dict[str, TrunklineError]]:
    """The trunks of this machine that the bundles were trained on, and products whose trunk differs."""
    trunks: dict[str, Trunk] = {}
    unfit: dict[str, TrunklineError] = {}
    for bundle in bundles:
        for card in bundle.manifest.trunks:
            try:
                if card.id not in trunks:
                    trunks[card.id] = _available(card.id)
                _same(card, trunks[card.id].card)
            except TrunklineError as error:
                unfit[bundle.name] = error
    used = {c.id for b in bundles if b.name not in unfit for c in b.manifest.trunks}
    return {name: trunk for name, trunk in trunks.items() if name in used}, unfit


def _available(name: str) -> Trunk:
    trunk = find(name)
    lacking = trunk.available()
    if isinstance(lacking, Refused):
        raise BundleError(
            f"the trunk {name!r} is not on this machine",
            found=lacking.message,
            hint=f"trunkline trunks pull {name}",
        )
    return trunk


def _same(wanted: EngineCard, found: EngineCard) -> None:
    if wanted.fingerprint != found.fingerprint:
        raise BundleError(
            f"the bundle was trained on another {wanted.id!r} than this machine has",
            found=f"fingerprint {found.fingerprint[:12]} ({found.precision}, {found.runtime})",
            wanted=f"{wanted.fingerprint[:12]} ({wanted.precision}, {wanted.runtime})",
            hint="train the product again here, or install the Trunkline that trained it",
        )


def ready(bundle: Bundle) -> Served:
    """A bundle with its head loaded; its engines are the caller's. Raises BundleError."""
    task = TASKS.get(bundle.spec.task)()
    return Served(bundle, bundle.head(), task, RowReader(bundle.spec.inputs))


def _serve(
    bundles: Mapping[str, Bundle],
    unfit: Mapping[str, TrunklineError],
    refused: dict[str, TrunklineError],
) -> Iterator[tuple[str, Served]]:
    for name, bundle in bundles.items():
        try:
            if name in unfit:
                raise unfit[name]
            yield name, ready(bundle)
        except TrunklineError as error:
            refused[name] = error


def _loaded(
    loading: Mapping[str, Future[Engine]],
    products: dict[str, Served],
    refused: dict[str, TrunklineError],
) -> Iterator[tuple[str, Engine]]:
    for name, future in loading.items():
        try:
            yield name, future.result()
        except TrunklineError as error:
            for product in list(products):
                if name in {f"trunk:{card.id}" for card in products[product].bundle.manifest.trunks}:
                    refused[product] = error
                    del products[product]


def _item_key(engines: Mapping[str, Engine]) -> Any:
    kinds = {name: KINDS.get(engine.card.kind)() for name, engine in engines.items()}

    def key(call: Call, item: Value) -> bytes:
        return kinds[call.engine].key(item)

    return key
