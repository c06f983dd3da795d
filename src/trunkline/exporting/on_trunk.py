"""Products that stand on a trunk: the trunk's graph and the head's few products of matrices behind it, as one network."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from trunkline.bundle import Bundle
from trunkline.errors import TrunklineError
from trunkline.exporting.graph import Tail, linked
from trunkline.exporting.needs import TOKENIZER, Pixels, Tokens
from trunkline.exporting.plan import Feed, Plan, cannot
from trunkline.exporting.trunk_graph import IDS, MASK, PIXELS, POOLED, picture_graph, text_graph
from trunkline.heads.dense import Dense, Landmarks
from trunkline.heads.linear import LinearHead
from trunkline.heads.mlp import MlpHead
from trunkline.inputs.image import SHORT
from trunkline.trunks import find
from trunkline.trunks.adapted import Adapted
from trunkline.trunks.bert import BertParts, BertTrunk
from trunkline.trunks.efficientnet import MEAN, RESIZED, SIZE, SPREAD, EfficientNetLite0, square
from trunkline.trunks.tables import DenseTable
from trunkline.trunks.tokenizer_json import TokenizerJson
from trunkline.types import Call

# Of a probability. Served, a trunk of int8 rounds what flows through it, too; the exported one computes that in 32 bits.
EXACT, ROUNDED = 1e-3, 0.05
_STEPS = (("cap", (SHORT,), "bicubic"), ("short", (RESIZED, SIZE), "bicubic"), ("centre", (SIZE,), ""))


def plan(bundle: Bundle, head: LinearHead | MlpHead) -> Plan:
    """Raises BundleError for a trunk or a head that can't be part of a graph, TrunkError, MissingExtra."""
    dense = _dense(bundle, head)
    (part,) = dense.parts
    own = bundle.engines.get(part.engine)
    if own is not None:
        if not isinstance(own, Adapted):
            raise cannot(bundle, f"its vectors come from {own.card.source}")
        if own.about.kind == "cut":
            raise cannot(bundle, "its trunk was cut smaller, which has no graph for it yet", "export the bundle that it was cut from")
        return _on_text(bundle, head, part.column, own.parts(), own.about.kind != "lora", (own.base.card.licence,))
    trunk = find(part.engine.removeprefix("trunk:"))
    if isinstance(trunk, EfficientNetLite0):
        return _on_pictures(head, part.column, trunk)
    if not hasattr(trunk, "parts"):
        raise cannot(bundle, f"the trunk {trunk.card.id} has no graph for it", 'trunks that have one: minilm, an encoder of BERT\'s family ("hf:...", "folder:..."), efficientnet-lite0')
    try:
        parts = cast(BertTrunk, trunk).parts()
    except TrunklineError as error:
        raise cannot(bundle, error.what, error.hint) from error
    return _on_text(bundle, head, part.column, parts, True, (f"{trunk.card.id}: {trunk.card.licence}, {trunk.card.source}",))


def _dense(bundle: Bundle, head: LinearHead | MlpHead) -> Dense:
    if isinstance(head, LinearHead) and (head.lexical or head.dense is None):
        raise cannot(bundle, "its head counts n-grams, which is no graph", 'train it by the trunk alone: [method] name = "linear" or "mlp"')
    dense = head.dense.dense if isinstance(head, LinearHead) and head.dense else cast(MlpHead, head).dense
    if dense.encoder is not None or len(dense.parts) != 1:
        raise cannot(bundle, f"it reads {len(bundle.spec.inputs)} columns by different ways", "only one text or picture column can be exported")
    return dense


def _on_text(bundle: Bundle, head: LinearHead | MlpHead, column: str, parts: BertParts, whole: bool, licence: tuple[str, ...]) -> Plan:
    """whole: the trunk's int8 matrices are all there is to it."""
    tokenizer = parts.tokenizer
    if not isinstance(tokenizer, TokenizerJson) or not isinstance(parts.words, DenseTable):
        raise cannot(bundle, "its trunk has a vocabulary of 250,000 pieces in a form of its own", 'train it on "minilm" (English), or on an encoder with a tokenizer.json')
    told, precision = tokenizer.told(), parts.precision
    read = Tokens(
        tensor=IDS, mask=MASK, type="int64", shape=("rows", "tokens"), column=column, file=TOKENIZER, prefix=told.prefix,
        characters=told.characters, before=told.before, after=told.after, longest=told.max_tokens,
    )  # fmt: skip

    def feed(call: Call) -> Feed:
        ids = np.array(tokenizer.encode(list(call.items)), np.int64)
        return {IDS: ids, MASK: np.ones_like(ids)}

    tail = Tail(text_graph(parts, whole and precision.startswith("w8")), POOLED)
    tolerance, files = EXACT if precision == "f32" else ROUNDED, {TOKENIZER: told.json.encode()}
    return Plan((read,), tail, _applied(tail, head), feed, tolerance, _outside(tail, head), files, licence)


def _on_pictures(head: LinearHead | MlpHead, column: str, trunk: EfficientNetLite0) -> Plan:
    read = Pixels(
        tensor=PIXELS, type="uint8", shape=("rows", 3, SIZE, SIZE), column=column, steps=_STEPS,
        mean=tuple(255 * m for m in MEAN), spread=tuple(255 * s for s in SPREAD),
    )  # fmt: skip

    def feed(call: Call) -> Feed:
        return {PIXELS: np.ascontiguousarray(square(call.items[0]).transpose(2, 0, 1)[None])}

    tail = Tail(picture_graph(trunk.weights()), POOLED)
    licence = (f"{trunk.card.id}: {trunk.card.licence}, {trunk.card.source}",)
    return Plan((read,), tail, _applied(tail, head), feed, EXACT, _outside(tail, head), licence=licence)


def _applied(tail: Tail, head: LinearHead | MlpHead) -> str:
    """The head's values."""
    if isinstance(head, LinearHead):
        assert head.dense is not None
        scores = tail.add("MatMul", tail.output, tail.constant(head.dense.weights * head.dense.scale))
        return linked(tail, head.link, tail.add("Add", scores, tail.constant(head.bias)))
    into, into_bias, out, out_bias = head.layers
    hidden = tail.add("Relu", tail.add("Add", tail.add("MatMul", tail.output, tail.constant(into)), tail.constant(into_bias)))
    scores = tail.add("Add", tail.add("MatMul", hidden, tail.constant(out)), tail.constant(out_bias))
    return linked(tail, head.link, scores)


def _outside(tail: Tail, head: LinearHead | MlpHead) -> str:
    """`heads.dense.Landmarks.outside` as nodes; "" where the head has none."""
    learned = head if isinstance(head, MlpHead) else head.dense
    marks: Landmarks | None = learned.landmarks if learned else None
    if marks is None:
        return ""
    points: Any = marks.points.astype(np.float32)
    from_centre = tail.add("Sub", tail.output, tail.constant(marks.centre))
    length = tail.add("Max", tail.add("ReduceL2", from_centre, axes=[1], keepdims=1), tail.constant(1e-12))
    cosines = tail.add("MatMul", tail.add("Div", from_centre, length), tail.constant((points / marks.lengths[:, None]).T))
    return tail.add("Sub", tail.constant(1.0), tail.add("ReduceMax", cosines, axes=[1], keepdims=0))
