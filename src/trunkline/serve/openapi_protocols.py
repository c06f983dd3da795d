"""OpenAPI of the protocols that other clients know: Open Inference Protocol, OpenAI's embeddings, Prometheus."""

from __future__ import annotations

from typing import Any

_JSON = "application/json"
_TEXT = {"type": "string"}
_NAME = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": _TEXT}
_OBJECT = {"type": "object"}
_OIP_PROBLEM = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}
_OPENAI_PROBLEM = {"type": "object", "properties": {"error": _OBJECT}, "required": ["error"]}
_INFER = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "parameters": _OBJECT,
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": _TEXT,
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
                "properties": {"name": _TEXT, "parameters": _OBJECT},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_EMBEDDINGS = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "description": "A text trunk, or a product that stands on one."},
        "input": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
        "encoding_format": {"enum": ["float", "base64"], "default": "float"},
        "dimensions": {"type": "integer", "description": "The trunk's own size; no other is given."},
        "user": _TEXT,
    },
    "required": ["model", "input"],
    "additionalProperties": False,
}


def protocol_paths(repository: bool) -> dict[str, Any]:
    """Path -> operations. repository: whether products can be loaded and unloaded."""
    paths = {
        "/v2": _get("oip_server", "Open Inference Protocol: the server", "开放推理协议:服务信息"),
        "/v2/health/live": _get("oip_live", "Is the process up?", "进程是否存活"),
        "/v2/health/ready": _get("oip_ready", "Does any product serve?", "是否有产品可用", failed=["503"]),
        "/v2/repository/index": _post(
            "oip_index", "All products and their state", "所有产品及其状态", _index(), _OIP_PROBLEM, []
        ),
        "/v1/embeddings": _post(
            "embeddings", "Vectors of texts, as OpenAI gives them", "文本向量(OpenAI 格式)", _EMBEDDINGS,
            _OPENAI_PROBLEM, [],
        ),
        "/v1/models": _get("models", "What /v1/embeddings knows", "可用于向量的模型"),
        "/metrics": _get("metrics", "Numbers for Prometheus", "Prometheus 指标", media="text/plain"),
    }  # fmt: skip
    for end, parameters in (("", [_NAME]), ("/versions/{version}", [_NAME, _VERSION])):
        at, tag = f"/v2/models/{{name}}{end}", "_version" if end else ""
        missing = ["404", "503"]
        paths[at] = _get(f"oip_model{tag}", "A product's tensors", "产品的张量", parameters, missing)
        paths[f"{at}/ready"] = _get(
            f"oip_model_ready{tag}", "Does it serve?", "产品是否可用", parameters, missing
        )
        paths[f"{at}/infer"] = _post(
            f"oip_infer{tag}", "Rows as columns of tensors", "以张量推理", _INFER, _OIP_PROBLEM, parameters
        )
    if repository:
        for verb, chinese in (("load", "加载产品"), ("unload", "卸载产品")):
            paths[f"/v2/repository/models/{{name}}/{verb}"] = _post(
                f"oip_{verb}", f"Let a product be {verb}ed", chinese, _OBJECT, _OIP_PROBLEM, [_NAME]
            )
    return paths


def _index() -> dict[str, Any]:
    return {"type": "object", "properties": {"ready": {"type": "boolean", "default": False}}}


def _get(
    name: str,
    english: str,
    chinese: str,
    parameters: list[dict[str, Any]] | None = None,
    failed: list[str] | None = None,
    media: str = _JSON,
) -> dict[str, Any]:
    responses = {"200": {"description": english, "content": {media: {}}}}
    errors = {status: _response("Not served.", _OIP_PROBLEM) for status in failed or []}
    return {"get": {**_head(name, english, chinese, parameters or []), "responses": responses | errors}}


def _post(
    name: str,
    english: str,
    chinese: str,
    body: dict[str, Any],
    problem: dict[str, Any],
    parameters: list[dict[str, Any]],
) -> dict[str, Any]:
    failed = {
        "400": "Not JSON, or not of the wanted shape.",
        "404": "No such product or model.",
        "413": "Too large.",
        "422": "Not of the wanted shape.",
        "429": "This caller has too many calls waiting.",
        "503": "It can't serve, or too many calls are waiting.",
        "504": "The deadline passed.",
    }
    return {
        "post": {
            **_head(name, english, chinese, parameters),
            "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
            "responses": {"200": _response(english, {})}
            | {status: _response(text, problem) for status, text in failed.items()},
        }
    }


def _head(name: str, english: str, chinese: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"operationId": name, "summary": english, "x-summary-zh": chinese, "parameters": parameters}


def _response(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {_JSON: {"schema": schema}}}
