"""A trunk that a product adapted, as an engine of that product: only what changed is its own.

By LoRA it has two small matrices for each linear layer, and runs on a graph of the trunk that takes them as inputs:
one graph in memory for all of them. By full fine-tuning it has a graph of its own, which may be cut: fewer layers, heads
or inner columns than the trunk. Tokenizer, words and positions are the trunk's either way. Its name is its content,
"own:<digest>", as other networks of products have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import PRECISIONS, OpenVinoSession
from trunkline.engines.own import HOME
from trunkline.engines.processor import need_precision
from trunkline.engines.text import TextEngine
from trunkline.errors import BundleError, TrunklineError
from trunkline.files import digest_file, write_atomic
from trunkline.trunks import find
from trunkline.trunks.bert import GRAPH, BertEncoder, BertParts, BertTrunk
from trunkline.trunks.bert_graph import LINEARS, build, graph, whole_numbers
from trunkline.trunks.cache import prepared
from trunkline.trunks.shared import Shared
from trunkline.types import Arrays, Call, EngineCard, Refused

WEIGHTS, RECORD = "weights.safetensors", "adapted.json"  # below own/<name>/ in a bundle
SCALE = ".scale"  # behind the name of an int8 matrix: float32 (out, 1)
RECIPE = 1  # raise it when the graph with adapters changes
Kind = Literal["lora", "full", "cut"]

_GRAPHS: Shared[OpenVinoSession] = Shared()  # with adapters, by the trunk's fingerprint


class Adaptation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """adapted.json: which trunk, and what was done to it."""

    base: str  # its name: "e5-small", "folder:<path>"
    fingerprint: str  # its own
    kind: Kind
    format: Literal[1] = 1
    precision: str = ""  # of its graph, a key of `engines.openvino.PRECISIONS`; "" = the trunk's
    layers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0  # of a cut graph; 0 = as many as the trunk has


class Adapted:
    """An adapted trunk's files; `load` opens them. An `engines.own.Owned`.

    weights: safetensors. lora: "<layer>.A" float16 (r, in) and "<layer>.B" float16 (out, r) of every linear layer, scale
    and all. full: the tensors that changed, by their names in transformers' BertModel. cut: every tensor of its layers, by
    the same names, numbered from 0. digest: of the file, if known.
    """

    def __init__(self, about: Adaptation, weights: Path, digest: str | None = None) -> None:
        self.about, self.weights, self._digest = about, weights, digest or digest_file(weights)

    @classmethod
    def opened(cls, folder: Path, digests: Mapping[str, str]) -> Self:
        """From a bundle's folder of it; nothing is loaded. Raises BundleError."""
        try:
            about = msgspec.json.decode((folder / RECORD).read_bytes(), type=Adaptation)
        except msgspec.DecodeError as error:
            raise BundleError("an adapted trunk's record can't be read", where=str(folder / RECORD), found=str(error)) from None
        if about.precision not in ("", *PRECISIONS):
            raise BundleError("an adapted trunk has a precision that this Trunkline doesn't know", where=str(folder / RECORD), found=about.precision, wanted=", ".join(PRECISIONS))
        return cls(about, folder / WEIGHTS, digests.get(WEIGHTS))

    @property
    def size_bytes(self) -> int:
        return self.weights.stat().st_size

    @cached_property
    def base(self) -> BertTrunk:
        """Raises TrunklineError for one that isn't known."""
        return cast(BertTrunk, find(self.about.base))

    @cached_property
    def card(self) -> EngineCard:
        about = self.about
        also = [f"{about.precision}/{about.layers}"] if about.precision or about.layers else []
        content = _digest(self._digest, about.fingerprint, about.kind, *also)
        return replace(
            self.base.card, id=f"{HOME}:{content[:16]}", licence="the product's own", source=f"{about.base}, adapted",
            fingerprint=_digest(content, f"{about.kind}/{RECIPE}"), precision=self.precision,
        )  # fmt: skip

    @property
    def precision(self) -> str:
        return self.about.precision or self.base.card.precision

    def available(self) -> Refused | None:
        return self.base.available()

    def packed(self, call: Call) -> dict[str, bytes]:
        return {RECORD: msgspec.json.encode(self.about), WEIGHTS: self.weights.read_bytes()}

    def load(self) -> TextEngine:
        """Raises BundleError for another trunk than it was adapted from, or weights that don't fit it; TrunkError for a
        precision that this processor doesn't have."""
        self._check_base()
        need_precision(self.precision, "this adapted trunk")
        arrays, before = self.arrays(), self.base.front()
        if self.about.kind == "lora":
            session = _GRAPHS.get(f"{self.about.fingerprint}/{self.precision}", lambda: _with_adapters(self.base, self.precision))
            encoder = BertEncoder(before, session, self._factors(arrays, session))
        else:
            encoder = BertEncoder(before, self._own_graph(arrays))
        return TextEngine(self.card, before.tokenizer, encoder, self._measured_as(arrays))

    def arrays(self) -> Arrays:
        """What its file holds. Raises BundleError for one that changed or can't be read."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if digest_file(self.weights) != self._digest:
            raise BundleError("an adapted trunk's file was changed after it was checked", where=str(self.weights))
        try:
            return load_file(self.weights)
        except SafetensorError as error:
            raise BundleError("an adapted trunk's weights can't be read", where=str(self.weights), found=str(error)) from None

    def parts(self) -> BertParts:
        """The trunk's, with what was learned in its weights: LoRA's products added. Raises BundleError, TrunkError."""
        from safetensors.numpy import load_file

        self._check_base()
        arrays, base = load_file(self.weights), self.base.parts()
        own = widened(arrays) if self.about.kind == "full" else {}

        def weight(name: str) -> NDArray[np.float32]:
            layer = name.removesuffix(".weight")
            if f"{layer}.A" in arrays and name.endswith(".weight"):
                low = arrays[f"{layer}.B"].astype(np.float32) @ arrays[f"{layer}.A"].astype(np.float32)
                return np.asarray(base.weight(name) + low, np.float32)
            return own[name] if name in own else base.weight(name)

        return replace(base, weight=weight)

    def _measured_as(self, arrays: Arrays) -> EngineCard:
        """One measurement for all LoRA products of a trunk, a rank and a precision; a graph of one's own is as the trunk's,
        unless it was cut."""
        base = self.base.card
        if self.about.kind == "cut":
            return self.card
        own, named = [self.about.precision] if self.about.precision else [], base.id
        if self.about.kind == "lora":
            rank = next(array.shape[0] for name, array in arrays.items() if name.endswith(".A"))
            own, named = [f"lora/{RECIPE}/{rank}", *own], f"{base.id}, rank {rank}"
        if not own:
            return base
        return replace(base, id=", ".join([named, *filter(None, [self.about.precision])]), fingerprint=_digest(base.fingerprint, *own))

    def _check_base(self) -> None:
        found = self.base.card
        if found.fingerprint != self.about.fingerprint:
            raise BundleError(
                f"this was adapted from another {self.about.base!r} than this machine has",
                where=str(self.weights), found=f"fingerprint {found.fingerprint[:12]}", wanted=self.about.fingerprint[:12],
                hint="train the product again here, or install the Trunkline that trained it",
            )  # fmt: skip

    def _factors(self, arrays: Arrays, session: OpenVinoSession) -> list[NDArray[np.float16]]:
        """A and B of every layer, in the order of the graph's inputs."""
        shapes = session.shapes[2:]
        rank = {array.shape[0] for name, array in arrays.items() if name.endswith(".A")}
        if set(arrays) != set(session.inputs[2:]) or len(rank) != 1 or 0 in rank:
            raise self._unfit(f"{len(arrays)} matrices of ranks {sorted(rank)}", f"A and B of {len(shapes) // 2} layers, of one rank")
        (width,) = rank
        for name, shape in zip(session.inputs[2:], shapes, strict=True):
            wanted = tuple(width if axis < 0 else axis for axis in shape)
            if arrays[name].shape != wanted or arrays[name].dtype != np.float16:
                raise self._unfit(f"{name} {arrays[name].dtype} {arrays[name].shape}", f"float16 {wanted}")
        return [arrays[name] for name in session.inputs[2:]]

    def _own_graph(self, arrays: Arrays) -> OpenVinoSession:
        parts = self.base.parts()
        own = widened(arrays)
        shape = replace(parts.shape, layers=self.about.layers or parts.shape.layers)
        wanted = cut_shapes(parts, own, shape.layers) if self.about.kind == "cut" else {name: _shape(parts, name) for name in own}
        for name in {**wanted, **own}:
            if name not in own or wanted.get(name) != own[name].shape:
                found = own[name].shape if name in own else "nothing"
                raise self._unfit(f"{name} {found}", f"{wanted.get(name, 'no such tensor')}")
        made = graph(shape, lambda name: own[name] if name in own else parts.weight(name), self.precision)
        return OpenVinoSession(made, self.precision)

    def _unfit(self, found: str, wanted: str) -> BundleError:
        return BundleError("an adapted trunk's weights don't fit its trunk", where=str(self.weights), found=found, wanted=wanted)


def adapted(
    base: str, kind: Kind, arrays: Mapping[str, NDArray[Any]], folder: Path, precision: str = "", layers: int = 0
) -> Adapted:
    """What was learned on the trunk `base`, written to `folder` under the digest of its content.

    arrays: as `Adapted` says; float32 for `full` and `cut`, which are stored as small as the precision allows. precision,
    layers: as `Adaptation` has them. Raises TrunklineError for a trunk that can't be adapted.
    """
    from safetensors.numpy import save

    trunk = cast(BertTrunk, find(base))
    stored = {name: np.asarray(array, np.float16) for name, array in arrays.items()}
    if kind != "lora":
        parts = trunk.parts()
        parts = replace(parts, precision=precision or parts.precision)
        stored = changed(parts, arrays) if kind == "full" else narrowed(parts.precision, arrays)
    content = save({name: np.ascontiguousarray(array) for name, array in sorted(stored.items())})
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{digest[:16]}.safetensors"
    write_atomic(place, content)
    return Adapted(Adaptation(base, trunk.card.fingerprint, kind, precision=precision, layers=layers), place, digest)


def changed(parts: BertParts, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays that differ from the trunk's, `narrowed`."""
    other = {name: array for name, array in arrays.items() if not np.array_equal(array, parts.weight(name).reshape(array.shape))}
    return narrowed(parts.precision, other)


def narrowed(precision: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """As they are stored: matrices of an int8 precision as int8, with a scale for each output, of others as float16;
    vectors float32."""
    found: Arrays = {}
    for name, array in arrays.items():
        if array.ndim == 2 and precision.startswith("w8"):
            found[name], found[name + SCALE] = whole_numbers(np.asarray(array, np.float32))
        else:
            found[name] = np.asarray(array, np.float16 if array.ndim == 2 else np.float32)
    return found


def widened(arrays: Arrays) -> Arrays:
    """float32 again, by name, of what `changed` gave."""
    return {
        name: array.astype(np.float32) * arrays[name + SCALE] if name + SCALE in arrays else array.astype(np.float32)
        for name, array in arrays.items()
        if not name.endswith(SCALE)
    }


def cut_shapes(parts: BertParts, own: Arrays, layers: int) -> dict[str, tuple[int, ...]]:
    """What the tensors of a cut graph must be, by name: as wide as its own biases say, whole heads; () where they can't be."""
    shape = parts.shape
    size = shape.hidden // shape.heads
    found: dict[str, tuple[int, ...]] = {}
    names = [name for name in own if not name.startswith("encoder.")]  # the norm before the layers
    for layer in range(layers):
        name = f"encoder.layer.{layer}."
        heads, inner = (len(own.get(f"{name}{part}.bias", ())) for part in ("attention.self.query", "intermediate.dense"))
        narrow = {"attention.self.query": heads, "attention.self.key": heads, "attention.self.value": heads, "intermediate.dense": inner}
        for part in LINEARS:
            outputs = narrow.get(part, shape.hidden)
            inputs = {"attention.output.dense": heads, "output.dense": inner}.get(part, shape.hidden)
            whole = min(outputs, inputs) > 0 and heads % size == 0
            found[f"{name}{part}.weight"], found[f"{name}{part}.bias"] = ((outputs, inputs), (outputs,)) if whole else ((), ())
        norms = (f"{name}{part}.LayerNorm.{what}" for part in ("attention.output", "output") for what in ("weight", "bias"))
        found |= dict.fromkeys(norms, (shape.hidden,))
    return found | {name: _shape(parts, name) for name in names}


def _with_adapters(base: BertTrunk, precision: str) -> OpenVinoSession:
    """The trunk's graph that takes adapters: built once on a machine, compiled once in a process."""

    def convert(folder: Path) -> None:
        parts = base.parts()
        build(parts.shape, parts.weight, precision, folder / GRAPH, adapters=True)

    also = [] if precision == base.card.precision else [precision]
    folder = prepared(f"{base.card.id}-adapters", _digest(base.card.fingerprint, str(RECIPE), *also), convert)
    return OpenVinoSession(folder / GRAPH, precision)


def _shape(parts: BertParts, name: str) -> tuple[int, ...]:
    """() for a name that the trunk doesn't have."""
    try:
        return parts.weight(name).shape
    except (KeyError, TrunklineError):
        return ()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
