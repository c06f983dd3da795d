"""OpenAPI 3.1 of what this very server answers, one path a product, with examples that it gave itself."""

from __future__ import annotations

from typing import Any

import trunkline
from trunkline.serve.answer import TOP_SCORES
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.computing import Waiting
from trunkline.serve.describe import input_schema
from trunkline.serve.examples import example_row
from trunkline.serve.form import MEDIA
from trunkline.serve.limits import Limits
from trunkline.serve.openapi_jobs import job_paths
from trunkline.serve.openapi_parts import (
    ALWAYS,
    DEADLINE,
    JSON,
    KEY,
    OF_A_CALL,
    ONCE,
    OPTIONAL_TEXT,
    PROBLEM,
    TEXT,
    Json,
    path,
    problems,
    response,
)
from trunkline.serve.openapi_protocols import protocol_paths
from trunkline.serve.openapi_why import why_paths
from trunkline.serve.rollout import identity
from trunkline.serve.wire import NDJSON


def openapi(catalog: Catalog, limits: Limits, compute: Waiting) -> Json:
    """The document. Runs each product once, on an example row."""
    paths: Json = {}
    for name in sorted(catalog.products):
        paths[f"/v1/products/{name}/predict"] = {"post": _predict(catalog.products[name], compute, limits)}
    paths |= why_paths(catalog.products[name] for name in sorted(catalog.products) if catalog.explains(name))
    paths["/v1/matrix/predict"] = {"post": _matrix(catalog, compute)}
    paths |= _gets(next(iter(sorted(catalog.products)), None)) | job_paths(limits) | protocol_paths(repository=True)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": trunkline.__version__,
            "description": f"Bodies of at most {limits.body_bytes:,} bytes, {limits.rows:,} rows a call.",
        },
        "paths": paths,
        "security": [{}, {"key": []}],  # no key is wanted while none was made
        "components": {"schemas": {"Problem": PROBLEM}, "securitySchemes": {"key": KEY}},
    }


def _predict(served: Served, compute: Waiting, limits: Limits) -> Json:
    row = example_row(served)
    bundle = served.bundle
    answer = {**identity(served), "answers": compute.rows(served, [row], TOP_SCORES)}
    rows = {"type": "array", "maxItems": limits.rows, "items": input_schema(served)}
    request = _request({"rows": rows, "row": input_schema(served)}, [])
    lines = {NDJSON: {"schema": {**TEXT, "description": "A row a line, an answer a line: docs/protocols.md."}}}
    operation = _operation(
        f"predict_{served.name}",
        bundle.spec.title or served.name,
        bundle.spec.title or served.name,
        f"{bundle.spec.task}, version {bundle.version}",
        _content(request | {"oneOf": [{"required": ["rows"]}, {"required": ["row"]}]}, {"rows": [row]}),
        _content(_answers(_answer(served)), answer),
    )
    operation["requestBody"]["content"] |= lines | _form(served)
    operation["responses"]["200"]["content"] |= lines
    return operation


def _form(served: Served) -> Json:
    """Where a column is a file's bytes, as it is and not in base64."""
    columns = input_schema(served)["properties"]
    if not any(column.get("contentEncoding") == "base64" for column in columns.values()):
        return {}
    parts: Json = {}
    for name, column in columns.items():
        raw = column.get("contentEncoding") == "base64"
        one = {"type": "string", "format": "binary", "description": "A file, as it is."} if raw else TEXT
        parts[name] = {"type": "array", "items": one}
    schema = {"type": "object", "properties": parts, "description": "A part a column; several times the same ones are several rows."}
    return {MEDIA: {"schema": schema}}


def _matrix(catalog: Catalog, compute: Waiting) -> Json:
    texts = [s for s in catalog.products.values() if [k.name for k in s.kinds.values()] == ["text"]]
    first = (texts or list(catalog.products.values()))[:1]
    row = example_row(first[0]) if first else {"text": "..."}
    names = {"type": ["array", "null"], "items": TEXT, "description": f"Of {', '.join(sorted(catalog.products))}."}
    request = _request({"row": {"type": "object"}, "products": names}, ["row"])
    schema = {"type": "object", "properties": {"answers": {"type": "array", "items": {"type": "object"}}}}
    return _operation(
        "predict_matrix",
        "One input, many products",
        "一条输入,多个产品",
        "All products that can read the row, or those named; one pass of the trunk.",
        _content(request, {"row": row}),
        _content(schema, compute.matrix(catalog, row, TOP_SCORES)),
    )


def _gets(product: str | None) -> Json:
    name = [path("name", product)]
    routes: dict[str, tuple[str, str, str, str, list[Json], tuple[str, ...]]] = {
        "/v1/products": ("products", "What is served here", "这里有哪些产品", JSON, [], ALWAYS),
        "/v1/products/{name}/rollout": (
            "rollout", "Versions and their traffic", "各版本及其流量对比", JSON, name, ("404", *ALWAYS)
        ),
        "/v1/products/{name}/report": ("report", "A product's report", "产品报告", "text/html", name, ("404", *ALWAYS)),
        "/healthz": ("health", "Is the server up?", "服务是否正常", JSON, [], ("403",)),
        "/openapi.json": ("openapi", "This document", "本文档", JSON, [], ALWAYS),
    }  # fmt: skip
    return {
        at: {
            "get": {
                "operationId": operation,
                "summary": english,
                "x-summary-zh": chinese,
                "parameters": parameters,
                "responses": {"200": response(english, {media: {}}), **problems(failed)},
            }
        }
        for at, (operation, english, chinese, media, parameters, failed) in routes.items()
    }


def _operation(name: str, english: str, chinese: str, description: str, body: Json, answers: Json) -> Json:
    """A POST of rows."""
    return {
        "operationId": name,
        "summary": english,
        "x-summary-zh": chinese,
        "description": description,
        "parameters": [_SCORES, DEADLINE, ONCE],
        "requestBody": {"required": True, **body},
        "responses": {
            "200": {"description": "Answers, in the order of the rows.", **answers},
            **problems((*OF_A_CALL, "409")),
        },
    }


def _request(properties: Json, required: list[str]) -> Json:
    optional = {
        "user": {**OPTIONAL_TEXT, "description": "Your user, for your own records."},
        "request_id": {**OPTIONAL_TEXT, "description": "Comes back as X-Request-Id."},
    }
    return {
        "type": "object",
        "properties": properties | optional,
        "required": required,
        "additionalProperties": False,
    }


def _answer(served: Served) -> Json:
    """One answer: id and status, then the task's own fields; an error has error and message instead."""
    fields = served.task.answer_schema(served.bundle.labels)
    always = {
        "id": {"description": "The row's id, else its index."},
        "status": {"enum": ["ok", "abstained", "out_of_scope", "error"]},
        "error": TEXT,
        "message": TEXT,
    }
    return {
        "type": "object",
        "properties": always | fields.get("properties", {}),
        "required": ["id", "status"],
    }


def _answers(answer: Json) -> Json:
    properties = {
        "product": TEXT,
        "version": TEXT,
        "digest": {**TEXT, "description": "Of all that decides an answer."},
        "answers": {"type": "array", "items": answer},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schema: Json, example: Any) -> Json:
    return {"content": {JSON: {"schema": schema, "example": example}}}


_SCORES = {
    "name": "scores",
    "in": "query",
    "schema": {"enum": ["top", "all"], "default": "top"},
    "description": "The five highest scores, or all.",
}
