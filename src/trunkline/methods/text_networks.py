"""The methods `lstm`, `cnn1d` and `transformer`: networks that learn a text column from scratch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta

from trunkline.errors import SpecError
from trunkline.heads.onnx import Tensor
from trunkline.methods.dense_rows import text_columns, texts_of
from trunkline.methods.learning import Index, Material
from trunkline.methods.network import RANGES, NetSettings, Network
from trunkline.spec import Range, Ranges, Spec
from trunkline.spec.model import trunk_of
from trunkline.types import Ask, Call, Examples
from trunkline.vocabulary import PADDING, UNKNOWN, Vocabulary


class TextSettings(NetSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """words: of the vocabulary. longest: words read of a text. drop_words: share of words unknown while learning.
    vectors: the table of words starts from the trunk's vector of each word."""

    words: Annotated[int, Meta(ge=1, le=200_000)] = 20_000
    longest: Annotated[int, Meta(ge=1, le=4096)] = 256
    drop_words: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    vectors: bool = False


class LstmSettings(TextSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    cell: Literal["lstm", "gru"] = "lstm"


class _TextNetwork(Network):
    settings: ClassVar[type[NetSettings]] = TextSettings
    ranges: ClassVar[Ranges] = {**RANGES, "drop_words": Range(0.0, 0.3)}

    def network(self, words: int, outputs: int, settings: Any) -> Any:
        raise NotImplementedError

    def reads(self, spec: Spec) -> str:
        if list(spec.inputs.values()) == ["text"]:
            return ""
        return f"{self.name} reads one column of kind text, not {', '.join(spec.inputs.values())}"

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: TextSettings) -> Material:
        (column,) = text_columns(spec)
        texts = texts_of(spec, examples)
        vocabulary = Vocabulary.fit(texts, settings.words)
        ids = [vocabulary.ids(text, settings.longest) for text in texts]
        start = word_vectors(spec, vocabulary, ask) if settings.vectors else None

        def build(outputs: int) -> Any:
            module = self.network(len(vocabulary), outputs, settings)
            if start is not None:
                import torch

                module.embed.start_from(torch.from_numpy(start))
            return module

        def inputs(rows: Index, rng: np.random.Generator | None) -> dict[str, Any]:
            import torch

            block = padded([ids[at] for at in rows.tolist()])
            if rng is not None and settings.drop_words:
                block = dropped(block, settings.drop_words, rng)
            return {"ids": torch.from_numpy(block)}

        return Material(
            build, inputs, {"ids": {0: "rows", 1: "words"}}, [Tensor("ids", (column,), longest=settings.longest)],
            np.empty(0), np.empty(0), vocabulary, np.array([len(each) for each in ids]),
        )  # fmt: skip


class Lstm(_TextNetwork):
    """setting cell: lstm or gru."""

    name: ClassVar[str] = "lstm"
    settings: ClassVar[type[NetSettings]] = LstmSettings

    def network(self, words: int, outputs: int, settings: LstmSettings) -> Any:
        from trunkline.networks.lstm import TextRnn

        own = {name: value for name, value in settings.told().items() if name != "activation"}
        return TextRnn(words, outputs, cell=settings.cell, **own)


class Cnn1d(_TextNetwork):
    name: ClassVar[str] = "cnn1d"

    def network(self, words: int, outputs: int, settings: TextSettings) -> Any:
        from trunkline.networks.cnn1d import TextCnn

        return TextCnn(words, outputs, **settings.told())


class Transformer(_TextNetwork):
    name: ClassVar[str] = "transformer"

    def network(self, words: int, outputs: int, settings: TextSettings) -> Any:
        from trunkline.networks.transformer import TextTransformer

        return TextTransformer(words, outputs, longest=settings.longest, **settings.told())


def padded(ids: list[Any]) -> Any:
    """int64 (n, longest of them), PADDING behind each."""
    block = np.full((len(ids), max(map(len, ids))), PADDING, np.int64)
    for row, each in zip(block, ids, strict=True):
        row[: len(each)] = each
    return block


def dropped(block: Any, share: float, rng: np.random.Generator) -> Any:
    """A share of the words unknown: padding stays, and so does every text's length."""
    return np.where((rng.random(block.shape) < share) & (block != PADDING), UNKNOWN, block)


def word_vectors(spec: Spec, vocabulary: Vocabulary, ask: Ask) -> Any:
    """float32 (words, d): the trunk's pooled vector of each word alone. Raises SpecError without a trunk or words."""
    trunk = trunk_of(spec, "text")
    if trunk is None or not vocabulary.words:
        why = "no text trunk" if trunk is None else "no word that occurs twice"
        raise SpecError("vectors need a text trunk and words", where="method.settings.vectors", found=why)
    (found,) = ask([Call(f"trunk:{trunk}", list(vocabulary.words))])
    return np.asarray(found, np.float32)
