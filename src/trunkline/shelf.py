"""The bundles beside a product: `<product>/bundles/v1, v2, ...` and which of them serves.

The record (`record.Record`) says what is live, canary, shadow and what was live before, with every change. It is
kept in shelf.json beside the bundles, or elsewhere for several machines; names of new versions are always given
by the file. Training only adds; what serves changes by `set_live`, `set_canary`, `set_shadow`, `promote` and
`rollback` alone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from trunkline.bundle import Bundle, product_in
from trunkline.errors import BundleError, GateFailed, nearest
from trunkline.record import Kept, Record, entry_of, switch
from trunkline.recordfile import RecordFile

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


class Shelf:
    """The versions of one product. Making a Shelf reads and writes nothing.

    kept: where its record is, if not in shelf.json.
    """

    def __init__(self, product: Path, kept: Kept | None = None) -> None:
        self.product = Path(product)
        self.home = self.product / "bundles"
        self._file = RecordFile(self.product)
        self.kept: Kept = kept or self._file

    def versions(self) -> list[str]:
        """Oldest first."""
        if not self.home.is_dir():
            return []
        names = (entry.name for entry in self.home.iterdir() if entry.is_dir())
        return sorted((name for name in names if _VERSION.fullmatch(name)), key=_number)

    @property
    def name(self) -> str:
        """The product's, by its newest bundle; without a bundle the folder's."""
        newest = self.latest()
        return (newest and product_in(self.folder(newest))) or self.product.resolve().name

    def latest(self) -> str | None:
        versions = self.versions()
        return versions[-1] if versions else None

    def live(self) -> str | None:
        """The version that serves, None before the first deployment. Raises BundleError."""
        return self.record().live

    def folder(self, version: str) -> Path:
        return self.home / version

    def open(self, version: str, verify: bool = True) -> Bundle:
        """A version's bundle. Raises BundleError, with the nearest version, if there is none."""
        if not (_VERSION.fullmatch(version) and self.folder(version).is_dir()):
            raise BundleError(
                f"the product has no version {version!r}",
                where=str(self.home),
                hint=nearest(version, self.versions()),
            )
        return Bundle.open(self.folder(version), verify)

    def record(self) -> Record:
        """As it stands. Raises BundleError if it is damaged or of a newer format, StoreError."""
        return self.kept.read()

    def check(self) -> None:
        """What training will need in the end: the record, and the bundle that serves, whole. Raises BundleError
        with a remedy, so that minutes of learning aren't lost on it."""
        if self.home.exists() and not self.home.is_dir():
            raise BundleError("there is a file in the bundles' place", where=str(self.home), hint="move it away")
        live = self.live()
        if live is None:
            return
        try:
            self.open(live)
        except BundleError as error:
            raise BundleError(
                f"{live} serves, but can't be compared with: {error.what}",
                where=error.where,
                found=error.found,
                wanted=error.wanted,
                hint=f"restore it, or let another version serve (trunkline deploy {self.product} VERSION), "
                f"or remove it from {self.kept.where} so that none does",
            ) from None

    def reserve(self) -> str:
        """The next version's name. A number is given once, even if nothing comes of it."""
        with self._file.locked():
            record = self._file.read()
            number = max(record.next, _after(self.versions()))
            self._file.write(msgspec.structs.replace(record, next=number + 1))
        return f"v{number}"

    def add(self, make: Callable[[Path, str], Bundle]) -> Bundle:
        """Add a version; `make(folder, version)` writes the bundle to that folder. Nothing goes live."""
        version = self.reserve()
        return make(self.folder(version), version)

    def take(self, bundle: Bundle) -> Bundle:
        """Put an imported bundle (a folder anywhere on this disk) on the shelf under its own version.

        Raises BundleError where that version is taken or isn't a version's name.
        """
        number, target = _number(bundle.version), self.folder(bundle.version)
        with self._file.locked():
            if target.exists():
                raise BundleError(
                    f"version {bundle.version} is there already",
                    where=str(target),
                    hint="it is never replaced; export the bundle from a newer version",
                )
            record = self._file.read()
            bundle.folder.rename(target)
            self._file.write(msgspec.structs.replace(record, next=max(record.next, number + 1)))
        return Bundle.open(target)

    def set_live(self, version: str | None = None, override: bool = False, reason: str | None = None) -> Bundle:
        """Make a version (the newest if not named) the one that serves, on record; a canary ends with it.

        Raises GateFailed unless the bundle passed or is overridden with a reason, BundleError, StoreError.
        """
        bundle = self._allowed(version, override, reason)
        self.kept.change(entry_of(bundle, "live", reason or ""))
        return bundle

    def set_canary(
        self, share: float, version: str | None = None, override: bool = False, reason: str | None = None
    ) -> Bundle:
        """Let a version answer a share (0 < share < 1) of the end users. Raises as `set_live`, and BundleError
        where nothing is live or the version can't answer the live one's rows."""
        if not 0 < share < 1:
            raise BundleError("a canary's share lies between 0 and 100 %", found=f"{share:.0%}", hint="--canary 10%")
        bundle = self._allowed(version, override, reason)
        self._beside_live(bundle)
        self.kept.change(entry_of(bundle, "canary", reason or "", share=share))
        return bundle

    def set_shadow(self, version: str | None = None, override: bool = False, reason: str | None = None) -> Bundle:
        """Let a version answer the live one's rows unseen. Raises as `set_canary`."""
        bundle = self._allowed(version, override, reason)
        self._beside_live(bundle)
        self.kept.change(entry_of(bundle, "shadow", reason or ""))
        return bundle

    def promote(self, version: str, reason: str, figures: Mapping[str, float]) -> bool:
        """The server's own: a canary goes live by what was measured. False where it is the canary no longer."""
        entry = entry_of(self.open(version), "live", reason, figures, how="promote")
        return self.kept.change(entry, lambda record: record.is_canary(version))

    def withdraw(self, version: str, reason: str, figures: Mapping[str, float]) -> bool:
        """The server's own: a canary ends by what was measured. False where it is the canary no longer."""
        entry = entry_of(self.open(version, verify=False), "canary", reason, figures, how="rollback")
        return self.kept.change(entry, lambda record: record.is_canary(version))

    def rollback(self, reason: str = "") -> Bundle:
        """Return to what was live before, in one step: a canary ends, or else the previous version serves again.

        The bundle that serves then. Raises BundleError where nothing was live before, or it is damaged;
        GateFailed where it had failed and was never overridden.
        """
        record = self.record()
        if record.canary is not None:
            live = self.open(record.live or "")
            self.kept.change(entry_of(self.open(record.canary.version, verify=False), "canary", reason, how="rollback"))
            return live
        if record.previous is None:
            raise BundleError(
                "there is nothing to roll back to",
                where=self.kept.where,
                wanted="a version that was live before",
                hint=f"trunkline deploy {self.product} VERSION; known: {', '.join(self.versions())}",
            )
        previous = self.served(record.previous, record)
        self.kept.change(entry_of(previous, "live", reason, how="rollback"))
        return previous

    def set_explained(self, explain: bool, reason: str = "") -> None:
        """Let callers of what serves ask why again, or no more, on record; no version changes its role. Raises BundleError
        without a bundle, StoreError."""
        self._newest()
        self.kept.change(switch(explain, reason))

    def end_shadow(self, reason: str = "") -> Bundle:
        """Ask the shadow no more; what is live stays. The bundle that serves. Raises BundleError without one."""
        record = self.record()
        if record.shadow is None:
            raise BundleError("there is no shadow", where=self.kept.where, hint="trunkline status")
        self.kept.change(entry_of(self.open(record.shadow, verify=False), "shadow", reason, how="rollback"))
        return self.open(record.live or "")

    def pin(self, verify: bool = True, fit: Callable[[Bundle], None] = lambda bundle: None) -> tuple[Bundle, bool]:
        """The bundle that serves, and whether this call chose it. One on record may go unverified till later.

        Without a live version the newest one that passed is made live, unless `fit` raises. Raises GateFailed if none passed,
        BundleError if there is none.
        """
        record = self.record()
        if record.live is not None:
            return self.served(record.live, record, verify), False
        self._newest()
        for version in reversed(self.versions()):
            bundle = self.open(version)
            if bundle.manifest.passed:
                fit(bundle)
                return self.set_live(version, reason="first serve: the newest that passed"), True
        raise GateFailed(
            "no bundle of this product passed its gate",
            where=str(self.home),
            hint="trunkline deploy with an override and a reason, or train again",
        )

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` versions and those that serve or served before; what was removed. For whoever adds
        versions: what others left half-written when they were killed goes too."""
        with self._file.locked():
            record = self.record()
            canary = record.canary and record.canary.version
            spared = {*self.versions()[-keep:], record.live, record.previous, record.shadow, canary}
            removed = [version for version in self.versions() if version not in spared]
            for version in removed:
                # Renamed first: a half-removed bundle must not be found under its name.
                self.folder(version).rename(self.home / f".removed-{version}")
            for rest in (*self.home.glob(".removed-*"), *self.home.glob(".v*.tmp")):
                shutil.rmtree(rest)
        return removed

    def _newest(self) -> str:
        newest = self.latest()
        if newest is None:
            raise BundleError("the product has no bundle yet", where=str(self.product), hint=f"trunkline train {self.product}")
        return newest

    def served(self, version: str, record: Record, verify: bool = True) -> Bundle:
        """A version that may serve: the bundle that was meant, which passed or was overridden on record.

        Raises GateFailed, BundleError.
        """
        wanted, folder = record.digest(version), self.folder(version)
        if wanted and not folder.is_dir():
            raise _not_meant(f"the product has no version {version!r} here", folder, "", wanted)
        bundle = self.open(version, verify)
        found = bundle.manifest.digest.answers
        if wanted not in ("", found):
            raise _not_meant(f"{version} here is not the bundle that was deployed", folder, f"digest {found[:12]}", wanted)
        if not bundle.manifest.passed and not record.overridden(version):
            raise _gate_failed(bundle)
        return bundle

    def _allowed(self, version: str | None, override: bool, reason: str | None) -> Bundle:
        """A verified bundle that may take a role."""
        bundle = self.open(version or self._newest())
        if not bundle.manifest.passed and not (override and reason):
            raise _gate_failed(bundle)
        return bundle

    def _beside_live(self, bundle: Bundle) -> None:
        """A canary or a shadow is sent the rows that were written for the live version."""
        live = self.live()
        if live is None or live == bundle.version:
            raise BundleError(
                f"{bundle.version} has no other live version beside it",
                where=self.kept.where,
                hint=f"trunkline deploy {self.product} VERSION first, without --canary or --shadow",
            )
        spec = self.open(live, verify=False).spec
        more = [column for column in bundle.spec.inputs if column not in spec.inputs]
        if bundle.spec.task != spec.task or more:
            raise BundleError(
                f"{bundle.version} can't answer the rows of {live}",
                where=str(self.home),
                found=f"task {bundle.spec.task}" if bundle.spec.task != spec.task else f"more columns: {more[:5]}",
                wanted=f"task {spec.task}, columns among {list(spec.inputs)[:20]}",
                hint="deploy it at once, or give it another name",
            )


def _not_meant(what: str, folder: Path, found: str, wanted: str) -> BundleError:
    remedy = "bring the bundle that was deployed here (trunkline export, import), or deploy another"
    return BundleError(what, where=str(folder), found=found, wanted=f"digest {wanted[:12]}", hint=remedy)


def _gate_failed(bundle: Bundle) -> GateFailed:
    return GateFailed(
        f"{bundle.name} {bundle.version} didn't pass its gate, so it may not serve",
        where=str(bundle.folder / "report.html"),
        wanted="a bundle that passed, or an override with a reason",
        hint="train again, change the gate, or deploy with an override and a reason",
    )


def _number(version: str) -> int:
    match = _VERSION.fullmatch(version)
    if match is None:
        raise BundleError("that is no version's name", found=repr(version)[:80], wanted="v1, v2, ...")
    return int(match[1])


def _after(versions: list[str]) -> int:
    return max(map(_number, versions), default=0) + 1
