"""The head `blend`: the scores of other heads' predictions, weighed and added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError, TrunklineError
from trunkline.heads import HEADS
from trunkline.heads.links import apply_link, known_link
from trunkline.heads.rowwise import array_of, prefixed
from trunkline.program import together
from trunkline.types import Arrays, Floats, Head, Inputs, Prediction, Program

FLOOR = 1e-12  # a probability is never taken for less


class BlendHead:
    """weights float64 (parts,); the parts are heads of any format with equal outputs, and `link` is theirs."""

    format: ClassVar[str] = "blend"

    def __init__(self, link: str, weights: NDArray[np.float64], parts: Sequence[Head]) -> None:
        if not len(parts) or weights.shape != (len(parts),):
            raise BundleError(
                "a blend's weights don't fit its parts", found=str(weights.shape), wanted=f"one for each of {len(parts)}"
            )
        self.link, self.weights, self.parts = known_link(link, 1), weights, tuple(parts)

    def run(self, rows: Sequence[Inputs]) -> Program:
        """Asks for what its parts ask for, all at once, as often as the longest of them."""
        ends = yield from together([part.run(rows) for part in self.parts])
        predictions = []
        for end in ends:
            if isinstance(end, Exception):
                raise end
            predictions.append(end)
        return blended(predictions, self.weights, self.link)

    def save(self) -> tuple[dict[str, Any], Arrays]:
        arrays: Arrays = {"weights": self.weights}
        parts = []
        for i, part in enumerate(self.parts):
            meta, own = part.save()
            parts.append({"format": part.format, "meta": meta})
            arrays |= {f"{i}.{name}": array for name, array in own.items()}
        return {"link": self.link, "parts": parts}, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where the parts can't be loaded or the weights don't fit them."""
        try:
            link, named = meta["link"], [(part["format"], dict(part["meta"])) for part in meta["parts"]]
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("a blend can't be read", found=repr(error)) from None
        weights = array_of(arrays, "weights", np.float64, 1)
        return cls(link, weights, [_part(name, own, prefixed(arrays, str(i))) for i, (name, own) in enumerate(named)])


def _part(name: Any, meta: Mapping[str, Any], arrays: Arrays) -> Head:
    if name == BlendHead.format:  # weights would do; and its depth would have no end
        raise BundleError("a blend can't be a part of a blend")
    try:
        format_ = HEADS.get(str(name))
    except TrunklineError as error:
        raise BundleError("a blend's part has an unknown format", found=repr(name), hint=error.hint) from None
    return format_.load(meta, arrays)


def blended(predictions: Sequence[Prediction], weights: Sequence[float] | NDArray[np.float64], link: str) -> Prediction:
    """The weighed sum of the predictions' scores, linked again; how far outside, the first part says.

    Raises BundleError for values that aren't of one shape, or not of `link`'s.
    """
    shapes = {prediction.values.shape for prediction in predictions}
    outputs = predictions[0].values.shape[1:]
    fits = {"identity": outputs == (), "logistic": outputs == (2,)}.get(link, len(outputs) == 1)
    if len(shapes) > 1 or not fits:
        raise BundleError("a blend's parts don't have equal outputs", found=str(sorted(shapes)), wanted=f"those of {link}")
    scores = sum(float(w) * scores_of(p.values, link) for w, p in zip(weights, predictions, strict=True))
    return Prediction(apply_link(link, np.asarray(scores)), predictions[0].outside)


def scores_of(values: Floats, link: str) -> NDArray[np.float64]:
    """The scores (n, k) that `link` would turn into these values (softmax: up to a row's constant)."""
    wide = values.astype(np.float64)
    if link == "identity":
        return wide[:, None]
    logs = np.log(np.maximum(wide, FLOOR))
    if link == "softmax":
        return np.asarray(logs)
    return np.asarray(logs[:, 1:] - logs[:, :1] if link == "logistic" else logs - np.log(np.maximum(1 - wide, FLOOR)))
