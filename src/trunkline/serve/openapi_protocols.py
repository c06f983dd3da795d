"""OpenAPI of the protocols that other clients know: Open Inference Protocol, OpenAI's embeddings, Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.serve.openapi_parts import (
    ALWAYS,
    DEADLINE,
    JSON,
    OF_A_CALL,
    OPTIONAL_TEXT,
    TEXT,
    Json,
    path,
    problems,
    response,
)

_BINARY = "application/octet-stream"
_NAME = path("name")
_VERSION = path("version", "v1")
_OBJECT: Json = {"type": "object"}
_OIP_PROBLEM: Json = {"type": "object", "properties": {"error": TEXT}, "required": ["error"]}
_OPENAI_PROBLEM: Json = {"type": "object", "properties": {"error": _OBJECT}, "required": ["error"]}
_READY: Json = {
    "type": "object",
    "properties": {"live": {"type": "boolean"}, "ready": {"type": "boolean"}},
    "required": ["live", "ready"],
}
_JSON_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "Where the JSON of a body with binary tensors ends.",
}
_INFER = {
    "type": "object",
    "properties": {
        "id": OPTIONAL_TEXT,
        "parameters": _OBJECT,
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": TEXT,
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": TEXT,
                    "data": {"type": "array"},
                    "parameters": _OBJECT,
                },
                "required": ["name", "shape", "datatype"],
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": TEXT, "parameters": _OBJECT},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_FILLED: Json = {**TEXT, "pattern": "\\S"}
_EMBEDDINGS = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "description": "A text trunk, or a product that stands on one."},
        "input": {"anyOf": [_FILLED, {"type": "array", "items": _FILLED, "minItems": 1}]},
        "encoding_format": {"enum": ["float", "base64"], "default": "float"},
        "dimensions": {"type": ["integer", "null"], "description": "The trunk's own size; no other is given."},
        "user": OPTIONAL_TEXT,
    },
    "required": ["model", "input"],
    "additionalProperties": False,
}


def protocol_paths(repository: bool) -> Json:
    """Path -> operations. repository: whether products can be loaded and unloaded."""
    open_ = ("403",)  # to whoever has no key
    paths = {
        "/v2": _get("oip_server", "Open Inference Protocol: the server", "开放推理协议:服务信息", ALWAYS),
        "/v2/health/live": _get("oip_live", "Is the process up?", "进程是否存活", open_),
        "/v2/health/ready": _get("oip_ready", "Does any product serve?", "是否有产品可用", open_),
        "/v2/repository/index": _post(
            "oip_index", "All products and their state", "所有产品及其状态", _body({JSON: _INDEX}, required=False),
            problems(OF_A_CALL, _OIP_PROBLEM), [],
        ),
        "/v1/embeddings": _post(
            "embeddings", "Vectors of texts, as OpenAI gives them", "文本向量(OpenAI 格式)", _body({JSON: _EMBEDDINGS}),
            problems(OF_A_CALL, _OPENAI_PROBLEM), [DEADLINE],
        ),
        "/v1/models": _get("models", "What /v1/embeddings knows", "可用于向量的模型", ALWAYS),
        "/metrics": _get("metrics", "Numbers for Prometheus", "Prometheus 指标", ALWAYS),
    }  # fmt: skip
    paths["/v2/health/ready"]["get"]["responses"]["503"] = response("No product serves.", {JSON: _READY})
    text = {"text/plain": TEXT, "application/openmetrics-text": TEXT}
    paths["/metrics"]["get"]["responses"]["200"] = response("As the header Accept wants it.", text)
    for end, parameters in (("", [_NAME]), ("/versions/{version}", [_NAME, _VERSION])):
        paths |= _model(f"/v2/models/{{name}}{end}", "_version" if end else "", parameters)
    if repository:
        for verb, chinese in (("load", "加载产品"), ("unload", "卸载产品")):
            paths[f"/v2/repository/models/{{name}}/{verb}"] = _post(
                f"oip_{verb}", f"Let a product be {verb}ed", chinese, _body({JSON: _REPOSITORY}, required=False),
                problems(OF_A_CALL, _OIP_PROBLEM), [_NAME],
            )  # fmt: skip
    return paths


def _model(at: str, tag: str, parameters: list[Json]) -> Json:
    """What a product answers, by name or by name and version."""
    failed, missing = problems(OF_A_CALL, _OIP_PROBLEM), ("404", *ALWAYS)
    infer = _post(
        f"oip_infer{tag}", "Rows as columns of tensors", "以张量推理", _body({JSON: _INFER, _BINARY: {}}), failed,
        [*parameters, DEADLINE, _JSON_LENGTH],
    )  # fmt: skip
    infer["post"]["responses"]["200"]["content"] |= {_BINARY: {}}
    return {
        at: _get(f"oip_model{tag}", "A product's tensors", "产品的张量", missing, parameters, _OIP_PROBLEM),
        f"{at}/ready": _get(f"oip_model_ready{tag}", "Does it serve?", "产品是否可用", missing, parameters, _OIP_PROBLEM),
        f"{at}/infer": infer,
    }


_INDEX: Json = {"type": "object", "properties": {"ready": {"type": "boolean", "default": False}}}
_REPOSITORY: Json = {
    "type": "object",
    "properties": {
        "parameters": {
            "type": "object",
            "properties": {"unload_dependents": {}},
            "additionalProperties": False,
            "description": "A configuration or files of another model are refused: products come from their folders.",
        }
    },
}


def _get(
    name: str,
    english: str,
    chinese: str,
    failed: Iterable[str],
    parameters: list[Json] | None = None,
    own: Json | None = None,
) -> Json:
    responses = {"200": response(english, {JSON: {}}), **problems(failed, own)}
    return {"get": {**_head(name, english, chinese, parameters or []), "responses": responses}}


def _post(name: str, english: str, chinese: str, body: Json, failed: Json, parameters: list[Json]) -> Json:
    responses = {"200": response(english, {JSON: {}}), **failed}
    return {"post": {**_head(name, english, chinese, parameters), "requestBody": body, "responses": responses}}


def _body(content: Json, required: bool = True) -> Json:
    return {"required": required, "content": {media: {"schema": schema} for media, schema in content.items()}}


def _head(name: str, english: str, chinese: str, parameters: list[Json]) -> Json:
    return {"operationId": name, "summary": english, "x-summary-zh": chinese, "parameters": parameters}
