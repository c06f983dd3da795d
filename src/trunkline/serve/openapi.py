"""OpenAPI 3.1 of what this very server answers, one path a product, with examples that it gave itself."""

from __future__ import annotations

from typing import Any

import trunkline
from trunkline.program import one
from trunkline.serve.answer import predict
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.describe import input_schema
from trunkline.serve.examples import example_row
from trunkline.serve.limits import Limits
from trunkline.serve.matrix import answering_matrix
from trunkline.serve.openapi_protocols import protocol_paths
from trunkline.serve.rollout import identity
from trunkline.types import Ask

_PROBLEMS = {
    "400": "The body is not JSON.",
    "404": "No product of that name.",
    "413": "The body or the number of rows is over the limit.",
    "422": "The body is not of the wanted shape, or no row has a wanted column.",
    "503": "The product can't serve, or too many calls are waiting.",
}


def openapi(catalog: Catalog, limits: Limits) -> dict[str, Any]:
    """The document. Runs each product once, on an example row."""
    ask = catalog.ask()
    paths: dict[str, Any] = {}
    for name in sorted(catalog.products):
        paths[f"/v1/products/{name}/predict"] = {"post": _predict(catalog.products[name], ask, limits)}
    paths["/v1/matrix/predict"] = {"post": _matrix(catalog, ask)}
    paths |= _gets() | protocol_paths(repository=True)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": trunkline.__version__,
            "description": f"Bodies of at most {limits.body_bytes:,} bytes, {limits.rows:,} rows a call.",
        },
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM}},
    }


def _predict(served: Served, ask: Ask, limits: Limits) -> dict[str, Any]:
    row = example_row(served)
    bundle = served.bundle
    answer = {**identity(served), "answers": predict(served, [row], ask)}
    rows = {"type": "array", "maxItems": limits.rows, "items": input_schema(served)}
    return {
        "operationId": f"predict_{served.name}",
        "summary": bundle.spec.title or served.name,
        "x-summary-zh": bundle.spec.title or served.name,
        "description": f"{bundle.spec.task}, version {bundle.version}",
        "parameters": [_SCORES],
        "requestBody": _content(_request({"rows": rows}, ["rows"]), {"rows": [row]}),
        "responses": _responses(_answers(_answer(served)), answer),
    }


def _matrix(catalog: Catalog, ask: Ask) -> dict[str, Any]:
    texts = [s for s in catalog.products.values() if [k.name for k in s.kinds.values()] == ["text"]]
    first = (texts or list(catalog.products.values()))[:1]
    row = example_row(first[0]) if first else {"text": "..."}
    names = {"type": "array", "items": {"type": "string", "enum": sorted(catalog.products)}}
    request = _request({"row": {"type": "object"}, "products": names}, ["row"])
    schema = {"type": "object", "properties": {"answers": {"type": "array", "items": {"type": "object"}}}}
    return {
        "operationId": "predict_matrix",
        "summary": "One input, many products",
        "x-summary-zh": "一条输入,多个产品",
        "description": "All products that can read the row, or those named; one pass of the trunk.",
        "parameters": [_SCORES],
        "requestBody": _content(request, {"row": row}),
        "responses": _responses(schema, one(answering_matrix(catalog, row, None, 5), ask)),
    }


def _gets() -> dict[str, Any]:
    routes = {
        "/v1/products": ("products", "What is served here", "这里有哪些产品", "application/json", []),
        "/v1/products/{name}/rollout": (
            "rollout", "Versions and their traffic", "各版本及其流量对比", "application/json", [_NAME]
        ),
        "/v1/products/{name}/report": ("report", "A product's report", "产品报告", "text/html", [_NAME]),
        "/healthz": ("health", "Is the server up?", "服务是否正常", "application/json", []),
        "/openapi.json": ("openapi", "This document", "本文档", "application/json", []),
    }
    return {
        path: {
            "get": {
                "operationId": name,
                "summary": english,
                "x-summary-zh": chinese,
                "parameters": parameters,
                "responses": {"200": {"description": english, "content": {media: {}}}},
            }
        }
        for path, (name, english, chinese, media, parameters) in routes.items()
    }


def _request(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    optional = {
        "user": {"type": "string", "description": "Your user, for your own records."},
        "request_id": {"type": "string", "description": "Comes back as X-Request-Id."},
    }
    return {
        "type": "object",
        "properties": properties | optional,
        "required": required,
        "additionalProperties": False,
    }


def _answer(served: Served) -> dict[str, Any]:
    """One answer: id and status, then the task's own fields; an error has error and message instead."""
    fields = served.task.answer_schema(served.bundle.labels)
    always = {
        "id": {"description": "The row's id, else its index."},
        "status": {"enum": ["ok", "abstained", "out_of_scope", "error"]},
        "error": {"type": "string"},
        "message": {"type": "string"},
    }
    return {
        "type": "object",
        "properties": always | fields.get("properties", {}),
        "required": ["id", "status"],
    }


def _answers(answer: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "product": {"type": "string"},
        "version": {"type": "string"},
        "digest": {"type": "string", "description": "Of all that decides an answer."},
        "answers": {"type": "array", "items": answer},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _responses(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "200": {"description": "Answers, in the order of the rows.", **_content(schema, example)},
        **{status: {"description": text, "content": problem} for status, text in _PROBLEMS.items()},
    }


def _content(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema, "example": example}}}


_SCORES = {
    "name": "scores",
    "in": "query",
    "schema": {"enum": ["top", "all"], "default": "top"},
    "description": "The five highest scores, or all.",
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        name: {"type": "string"}
        for name in (
            "type",
            "title",
            "detail",
            "instance",
            "request_id",
            "what",
            "where",
            "found",
            "wanted",
            "try",
        )
    }
    | {"status": {"type": "integer"}},
    "required": ["type", "title", "status"],
}
