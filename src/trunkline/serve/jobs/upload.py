"""A body of any size to a file: streamed, bounded, on disk for good before anybody is told of it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from trunkline.serve import wire

T = TypeVar("T")

PIECE = 1_000_000  # bytes in memory at a time
RESERVE = 500_000_000  # bytes of the disk that are left to the store, the log and the answers
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Upload:
    """A body on disk, whole; `digest` is its SHA-256."""

    path: Path
    digest: bytes


@asynccontextmanager
async def received(request: Request, home: Path, limit: int) -> AsyncIterator[Upload]:
    """The body as a file in `home`, removed when the block ends unless it was moved away.

    Raises TooLargeError, NoRoomError, WrongRequestError for an empty body, GoneError.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit():
        _check(int(length), limit)
        await asyncio.to_thread(_check_room, home, int(length))
    path = home / f".upload-{secrets.token_hex(16)}"
    try:
        yield await _fitting(_written(request, path, limit))
    finally:
        path.unlink(missing_ok=True)


async def _written(request: Request, path: Path, limit: int) -> Upload:
    digest, size, waiting = hashlib.sha256(), 0, bytearray()
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:

        def write() -> None:
            _check_room(path.parent, len(waiting))
            file.write(waiting)
            digest.update(waiting)
            waiting.clear()

        def finish() -> None:
            write()
            file.flush()
            os.fsync(file.fileno())

        try:
            async for piece in request.stream():
                waiting += piece
                size += len(piece)
                _check(size, limit)
                if len(waiting) >= PIECE:
                    await asyncio.to_thread(write)
        except ClientDisconnect:
            raise wire.GoneError("the caller left while it sent the file") from None
        await asyncio.to_thread(finish)
    if not size:
        raise wire.WrongRequestError("the body is empty", wanted="a file of rows", hint="curl --data-binary @FILE")
    return Upload(path, digest.digest())


async def _fitting(written: Awaitable[T]) -> T:
    try:
        return await written
    except OSError as error:
        if error.errno in _FULL:
            raise _no_room() from None
        raise


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise wire.TooLargeError(
            "the file is too large", wanted=f"at most {limit:,} bytes", hint="send it as several jobs"
        )


def _check_room(home: Path, wanted: int) -> None:
    if shutil.disk_usage(home).free < wanted + RESERVE:
        raise _no_room()


def _no_room() -> wire.NoRoomError:
    return wire.NoRoomError(
        "the server's disk has no room for this file", hint="delete jobs that are done with, or ask whoever runs this server"
    )
