"""OpenAPI of explanations."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.explain.why import METHODS, MOST, ROWS, TOP
from trunkline.serve.catalog import Served
from trunkline.serve.describe import input_schema
from trunkline.serve.examples import example_row
from trunkline.serve.openapi_parts import (
    DEADLINE,
    JSON,
    OF_A_CALL,
    ONCE,
    OPTIONAL_TEXT,
    TEXT,
    Json,
    problems,
    response,
)
from trunkline.serve.why import ROWS as MOST_ROWS

_NUMBER: Json = {"type": "number"}
_REASON: Json = {
    "type": "object",
    "properties": {
        "column": TEXT,
        "kind": {"enum": ["words", "column", "region"]},
        "name": {**TEXT, "description": "The words, or the column with its cell."},
        "start": {"type": "integer", "description": "Of words: where they begin in the text that was sent."},
        "end": {"type": "integer"},
        "box": {"type": "array", "items": _NUMBER, "description": "Of a region: left, top, right, bottom as shares of the picture."},
        "weight": {**_NUMBER, "description": "Above 0: it speaks for the answer."},
        "without": {**_NUMBER, "description": "The probability, or the number, without it."},
    },
    "required": ["column", "kind", "name", "weight"],
}
_WHY: Json = {
    "type": "object",
    "properties": {
        "of": {**TEXT, "description": "The label that is explained; out_of_scope for what makes a row strange."},
        "method": {"enum": ["sum", "occlusion", "cam", "lime"]},
        "unit": {"enum": ["log_odds", "value", "distance", "probability"], "description": "Of figure and weights."},
        "figure": _NUMBER,
        "probability": _NUMBER,
        "base": {**_NUMBER, "description": "The weights of all parts and this add up to the figure."},
        "agreement": {**_NUMBER, "description": "lime: R² of its model on the neighbours."},
        "reasons": {"type": "array", "items": _REASON, "description": "The heaviest first."},
        "parts": {"type": "integer", "description": "That the row was cut into."},
        "rows": {"type": "integer", "description": "That were computed for it."},
    },
    "required": ["of", "method", "unit", "figure", "reasons", "parts", "rows"],
}
_WHY_NOT: Json = {
    "type": "object", "properties": {"error": TEXT, "message": TEXT}, "description": "Where there is no explanation.",
}  # fmt: skip
_REFUSED = {
    "403": "The key was not made for this, or the product's owner switched explanations off.",
}


def why_paths(products: Iterable[Served]) -> Json:
    """Path -> operations."""
    return {f"/v1/products/{one.name}/why": {"post": _why(one)} for one in products}


def _why(served: Served) -> Json:
    labels = {"enum": [*served.bundle.labels, None]} if served.bundle.labels else {"type": "null"}
    row = input_schema(served)
    request = {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "maxItems": MOST_ROWS, "items": row},
            "row": row,
            "label": {**labels, "description": "To explain another one than the answer's."},
            "method": {"enum": list(METHODS), "default": "auto"},
            "budget": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST, "description": f"Rows computed for a reason at most; {ROWS}."},
            "top": {"type": "integer", "minimum": 1, "maximum": MOST, "default": TOP, "description": "Reasons given."},
            "user": OPTIONAL_TEXT,
            "request_id": OPTIONAL_TEXT,
        },
        "oneOf": [{"required": ["rows"]}, {"required": ["row"]}],
        "additionalProperties": False,
    }
    answer = {
        "type": "object",
        "properties": {"id": {}, "status": {"enum": ["ok", "abstained", "out_of_scope", "error"]}, "why": _WHY, "why_not": _WHY_NOT},
        "required": ["id", "status"],
    }
    answers = {
        "type": "object",
        "properties": {"product": TEXT, "version": TEXT, "digest": TEXT, "answers": {"type": "array", "items": answer}},
        "required": ["product", "version", "digest", "answers"],
    }
    title = served.bundle.spec.title or served.name
    return {
        "operationId": f"why_{served.name}",
        "summary": f"{title}: why?",
        "x-summary-zh": f"{title}：为什么",
        "description": f"Answers with the words, columns or regions that pushed them; at most {MOST_ROWS} rows a call.",
        "parameters": [DEADLINE, ONCE],
        "requestBody": {"required": True, "content": {JSON: {"schema": request, "example": {"row": example_row(served)}}}},
        "responses": {"200": response("Answers, in the order of the rows.", {JSON: answers}), **problems((*OF_A_CALL, "409"), meanings=_REFUSED)},
    }
