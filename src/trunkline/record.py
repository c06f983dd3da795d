"""shelf.json: which versions of a product serve, and every change of it."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from trunkline.bundle import Bundle
from trunkline.errors import BundleError

FORMAT = 2

Role: TypeAlias = Literal["live", "canary", "shadow"]
How: TypeAlias = Literal["deploy", "promote", "rollback"]


class Deployment(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One change, for the record. how: "promote" and a "rollback" with figures are the server's own; a
    "rollback" whose role is canary withdrew that version, else the version serves again."""

    when: str  # ISO 8601, UTC
    who: str
    version: str
    passed: bool
    override: bool = False
    reason: str = ""
    role: Role = "live"
    how: How = "deploy"
    share: float | None = None  # of a canary
    figures: dict[str, float] = {}  # what an automatic change was decided by


class Canary(Struct, frozen=True, forbid_unknown_fields=True):
    """A version that answers a share of the end users, 0 < share < 1."""

    version: str
    share: float


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """shelf.json. `previous` is what was live before, if that is known and wasn't returned to."""

    format: int = FORMAT
    next: int = 1
    live: str | None = None
    previous: str | None = None
    canary: Canary | None = None
    shadow: str | None = None
    deployments: tuple[Deployment, ...] = ()

    def overridden(self, version: str) -> bool:
        """Was a reason recorded to let it serve although its gate failed?"""
        return any(entry.version == version and entry.override for entry in self.deployments)

    def is_canary(self, version: str) -> bool:
        return self.canary is not None and self.canary.version == version

    def with_canary(self, canary: Canary) -> Record:
        shadow = None if self.shadow == canary.version else self.shadow
        return msgspec.structs.replace(self, canary=canary, shadow=shadow)

    def with_shadow(self, version: str) -> Record:
        canary = None if self.is_canary(version) else self.canary
        return msgspec.structs.replace(self, canary=canary, shadow=version)

    def without_canary(self) -> Record:
        return msgspec.structs.replace(self, canary=None)

    def goes_live(self, version: str) -> Record:
        """What was live is remembered; roles beside the new one end where they make no sense any longer."""
        return msgspec.structs.replace(
            self,
            live=version,
            previous=self.live if self.live != version else self.previous,
            canary=None,
            shadow=None if self.shadow == version else self.shadow,
        )


def entry_of(
    bundle: Bundle, role: Role, reason: str, figures: Mapping[str, float] | None = None, how: How = "deploy"
) -> Deployment:
    """The entry for a change of this moment, by the user of this process."""
    return Deployment(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=_who(),
        version=bundle.version,
        passed=bundle.manifest.passed,
        override=how == "deploy" and not bundle.manifest.passed,
        reason=reason,
        role=role,
        how=how,
        figures=dict(figures or {}),
    )


class _Numbered(Struct):
    format: int = 1


def decode(content: bytes, where: str, remedy: str) -> Record:
    """A record of any known format, in the present one. Raises BundleError; `remedy` is the command that
    names again what serves."""
    try:
        number = msgspec.json.decode(content, type=_Numbered).format
        if number > FORMAT:
            raise BundleError(
                "the shelf was written by a newer Trunkline",
                where=where,
                found=f"format {number}",
                wanted=f"format {FORMAT} or older",
                hint="upgrade Trunkline",
            )
        record = msgspec.json.decode(content, type=Record)
    except msgspec.DecodeError as error:
        raise BundleError(
            "the shelf's record is damaged",
            where=where,
            found=str(error),
            hint=f"restore it, or remove it and name what serves again: {remedy}; the bundles stay as they are",
        ) from None
    return _from_one(record) if record.format < FORMAT else record


def _from_one(record: Record) -> Record:
    """Format 1 knew only what is live; what was live before stands in its deployments."""
    others = (entry.version for entry in reversed(record.deployments) if entry.version != record.live)
    return msgspec.structs.replace(record, format=FORMAT, previous=next(others, None))


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user id
        return "unknown"
