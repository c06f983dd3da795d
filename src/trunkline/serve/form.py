"""Rows as an HTML form sends them (RFC 7578): files as they are, one part a column."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from trunkline.errors import nearest
from trunkline.serve import wire

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA = "multipart/form-data"
_ABOUT = ("user", "request_id")  # of the call, where no column has that name
_FILES = ("image/", "audio/", "video/")


def wanted(request: Request) -> bool:
    """Does the call come as a form?"""
    return _media(request) == MEDIA


def boundary_of(request: Request) -> bytes:
    """What a form's parts are told apart by; b"" where its header lacks it."""
    from python_multipart.multipart import parse_options_header

    found: bytes = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    return found


def told_apart(request: Request, body: bytes) -> list[bytes]:
    """The form between its boundaries, which are drawn anew each time that it is sent."""
    boundary = boundary_of(request)
    return (b"\r\n" + body).split(b"\r\n--" + boundary) if boundary else [body]


def check_media(request: Request, taken: bool) -> None:
    """Raises MediaTypeError for a body that is a file itself, and for a form where none is `taken`.

    All else may hold JSON, whatever it is called: `curl -d` names it a form's fields.
    """
    media = _media(request)
    if media == MEDIA and not taken:
        raise wire.MediaTypeError(
            "this route takes no form", found=media, wanted="application/json",
            hint="send files as base64 within the JSON; /v1/products/{name}/predict takes a form",
        )  # fmt: skip
    if media.startswith(_FILES):
        raise wire.MediaTypeError(
            "the body is a file, not the rows of a call", found=media[:80], wanted=f"application/json | {MEDIA}",
            hint="curl .../v1/products/{name}/predict -F COLUMN=@FILE; or as base64 within the JSON",
        )  # fmt: skip


class Form:
    """A form, read as it comes. A part that can't be meant is refused at its name, before its contents are taken.

    columns: those of the product's rows.
    """

    def __init__(self, request: Request, columns: Collection[str], max_rows: int) -> None:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        self._columns, self._max_rows, self._broken = columns, max_rows, FormParserError
        self._parts: dict[str, list[str | bytes]] = {}
        self._header, self._value, self._headers = b"", b"", dict[bytes, bytes]()
        self._name, self._is_file, self._cell, self._closed = "", False, bytearray(), False
        boundary = boundary_of(request)
        if not boundary:
            raise _unreadable("no boundary in content-type")
        try:
            self._parser = MultipartParser(boundary, {
                "on_header_field": self._on_field, "on_header_value": self._on_value, "on_header_end": self._on_header,
                "on_headers_finished": self._on_part, "on_part_data": self._on_data, "on_part_end": self._on_end,
                "on_end": self._on_close,
            })  # fmt: skip
        except FormParserError as error:
            raise _unreadable(str(error)) from None

    def feed(self, piece: bytes) -> None:
        """The next bytes. Raises WrongRequestError, TooLargeError for too many rows."""
        try:
            self._parser.write(piece)
        except self._broken:
            raise _unreadable("bytes that are no part of it") from None

    def request(self) -> wire.PredictRequest:
        """A checked request whose `rows` are filled: a part's first value is of the first row, its second of the second.

        Files are bytes, all else text. Raises WrongRequestError where the form isn't whole.
        """
        if not self._closed:  # then nobody knows whether its last part is
            raise _unreadable("it breaks off before its last line")
        about = {name: str(values[0]) for name, values in self._parts.items() if self._of_the_call(name)}
        cells = {name: values for name, values in self._parts.items() if name not in about}
        rows = max(map(len, cells.values()), default=0)
        if not rows:
            raise wire.WrongRequestError("the form has no parts", wanted="one part a column, named as the column")
        if uneven := [name for name, values in cells.items() if len(values) != rows]:
            raise wire.WrongRequestError(
                "the form's parts don't make whole rows", where=uneven[0],
                found=f"{len(cells[uneven[0]])} of it, {rows} of another", wanted="every column as often as there are rows",
            )  # fmt: skip
        made: list[Any] = [{name: values[at] for name, values in cells.items()} for at in range(rows)]
        return wire.PredictRequest(rows=made, user=about.get("user"), request_id=about.get("request_id"))

    def _of_the_call(self, name: str) -> bool:
        return name in _ABOUT and name not in self._columns

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_part(self) -> None:
        from python_multipart.multipart import parse_options_header

        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        if b"name" not in options:
            raise _unreadable("a part without a name")
        self._name, self._is_file = _text(options[b"name"], "a part's name"), b"filename" in options
        self._headers = {}
        self._check_part()

    def _check_part(self) -> None:
        name, before = self._name, len(self._parts.get(self._name, ()))
        if not self._of_the_call(name):
            if name not in self._columns:
                raise wire.WrongRequestError(
                    "the form has a part that is no column of the product", found=repr(name[:80]),
                    wanted=f"parts among {', '.join(self._columns)}", hint=nearest(name[:80], {*self._columns, *_ABOUT}),
                )  # fmt: skip
            if before >= self._max_rows:
                raise wire.TooLargeError(
                    "too many rows in one call", found=f"over {self._max_rows} rows", wanted=f"at most {self._max_rows}",
                    hint="send them in several calls",
                )  # fmt: skip
        elif before:
            raise wire.WrongRequestError(f"the form has several parts {name!r}", wanted="one: it is of the call, not of a row")
        elif self._is_file:
            raise wire.WrongRequestError(f"the form's part {name!r} is a file", wanted="a text")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._cell += data[start:end]

    def _on_end(self) -> None:
        cell = bytes(self._cell)
        self._parts.setdefault(self._name, []).append(cell if self._is_file else _text(cell, self._name))
        self._cell.clear()

    def _on_close(self) -> None:
        self._closed = True


def _media(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise wire.WrongRequestError(
            "a part of the form is no text", where=where[:80], found=str(error)[:160], wanted="UTF-8; or a file, with a filename"
        ) from None


def _unreadable(found: str) -> wire.WrongRequestError:
    return wire.WrongRequestError("the form can't be read", found=found, wanted=f"{MEDIA}; boundary=..., to its closing line")
