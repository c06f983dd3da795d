"""The smaller networks that a text product teaches: a head on the frozen trunk, a network of words, a trunk of fewer layers,
or one with narrower layers."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import numpy as np

from trunkline.engines.processor import groups_of_int8
from trunkline.heads.linear import LinearHead
from trunkline.methods import METHODS
from trunkline.methods.adapt import CHECKED, TOP_TIMES, FinetuneSettings, agreement, head_on, text_inputs
from trunkline.methods.dense_rows import TASKS, texts_of
from trunkline.methods.learning import FoldSettings, Index, Material
from trunkline.methods.text_networks import TextSettings
from trunkline.shrink import pictures
from trunkline.shrink.forms import GROUPS, NET, Made
from trunkline.shrink.job import Job
from trunkline.shrink.teach import Teaching, learned, lessons, stand_of, told_of
from trunkline.shrink.weights import fewer_layers, merged, narrower
from trunkline.spec.model import trunk_of
from trunkline.trunks import find
from trunkline.trunks.adapted import Adapted, adapted
from trunkline.trunks.bert import BertParts, BertTrunk
from trunkline.types import Call, Refused

WORDS = "cnn1d"


def head(job: Job) -> Made | Refused:
    """One linear layer on the frozen trunk's vectors: the trunk is there already, so it costs a few kilobytes."""
    refused = _refused(job)
    if refused is not None:
        return refused
    if job.own is None:
        return Refused("cannot", "it is a head on a frozen trunk already")
    given, engine = lessons(job), f"trunk:{trunk_of(job.spec, 'text')}"
    vectors = np.asarray(job.line.ask([Call(engine, texts_of(job.spec, given.examples))])[0], np.float32)

    def build(outputs: int) -> Any:
        from trunkline.networks.adapted import OnVectors

        return OnVectors(vectors.shape[1], outputs)

    def inputs(rows: Index, rng: np.random.Generator | None) -> dict[str, Any]:
        import torch

        return {"vectors": torch.from_numpy(vectors[rows])}

    settings = FoldSettings(epochs=60, batch=64, rate=0.01, patience=6, validation=job.share)
    learn = Teaching(job, given, "head", settings, Material(build, inputs))
    module, whole = learned(learn)
    (column,) = job.spec.inputs
    made = head_on(engine, column, learn.answers.link, *module.top())
    return Made(stand_of(job, made, {}), "linear", told_of(whole))


def words(job: Job) -> Made | Refused:
    """A convolution over words (Kim 2014), whose table of words starts from the trunk's vectors: no trunk at all."""
    refused = _refused(job, trunk=False)
    if refused is not None:
        return refused
    given, method = lessons(job), METHODS.get(WORDS)()
    settings = TextSettings(
        size="base", vectors=trunk_of(job.spec, "text") is not None, epochs=30, batch=32, patience=5, validation=job.share
    )
    material = method.material(job.spec, given.examples, job.line.ask, settings)  # type: ignore[attr-defined]
    learn = Teaching(job, given, WORDS, settings, material)
    module, whole = learned(learn)
    made, network, told = method.left(learn, module)  # type: ignore[attr-defined]
    return Made(stand_of(job, made, {NET: network}), WORDS, {**told_of(whole), **told})


def layers(job: Job) -> Made | Refused:
    """A quarter of the trunk's layers, begun from those of the product's own trunk."""
    refused = _refused(job)
    if refused is not None:
        return refused
    parts = _parts(job)
    few = max(1, parts.shape.layers // 4)
    if few == parts.shape.layers:
        return Refused("cannot", "it has a single layer")
    return _cut(job, "layers", fewer_layers(parts, few))


def pruned(job: Job) -> Made | Refused:
    """Half of the heads and of the inner columns of each layer, those of the largest weights; of a network of pictures half
    of the channels."""
    if "image" in job.spec.inputs.values():
        return pictures.pruned(job)
    refused = _refused(job)
    if refused is not None:
        return refused
    return _cut(job, "pruned", narrower(_parts(job)))


def _cut(job: Job, name: str, parts: BertParts) -> Made:
    given, texts = lessons(job), texts_of(job.spec, job.train)[:CHECKED]
    settings = FinetuneSettings(epochs=6, dropout=0.0, validation=job.share, folds=2)
    inputs, sizes = text_inputs(parts.tokenizer.encode(texts_of(job.spec, given.examples)))
    origin = hashlib.sha256(parts.weight("encoder.layer.0.output.dense.weight").tobytes()).hexdigest()

    def build(outputs: int) -> Any:
        from trunkline.networks.adapted import Adapted as Network

        module = Network(parts, outputs, settings.dropout)
        _begin(module, job)
        return module

    material = Material(build, inputs, sizes=sizes, faster={"out.": TOP_TIMES}, large=True, origin=origin)
    learn = Teaching(job, given, name, settings, material)
    module, whole = learned(learn)
    base = str(trunk_of(job.spec, "text"))
    precision = parts.precision if groups_of_int8() is False else GROUPS
    own = adapted(base, "cut", module.encoder.learned(), job.folder, precision, parts.shape.layers)
    cosine = agreement(module, own.load(), texts)
    (column,) = job.spec.inputs
    made = head_on(NET, column, learn.answers.link, *module.top())
    return Made(stand_of(job, made, {NET: own}), "finetune", {**told_of(whole), "cosine": cosine})


def _begin(module: Any, job: Job) -> None:
    """The layer on top begins as the teacher's, where that is one on the product's own trunk."""
    import torch

    top = job.whole.head
    if job.own is None or not isinstance(top, LinearHead) or top.dense is None or top.link == "identity":
        return
    weights = (top.dense.weights * top.dense.scale / module.spread).T
    if weights.shape == module.out.weight.shape:
        with torch.no_grad():
            module.out.weight.copy_(torch.from_numpy(weights))
            module.out.bias.copy_(torch.from_numpy(np.asarray(top.bias)))


def _parts(job: Job) -> BertParts:
    """The trunk with what the product changed in it."""
    if isinstance(job.own, Adapted):
        return merged(job.own)
    return cast(BertTrunk, find(str(trunk_of(job.spec, "text")))).parts()


def _refused(job: Job, trunk: bool = True) -> Refused | None:
    if list(job.spec.inputs.values()) != ["text"] or job.spec.task not in TASKS:
        return Refused("cannot", f"a smaller network is taught {', '.join(TASKS)} on one text column")
    named = trunk_of(job.spec, "text")
    if trunk and (named is None or not hasattr(find(named), "parts")):
        return Refused("cannot", f"the trunk {named or 'none'} can't be learned further")
    return None

