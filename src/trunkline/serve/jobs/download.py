"""A job's answers as NDJSON, as they were kept, or made to CSV or Parquet while they are sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
from starlette.requests import Request

from trunkline.serve import wire
from trunkline.serve.catalog import Served
from trunkline.serve.jobs.rows import CSV, PARQUET, check_parquet

FORMATS = {"ndjson": wire.NDJSON, "csv": CSV, "parquet": PARQUET}
_ROWS = 5_000  # in memory at a time; a row group of Parquet
_ALWAYS = ("error", "message")


def columns_of(served: Served) -> dict[str, str]:
    """Field of an answer -> what it holds: text, number, texts, numbers (by name), or json for anything else."""
    schema = served.task.answer_schema(served.bundle.labels)
    return {name: _holds(part) for name, part in schema.get("properties", {}).items()}


def wanted(request: Request) -> str:
    """A key of FORMATS: the query parameter `format`, else the first known type that Accept names, else NDJSON.

    Raises WrongRequestError, and MissingExtra where Parquet can't be written.
    """
    named = request.query_params.get("format")
    if named is not None and named not in FORMATS:
        raise wire.WrongRequestError(
            "the query parameter format is unknown", found=repr(named[:40]), wanted=" | ".join(FORMATS)
        )
    accepted = [one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "").split(",")]
    of_media = {media: name for name, media in FORMATS.items()}
    found = named or next((of_media[one] for one in accepted if one in of_media), "ndjson")
    if found == "parquet":
        check_parquet()
    return found


def as_csv(pieces: Iterable[bytes], columns: Mapping[str, str]) -> Iterator[bytes]:
    """With a header; what is no text and no number is JSON in its cell."""
    names = ["id", "status", *columns, *_ALWAYS]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(names)
    for answers in _some(pieces):
        writer.writerows([_cell(answer.get(name)) for name in names] for answer in answers)
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode()


def as_parquet(pieces: Iterable[bytes], columns: Mapping[str, str], own_ids: bool) -> Iterator[bytes]:
    """One row group each 5,000 rows. `id` is text where rows have ids of their own, else their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "json": pa.string(),
        "number": pa.float64(),
        "texts": pa.list_(pa.string()),
        "numbers": pa.map_(pa.string(), pa.float64()),
    }
    kinds = {"status": "text", **columns, **dict.fromkeys(_ALWAYS, "text")}
    schema = pa.schema(
        [("id", pa.string() if own_ids else pa.int64()), *((name, types[kind]) for name, kind in kinds.items())]
    )
    sink = _Sink()
    with pq.ParquetWriter(sink, schema) as writer:
        for answers in _some(pieces):
            ids = [str(answer["id"]) if own_ids else answer["id"] for answer in answers]
            cells = [[_value(answer.get(name), kind) for answer in answers] for name, kind in kinds.items()]
            arrays = [pa.array(values, field.type) for values, field in zip([ids, *cells], schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Takes what a writer writes, until it is taken."""

    def __init__(self) -> None:
        self._bytes, self._at = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._bytes += data
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken


def _some(pieces: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    lines = _lines(pieces)
    while some := [orjson.loads(line) for line in islice(lines, _ROWS)]:
        yield some


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def _holds(schema: Mapping[str, Any]) -> str:
    named = schema.get("type", "string" if "enum" in schema else "")
    kinds = {named} if isinstance(named, str) else set(named)
    if kinds <= {"number", "integer", "null"} and kinds & {"number", "integer"}:
        return "number"
    if kinds == {"array"} and _holds(schema.get("items", {})) == "text":
        return "texts"
    if kinds == {"object"} and isinstance(schema.get("additionalProperties"), dict):
        return "numbers" if _holds(schema["additionalProperties"]) == "number" else "json"
    return "text" if kinds <= {"string", "null"} and "string" in kinds else "json"


def _value(found: Any, kind: str) -> Any:
    if found is None:
        return None
    if kind == "numbers":
        return list(found.items())
    return orjson.dumps(found).decode() if kind == "json" else found


def _cell(found: Any) -> Any:
    return orjson.dumps(found).decode() if isinstance(found, dict | list | bool) else found
