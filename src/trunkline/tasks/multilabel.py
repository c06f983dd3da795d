"""multilabel: any number of labels for each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline import metrics as m
from trunkline.data.split import folds
from trunkline.errors import DataError, SpecError, nearest
from trunkline.spec import Spec
from trunkline.tasks.common import RowByRow, chosen, for_rows, is_outside, metric, naive, named, outside_limit
from trunkline.types import Answer, Decision, Examples, Floats, Folds, Metric, Prediction, Value

THRESHOLDS = np.linspace(0.05, 0.95, 37)


class Multilabel(RowByRow):
    """A `Task`. target: bool (n, L); values: (n, L) probabilities, moved so that 0.5 is each label's
    threshold (see `finish`)."""

    name: ClassVar[str] = "multilabel"

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        """Cells hold labels with spec.separator between them, or are lists (JSON text of one, too);
        "" holds none.
        Raises DataError for a label outside `labels`."""
        cells = [_split(cell, spec.separator) for cell in raw]
        known = tuple(labels) if labels is not None else tuple(sorted({name for cell in cells for name in cell}))
        place = {label: i for i, label in enumerate(known)}
        target = np.zeros((len(cells), len(known)), bool)
        for at, cell in enumerate(cells):
            for label in cell:
                if label not in place:
                    raise DataError(
                        "a label was never seen in training",
                        where=f"row {at + 1}",
                        found=repr(label),
                        hint=nearest(label, known),
                    )
                target[at, place[label]] = True
        return target, known

    def primary(self, spec: Spec) -> str:
        known = ("micro_f1", "macro_f1", "exact_match", "ranking_precision", "average_precision")
        return chosen(spec, "micro_f1", dict.fromkeys(known))

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        found = [
            metric("micro_f1", m.multilabel_micro_f1, unit="%"),
            metric("macro_f1", m.multilabel_macro_f1, unit="%"),
            metric("exact_match", m.exact_match, rows=m.exact_match_rows, unit="%"),
            metric("ranking_precision", m.label_ranking_average_precision, rows=m.label_ranking_rows),
            metric("average_precision", m.multilabel_average_precision),
        ]
        return {one.name: one for one in found}

    def folds(self, examples: Examples, k: int, seed: int) -> Folds:
        return folds(examples, k, seed, stratify=True)

    def baselines(self, spec: Spec) -> Sequence[str]:
        return naive(spec)

    def calibrate(self, spec: Spec, examples: Examples, out_of_fold: Prediction) -> Decision:
        """For each label the threshold of the best out-of-fold F1, unless spec.serve.thresholds names it."""
        _refuse_unknown(spec, examples.labels)
        best = [
            spec.serve.thresholds.get(label, _best_threshold(examples.target[:, i], out_of_fold.values[:, i]))
            for i, label in enumerate(examples.labels)
        ]
        return Decision(outside_above=outside_limit(spec, out_of_fold), thresholds=tuple(best))

    def finish_each(self, prediction: Prediction, decisions: Sequence[Decision]) -> Prediction:
        """Odds divided by the odds of the label's threshold: a label is given from 0.5 on, for every
        label, so that figures and answers need no thresholds of their own."""
        moved = np.array([[bool(decision.thresholds)] for decision in decisions])
        if not moved.any():
            return prediction
        values = prediction.values.astype(np.float64)
        half = [0.5] * values.shape[1]
        at = np.clip(np.array([decision.thresholds or half for decision in decisions]), 1e-6, 1 - 1e-6)
        yes, no = values * (1 - at), (1 - values) * at
        return Prediction(np.where(moved, yes / (yes + no), values), prediction.outside)

    def decode_each(
        self,
        finished: Prediction,
        decisions: Sequence[Decision],
        labels: Sequence[Sequence[str]],
        top: int | None = None,
    ) -> list[Answer]:
        """{"labels", "scores"}; no labels where the row is out of scope."""
        n = len(finished.values)
        outside = is_outside(finished, decisions)
        given: list[list[str]] = [[] for _ in range(n)]
        names = for_rows(labels, n)
        for row, label in np.argwhere((finished.values >= 0.5) & ~outside[:, None]).tolist():
            given[row].append(names[row][label])
        return [
            Answer("out_of_scope" if far else "ok", {"labels": said, "scores": scores})
            for far, said, scores in zip(outside.tolist(), given, named(finished.values, labels, top), strict=True)
        ]

    def correct(self, answer: Answer, correction: Any, labels: Sequence[str]) -> Value:
        """A list of labels. Raises DataError for anything else."""
        if not isinstance(correction, list):
            raise DataError("a correction is a list of labels", found=repr(correction)[:80])
        for label in correction:
            if label not in labels:
                raise DataError(
                    "that is no label of this product", found=repr(label), hint=nearest(str(label), labels)
                )
        return sorted(correction)

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        example = {"labels": [labels[0]], "scores": {labels[0]: 0.93}} if labels else {}
        return {
            "type": "object",
            "properties": {
                "labels": {"type": "array", "items": {"enum": list(labels)}},
                "scores": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "example": example,
        }


def _split(cell: Any, separator: str) -> list[str]:
    parts = cell if isinstance(cell, list) else _json_list(str(cell))
    parts = str(cell).split(separator) if parts is None else parts
    return list(dict.fromkeys(name for part in parts if (name := str(part).strip())))


def _json_list(cell: str) -> list[Any] | None:
    """None where the cell isn't JSON text of a list."""
    if not cell.lstrip().startswith("["):
        return None
    try:
        found = json.loads(cell)
    except ValueError:  # a label may begin with a bracket
        return None
    return found if isinstance(found, list) else None


def _best_threshold(target: NDArray[np.bool_], values: Floats) -> float:
    """Of the best F1; the middle one of equals. 0.5 where no row has the label."""
    if not target.any():
        return 0.5
    said = values[:, None] >= THRESHOLDS
    hits = (said & target[:, None]).sum(axis=0)
    f1 = 2 * hits / np.maximum(said.sum(axis=0) + target.sum(), 1)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(THRESHOLDS[best[len(best) // 2]])


def _refuse_unknown(spec: Spec, labels: Sequence[str]) -> None:
    for label in spec.serve.thresholds:
        if label not in labels:
            raise SpecError(
                "a threshold names an unknown label",
                where="serve.thresholds",
                found=repr(label),
                hint=nearest(label, labels),
            )
