"""What travels over HTTP: requests in, and the errors of a call."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from trunkline.errors import RequestError

NDJSON = "application/x-ndjson"  # a row a line, an answer a line


class NotJsonError(RequestError):
    """The body is not JSON."""


class UnknownProductError(RequestError):
    """No product of that name is served here."""


class TooLargeError(RequestError):
    """The body, or the number of rows, is over the limit."""


class WrongRequestError(RequestError):
    """The body is JSON, but not of the wanted shape; or no row has a wanted column."""


class TooBusyError(RequestError):
    """More calls are waiting than the server takes."""


class CallerBusyError(RequestError):
    """One organisation has more calls waiting than its share."""


class LateError(RequestError):
    """The deadline of the call passed before its rows were computed."""


class GoneError(RequestError):
    """The caller left before the answer; nobody reads this."""


class ForeignError(RequestError):
    """A server without keys was called by way of another site."""


class UnavailableError(RequestError):
    """The product was found, but its bundle may not or can't serve."""


class UnknownJobError(RequestError):
    """The caller's organisation has no job of that name."""


class JobStateError(RequestError):
    """The job is not in a state in which that can be done."""


class MediaTypeError(RequestError):
    """The body is a file of a kind that can't be read here."""


class NoRoomError(RequestError):
    """The server's disk has no room for it."""


class PredictRequest(Struct, forbid_unknown_fields=True):
    """POST /v1/products/{name}/predict: `rows`, or one `row`."""

    rows: list[Any] | UnsetType = UNSET
    row: dict[str, Any] | UnsetType = UNSET
    user: str | None = None
    request_id: str | None = None


class WhyRequest(PredictRequest, forbid_unknown_fields=True):
    """POST /v1/products/{name}/why: rows as for predict, and what is asked of them."""

    label: str | None = None
    method: str = "auto"
    budget: int | float | None = None
    top: int | float = 10


class MatrixRequest(Struct, forbid_unknown_fields=True):
    """POST /v1/matrix/predict: one input for many products."""

    row: dict[str, Any]
    products: list[str] | None = None
    user: str | None = None
    request_id: str | None = None


T = TypeVar("T")
R = TypeVar("R", bound=PredictRequest)

_PREDICT = msgspec.json.Decoder(PredictRequest)
_WHY = msgspec.json.Decoder(WhyRequest)
_MATRIX = msgspec.json.Decoder(MatrixRequest)


def predict_request(body: bytes, max_rows: int) -> PredictRequest:
    """A checked request whose `rows` are filled. Raises NotJsonError, WrongRequestError, TooLargeError."""
    return _with_rows(decode(_PREDICT, body), max_rows)


def why_request(body: bytes, max_rows: int) -> WhyRequest:
    """Likewise."""
    return _with_rows(decode(_WHY, body), max_rows)


def whole(name: str, number: float) -> int:
    """5.0 is a whole number in JSON Schema. Raises WrongRequestError."""
    if number != int(number):
        raise WrongRequestError("this number is not whole", where=name, found=str(number))
    return int(number)


def _with_rows(request: R, max_rows: int) -> R:
    if (request.rows is UNSET) == (request.row is UNSET):
        raise WrongRequestError(
            "the body wants either rows or row",
            found="both" if request.rows is not UNSET else "neither",
            wanted='{"rows": [{...}]} or {"row": {...}}',
        )
    if request.row is not UNSET:
        request.rows = [request.row]
    assert not isinstance(request.rows, UnsetType)
    if len(request.rows) > max_rows:
        raise TooLargeError(
            "too many rows in one call",
            found=f"{len(request.rows)} rows",
            wanted=f"at most {max_rows}",
            hint="send them in several calls",
        )
    return request


def matrix_request(body: bytes) -> MatrixRequest:
    """Raises NotJsonError, WrongRequestError."""
    return decode(_MATRIX, body)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at ")
        raise WrongRequestError(
            "the body is not of the wanted shape", where=at.strip("`"), found=what
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJsonError("the body is not JSON", found=str(error)) from None
    except RecursionError:
        raise NotJsonError("the body is nested too deep", wanted='{"rows": [{...}]}') from None
