"""Where it stands which versions serve: a file beside each product, or one registry for all.

Bundles are found in the server's folder either way. With a registry the server writes nothing of its own accord but
what a canary's rules decide: what was never deployed there doesn't serve.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from trunkline.errors import BundleError, TrunklineError
from trunkline.record import Record
from trunkline.shelf import Shelf

if TYPE_CHECKING:
    from trunkline.store.catalog import Registry

Stamp: TypeAlias = tuple[int, ...] | None  # changes when what should serve does; None where nothing was ever deployed


class Places:
    """Of one server. registry: None where records lie beside the products."""

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry

    def shelf(self, folder: Path, name: str | None = None) -> Shelf:
        """name: the product's, if it is known; its bundles say it."""
        if self.registry is None:
            return Shelf(folder)
        return Shelf(folder, self.registry.of(name or Shelf(folder).name))

    def records(self) -> Callable[[Path], Record | None]:
        """All records at once; None for those that are read one by one. Raises StoreError."""
        if self.registry is None:
            return lambda folder: None
        known = self.registry.records()
        return lambda folder: known.get(Shelf(folder).name, Record())

    def stamps(self, products: Iterable[tuple[str, Path]]) -> dict[Path, Stamp]:
        """Of each product, by name and folder: one query of the registry for all, or a look at each file.

        Raises StoreError.
        """
        if self.registry is None:
            return {folder: _stamp(folder) for _, folder in products}
        newest = self.registry.stamps()
        return {folder: (newest[name],) if name in newest else None for name, folder in products}

    def absent(self, here: Collection[str]) -> dict[str, TrunklineError]:
        """Products that should serve, but none of whose bundles is here. Raises StoreError."""
        found: dict[str, TrunklineError] = {}
        for name in sorted(self.registry.stamps().keys() - here) if self.registry is not None else ():
            found[name] = BundleError(
                "the registry names this product, but there is no bundle of it here",
                hint="trunkline import its bundle into the server's folder; it is looked for every ten seconds",
            )
        return found


def name_beside(folder: Path, others: Collection[str]) -> str:
    """What a product is called that can't be opened: by its bundles, unless another folder has that name."""
    name = Shelf(folder).name
    return folder.name if name in others else name


def contents(folder: Path) -> frozenset[tuple[str, int, int]]:
    """What changes when a bundle of a product arrives or is mended: name, time and size of its files."""
    found = set()
    for file in Shelf(folder).home.glob("v*/**/*"):
        try:
            seen = file.stat()
        except OSError:  # it went while we looked
            continue
        found.add((str(file.relative_to(folder)), seen.st_mtime_ns, seen.st_size))
    return frozenset(found)


def _stamp(folder: Path) -> Stamp:
    """The shelf's record, or a lone bundle's manifest."""
    for name in ("bundles/shelf.json", "manifest.json"):
        try:
            found = (folder / name).stat()
        except OSError:  # none there, or not to be read: opening the product says which
            continue
        return (found.st_mtime_ns, found.st_ino, found.st_size)
    return None
