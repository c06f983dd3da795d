"""The methods `finetune` and `lora`: the trunk of a text column learned further, all layers or small matrices beside them.

A trunk costs minutes, so two networks give the out-of-fold predictions (each learns half of the rows), and one more
learns all of them. The bundle holds what changed (`trunks.adapted`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.engines.own import HOME, NET, Owned
from trunkline.errors import TrainError
from trunkline.heads.dense import Dense
from trunkline.heads.linear import DensePart, LinearHead
from trunkline.methods.dense_rows import TASKS, texts_of
from trunkline.methods.finetune_pictures import FinetunePictures
from trunkline.methods.learning import FoldSettings, Index, Learning, Material
from trunkline.methods.network import Network
from trunkline.methods.tag_learning import TagLearning, tag_head, tag_inputs
from trunkline.methods.tunable import HeldOut, Searched
from trunkline.spec import Range, Ranges, Spec
from trunkline.spec.model import trunk_of
from trunkline.trunks import find
from trunkline.trunks.adapted import adapted
from trunkline.trunks.bert import BertParts, BertTrunk
from trunkline.types import Ask, Candidate, Examples, Folds, Head, Refused

ENGINE = f"{HOME}:{NET}"
TOP_TIMES = 10.0  # how many times the trunk's rate the layer on top learns at: it starts from nothing
CHECKED, CLOSE = 16, 0.98  # texts whose vectors are compared with PyTorch's, and their least cosine


class FinetuneSettings(FoldSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """dropout: in the trunk's layers and before the one on top."""

    epochs: Annotated[int, Meta(ge=1)] = 3
    batch: Annotated[int, Meta(ge=1)] = 16
    rate: Annotated[float, Meta(gt=0)] = 1e-4
    patience: Annotated[int, Meta(ge=0)] = 2
    folds: Annotated[int, Meta(ge=2, le=20)] = 2
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


class LoraSettings(FinetuneSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """alpha: the matrices count alpha / rank. dropout: before them and before the layer on top."""

    rate: Annotated[float, Meta(gt=0)] = 1e-3
    rank: Annotated[int, Meta(ge=1, le=256)] = 16
    alpha: Annotated[int, Meta(ge=1)] = 32


class Adapting(Network):
    """A method's own: `kind` and whatever `Network` asks for."""

    kind: ClassVar[Literal["lora", "full"]]
    climbs: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = (*TASKS, "tag")
    needs: ClassVar[tuple[str, ...]] = ("torch", "accelerate", "transformers")

    def reads(self, spec: Spec) -> str:
        if list(spec.inputs.values()) != ["text"]:
            return f"{self.name} reads one column of kind text, not {', '.join(spec.inputs.values())}"
        trunk = trunk_of(spec, "text")
        if trunk is None:
            return f"{self.name} needs a text trunk"
        return "" if hasattr(find(trunk), "parts") else f"the trunk {trunk} can't be learned further"

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: Any) -> Material:
        trunk = cast(BertTrunk, find(str(trunk_of(spec, "text"))))
        parts, texts = trunk.parts(), texts_of(spec, examples)

        def build(outputs: int) -> Any:
            return self.module(spec, parts, outputs, settings)

        if spec.task == "tag":
            inputs, sizes = tag_inputs(parts.tokenizer, texts)
        else:
            inputs, sizes = text_inputs(parts.tokenizer.encode(texts))
        return Material(
            build, inputs, sizes=sizes, faster={"out.": TOP_TIMES}, large=settings.precision == "auto",
            origin=trunk.card.fingerprint,
        )  # fmt: skip

    def module(self, spec: Spec, parts: BertParts, outputs: int, settings: Any) -> Any:
        """The network that learns, from the trunk's `parts`."""
        from trunkline.networks.adapted import Adapted, Tagging

        make = Tagging if spec.task == "tag" else Adapted
        return make(parts, outputs, settings.dropout, getattr(settings, "rank", 0), getattr(settings, "alpha", 0))

    def learning(self, spec: Spec, examples: Examples, settings: Any, material: Material) -> Learning:
        if spec.task != "tag":
            return super().learning(spec, examples, settings, material)
        return TagLearning(spec, examples, settings, material, self.progress)

    def left(self, learn: Learning, module: Any) -> tuple[Head, Owned, dict[str, Any]]:
        spec, texts = learn.spec, texts_of(learn.spec, learn.examples)
        own = adapted(str(trunk_of(spec, "text")), self.kind, module.learned(), learn.folder)
        (column,), (weights, bias) = spec.inputs, module.top()
        told = {"cosine": agreement(module, own.load(), texts[:CHECKED])}
        if spec.task == "tag":
            return tag_head(ENGINE, column, weights, bias), own, told
        return head_on(ENGINE, column, learn.answers.link, weights, bias), own, told


class Finetune(Adapting):
    """All layers learn; word embeddings stay the trunk's. Pictures by `FinetunePictures`."""

    name: ClassVar[str] = "finetune"
    kind: ClassVar[Literal["lora", "full"]] = "full"
    settings: ClassVar[type[FoldSettings]] = FinetuneSettings
    ranges: ClassVar[Ranges] = {"rate": Range(2e-5, 3e-4, log=True), "epochs": [2, 3, 4], "dropout": [0.0, 0.1, 0.2]}

    def check(self, spec: Spec) -> None:
        if _sees(spec):
            FinetunePictures().check(spec)
        else:
            super().check(spec)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return FinetunePictures().can(spec, examples) if _sees(spec) else super().can(spec, examples)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        if not _sees(spec):
            return super().fit(spec, examples, folds, ask)
        return self._pictures().fit(spec, examples, folds, ask)

    def held_out(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> HeldOut:
        learn = self._pictures().held_out if _sees(spec) else super().held_out
        return learn(spec, examples, folds, ask)

    def searched(self, spec: Spec) -> Searched:
        return FinetunePictures().searched(spec) if _sees(spec) else super().searched(spec)

    def _pictures(self) -> FinetunePictures:
        pictures = FinetunePictures()
        pictures.progress = self.progress
        return pictures


class Lora(Adapting):
    """A hundredth of the weights learn, and any number of such products run on one graph."""

    name: ClassVar[str] = "lora"
    kind: ClassVar[Literal["lora", "full"]] = "lora"
    settings: ClassVar[type[FoldSettings]] = LoraSettings
    ranges: ClassVar[Ranges] = {"rate": Range(2e-4, 3e-3, log=True), "epochs": [2, 3, 4], "rank": [8, 16, 32], "dropout": [0.0, 0.1, 0.2]}
    needs: ClassVar[tuple[str, ...]] = (*Adapting.needs, "peft")


def head_on(engine: str, column: str, link: str, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> LinearHead:
    """A linear head on the engine's vectors of a text column. weights (width, outputs), bias (outputs,)."""
    scale = np.maximum(np.abs(weights).max(axis=0), 1e-30)
    small = (weights / scale).astype(np.float16).astype(np.float32)
    return LinearHead(link, bias, DensePart(Dense.of_texts(engine, [column]), small, scale, None))


def _sees(spec: Spec) -> bool:
    return "image" in spec.inputs.values()


def text_inputs(ids: list[list[int]]) -> tuple[Any, Any]:
    """(`Material.inputs`, tokens of each row)."""

    def inputs(rows: Index, rng: np.random.Generator | None) -> dict[str, Any]:
        from trunkline.networks.text_encoder import padded

        block, mask = padded([ids[at] for at in rows.tolist()])
        return {"ids": block, "mask": mask}

    return inputs, np.array([len(each) for each in ids])


def agreement(module: Any, engine: Any, texts: list[str]) -> float:
    """The least cosine between the vectors served and PyTorch's. Raises TrainError where they aren't the same network."""
    least: float = module.encoder.agreement(engine, texts)
    if not least > CLOSE:
        raise TrainError(
            "the adapted trunk doesn't give what PyTorch gives", found=f"cosine {least:.4f}", wanted=f"over {CLOSE}",
            hint='a smaller rate, or [trunks] text = "e5-small-f32"',
        )  # fmt: skip
    return round(least, 6)
