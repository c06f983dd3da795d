"""Examples by their trunks' vectors as matrices: what linear, prototype, knn and mlp learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import TABLE_KINDS, ColumnEncoder
from trunkline.errors import TrainError
from trunkline.heads.dense import Dense, Landmarks, Part
from trunkline.heads.linear import DensePart
from trunkline.heads.rowwise import unit_rows
from trunkline.inputs.audio import Audio
from trunkline.methods.solve import Fitted
from trunkline.methods.table_target import Answers
from trunkline.spec import Spec
from trunkline.spec.model import AUTO_TRUNKS, trunk_of
from trunkline.types import Ask, Examples, Floats, Folds, Head, Outputs, Refused

LANDMARK_SHARE = 0.25  # of the head's budget, at most
# Encoders crowd their vectors into a narrow cone (Ethayarajh 2019): at 0 the cosines of near strangers
# hardly differ, at 1 the subject that all rows share is lost, and with two classes any stranger lies
# near one of them (hotel reviews: 7 % of strangers found, at a half 87 to 100 %).
CENTRING = 0.5
BINS = 8  # of a number's range, each with a landmark
TASKS = ("classify", "multilabel", "regress")
TRUNK_KINDS = (*AUTO_TRUNKS, Audio.name)  # for sounds a trunk has to be named


def text_columns(spec: Spec) -> tuple[str, ...]:
    return tuple(column for column, kind in spec.inputs.items() if kind == "text")


def texts_of(spec: Spec, examples: Examples) -> list[str]:
    """Of a product's only column, a text; "" where a row has none."""
    (column,) = spec.inputs
    return [row.get(column) or "" for row in examples.inputs]


def refuse_dense(spec: Spec, method: str) -> Refused | None:
    """Why a method on trunks' vectors can't learn this product; None if it can."""
    kinds = dict.fromkeys(kind for kind in spec.inputs.values() if kind in TRUNK_KINDS)
    if not kinds:
        return Refused("cannot", f"{method} needs a column of kind {' or '.join(TRUNK_KINDS)}")
    if bare := [kind for kind in kinds if trunk_of(spec, kind) is None]:
        return Refused("cannot", f"{method} needs a trunk for {', '.join(bare)} columns")
    return _refuse(spec, method)


def refuse_text(spec: Spec, method: str) -> Refused | None:
    """Why a method on texts can't learn this product; None if it can."""
    if not text_columns(spec):
        return Refused("cannot", f"{method} needs a column of kind text")
    return _refuse(spec, method)


def _refuse(spec: Spec, method: str) -> Refused | None:
    if spec.task not in TASKS:
        return Refused("cannot", f"{method} does {', '.join(TASKS)}, not {spec.task}")
    other = sorted({kind for kind in spec.inputs.values() if kind not in (*TABLE_KINDS, *TRUNK_KINDS)})
    if other:
        return Refused("cannot", f"{method} doesn't read columns of kind {', '.join(other)}")
    return None


@dataclass(frozen=True)
class DenseRows:
    """pooled float32 (n, p); x float32 (n, d): pooled and table columns less `centre`, times `scale`."""

    dense: Dense
    pooled: NDArray[np.float32]
    x: NDArray[np.float32]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def origin(self) -> NDArray[np.float32]:
        """(p,) from where directions of pooled vectors are taken: between zero and the rows' mean."""
        return np.asarray(CENTRING * self.centre[: self.pooled.shape[1]], np.float32)

    def part(self, fitted: Fitted, landmarks: Landmarks | None) -> tuple[DensePart, NDArray[np.float32]]:
        """(the part, the head's bias) for features as they come. The bias makes up for the rounding
        of the weights at the middle of the rows."""
        weights = fitted.weights.astype(np.float64) * self.scale[:, None]
        scale = np.maximum(np.abs(weights).max(axis=0, initial=0), 1e-30).astype(np.float32)
        small = (weights / scale).astype(np.float16)
        bias = fitted.bias - self.centre.astype(np.float64) @ small.astype(np.float64) * scale
        return DensePart(self.dense, small.astype(np.float32), scale, landmarks), bias.astype(np.float32)


def read_rows(spec: Spec, examples: Examples, ask: Ask) -> DenseRows:
    """Ask every text or image column's trunk. Scales know the rows, never their targets."""
    tables = {column: kind for column, kind in spec.inputs.items() if kind in TABLE_KINDS}
    encoder = ColumnEncoder.fit(tables, examples.inputs) if tables else None
    parts = [Part(f"trunk:{trunk_of(spec, kind)}", name) for name, kind in spec.inputs.items() if kind in TRUNK_KINDS]
    dense = Dense(tuple(parts), encoder)
    return rows_by(dense, examples, ask(dense.calls(examples.inputs)))


def rows_by(dense: Dense, examples: Examples, outputs: Outputs) -> DenseRows:
    """outputs: the answers to `dense.calls`."""
    pooled = dense.pooled(outputs)
    features = dense.features(pooled, examples.inputs)
    centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.ones(len(centre), np.float32)
    widths = [np.shape(output)[1] for output in outputs]
    scale[: pooled.shape[1]] = _scales(dense, pooled - centre[: pooled.shape[1]], widths)
    return DenseRows(dense, pooled, (features - centre) * scale, centre, scale)


def _scales(dense: Dense, centred: NDArray[np.float32], widths: Sequence[int]) -> NDArray[np.float32]:
    """(p,) so that each trunk's columns weigh as much as another's, however crowded its space; centred (n, p),
    widths: of each part."""
    scale = np.empty(centred.shape[1], np.float32)
    source = np.repeat(dense.engines, widths)
    for engine in dict.fromkeys(dense.engines):
        own = source == engine
        spread = np.sqrt((np.ascontiguousarray(centred[:, own]) ** 2).sum(axis=1, dtype=np.float64).mean())
        scale[own] = np.sqrt(len(dense.parts) * dense.engines.count(engine)) / max(float(spread), 1e-6)
    return scale


def landmarks_of(spec: Spec, rows: DenseRows, answers: Answers) -> Landmarks | None:
    """None where there are more classes than a share of the head's budget holds."""
    means = _means(rows.pooled - rows.origin, answers)
    if means.size > LANDMARK_SHARE * spec.method.head_mb * 1e6:
        return None
    return Landmarks.of(rows.origin, means)


def outside_of(spec: Spec, rows: DenseRows, answers: Answers, folds: Folds) -> Floats | None:
    """(n,) how far each row lies from the landmarks of the other folds."""
    if landmarks_of(spec, rows, answers) is None:
        return None
    out = np.zeros(len(folds), np.float32)
    for fold in np.unique(folds):
        held = folds == fold
        means = _means(rows.pooled[~held] - rows.origin, answers.take(np.flatnonzero(~held)))
        out[held] = Landmarks.of(rows.origin, means).outside(rows.pooled[held])
    return out


def _means(vectors: Floats, answers: Answers) -> NDArray[np.float64]:
    """Mean direction of each class, label, or bin of a number's range that has rows."""
    unit = unit_rows(vectors)
    members = members_of(answers)
    held = members.sum(axis=0)
    return np.asarray((members.T.astype(np.float64) @ unit)[held > 0] / held[held > 0, None])


def members_of(answers: Answers) -> NDArray[np.bool_]:
    """bool (n, groups): which rows stand for which class, label, or bin of a number's range."""
    values = answers.values
    if answers.link == "labels":
        members = values.astype(bool)
        return np.column_stack([members, ~members.any(axis=1)])
    if answers.link == "identity":
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        values = np.searchsorted(edges, values, side="right")
    return np.asarray(values[:, None] == np.arange(int(values.max()) + 1))


def size_of(head: Head) -> int:
    """Bytes of a head's arrays."""
    return sum(array.nbytes for array in head.save()[1].values())


def check_budget(head: Head, spec: Spec, method: str) -> None:
    """Raises TrainError if the head is larger than `method.head_mb`."""
    size = size_of(head)
    if size > spec.method.head_mb * 1e6:
        raise TrainError(
            f"the head of {method} is larger than its budget",
            where="method.head_mb",
            found=f"{size / 1e6:.2f} MB",
            wanted=f"at most {spec.method.head_mb} MB",
            hint="raise head_mb",
        )
