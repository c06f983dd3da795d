from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from trunkline.serve.leaving import PATIENCE_SECONDS, while_here
from trunkline.serve.wire import GoneError


class Caller:
    """Who leaves after some seconds, or stays; `asked`: how often it was looked whether he is there."""

    def __init__(self, leaves: float | None = None) -> None:
        self.leaves, self.asked = leaves, 0
        self.request = Request({"type": "http"}, self.receive)

    async def receive(self) -> Message:
        self.asked += 1
        await (asyncio.Event().wait() if self.leaves is None else asyncio.sleep(self.leaves))
        return {"type": "http.disconnect"}


async def after(seconds: float, ended: list[str]) -> Response:
    try:
        await asyncio.sleep(seconds)
        ended.append("answered")
    except asyncio.CancelledError:
        ended.append("given up")
        raise
    return Response("yes")


def test_a_quick_answer_is_not_watched() -> None:
    async def run() -> None:
        caller, ended = Caller(leaves=0), list[str]()
        assert (await while_here(caller.request, after(0, ended))).body == b"yes"
        assert (caller.asked, ended) == (0, ["answered"])

    asyncio.run(run())


def test_a_slow_answer_is_given_up_when_the_caller_leaves() -> None:
    async def run() -> None:
        caller, ended = Caller(leaves=0.01), list[str]()
        with pytest.raises(GoneError):
            await while_here(caller.request, after(30, ended))
        assert ended == ["given up"]
        await asyncio.sleep(0)  # the task isn't cancelled any more
        me = asyncio.current_task()
        assert me is not None
        assert not me.cancelling()

    asyncio.run(run())


def test_a_slow_answer_of_a_caller_who_stays() -> None:
    async def run() -> None:
        caller, ended = Caller(), list[str]()
        await while_here(caller.request, after(3 * PATIENCE_SECONDS, ended))
        assert (caller.asked, ended) == (1, ["answered"])
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1  # nobody watches on

    asyncio.run(run())


def test_a_cancelled_call_is_cancelled_and_what_breaks_is_raised() -> None:
    async def broken() -> Response:
        raise ValueError("broken")

    async def run() -> None:
        ended = list[str]()
        task = asyncio.create_task(while_here(Caller().request, after(30, ended)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["given up"]
        with pytest.raises(ValueError, match="broken"):
            await while_here(Caller().request, broken())

    asyncio.run(run())
