"""One row, many products, one pass of the trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.errors import nearest
from trunkline.serve.answer import answering_many, error_answer
from trunkline.serve.catalog import Catalog
from trunkline.serve.match import read_as
from trunkline.serve.placed import placed
from trunkline.serve.rollout import identity
from trunkline.types import Inputs, Refused, Steps


def answering_matrix(
    catalog: Catalog, row: Mapping[str, Any], named: Sequence[str] | None, top: int | None
) -> Steps[dict[str, Any]]:
    """{"answers": [{"product", "version", "status", ...}]}, in the order asked for, else by name.

    Without names, products that can't read the row are left out; named ones answer with an error.
    """
    names = list(dict.fromkeys(named)) if named is not None else sorted(catalog.products)
    answers: dict[str, dict[str, Any]] = {}
    readings: dict[tuple[tuple[str, str], ...], Inputs | Refused] = {}  # of products with equal columns, one
    readable = {}
    for name in names:
        if name not in catalog.products:
            answers[name] = error_answer(_missing(catalog, name))
            continue
        served = catalog.products[name]
        columns = tuple(served.bundle.spec.inputs.items())
        if columns not in readings:
            readings[columns] = read_as(served, row)
        inputs = readings[columns]
        if not isinstance(inputs, Refused):
            readable[name] = inputs
        elif named is not None or inputs.code != "missing_column":
            answers[name] = error_answer(inputs)
    found = yield from answering_many([catalog.products[name] for name in readable], list(readable.values()), top)
    for name, answer in zip(readable, found, strict=True):
        answers[name] = placed(answer, row, readable[name])
    return {"answers": [_labelled(catalog, name, answers[name]) for name in names if name in answers]}


def _labelled(catalog: Catalog, name: str, answer: dict[str, Any]) -> dict[str, Any]:
    served = catalog.products.get(name)
    return {"product": name, **(identity(served) if served else {}), **answer}


def _missing(catalog: Catalog, name: str) -> Refused:
    if name in catalog.refused:
        return Refused("unavailable", f"the product can't serve: {catalog.refused[name].what}")
    return Refused(
        "unknown_product", f"no product is called {name[:80]!r}; {nearest(name[:80], catalog.products)}"
    )

