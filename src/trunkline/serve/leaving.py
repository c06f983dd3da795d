"""A call is given up when its caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trunkline.serve.wire import GoneError

PATIENCE_SECONDS = 0.05  # most answers are there before watching the caller would be worth a task


async def while_here(request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
    """The answer, given up when its caller leaves: live callers must not wait behind rows that nobody wants.
    To be used once the body was read. Raises GoneError, and what `answer` raises."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    leaving: asyncio.Task[None] | None = None
    left = False

    async def leave() -> None:
        nonlocal left
        await request.receive()
        left = True
        me.cancel()

    def look() -> None:
        nonlocal leaving
        leaving = loop.create_task(leave())

    timer = loop.call_later(PATIENCE_SECONDS, look)
    try:
        return await answer
    except asyncio.CancelledError:
        if not left:
            raise
        me.uncancel()
        raise GoneError("the caller left before the answer") from None
    finally:
        timer.cancel()
        if leaving is not None:
            leaving.cancel()
