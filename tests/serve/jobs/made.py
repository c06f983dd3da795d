"""What the tests of bulk jobs share: a file of rows, and a look at what came of it."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
from starlette.testclient import TestClient

LABELS = ("fee", "card", "other")  # of the texts a, b, c
Caller = httpx.Client | TestClient


def text(n: int) -> str:
    """No two alike, or they would be computed once."""
    return "abc"[n % 3] * (1 + n % 5) + f" {n}"


def csv_rows(count: int) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["text", "nr"])
    writer.writerows([text(n), n] for n in range(count))
    return out.getvalue().encode()


def submitted(
    client: Caller, body: bytes, media: str = "text/csv", product: str = "support", **headers: str
) -> dict[str, Any]:
    reply = client.post(f"/v1/products/{product}/jobs", content=body, headers={"content-type": media, **headers})
    assert reply.status_code == 202, reply.text
    job: dict[str, Any] = reply.json()
    assert reply.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def shown(client: Caller, id_: str) -> dict[str, Any]:
    reply = client.get(f"/v1/jobs/{id_}")
    assert reply.status_code == 200, reply.text
    job: dict[str, Any] = reply.json()
    return job


def ended(client: Caller, id_: str, seconds: float = 60) -> dict[str, Any]:
    """The job once it has ended."""
    job: dict[str, Any] = until(
        lambda: shown(client, id_), lambda job: job["state"] not in ("queued", "running"), seconds
    )
    return job


def until(look: Callable[[], Any], right: Callable[[Any], bool], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not right(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def answers(client: Caller, id_: str) -> list[dict[str, Any]]:
    reply = client.get(f"/v1/jobs/{id_}/answers")
    assert reply.status_code == 200, reply.text
    assert len(reply.content) == int(reply.headers["content-length"])
    return [json.loads(line) for line in reply.content.splitlines()]


def check(found: list[dict[str, Any]], count: int) -> None:
    """Every row answered, once, in order, and rightly."""
    assert [one["id"] for one in found] == list(range(count))
    assert [one["label"] for one in found] == [LABELS[n % 3] for n in range(count)]
