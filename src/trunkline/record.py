"""Which versions of a product serve, and every change of it.

A record is kept in a file beside its product (`recordfile`) or, for servers on several machines, in the catalog
table of a store (`store.catalog`). Both are a `Kept`; all rules of what may serve are `shelf`'s.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import Literal, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from trunkline.bundle import Bundle
from trunkline.metrics.traffic import Counts, Plain

FORMAT = 3

Role: TypeAlias = Literal["live", "canary", "shadow"]
How: TypeAlias = Literal["deploy", "promote", "rollback", "silence", "explain"]
SWITCHES = ("silence", "explain")  # the owner's: may callers ask why? No version takes or leaves a role by them


class Deployment(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One change, for the record. how: "promote" and a "rollback" with figures are the server's own; a
    "rollback" whose role is canary withdrew that version, else the version serves again; SWITCHES name no version."""

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
    digest: str = ""  # the bundle's `answers` digest; older records don't know it

    @property
    def switches(self) -> bool:
        """Does it change only whether callers may ask why?"""
        return self.how in SWITCHES

    @property
    def ends(self) -> bool:
        """Is the version a canary or shadow no longer?"""
        return self.how == "rollback" and self.role != "live"


class Canary(Struct, frozen=True, forbid_unknown_fields=True):
    """A version that answers a share of the end users, 0 < share < 1."""

    version: str
    share: float


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """`previous` is what was live before, if that is known and wasn't returned to."""

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

    def digest(self, version: str) -> str:
        """Of the bundle that was meant when the version last took a role; "" where that isn't known."""
        taken = (entry for entry in reversed(self.deployments) if not entry.ends and not entry.switches)
        return next((entry.digest for entry in taken if entry.version == version), "")

    @property
    def silent(self) -> bool:
        """Did the owner switch explanations off while it serves? Stays so, whatever is deployed, until switched on again."""
        said = (entry.how for entry in reversed(self.deployments) if entry.switches)
        return next(said, "explain") == "silence"

    @property
    def era(self) -> str:
        """Another one after every change: what traffic measured belongs to one era."""
        return era(len(self.deployments), self.deployments[-1].when) if self.deployments else ""

    def is_canary(self, version: str) -> bool:
        return self.canary is not None and self.canary.version == version

    def holder(self, role: Role) -> str | None:
        """The version in a role."""
        if role == "canary":
            return self.canary.version if self.canary is not None else None
        return self.live if role == "live" else self.shadow

    def after(self, entry: Deployment) -> Record:
        """The record with one more change. A version has one role; what was live is remembered."""
        changed = msgspec.structs.replace(self, deployments=(*self.deployments, entry))
        if entry.switches:
            return changed
        if entry.role == "live":
            return changed._goes_live(entry)
        if entry.ends:
            return msgspec.structs.replace(changed, **{entry.role: None})
        if entry.role == "canary":
            shadow = None if self.shadow == entry.version else self.shadow
            return msgspec.structs.replace(changed, canary=Canary(entry.version, entry.share or 0.0), shadow=shadow)
        canary = None if self.is_canary(entry.version) else self.canary
        return msgspec.structs.replace(changed, canary=canary, shadow=entry.version)

    def _goes_live(self, entry: Deployment) -> Record:
        """Roles beside the new one end where they make no sense any longer."""
        previous = self.live if self.live != entry.version else self.previous
        return msgspec.structs.replace(
            self,
            live=entry.version,
            # None is left to return to: a second rollback in haste must not bring the bad version back.
            previous=None if entry.how == "rollback" else previous,
            canary=None,
            shadow=None if self.shadow == entry.version else self.shadow,
        )


def record_of(changes: Iterable[Deployment]) -> Record:
    """What serves after all these changes, the oldest first."""
    return reduce(Record.after, changes, Record())


def era(changes: int, newest: str) -> str:
    """The name of an era: how many changes there were, and when the newest was."""
    return f"{changes} {newest}"


class Tally(Struct, frozen=True, forbid_unknown_fields=True):
    """What all processes together counted since an era began, by version."""

    era: str = ""
    versions: dict[str, Plain] = {}

    def of(self, era: str) -> dict[str, Counts]:
        """Nothing where it is of another era."""
        return {version: Counts.of_plain(plain) for version, plain in self.versions.items()} if era == self.era else {}


def tallied(era: str, sums: Mapping[str, Counts]) -> Tally:
    return Tally(era, {version: counts.plain() for version, counts in sums.items()})


def added(known: Mapping[str, Counts], more: Mapping[str, Counts]) -> dict[str, Counts]:
    """The sums, version by version; `known` is used up."""
    sums = dict(known)
    for version, counts in more.items():
        sums.setdefault(version, Counts()).add(counts)
    return sums


Holds: TypeAlias = Callable[[Record], bool]


def always(record: Record) -> bool:
    return True


class Kept(Protocol):
    """Where a product's record is kept, and what its traffic measured. Any number of processes may use it at once."""

    @property
    def where(self) -> str:
        """For messages."""
        ...

    def read(self) -> Record:
        """The record as it stands, an empty one before the first change. Raises TrunklineError."""
        ...

    def change(self, entry: Deployment, holds: Holds = always) -> bool:
        """Write one change down, unless the record as it stands then doesn't hold; whether it was written.

        Raises TrunklineError, BusyError.
        """
        ...

    def count(self, era: str, more: Mapping[str, Counts]) -> Mapping[str, Counts] | None:
        """Add what this process counted in an era, and give the sums of all; None where another era has begun,
        and then nothing is kept. Versions without any count are left out. Raises TrunklineError, BusyError."""
        ...


def entry_of(
    bundle: Bundle,
    role: Role,
    reason: str,
    figures: Mapping[str, float] | None = None,
    how: How = "deploy",
    share: float | None = None,
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
        share=share,
        figures=dict(figures or {}),
        digest=bundle.manifest.digest.answers,
    )


def switch(explain: bool, reason: str = "") -> Deployment:
    """The entry by which callers may ask why again, or no more, from this moment; by the user of this process."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Deployment(when=when, who=_who(), version="", passed=True, reason=reason, how="explain" if explain else "silence")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user id
        return "unknown"
