"""The bundles beside a product: `<product>/bundles/v1, v2, ...` and which of them serves.

shelf.json holds the next number, the live version and a record of every deployment. Training only
adds; what is live changes by `set_live` alone.
"""

from __future__ import annotations

import getpass
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from trunkline.bundle import Bundle
from trunkline.errors import BundleError, GateFailed, nearest
from trunkline.files import folder_lock, write_atomic

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


class Deployment(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One change of what is live, for the record."""

    when: str  # ISO 8601, UTC
    who: str
    version: str
    passed: bool
    override: bool = False
    reason: str = ""


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """shelf.json."""

    format: int = 1
    next: int = 1
    live: str | None = None
    deployments: tuple[Deployment, ...] = ()


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
        if version not in self.versions():
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
        try:
            record = msgspec.json.decode(content, type=Record)
        except msgspec.DecodeError as error:
            raise BundleError(
                "the shelf's record is damaged", where=str(self._file), found=str(error)
            ) from None
        if record.format != 1:
            raise BundleError(
                "the shelf was written by a newer Trunkline",
                where=str(self._file),
                found=f"format {record.format}",
                wanted="format 1",
            )
        return record

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
        """Make a version (the newest if not named) the one that serves, on record.

        Raises GateFailed for a bundle whose gate failed, unless overridden with a reason, and
        BundleError for one that is missing or damaged.
        """
        version = version or self._newest()
        bundle = self.open(version)
        passed = bundle.manifest.passed
        if not passed and not (override and reason):
            raise _gate_failed(bundle)
        entry = Deployment(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            who=_who(),
            version=version,
            passed=passed,
            override=not passed,
            reason=reason or "",
        )
        with self._locked():
            record = self.record()
            deployments = (*record.deployments, entry)
            self._write(msgspec.structs.replace(record, live=version, deployments=deployments))
        return bundle

    def pin(self) -> tuple[Bundle, bool]:
        """The bundle that serves, and whether this call chose it.

        Without a live version the newest one that passed is made live. Raises GateFailed if none passed,
        BundleError if there is none.
        """
        record = self.record()
        if record.live is not None:
            bundle = self.open(record.live)
            if not bundle.manifest.passed and not _overridden(record, record.live):
                raise _gate_failed(bundle)
            return bundle, False
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
        """Remove all but the newest `keep` versions and the live one; what was removed."""
        with self._locked():
            spared = {*self.versions()[-keep:], self.live()}
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

    def _locked(self) -> AbstractContextManager[None]:
        return folder_lock(self.home, "changing what serves")

    def _write(self, record: Record) -> None:
        write_atomic(self._file, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def _overridden(record: Record, version: str) -> bool:
    return any(entry.version == version and entry.override for entry in record.deployments)


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


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user id
        return "unknown"
