"""The head `onnx`: columns prepared for the product's own network, and what the network gives read as answers.

The network is an engine of its own; here are only the columns' order, scales and codes, and the labels' order.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.engines.own import HOME, NET, OUTPUTS
from trunkline.errors import BundleError, DataError
from trunkline.heads.dense import texts_of
from trunkline.heads.links import apply_link
from trunkline.heads.rowwise import array_of
from trunkline.inputs.mels import log_mels
from trunkline.inputs.tensors import Tensors
from trunkline.types import Arrays, Call, Floats, Inputs, Outputs, Prediction, Program, Steps
from trunkline.vocabulary import Vocabulary

HOLDS = ("probabilities", "logits", "label", "value")


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the network and the columns it takes, in order.

    Numbers (codes of names among them) are (cell - mean) / scale; `strings` go as they are. A missing cell is
    `missing`, for strings its text. With `trunk`, the one text column goes as that engine's pooled vector; with
    `longest`, as the ids of its first words by the head's vocabulary. With `side`, the one image column goes as pixels,
    uint8 (3, side, side); with `seconds`, the start of the one audio column as log-mel frames, float32 (frames, MELS).
    """

    name: str
    columns: tuple[str, ...]
    strings: bool = False
    codes: dict[str, tuple[str, ...]] = {}
    unseen: float = -1.0
    missing: float | str | None = None
    trunk: str = ""
    longest: int = 0
    side: int = 0
    seconds: float = 0.0

    @property
    def numbers(self) -> int:
        """Columns that go as numbers, each with its scale."""
        return 0 if self.strings or self.trunk or self.longest or self.side or self.seconds else len(self.columns)

    def strings_of(self, row: Inputs) -> tuple[str, ...]:
        absent = str(self.missing or "")
        return tuple(absent if row.get(column) is None else row[column] for column in self.columns)

    def numbers_of(self, row: Inputs) -> NDArray[np.float64]:
        return np.array([self._number(column, row.get(column)) for column in self.columns], np.float64)

    def _number(self, column: str, cell: Any) -> float:
        if cell is None or cell != cell:  # nan
            return math.nan if self.missing is None else float(self.missing)
        if column not in self.codes:
            return float(cell)
        known = self.codes[column]
        return float(known.index(cell)) if cell in known else self.unseen


@dataclass(frozen=True)
class Reading:
    """What the network's output holds. order: for classify and multilabel, where in the output each of the
    product's labels stands; labels: the output's labels, in its order."""

    holds: str
    task: str  # of the answer: classify, multilabel, regress
    labels: tuple[str, ...] = ()
    order: tuple[int, ...] = ()

    def values(self, given: NDArray[Any]) -> Floats:
        """`Prediction.values` of (n, k) outputs, each row by itself. Raises BundleError for an output that
        doesn't hold what it should, DataError for one that isn't finite."""
        if not len(given):
            return np.zeros(0 if self.task == "regress" else (0, len(self.labels)))
        if self.holds == "label":
            return self._one_hot(given)
        numbers = given.astype(np.float64)
        if not np.isfinite(numbers).all():
            raise DataError(
                "the network has no answer to a row",
                found="nan or infinity",
                hint="a missing number? method.settings.inputs.<tensor>: missing = 0 fills them",
            )
        if self.task == "regress":
            if numbers.shape[1] != 1:
                raise self._wrong(f"{numbers.shape[1]} numbers a row", "one", "method.settings.output")
            return np.asarray(numbers[:, 0])
        one_of_two = self.task == "classify" and len(self.labels) == 2 and numbers.shape[1] == 1
        if self.holds == "logits":
            link = "labels" if self.task == "multilabel" else "logistic" if one_of_two else "softmax"
            numbers = apply_link(link, numbers)
        else:
            numbers = np.concatenate([1 - numbers, numbers], axis=1) if one_of_two else numbers
            numbers = self._probabilities(numbers)
        if numbers.shape[1] != len(self.labels):
            wanted = f"{len(self.labels)}, one for each label"
            raise self._wrong(f"{numbers.shape[1]} numbers a row", wanted, "method.settings.labels")
        return np.asarray(numbers[:, list(self.order)])

    def _probabilities(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = given.sum(axis=1, keepdims=True)
        off = self.task == "classify" and bool((np.abs(sums - 1) > 0.01).any())
        if off or (given < -1e-6).any() or (given > 1 + 1e-6).any():
            raise self._wrong("other numbers", "probabilities", 'holds = "logits", or another output')
        kept = np.clip(given, 0, 1)
        return kept / kept.sum(axis=1, keepdims=True) if self.task == "classify" else kept

    def _one_hot(self, given: NDArray[Any]) -> NDArray[np.float64]:
        """Of a label's name or its place in `labels`; certainty comes from the temperature."""
        places = {label: i for i, label in enumerate(self.labels)}
        said = [places.get(cell, -1) if isinstance(cell, str) else int(cell) for cell in given[:, 0].tolist()]
        if given.shape[1] != 1 or not all(0 <= i < len(places) for i in said):
            raise self._wrong("something else", " | ".join(self.labels), "method.settings.labels")
        return np.eye(len(places))[said][:, list(self.order)]

    def _wrong(self, found: str, wanted: str, hint: str) -> BundleError:
        return BundleError(f"the network's output holds no {self.holds}", found=found, wanted=wanted, hint=hint)


class OnnxHead:
    """mean, scale float64: of every number tensor's columns, one after another."""

    format: ClassVar[str] = "onnx"

    def __init__(
        self, tensors: Sequence[Tensor], mean: NDArray[np.float64], scale: NDArray[np.float64],
        output: str, reading: Reading, engine: str = f"{HOME}:{NET}", vocabulary: Vocabulary | None = None,
    ) -> None:  # fmt: skip
        self.tensors, self.mean, self.scale = tuple(tensors), mean, scale
        self.output, self.reading, self.engine, self.vocabulary = output, reading, engine, vocabulary
        sizes = [tensor.numbers for tensor in self.tensors]
        if vocabulary is None and any(t.longest for t in self.tensors):
            raise BundleError("an onnx head reads words and has no vocabulary", where=engine)
        if mean.shape != (sum(sizes),) or scale.shape != mean.shape or not (scale != 0).all():
            raise BundleError("an onnx head's scales don't fit its columns", found=f"{mean.shape}, {scale.shape}")
        ends = np.cumsum(sizes)
        self._scales = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]

    def run(self, rows: Sequence[Inputs]) -> Program:
        """Asks trunks for pooled texts where there are any, then the network."""
        given = yield from self.looked(rows, OUTPUTS)
        return Prediction(self.reading.values(np.asarray(given)))

    def looked(self, rows: Sequence[Inputs], form: str) -> Steps[Any]:
        """What the network gives for rows in a form: OUTPUTS, or one of `engines.looked`."""
        parts = yield from self._parts(rows)
        items: list[Tensors] = list(zip(*parts, strict=True))
        names = tuple(tensor.name for tensor in self.tensors)
        options = (("output", self.output), ("tensors", names))
        (given,) = yield [Call(self.engine, items, form, options=options)]
        return given

    def _parts(self, rows: Sequence[Inputs]) -> Generator[Sequence[Call], Outputs, list[Sequence[Any]]]:
        """For each tensor its part of every row."""
        pooled = [tensor for tensor in self.tensors if tensor.trunk]
        vectors: dict[str, NDArray[np.float64]] = {}
        if pooled:
            given = yield [Call(tensor.trunk, texts_of(rows, tensor.columns[0])) for tensor in pooled]
            vectors = {t.name: np.asarray(v, np.float64) for t, v in zip(pooled, given, strict=True)}
        parts: list[Sequence[Any]] = []
        for tensor, at in zip(self.tensors, self._scales, strict=True):
            if tensor.trunk:
                parts.append(list(vectors[tensor.name]))
            elif tensor.longest:
                parts.append(self._words(rows, tensor))
            elif tensor.side:
                parts.append([row[tensor.columns[0]].pixels(tensor.side) for row in rows])
            elif tensor.seconds:
                parts.append([log_mels(row[tensor.columns[0]].samples(), tensor.seconds) for row in rows])
            elif tensor.strings:
                parts.append([tensor.strings_of(row) for row in rows])
            else:
                parts.append([(tensor.numbers_of(row) - self.mean[at]) / self.scale[at] for row in rows])
        return parts

    def _words(self, rows: Sequence[Inputs], tensor: Tensor) -> list[Any]:
        assert self.vocabulary is not None
        return [self.vocabulary.ids(text, tensor.longest) for text in texts_of(rows, tensor.columns[0])]

    def save(self) -> tuple[dict[str, Any], Arrays]:
        reading = self.reading
        meta = {
            "engine": self.engine,
            "output": self.output,
            "tensors": msgspec.to_builtins(self.tensors),
            "holds": reading.holds,
            "task": reading.task,
            "labels": list(reading.labels),
            "order": list(reading.order),
        }
        words = {} if self.vocabulary is None else {"vocabulary": self.vocabulary.save()}
        return meta, {"mean": self.mean, "scale": self.scale, **words}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where meta and arrays don't fit each other."""
        try:
            tensors = msgspec.convert(meta["tensors"], tuple[Tensor, ...])
            labels, order = tuple(map(str, meta["labels"])), tuple(map(int, meta["order"]))
            reading = Reading(str(meta["holds"]), str(meta["task"]), labels, order)
            output, engine = str(meta["output"]), str(meta["engine"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("an onnx head can't be read", found=repr(error)) from None
        if reading.holds not in HOLDS or sorted(order) != list(range(len(labels))):
            raise BundleError("an onnx head's reading is not valid", found=f"{reading.holds}, {order}")
        mean, scale = array_of(arrays, "mean", np.float64, 1), array_of(arrays, "scale", np.float64, 1)
        words = arrays.get("vocabulary")
        vocabulary = None if words is None else Vocabulary.load(words)
        return cls(tensors, mean, scale, output, reading, engine, vocabulary)
