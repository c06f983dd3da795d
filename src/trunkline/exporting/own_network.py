"""Products that learned a network of their own, or brought one: its graph, and the head's reading as nodes behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trunkline.bundle import Bundle
from trunkline.engines.ort import OrtSession
from trunkline.engines.own import OwnNetwork
from trunkline.engines.ports import TYPES, as_row, filled
from trunkline.exporting.graph import Tail, linked, onnx_package, shares
from trunkline.exporting.needs import VOCABULARY, Number, Numbers, Pixels, Words
from trunkline.exporting.plan import Feed, Plan, cannot
from trunkline.heads.onnx import OnnxHead, Reading, Tensor
from trunkline.inputs.image import SHORT
from trunkline.lexical import MAX_CHARS
from trunkline.types import Call
from trunkline.vocabulary import FIRST, PADDING, UNKNOWN

TOLERANCE = 1e-4  # of a probability: the same network, the head's arithmetic in 32 bits instead of 64
_CJK = r"\u3040-\u9fff\u{20000}-\u{3ffff}"
# `vocabulary._TOKEN` for engines that know Unicode's properties: a character, a word, a mark
PATTERN = rf"[{_CJK}]|(?:(?![{_CJK}])[\p{{L}}\p{{N}}_])+|[^\p{{L}}\p{{N}}_ ]"


def plan(bundle: Bundle, head: OnnxHead) -> Plan:
    """Raises BundleError for what a phone or a browser can't be given, MissingExtra."""
    network = bundle.engines[head.engine]
    if not isinstance(network, OwnNetwork):
        raise cannot(bundle, "its network is not an ONNX file")
    session = OrtSession(network.model)
    ports = {port.name: port for port in session.inputs}
    scales, reads = iter(zip(head.mean.tolist(), head.scale.tolist(), strict=True)), []
    for tensor in head.tensors:
        port = ports[tensor.name]
        shape = tuple(axis if isinstance(axis, int) else str(axis or "rows") for axis in port.shape)
        kind = np.dtype(TYPES[port.type]).name
        reads.append(_read(bundle, tensor, kind, shape, [next(scales) for _ in range(tensor.numbers)]))
    tail = Tail(_loaded(network.model), head.output)
    given = next((port.shape for port in session.outputs if port.name == head.output or not head.output), ())
    values = _read_as(bundle, tail, head.reading, single=len(given) == 1 or given[1:] == (1,))

    def feed(call: Call) -> Feed:
        names = dict(call.options)["tensors"]
        return {name: filled(ports[name], [as_row(ports[name], part)]) for name, part in zip(names, call.items[0], strict=True)}

    files = {} if head.vocabulary is None else {VOCABULARY: "\n".join(head.vocabulary.words).encode()}
    return Plan(tuple(reads), tail, values, feed, TOLERANCE, files=files)


def _loaded(path: Path) -> Any:
    """With its external data: one file holds all."""
    return onnx_package().load(str(path))


def _read(
    bundle: Bundle, tensor: Tensor, kind: str, shape: tuple[int | str, ...], scales: list[tuple[float, float]]
) -> Words | Pixels | Numbers:
    first = tensor.columns[0]
    if tensor.longest:
        return Words(
            tensor=tensor.name, type=kind, shape=shape, column=first, file=VOCABULARY, longest=tensor.longest, characters=MAX_CHARS,
            pattern=PATTERN, padding=PADDING, unknown=UNKNOWN, first=FIRST,
        )  # fmt: skip
    if tensor.side:
        steps = (("cap", (SHORT,), "bicubic"), ("square", (tensor.side,), "bilinear"))
        return Pixels(tensor=tensor.name, type=kind, shape=(shape[0], 3, tensor.side, tensor.side), column=first, steps=steps)
    if tensor.trunk:
        raise cannot(bundle, f"its network reads the vectors of {tensor.trunk}", "name a method that stands on the trunk alone, or one from scratch")
    if tensor.seconds:
        raise cannot(bundle, "it reads sounds, whose log-mel frames are made by the server", "serve it, or send the sound to a server")
    if tensor.strings:
        raise cannot(bundle, "its network takes strings", "give their codes: [method.settings.inputs.<tensor>] codes")
    dates = [column for column in tensor.columns if bundle.spec.inputs[column] == "date"]
    if dates:
        raise cannot(bundle, f"it reads dates ({', '.join(dates)})", "give the days as a number column")
    if isinstance(tensor.missing, str):
        raise cannot(bundle, "missing numbers are strings")
    columns = tuple(Number(c, mean, scale, tensor.codes.get(c)) for c, (mean, scale) in zip(tensor.columns, scales, strict=True))
    return Numbers(tensor=tensor.name, type=kind, shape=shape, columns=columns, unseen=tensor.unseen, missing=tensor.missing)


def _read_as(bundle: Bundle, tail: Tail, reading: Reading, single: bool) -> str:
    """`Reading.values` as nodes. single: the network gives one number a row."""
    if reading.holds == "label":
        raise cannot(bundle, "its network gives labels, not probabilities", "export the network with its probabilities")
    count = len(reading.labels)
    found = tail.add("Reshape", tail.output, tail.constant([0, -1], np.int64))
    if reading.task == "regress":
        return linked(tail, "identity", found)
    one_of_two = reading.task == "classify" and count == 2 and single
    if reading.holds == "logits":
        found = linked(tail, "labels" if reading.task == "multilabel" else "logistic" if one_of_two else "softmax", found)
    else:
        if one_of_two:
            found = tail.add("Concat", tail.add("Sub", tail.constant(1.0), found), found, axis=1)
        found = tail.add("Clip", found, tail.constant(0.0), tail.constant(1.0))
        found = shares(tail, found) if reading.task == "classify" else found
    if list(reading.order) == list(range(count)):
        return found
    return tail.add("Gather", found, tail.constant(reading.order, np.int64), axis=1)

