"""Rows as an HTML form sends them (RFC 7578): files as they are, one part a column."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Container
from typing import TYPE_CHECKING, Any

from trunkline.serve import wire

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA = "multipart/form-data"
_ABOUT = ("user", "request_id")  # of the call, where no column has that name


def wanted(request: Request) -> bool:
    """Does the call come as a form?"""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA


def boundary_of(request: Request) -> bytes:
    """What a form's parts are told apart by; b"" where its header lacks it."""
    from python_multipart.multipart import parse_options_header

    found: bytes = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    return found


def told_apart(request: Request, body: bytes) -> list[bytes]:
    """The form between its boundaries, which are drawn anew each time that it is sent."""
    boundary = boundary_of(request)
    return (b"\r\n" + body).split(b"\r\n--" + boundary) if boundary else [body]


async def form_request(request: Request, body: bytes, columns: Container[str], max_rows: int) -> wire.PredictRequest:
    """A checked request whose `rows` are filled: a part's first value is of the first row, its second of the second.

    Files become bytes, all else text. Raises WrongRequestError, TooLargeError.
    """
    parts = await _parts(request, body, max_rows)
    about = {name: str(parts.pop(name)[0]) for name in _ABOUT if name in parts and name not in columns}
    counts = {name: len(values) for name, values in parts.items()}
    rows = max(counts.values(), default=0)
    if not rows:
        raise wire.WrongRequestError("the form has no parts", wanted="one part a column, named as the column")
    if uneven := [name for name, count in counts.items() if count != rows]:
        raise wire.WrongRequestError(
            "the form's parts don't make whole rows", where=uneven[0], found=f"{counts[uneven[0]]} of it, {rows} of another",
            wanted="every column as often as there are rows",
        )  # fmt: skip
    if rows > max_rows:
        raise wire.TooLargeError("too many rows in one call", found=f"{rows} rows", wanted=f"at most {max_rows}", hint="send them in several calls")
    made: list[Any] = [{name: values[at] for name, values in parts.items()} for at in range(rows)]
    return wire.PredictRequest(rows=made, user=about.get("user"), request_id=about.get("request_id"))


async def _parts(request: Request, body: bytes, max_rows: int) -> dict[str, list[str | bytes]]:
    from starlette.formparsers import MultiPartException, MultiPartParser

    boundary = boundary_of(request)
    if not boundary or not body.rstrip().endswith(b"--" + boundary + b"--"):  # which the parser doesn't mind
        told = "it breaks off before its last line" if boundary else "no boundary in content-type"
        raise wire.WrongRequestError("the form can't be read", found=told, wanted=f"{MEDIA}; boundary=..., to its closing line")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    most = 100 * max_rows
    parser = MultiPartParser(request.headers, stream(), max_files=most, max_fields=most, max_part_size=len(body) + 1)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise wire.WrongRequestError("the form can't be read", found=error.message, wanted=MEDIA) from None
    parts: dict[str, list[str | bytes]] = {}
    try:
        for name, value in form.multi_items():
            parts.setdefault(name, []).append(value if isinstance(value, str) else await value.read())
    finally:
        await form.close()
    return parts
