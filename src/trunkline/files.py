"""Files written whole or not at all, locks on folders, digests, and paths that stay below a root."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from trunkline.errors import BusyError, DataError, TrunklineError


def write_atomic(path: Path, data: bytes, durable: bool = True) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    Missing parent folders are made. durable: it also survives a power cut, for some milliseconds. Raises
    TrunklineError naming the file (disk full, no permission); the temporary file is removed then, and also on Ctrl-C.
    """
    temp = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temp.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temp, path)
        if durable:
            sync(path.parent)
    except OSError as error:
        _remove(temp)
        raise _cannot_write(path, error) from error
    except BaseException:
        _remove(temp)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling folder to fill; it becomes `path` when the block ends well.

    Any exception, Ctrl-C too, removes it and leaves `path` as it was. Raises TrunklineError where
    `path` exists already or can't be written.
    """
    if path.exists():
        raise TrunklineError("this folder exists already", where=str(path), hint="choose another name")
    temp = _sibling(path)
    try:
        temp.mkdir(parents=True)
        yield temp
        for file in temp.rglob("*"):
            sync(file)
        os.rename(temp, path)
        sync(path.parent)
    except OSError as error:
        shutil.rmtree(temp, ignore_errors=True)
        raise _cannot_write(path, error) from error
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise


@contextmanager
def folder_lock(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` for this process; `what` says to others what is going on ("training").

    Raises BusyError at once, naming the holder's pid and work, where another process or thread has it.
    """
    from filelock import FileLock, Timeout

    holder = folder / ".lock.json"
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BusyError(
            "another process is working in this folder",
            where=str(folder),
            found=_holder(holder),
            hint="wait until it has ended",
        ) from None
    except OSError as error:
        raise _cannot_write(folder / ".lock", error) from error
    try:
        write_atomic(holder, json.dumps({"pid": os.getpid(), "what": what}).encode())
        yield
    finally:
        _remove(holder)
        lock.release()


@contextmanager
def turn(file: Path, seconds: float) -> Iterator[None]:
    """Wait for one's turn among the processes that lock this file, each for a moment.

    Raises BusyError where it doesn't come within `seconds`, TrunklineError where the file can't be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=seconds)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(poll_interval=0.005)
    except Timeout:
        raise BusyError("another process holds this file", where=str(file), hint="try again") from None
    except OSError as error:
        raise _cannot_write(file, error) from error
    try:
        yield
    finally:
        lock.release()


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, hex. Raises DataError where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError("this file can't be read", where=str(path), found=str(error.strerror)) from error


def safe_below(root: Path, relative: str) -> Path:
    """`relative` as a path below `root`, links followed.

    Raises DataError for absolute paths, `..`, drive letters, NUL, and links that lead out of `root`.
    """
    parts = PurePosixPath(relative.replace("\\", "/"))
    outside = (
        not relative.strip()
        or "\0" in relative
        or parts.is_absolute()
        or ".." in parts.parts
        or re.match(r"^[A-Za-z]:", relative) is not None
    )
    path = None if outside else (root / parts).resolve()
    if path is None or not path.is_relative_to(root.resolve()):
        raise DataError(
            "this path leaves the folder",
            where=str(root),
            found=repr(relative),
            wanted="a relative path below it",
            hint="copy the file into the folder",
        )
    return path


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes a file or a rename in a folder survive a power cut; Windows can't open folders for it."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "check the folder's permissions",
    errno.EPERM: "check the folder's permissions",
    errno.EROFS: "choose a folder that may be written to",
}


def _cannot_write(path: Path, error: OSError) -> TrunklineError:
    return TrunklineError(
        f"can't write {path.name}",
        where=str(path),
        found=error.strerror or str(error),
        hint=f"{remedy(error)}; nothing was changed",
    )


def remedy(error: OSError) -> str:
    """What to try where the system refuses a file."""
    return _REMEDIES.get(error.errno or 0, "check the path")


def _holder(file: Path) -> str:
    try:
        held = json.loads(file.read_bytes())
        return f"process {held['pid']}: {held['what']}"
    except (OSError, ValueError, KeyError, TypeError):  # the holder has only just taken, or left, the lock
        return "a process that has not said what it does"
