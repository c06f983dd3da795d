"""What goes between the server and a replica: plain values, no objects of ours. Ray carries them."""

from __future__ import annotations

from dataclasses import astuple
from time import monotonic
from typing import Any, TypeAlias, TypedDict

from trunkline.errors import TrunklineError
from trunkline.serve.catalog import Served
from trunkline.serve.rollout import identity
from trunkline.serve.schedule import Spent, Ticket


class Who(TypedDict):
    """A ticket; `seconds` are left of its deadline, since clocks of two machines don't agree."""

    organisation: str
    caller: str
    product: str
    seconds: float | None
    reuse: bool


Ran: TypeAlias = tuple[str, int, float, int]  # engine, rows, seconds, batches


class Reply(TypedDict, total=False):
    """`ran`: batches that engines of the replica ran since its last reply, and not for this one alone. `body` and `spent`, or `failed`: an error of ours as a dict, of another only {"error": name of its class}."""

    body: Any
    spent: tuple[float, float, int, int]
    failed: dict[str, str]
    ran: list[Ran]


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
    return {"failed": error.as_dict() if isinstance(error, TrunklineError) else {"error": type(error).__name__}}


def opened(reply: Reply) -> tuple[Any, Spent]:
    """(body, where the time went). Raises what the replica raised."""
    if "failed" not in reply:
        return reply["body"], Spent(*reply["spent"])
    if "what" not in reply["failed"]:
        raise RuntimeError(f"a replica raised {reply['failed']['error']}")
    raise TrunklineError.from_dict(reply["failed"])
