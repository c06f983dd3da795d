"""A product's columns and its answer's fields as the tensors of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from msgspec import Struct

from trunkline.errors import nearest
from trunkline.serve import tensors
from trunkline.serve.catalog import Served
from trunkline.serve.wire import WrongRequestError

DATATYPES = {"text": "BYTES", "number": "FP64", "category": "BYTES", "date": "BYTES", "bool": "BOOL"}


class Wanted(Struct):
    """An output that a request names."""

    name: str
    parameters: dict[str, Any] = {}


@dataclass(frozen=True)
class Output:
    """One output: a value a row, or one for each of `labels`; `cells` reads them from an answer."""

    name: str
    datatype: str
    cells: Callable[[Mapping[str, Any]], Sequence[Any]]
    labels: Sequence[str] = ()


def inputs_of(served: Served) -> list[dict[str, Any]]:
    """$metadata_tensor of each input column: one value a row."""
    kinds = served.bundle.spec.inputs.items()
    return [{"name": name, "datatype": DATATYPES.get(kind, "BYTES"), "shape": [-1]} for name, kind in kinds]


def outputs_of(served: Served) -> dict[str, Output]:
    """A product's outputs by name: its task's fields, then status, error and message.

    `scores` become `probabilities`, FP32 (n, labels), and `labels` BOOL (n, labels).
    """
    labels = served.bundle.labels
    schema = served.task.answer_schema(labels)["properties"]
    found = [_output(name, part, labels) for name, part in schema.items()]
    found += [Output(name, "BYTES", _one(name)) for name in ("status", "error", "message")]
    return {out.name: out for out in found}


def _output(field: str, schema: Mapping[str, Any], labels: Sequence[str]) -> Output:
    if field == "scores":
        return Output("probabilities", "FP32", lambda answer: _scores(answer, labels), labels)
    if field == "labels":
        return Output(
            "labels", "BOOL", lambda answer: [name in answer.get("labels", ()) for name in labels], labels
        )
    kinds = schema.get("type", ())
    if "number" in kinds:  # of a name or of a list of names
        return Output(field, "FP64", lambda answer: [answer.get(field)])
    return Output(field, "BYTES", _one(field))


def _one(field: str) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    def cells(answer: Mapping[str, Any]) -> Sequence[Any]:
        value = answer.get(field)
        return ["" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()]

    return cells


def _scores(answer: Mapping[str, Any], labels: Sequence[str]) -> Sequence[Any]:
    scores = answer.get("scores", {})
    return [scores.get(name) for name in labels]


def chosen(
    outputs: Mapping[str, Output], wanted: Sequence[Wanted], binary: bool
) -> list[tuple[Output, bool]]:
    """(output, as binary?), in the order asked for; all of them, `binary` or not, if none is named."""
    if not wanted:
        return [(out, binary) for out in outputs.values()]
    found = []
    for one in wanted:
        if one.name not in outputs:
            raise WrongRequestError(
                f"the product has no output {one.name[:80]!r}",
                where="outputs",
                hint=nearest(one.name[:80], outputs),
            )
        for extension in ("classification", "shared_memory_region"):
            if extension in one.parameters:
                raise WrongRequestError(f"the extension {extension} is not served here", where="outputs")
        found.append((outputs[one.name], one.parameters.get("binary_data", binary) is True))
    return found


def rows_of(served: Served, inputs: Sequence[tensors.Tensor], binary: bytes) -> list[dict[str, Any]]:
    """Columns to rows. Raises WrongRequestError."""
    shares = dict(zip((one.name for one in inputs), tensors.parts(inputs, binary), strict=True))
    given = tensors.named(inputs, served.bundle.spec.inputs)
    columns = {}
    for name, kind in served.bundle.spec.inputs.items():
        if kind == "text" and given[name].datatype != "BYTES":
            raise tensors.wrong(name, "a text is BYTES", found=f"{given[name].datatype!r:.40}")
        columns[name] = tensors.read(given[name], shares[name])
    if len({len(values) for values in columns.values()}) > 1:
        raise WrongRequestError(
            "the inputs don't have the same number of rows",
            found=", ".join(f"{name} {len(values)}" for name, values in columns.items())[:200],
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
