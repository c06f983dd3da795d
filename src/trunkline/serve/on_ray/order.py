"""What goes between the server and a replica: plain values, no objects of ours. Ray carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from time import monotonic
from typing import Any, TypedDict

from trunkline.errors import TrunklineError
from trunkline.serve.catalog import Served
from trunkline.serve.rollout import identity
from trunkline.serve.schedule import Spent, Ticket

PARTS = ("what", "where", "found", "wanted", "hint")


class Who(TypedDict):
    """A ticket; `seconds` are left of its deadline, since clocks of two machines don't agree."""

    organisation: str
    caller: str
    product: str
    seconds: float | None
    reuse: bool


class Reply(TypedDict, total=False):
    """`body` and `spent`, or `failed`: {"kind": name of the error's class, ...its parts}."""

    body: Any
    spent: tuple[float, float, int, int]
    failed: dict[str, str]


def who(ticket: Ticket) -> Who:
    seconds = None if ticket.deadline is None else ticket.deadline - monotonic()
    return {
        "organisation": ticket.organisation, "caller": ticket.caller, "product": ticket.product,
        "seconds": seconds, "reuse": ticket.reuse,
    }  # fmt: skip


def ticket(told: Who) -> Ticket:
    deadline = None if told["seconds"] is None else monotonic() + told["seconds"]
    return Ticket(told["organisation"], told["caller"], told["product"], deadline, told["reuse"])


def named(served: Served) -> dict[str, str]:
    """{"product", "version", "digest"} of what shall answer."""
    return identity(served)


def answered(body: Any, spent: Spent) -> Reply:
    queue, compute, asked, computed = astuple(spent)
    return {"body": body, "spent": (queue, compute, asked, computed)}


def failed(error: Exception) -> Reply:
    """An error of ours whole, of any other only its name: its message could quote a row."""
    parts = {part: str(getattr(error, part)) for part in PARTS} if isinstance(error, TrunklineError) else {}
    return {"failed": {"kind": type(error).__name__, **parts}}


def opened(reply: Reply) -> tuple[Any, Spent]:
    """(body, where the time went). Raises what the replica raised."""
    if "failed" not in reply:
        return reply["body"], Spent(*reply["spent"])
    parts = dict(reply["failed"])
    name = parts.pop("kind")
    if not parts:
        raise RuntimeError(f"a replica raised {name}")
    kind = next((one for one in _kinds(TrunklineError) if one.__name__ == name), TrunklineError)
    error = kind.__new__(kind)  # some make their parts of other arguments
    TrunklineError.__init__(error, **parts)
    raise error


def _kinds(of: type[TrunklineError]) -> Iterator[type[TrunklineError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)
