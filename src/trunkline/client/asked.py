"""Calls as values: what is sent, and how its answer is read. Nothing here sends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from trunkline.client import results
from trunkline.client.results import Answer, ProductInfo

T = TypeVar("T")
Row = Mapping[str, Any]
Headers = Mapping[str, str]


@dataclass(frozen=True)
class Asked(Generic[T]):
    """One call. Sent twice it is still one: a POST has its key in `headers`."""

    method: str
    path: str
    read: Callable[[bytes, Headers], T]
    content: bytes | None = None
    headers: Headers = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


def predict(product: str, rows: Sequence[Row], all_scores: bool, key: str | None) -> Asked[list[Answer]]:
    params = {"scores": "all"} if all_scores else {}
    return _post(_of(product), {"rows": list(rows)}, results.answers, params, key)


def predict_one(product: str, row: Row, all_scores: bool, key: str | None) -> Asked[Answer]:
    many = predict(product, [row], all_scores, key)

    def read(content: bytes, headers: Headers) -> Answer:
        return many.read(content, headers)[0]

    return Asked(many.method, many.path, read, many.content, many.headers, many.params)


def matrix(row: Row, products: Sequence[str] | None) -> Asked[list[Answer]]:
    named = {} if products is None else {"products": list(products)}
    return _post("/v1/matrix/predict", {"row": row, **named}, results.answers)


def lines(product: str, rows: Sequence[Row]) -> Asked[list[Answer]]:
    content = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    headers = {"content-type": "application/x-ndjson", "idempotency-key": _new_key()}
    return Asked("POST", _of(product), results.answer_lines, content, headers)


def embeddings(model: str, texts: Sequence[str]) -> Asked[list[list[float]]]:
    return _post("/v1/embeddings", {"model": model, "input": list(texts)}, results.vectors)


def products() -> Asked[list[ProductInfo]]:
    return Asked("GET", "/v1/products", results.products)


def _of(product: str) -> str:
    return f"/v1/products/{quote(product, safe='')}/predict"


def _post(
    path: str,
    body: Mapping[str, Any],
    read: Callable[[bytes, Headers], T],
    params: Mapping[str, str] | None = None,
    key: str | None = None,
) -> Asked[T]:
    headers = {"content-type": "application/json", "idempotency-key": key or _new_key()}
    return Asked("POST", path, read, msgspec.json.encode(body), headers, params or {})


def _new_key() -> str:
    return uuid.uuid4().hex
