"""Who may call: keys of the store, or anybody, on this machine only, where no key was ever made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.errors import RequestError, TrunklineError
from trunkline.serve.caller import Caller, is_local
from trunkline.serve.wire import ForeignError

if TYPE_CHECKING:
    from trunkline.store.callers import Key
    from trunkline.store.database import Store

FRESH_SECONDS = 5.0  # that a look-up is remembered: a revoked key ends within them
_OPEN = re.compile(r"/|/docs|/healthz|/v2/health/(live|ready)")
_ADMIN = re.compile(r"/v1/admin/.*|/v2/repository/models/.+/(un)?load")
_JOBS = re.compile(r"/v1/jobs(/.*)?")  # answers are for those who may send rows
_READ_BY_POST = "/v2/repository/index"  # as the Open Inference Protocol has it
_READING = ("GET", "HEAD", "OPTIONS")
_ABOUT = 'Bearer realm="trunkline"'

Problem = Callable[[Request, Exception], Awaitable[Response]]


class KeyWantedError(RequestError):
    """The call has no key, or one that isn't valid."""


class ScopeWantedError(RequestError):
    """The key is valid, but was not made for this."""


def needed_scope(method: str, path: str) -> str | None:
    """What a key must be made for: predict, read or admin; None where no key is needed."""
    if _OPEN.fullmatch(path):
        return None
    if _ADMIN.fullmatch(path):
        return "admin"
    if _JOBS.fullmatch(path):
        return "predict"
    return "read" if method in _READING or path == _READ_BY_POST else "predict"


class Keys:
    """Key -> caller, remembered for some seconds. Used on the event loop; the store is read beside it."""

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self._store, self._clock = store, clock
        self._known: dict[bytes, tuple[float, Key]] = {}  # valid keys only: no flood of guesses fills it
        self._any = (float("-inf"), False)

    async def wanted(self) -> bool:
        """Whether calls need a key."""
        from trunkline.store.callers import has_keys

        seen, any_ = self._any
        if not any_ and self._clock() - seen >= FRESH_SECONDS:  # once made, keys stay wanted
            any_ = await asyncio.to_thread(has_keys, self._store)
            self._any = (self._clock(), any_)
        return any_

    async def caller(self, key: str) -> Caller | None:
        """Who holds a key; None for a wrong, revoked or expired one."""
        from trunkline.store.callers import find_key, hash_key

        hashed = hash_key(key)
        if hashed is None:
            return None
        seen, found = self._known.get(hashed, (float("-inf"), None))
        now = self._clock()
        if found is None or now - seen >= FRESH_SECONDS:
            found = await asyncio.to_thread(find_key, self._store, hashed)
            if found is not None:
                self._known[hashed] = (now, found)
        if found is None or not found.valid(datetime.now(UTC)):
            self._known.pop(hashed, None)
            return None
        return Caller(found.name, found.organisation, found.scopes)


class Auth:
    """Around the app: `Authorization: Bearer KEY` (RFC 6750) becomes scope["state"]["caller"].

    401 without a valid key, 403 without the scope, in the form of `problem`. Without keys everybody on this
    machine may, but no page of another site: its browser would be on this machine too.
    """

    def __init__(self, app: ASGIApp, keys: Keys | None, problem: Problem) -> None:
        self.app, self._keys, self._problem = app, keys, problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                if self._keys is None or not await self._keys.wanted():
                    _of_this_machine(scope)
                else:
                    await self._admit(scope, self._keys)
            except TrunklineError as error:
                response = await self._problem(Request(scope), error)
                if isinstance(error, KeyWantedError | ScopeWantedError):
                    response.headers["www-authenticate"] = _challenge(scope, error)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope, keys: Keys) -> None:
        """Raises KeyWantedError, ScopeWantedError, or StoreError."""
        needed = needed_scope(scope["method"], scope["path"])
        if needed is None:
            return
        key = _bearer(scope)
        if key is None:
            raise KeyWantedError("this server wants a key", wanted="the header Authorization: Bearer tl_...")
        caller = await keys.caller(key)
        if caller is None:
            raise KeyWantedError("the key is wrong, revoked or expired", hint="ask whoever runs this server for a key")
        if not caller.scopes & {needed, "admin"}:
            raise ScopeWantedError(
                "the key was not made for this", found=", ".join(sorted(caller.scopes)), wanted=needed,
                hint=f"trunkline keys add {caller.name} --scope {needed}",
            )  # fmt: skip
        scope.setdefault("state", {})["caller"] = caller


def _of_this_machine(scope: Scope) -> None:
    """Host and Origin must name this machine (DNS rebinding; forms and scripts of other pages). Raises ForeignError."""
    for name, value in scope["headers"]:
        if name not in (b"host", b"origin"):
            continue
        told = value.decode("latin-1")
        host = urlsplit(told if name == b"origin" else f"//{told}").hostname or ""
        if not is_local(host):
            raise ForeignError(
                f"without keys the server answers this machine only, and {name.decode()} names another",
                found=told[:80], wanted="localhost, 127.0.0.1 or [::1]", hint="trunkline keys add NAME",
            )  # fmt: skip


def _bearer(scope: Scope) -> str | None:
    """The key in the header; None without one. Two headers are no key: which one would count?"""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        return None
    kind, _, key = given[0].decode("latin-1").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def _challenge(scope: Scope, error: Exception) -> str:
    """RFC 6750, section 3: no error code for a call that had no key at all."""
    if isinstance(error, ScopeWantedError):
        return f'{_ABOUT}, error="insufficient_scope", scope="{error.wanted}"'
    return _ABOUT if _bearer(scope) is None else f'{_ABOUT}, error="invalid_token"'
