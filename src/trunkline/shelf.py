"""The bundles beside a product: `<product>/bundles/v1, v2, ...` and which of them serves.

shelf.json (`record.Record`) says what is live, canary, shadow and what was live before, with a record of
every change. Training only adds; what serves changes by `set_live`, `set_canary`, `set_shadow`, `promote`
and `rollback` alone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from trunkline.bundle import Bundle
from trunkline.errors import BundleError, GateFailed, nearest
from trunkline.files import folder_lock, write_atomic
from trunkline.record import Canary, Deployment, Record, Role, decode, entry_of

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


class Shelf:
    """The versions of one product. Making a Shelf reads and writes nothing."""

    def __init__(self, product: Path) -> None:
        self.product = Path(product)
        self.home = self.product / "bundles"
        self._file = self.home / "shelf.json"

    def versions(self) -> list[str]:
        """Oldest first."""
        if not self.home.is_dir():
            return []
        names = (entry.name for entry in self.home.iterdir() if entry.is_dir())
        return sorted((name for name in names if _VERSION.fullmatch(name)), key=_number)

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
        """shelf.json as it stands. Raises BundleError if it is damaged or of a newer format."""
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return Record(next=_after(self.versions()))
        except OSError as error:
            raise BundleError(
                "the shelf's record can't be read", where=str(self._file), found=error.strerror or str(error)
            ) from None
        remedy = f"trunkline deploy {self.product} {self.latest() or 'VERSION'}"
        return decode(content, str(self._file), remedy)

    def check(self) -> None:
        """What training will need in the end: the record, and the bundle that serves, whole.

        Raises BundleError with a remedy, so that minutes of learning aren't lost on it.
        """
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
                f"or remove {self._file} so that none does",
            ) from None

    def reserve(self) -> str:
        """The next version's name. A number is given once, even if nothing comes of it."""
        with self._locked():
            record = self.record()
            number = max(record.next, _after(self.versions()))
            self._write(msgspec.structs.replace(record, next=number + 1))
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
        with self._locked():
            if target.exists():
                raise BundleError(
                    f"version {bundle.version} is there already",
                    where=str(target),
                    hint="it is never replaced; export the bundle from a newer version",
                )
            record = self.record()
            bundle.folder.rename(target)
            self._write(msgspec.structs.replace(record, next=max(record.next, number + 1)))
        return Bundle.open(target)

    def set_live(
        self, version: str | None = None, override: bool = False, reason: str | None = None
    ) -> Bundle:
        """Make a version (the newest if not named) the one that serves, on record; a canary ends with it.

        Raises GateFailed for a bundle whose gate failed, unless overridden with a reason, and
        BundleError for one that is missing or damaged.
        """
        bundle, entry = self._allowed(version, "live", override, reason)
        self._change(entry, lambda record: record.goes_live(bundle.version))
        return bundle

    def set_canary(
        self, share: float, version: str | None = None, override: bool = False, reason: str | None = None
    ) -> Bundle:
        """Let a version answer a share (0 < share < 1) of the end users. Raises as `set_live`, and BundleError
        where nothing is live or the version can't answer the live one's rows."""
        if not 0 < share < 1:
            raise BundleError("a canary's share lies between 0 and 100 %", found=f"{share:.0%}", hint="--canary 10%")
        bundle, entry = self._allowed(version, "canary", override, reason)
        self._beside_live(bundle)
        entry = msgspec.structs.replace(entry, share=share)
        canary = Canary(bundle.version, share)
        self._change(entry, lambda record: record.with_canary(canary))
        return bundle

    def set_shadow(self, version: str | None = None, override: bool = False, reason: str | None = None) -> Bundle:
        """Let a version answer the live one's rows unseen. Raises as `set_canary`."""
        bundle, entry = self._allowed(version, "shadow", override, reason)
        self._beside_live(bundle)
        self._change(entry, lambda record: record.with_shadow(bundle.version))
        return bundle

    def promote(self, version: str, reason: str, figures: Mapping[str, float]) -> bool:
        """The server's own: a canary goes live by what was measured. False where it is the canary no longer."""
        entry = entry_of(self.open(version), "live", reason, figures, how="promote")
        return self._change(entry, lambda record: record.goes_live(version) if record.is_canary(version) else None)

    def withdraw(self, version: str, reason: str, figures: Mapping[str, float]) -> bool:
        """The server's own: a canary ends by what was measured. False where it is the canary no longer."""
        entry = entry_of(self.open(version, verify=False), "canary", reason, figures, how="rollback")
        return self._change(entry, lambda record: record.without_canary() if record.is_canary(version) else None)

    def rollback(self, reason: str = "") -> Bundle:
        """Return to what was live before, in one step: a canary ends, or else the previous version serves again.

        The bundle that serves then. Raises BundleError where nothing was live before, or it is damaged;
        GateFailed where it had failed and was never overridden.
        """
        record = self.record()
        if record.canary is not None:
            live = self.open(record.live or "")
            entry = entry_of(self.open(record.canary.version, verify=False), "canary", reason, how="rollback")
            self._change(entry, lambda record: record.without_canary())
            return live
        if record.previous is None:
            raise BundleError(
                "there is nothing to roll back to",
                where=str(self._file),
                wanted="a version that was live before",
                hint=f"trunkline deploy {self.product} VERSION; known: {', '.join(self.versions())}",
            )
        previous = self.served(record.previous, record)
        entry = entry_of(previous, "live", reason, how="rollback")
        # None is left to return to: a second rollback in haste must not bring the bad version back.
        version = previous.version
        self._change(entry, lambda record: msgspec.structs.replace(record.goes_live(version), previous=None))
        return previous

    def end_shadow(self, reason: str = "") -> Bundle:
        """Ask the shadow no more; what is live stays. The bundle that serves. Raises BundleError without one."""
        record = self.record()
        if record.shadow is None:
            raise BundleError("there is no shadow", where=str(self._file), hint="trunkline status")
        entry = entry_of(self.open(record.shadow, verify=False), "shadow", reason, how="rollback")
        self._change(entry, lambda record: msgspec.structs.replace(record, shadow=None))
        return self.open(record.live or "")

    def pin(self, verify: bool = True) -> tuple[Bundle, bool]:
        """The bundle that serves, and whether this call chose it. One on record may go unverified till later.

        Without a live version the newest one that passed is made live. Raises GateFailed if none passed,
        BundleError if there is none.
        """
        record = self.record()
        if record.live is not None:
            return self.served(record.live, record, verify), False
        self._newest()
        for version in reversed(self.versions()):
            bundle = self.open(version)
            if bundle.manifest.passed:
                return self.set_live(version, reason="first serve: the newest that passed"), True
        raise GateFailed(
            "no bundle of this product passed its gate",
            where=str(self.home),
            hint="trunkline deploy with an override and a reason, or train again",
        )

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` versions and those that serve or served before; what was removed."""
        with self._locked():
            record = self.record()
            canary = record.canary and record.canary.version
            spared = {*self.versions()[-keep:], record.live, record.previous, record.shadow, canary}
            removed = [version for version in self.versions() if version not in spared]
            for version in removed:
                # Renamed first: a half-removed bundle must not be found under its name.
                self.folder(version).rename(self.home / f".removed-{version}")
            for rest in self.home.glob(".removed-*"):
                shutil.rmtree(rest)
        return removed

    def _newest(self) -> str:
        newest = self.latest()
        if newest is None:
            raise BundleError(
                "the product has no bundle yet", where=str(self.product), hint="trunkline train"
            )
        return newest

    def served(self, version: str, record: Record, verify: bool = True) -> Bundle:
        """A version that may serve: it passed, or was overridden on record. Raises GateFailed, BundleError."""
        bundle = self.open(version, verify)
        if not bundle.manifest.passed and not record.overridden(version):
            raise _gate_failed(bundle)
        return bundle

    def _allowed(
        self, version: str | None, role: Role, override: bool, reason: str | None
    ) -> tuple[Bundle, Deployment]:
        """A verified bundle that may take a role, and the entry for the record."""
        bundle = self.open(version or self._newest())
        if not bundle.manifest.passed and not (override and reason):
            raise _gate_failed(bundle)
        return bundle, entry_of(bundle, role, reason or "")

    def _beside_live(self, bundle: Bundle) -> None:
        """A canary or a shadow is sent the rows that were written for the live version."""
        live = self.live()
        if live is None or live == bundle.version:
            raise BundleError(
                f"{bundle.version} has no other live version beside it",
                where=str(self._file),
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

    def _change(self, entry: Deployment, edit: Callable[[Record], Record | None]) -> bool:
        """Write what `edit` makes of the record as it stands, with the entry; False where it makes nothing."""
        with self._locked():
            changed = edit(self.record())
            if changed is not None:
                self._write(msgspec.structs.replace(changed, deployments=(*changed.deployments, entry)))
        return changed is not None

    def _locked(self) -> AbstractContextManager[None]:
        return folder_lock(self.home, "changing what serves")

    def _write(self, record: Record) -> None:
        write_atomic(self._file, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


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
