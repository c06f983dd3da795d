"""What the server's answers become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from trunkline.errors import RequestError

T = TypeVar("T")


class Answer(Struct, frozen=True, kw_only=True):
    """One row's answer. What its task doesn't give is None; `scores` is empty then.

    id: the row's own, or its number in the call. status: "ok", "abstained" (not sure enough), "out_of_scope"
    (unlike anything seen in training), or "error", which `error` (a code) and `message` explain.
    """

    status: Literal["ok", "abstained", "out_of_scope", "error"]
    product: str
    version: str | None = None  # None where no product of the name serves
    id: str | int | bool | None = None
    label: str | None = None  # classify
    labels: list[str] | None = None  # multilabel
    scores: dict[str, float] = {}
    spans: list[dict[str, Any]] | None = None  # tag: {"start", "end", "type", "text", "score"}
    answer: str | None = None  # extract; None where the context has no answer
    start: int | None = None  # of it in the context, in characters
    end: int | None = None
    score: float | None = None  # how sure, 0 to 1
    value: float | None = None  # regress
    low: float | None = None  # of the 90 % interval
    high: float | None = None
    error: str | None = None
    message: str | None = None
    why: dict[str, Any] | None = None  # of `Client.why`: {"of", "method", "unit", "figure", "reasons", ...}
    why_not: dict[str, str] | None = None  # {"error", "message"} where there is no explanation
    more: dict[str, Any] = {}  # fields of a company's own task


class ProductInfo(Struct, frozen=True, kw_only=True):
    """What a server says of a product. A refused one has only its `name`, `status` and `reason`."""

    name: str
    status: Literal["serving", "refused"]
    title: str = ""
    task: str = ""
    version: str = ""
    created: str = ""
    digest: str = ""
    passed: bool = False
    method: str = ""
    trunks: list[str] = []
    inputs: dict[str, Any] = {}  # JSON Schema of a row
    labels: list[str] = []
    metric: dict[str, Any] | None = None  # {"name", "value", "low", "high", "n", "unit"}
    verdict: Any = None
    reason: dict[str, str] | None = None


class Job(Struct, frozen=True, kw_only=True):
    """A bulk job as it stood. `rows_total` is known once the file was read through; `error` of a failed one says
    what, where, found, wanted, try. Times are ISO 8601."""

    id: str
    product: str
    version: str
    digest: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    rows_done: int
    rows_failed: int  # answered with status "error"
    rows_total: int | None
    rows_per_second: float | None
    seconds_left: float | None
    created: str
    ended: str | None
    kept_until: str | None
    error: dict[str, str] | None


class _Jobs(Struct):
    jobs: list[Job]


class _Answers(Struct):
    answers: list[dict[str, Any]]
    product: str | None = None  # matrix: each answer names its own
    version: str | None = None


class _Products(Struct):
    products: list[ProductInfo]


class _Vector(Struct):
    index: int
    embedding: list[float]


class _Vectors(Struct):
    data: list[_Vector]


_FIELDS = frozenset(Answer.__struct_fields__)
_answers = msgspec.json.Decoder(_Answers)
_products = msgspec.json.Decoder(_Products)
_vectors = msgspec.json.Decoder(_Vectors)
_line = msgspec.json.Decoder(dict[str, Any])
_job = msgspec.json.Decoder(Job)
_jobs = msgspec.json.Decoder(_Jobs)


def answers(content: bytes, headers: Mapping[str, str]) -> list[Answer]:
    """Of predict and matrix."""
    found = _decoded(_answers, content)
    shared = {"product": found.product, "version": found.version} if found.product is not None else {}
    return [answer({**shared, **one}) for one in found.answers]


def answer_lines(content: bytes, headers: Mapping[str, str]) -> list[Answer]:
    """Of NDJSON; the headers name product and version."""
    shared = {name: headers[f"x-trunkline-{name}"] for name in ("product", "version")}
    lines: list[dict[str, Any]] = [_decoded(_line, line) for line in content.splitlines()]
    return [answer({**shared, **line}) for line in lines]


def answer_line(line: bytes, of: Job) -> Answer:
    fields: dict[str, Any] = _decoded(_line, line)
    return answer({"product": of.product, "version": of.version, **fields})


def job(content: bytes, headers: Mapping[str, str]) -> Job:
    return _decoded(_job, content)


def jobs(content: bytes, headers: Mapping[str, str]) -> list[Job]:
    return _decoded(_jobs, content).jobs


def nothing(content: bytes, headers: Mapping[str, str]) -> None:
    """Of an answer that has no body, or whose body went to a file."""


def products(content: bytes, headers: Mapping[str, str]) -> list[ProductInfo]:
    return _decoded(_products, content).products


def vectors(content: bytes, headers: Mapping[str, str]) -> list[list[float]]:
    return [one.embedding for one in sorted(_decoded(_vectors, content).data, key=lambda one: one.index)]


def answer(fields: Mapping[str, Any]) -> Answer:
    known = {name: value for name, value in fields.items() if name in _FIELDS}
    more = {name: value for name, value in fields.items() if name not in _FIELDS}
    return _checked(lambda: msgspec.convert({**known, "more": more}, Answer))


def _decoded(decoder: msgspec.json.Decoder[T], content: bytes) -> T:
    return _checked(lambda: decoder.decode(content))


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(
            "the answer can't be read", found=str(error), hint="is this address a Trunkline server?"
        ) from None
