"""`Idempotency-Key`: a POST that is sent again has the answer it had, whatever happened between."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from trunkline.errors import RequestError
from trunkline.serve import form
from trunkline.serve.caller import ANYBODY, Caller
from trunkline.serve.log import log
from trunkline.serve.wire import WrongRequestError
from trunkline.store.place import StoreError

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.idempotency import Repeatable

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MEANT = ("content-type", "inference-header-content-length")  # the same bytes may be rows, lines or tensors
REPLAYED = "idempotency-replayed"


class StillRunningError(RequestError):
    """The first call with this idempotency key has no answer yet."""


class Idempotency:
    """Answers a call once. `seconds`: the longest that a call may take, after which its claim is free."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store, self._seconds = store, seconds

    async def once(
        self, request: Request, body: bytes, answer: Callable[[], Awaitable[Response]]
    ) -> Response:
        """`answer()`, or what it gave when the same caller sent the same call with the same key.

        Only a 2xx answer is kept, for 24 hours; after any other the call may be sent again. A call without the
        header is answered as it is. Raises StillRunningError (409), WrongRequestError (422: a header that can't
        be read, or a key used for another call), StoreError where nothing was computed, and what `answer` raises.
        """
        from trunkline.store.idempotency import Conflict, Kept, claim, keep, release

        call = _repeatable(request, body)
        if call is None:
            return await answer()
        found = await asyncio.to_thread(claim, self._store, call, datetime.now(UTC), self._seconds)
        if isinstance(found, Kept):
            return Response(found.body, found.status, {**found.headers, REPLAYED: "true"})
        if isinstance(found, Conflict):
            raise _conflict(found is Conflict.RUNNING, call.key)
        try:
            response = await answer()
        except Exception:
            await self._noted(release, found)
            raise
        if 200 <= response.status_code < 300:
            kept = Kept(response.status_code, bytes(response.body), _headers(response))
            await self._noted(keep, found, kept)
        else:
            await self._noted(release, found)
        return response

    async def _noted(self, note: Callable[..., None], *what: Any) -> None:
        """A store that can't be written now takes nobody's answer away; the claim ends by itself."""
        try:
            await asyncio.to_thread(note, self._store, *what)
        except StoreError as error:
            log.error("an answer can't be kept", extra={"fields": error.as_dict()})


def _repeatable(request: Request, body: bytes) -> Repeatable | None:
    from trunkline.store.idempotency import Repeatable

    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        wanted = "1 to 255 visible ASCII characters, no space"
        raise WrongRequestError("the header Idempotency-Key can't be read", found=repr(key[:40]), wanted=wanted)
    caller: Caller = getattr(request.state, "caller", ANYBODY)
    meant = [request.headers.get(name, "") for name in _MEANT]
    if form.wanted(request):
        meant[0] = form.MEDIA
        body = b"".join(len(piece).to_bytes(8) + piece for piece in form.told_apart(request, body))
    asked = f"{request.method} {request.url.path}?{request.url.query} {meant}\n".encode()
    return Repeatable(caller.organisation, caller.name, key, hashlib.sha256(asked + body).digest())


def _headers(response: Response) -> dict[str, str]:
    """What belongs to the answer; its length is known, and its time is that of one call."""
    return {name: value for name, value in response.headers.items() if name not in ("content-length", "server-timing")}


def _conflict(running: bool, key: str) -> RequestError:
    if running:
        return StillRunningError(
            "the first call with this Idempotency-Key is being answered", found=key[:80], hint="try again in a second"
        )
    return WrongRequestError(
        "this Idempotency-Key was used for another call", found=key[:80], hint="make a new key for each new call"
    )
