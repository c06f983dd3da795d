"""One entry of GET /v1/products: what is served, from which bundle, how good it was proven to be."""

from __future__ import annotations

from typing import Any

from trunkline.serve.catalog import Served


def describe_one(served: Served) -> dict[str, Any]:
    bundle = served.bundle
    return {
        "name": served.name,
        "status": "serving",
        "title": bundle.spec.title or served.name,
        "task": bundle.spec.task,
        "version": bundle.version,
        "created": bundle.manifest.created,
        "digest": bundle.manifest.digest.answers,
        "passed": bundle.manifest.passed,
        "method": bundle.manifest.method,
        "trunks": [card.id for card in bundle.manifest.trunks],
        "inputs": input_schema(served),
        "labels": list(bundle.labels),
        "metric": headline(bundle.report),
        "verdict": bundle.report.get("verdict"),
    }


def input_schema(served: Served) -> dict[str, Any]:
    """JSON Schema of one row."""
    properties = {column: kind.schema() for column, kind in served.kinds.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def headline(report: dict[str, Any]) -> dict[str, Any] | None:
    """The primary metric with its interval, None where the report has none."""
    name = report.get("primary")
    found = report.get("metrics", {}).get(name)
    return found and {"name": name, **{part: found[part] for part in ("value", "low", "high", "n", "unit")}}
