"""Where jobs lie: their rows and answers as files in a folder of the server, all else in the store.

    .trunkline/jobs/place              the folder's own name, by which the store knows whose files a job has
    .trunkline/jobs/.upload-*          rows that are coming in
    .trunkline/jobs/<id>/rows          a job's rows, until it has ended
    .trunkline/jobs/<id>/<holder>      its answers, a file for each time that a worker took it

What a crash leaves half-written is never read: the store says which files count, and how many of their bytes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from trunkline.files import sync
from trunkline.store.place import StoreError, jobs_folder, open_at, store_exists

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job

KIND = "bulk"
KEPT = timedelta(days=7)  # that a job's answers can be fetched after its end
_UNTOUCHED_SECONDS = 3600  # after which what belongs to no job is rubbish: an upload under way is written to all the time


class Place:
    """The store and the folder of the jobs of one server, however many processes it has. All of it blocks."""

    def __init__(self, root: Path, store: Store | None = None) -> None:
        self.home = jobs_folder(root)
        self._root, self._store = root, store
        self._opening = threading.Lock()

    def store(self) -> Store | None:
        """None while there is none: then there are no jobs. Raises StoreError, MissingExtra."""
        with self._opening:
            if self._store is None and store_exists(self._root):
                self._store = open_at(self._root)
            return self._store

    def made(self) -> Store:
        """The store, made beside the products where there is none. Raises StoreError, MissingExtra."""
        with self._opening:
            if self._store is None:
                self._store = open_at(self._root)
            return self._store

    def mark(self) -> str | None:
        """The folder's name in the store; None before its first job."""
        try:
            return (self.home / "place").read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def marked(self) -> str:
        """The same, given now if need be: servers elsewhere may share the store, but not these files.

        Raises StoreError where the folder can't be written.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            while (mark := self.mark()) is None:
                made = self.home / f".place-{secrets.token_hex(8)}"
                made.write_text(secrets.token_hex(16), encoding="ascii")
                with suppress(FileExistsError):
                    os.link(made, self.home / "place")  # never over one that another process has just made
                made.unlink()
        except OSError as error:
            what = "the folder of jobs can't be written"
            raise StoreError(what, found=error.strerror or "", hint="check its disk and permissions") from None
        return mark

    def folder(self, id_: str) -> Path:
        return self.home / id_

    def rows(self, id_: str) -> Path:
        return self.folder(id_) / "rows"

    def adopt(self, upload: Path, id_: str) -> None:
        """An upload becomes the rows of a job."""
        self.folder(id_).mkdir(mode=0o700)
        upload.rename(self.rows(id_))
        sync(self.folder(id_))
        sync(self.home)

    def drop(self, id_: str) -> None:
        """All files of a job; those that another process has open go when it is done with them."""
        shutil.rmtree(self.folder(id_), ignore_errors=True)

    def tidy(self, job: Job) -> None:
        """Drops what nobody will read any more of a job that has ended."""
        if job.state == "done":
            self.rows(job.id).unlink(missing_ok=True)
        else:
            self.drop(job.id)

    def sweep(self, store: Store, mark: str, now: datetime) -> None:
        """Forgets jobs whose time is over, and removes files that a crash left behind. Raises StoreError, OSError."""
        from trunkline.store.jobs import drop_old, find_job

        drop_old(store, KIND, mark, now - KEPT)
        for entry in list(self.home.iterdir()):
            job = find_job(store, entry.name) if entry.is_dir() else None
            if job is None and entry.name != "place" and _untouched(entry):
                self.drop(entry.name) if entry.is_dir() else entry.unlink(missing_ok=True)
            if job is not None and not job.open:
                self.tidy(job)


def pieces(place: Place, job: Job, size: int = 262_144) -> Iterator[bytes]:
    """The answers that count, byte by byte, in order. Raises OSError where a file is gone."""
    for name, left in job.parts:
        with (place.folder(job.id) / name).open("rb") as file:
            while left > 0:
                piece = file.read(min(size, left))
                if not piece:
                    raise OSError(f"a file of answers ends {left} bytes early")
                left -= len(piece)
                yield piece


def _untouched(entry: Path) -> bool:
    try:
        return time() - entry.stat().st_mtime > _UNTOUCHED_SECONDS
    except FileNotFoundError:
        return False
