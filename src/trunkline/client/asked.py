"""Calls as values: what is sent, and how its answer is read. Nothing here sends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from trunkline.client import results
from trunkline.client.results import Answer, Job, ProductInfo
from trunkline.errors import RequestError

T = TypeVar("T")
Row = Mapping[str, Any]
Headers = Mapping[str, str]


@dataclass(frozen=True)
class Asked(Generic[T]):
    """One call. Sent twice it is still one: a POST has its key in `headers`."""

    method: str
    path: str
    read: Callable[[bytes, Headers], T]
    content: bytes | Path | None = None  # of a file
    headers: Headers = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    patience: float = 0.0  # seconds that its answer may take at least


def predict(product: str, rows: Sequence[Row], all_scores: bool, key: str | None) -> Asked[list[Answer]]:
    params = {"scores": "all"} if all_scores else {}
    return _post(_of(product), {"rows": list(rows)}, results.answers, params, key)


def predict_one(product: str, row: Row, all_scores: bool, key: str | None) -> Asked[Answer]:
    many = predict(product, [row], all_scores, key)

    def read(content: bytes, headers: Headers) -> Answer:
        return many.read(content, headers)[0]

    return Asked(many.method, many.path, read, many.content, many.headers, many.params)


def why(
    product: str, row: Row, label: str | None, method: str, budget: int | None, top: int, key: str | None
) -> Asked[Answer]:
    body = {"row": row, "label": label, "method": method, "budget": budget, "top": top}

    def read(content: bytes, headers: Headers) -> Answer:
        return results.answers(content, headers)[0]

    return _post(f"{_product(product)}/why", body, read, key=key)


def matrix(row: Row, products: Sequence[str] | None) -> Asked[list[Answer]]:
    named = {} if products is None else {"products": list(products)}
    return _post("/v1/matrix/predict", {"row": row, **named}, results.answers)


def lines(product: str, rows: Sequence[Row]) -> Asked[list[Answer]]:
    content = b"".join(_JSON.encode(row) + b"\n" for row in rows)
    headers = {"content-type": "application/x-ndjson", "idempotency-key": _new_key()}
    return Asked("POST", _of(product), results.answer_lines, content, headers)


def embeddings(model: str, texts: Sequence[str]) -> Asked[list[list[float]]]:
    return _post("/v1/embeddings", {"model": model, "input": list(texts)}, results.vectors)


def products() -> Asked[list[ProductInfo]]:
    return Asked("GET", "/v1/products", results.products)


def submit(product: str, file: Path, media: str | None, all_scores: bool, key: str | None) -> Asked[Job]:
    """Raises RequestError where neither `media` nor the name says what the file holds, OSError without the file."""
    if media is None and file.suffix.lower() not in _MEDIA:
        raise RequestError("what the file holds isn't known", where=str(file), wanted=" | ".join(_MEDIA), hint="media=")
    headers = {
        "content-type": media or _MEDIA[file.suffix.lower()],
        "content-length": str(file.stat().st_size),
        "idempotency-key": key or _new_key(),
    }
    params = {"scores": "all"} if all_scores else {}
    return Asked("POST", f"{_product(product)}/jobs", results.job, file, headers, params, _SYNC_SECONDS)


def job(job: Job | str) -> Asked[Job]:
    return Asked("GET", _job(job), results.job)


def jobs(limit: int) -> Asked[list[Job]]:
    return Asked("GET", "/v1/jobs", results.jobs, params={"limit": str(limit)})


def job_answers(job: Job | str, format_: str) -> Asked[None]:
    return Asked("GET", f"{_job(job)}/answers", results.nothing, params={"format": format_})


def format_of(path: Path) -> str:
    """Of answers, as a file's name says. Raises RequestError."""
    if path.suffix.lower() not in _FORMATS:
        raise RequestError("the form of the answers isn't known", where=str(path), wanted=" | ".join(_FORMATS), hint="format=")
    return _FORMATS[path.suffix.lower()]


def cancel(job: Job | str) -> Asked[Job]:
    return Asked("POST", f"{_job(job)}/cancel", results.job)  # twice is as good as once


def delete(job: Job | str) -> Asked[None]:
    return Asked("DELETE", _job(job), results.nothing)


_SYNC_SECONDS = 120.0  # until a large file is on the server's disk for good
_MEDIA = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
_FORMATS = {".csv": "csv", ".jsonl": "ndjson", ".ndjson": "ndjson", ".parquet": "parquet"}


def _job(job: Job | str) -> str:
    return f"/v1/jobs/{quote(job if isinstance(job, str) else job.id, safe='')}"


def _product(product: str) -> str:
    return f"/v1/products/{quote(product, safe='')}"


def _of(product: str) -> str:
    return f"{_product(product)}/predict"


def _post(
    path: str,
    body: Mapping[str, Any],
    read: Callable[[bytes, Headers], T],
    params: Mapping[str, str] | None = None,
    key: str | None = None,
) -> Asked[T]:
    headers = {"content-type": "application/json", "idempotency-key": key or _new_key()}
    return Asked("POST", path, read, _JSON.encode(body), headers, params or {})


def _of_file(value: Any) -> bytes:
    """A path in a row stands for its file's bytes, which go in base64."""
    if isinstance(value, Path):
        return value.read_bytes()
    raise RequestError("a cell can't be sent", found=type(value).__name__, wanted="text, a number, true, false, None, bytes or a Path")


_JSON = msgspec.json.Encoder(enc_hook=_of_file)


def _new_key() -> str:
    return uuid.uuid4().hex
