"""shelf.json: a product's record in a file beside its bundles; and what its traffic measured, in another."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from msgspec import Struct

from trunkline.errors import BundleError
from trunkline.files import folder_lock, turn, write_atomic
from trunkline.metrics.traffic import Counts
from trunkline.record import FORMAT, Deployment, Holds, Record, Tally, added, always, tallied

TRAFFIC = Path(".trunkline") / "traffic.json"
_TURN_SECONDS = 1.0  # that a process waits to add its figures; it keeps them until it can


class RecordFile:
    """A `Kept`. Making one reads and writes nothing."""

    def __init__(self, product: Path) -> None:
        self._home = product / "bundles"
        self._file = self._home / "shelf.json"
        self._traffic = product / TRAFFIC
        self._remedy = f"trunkline deploy {product} VERSION"

    @property
    def where(self) -> str:
        return str(self._file)

    def read(self) -> Record:
        """Raises BundleError if it is damaged or of a newer format."""
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return Record()
        except OSError as error:
            raise BundleError(
                "the shelf's record can't be read", where=self.where, found=error.strerror or str(error)
            ) from None
        return decode(content, self.where, self._remedy)

    def change(self, entry: Deployment, holds: Holds = always) -> bool:
        """Raises BusyError at once where another process changes it."""
        with self.locked():
            record = self.read()
            if not holds(record):
                return False
            self.write(record.after(entry))
        return True

    def count(self, era: str, more: Mapping[str, Counts]) -> Mapping[str, Counts] | None:
        if self.read().era != era:
            return None
        if not more:
            return self._tally().of(era)
        with turn(self._traffic.with_suffix(".lock"), _TURN_SECONDS):
            sums = added(self._tally().of(era), more)
            write_atomic(self._traffic, msgspec.json.encode(tallied(era, sums)), durable=False)
        return sums

    def locked(self) -> AbstractContextManager[None]:
        return folder_lock(self._home, "changing what serves")

    def write(self, record: Record) -> None:
        """To be called under the lock."""
        write_atomic(self._file, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")

    def _tally(self) -> Tally:
        """A file that a power cut left in pieces begins anew: they are figures, not what serves."""
        try:
            return msgspec.json.decode(self._traffic.read_bytes(), type=Tally)
        except (FileNotFoundError, msgspec.DecodeError):
            return Tally()
        except OSError as error:
            raise BundleError(
                "what traffic measured can't be read", where=str(self._traffic), found=error.strerror or str(error)
            ) from None


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
    return _from_one(record) if record.format == 1 else msgspec.structs.replace(record, format=FORMAT)  # 3 may hold switches


def _from_one(record: Record) -> Record:
    """Format 1 knew only what is live; what was live before stands in its deployments."""
    others = (entry.version for entry in reversed(record.deployments) if entry.version != record.live)
    return msgspec.structs.replace(record, format=FORMAT, previous=next(others, None))
