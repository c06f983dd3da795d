"""The report's part for answers found in a context."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics import answer_exact_rows, answer_f1_rows
from trunkline.proof.cells import shown
from trunkline.proof.classes import Units
from trunkline.proof.classify import MISTAKES
from trunkline.proof.details import AnswerPart, AnswersDetail, Interval
from trunkline.proof.explained import Mistake
from trunkline.proof.intervals import estimate
from trunkline.proof.proportion import proportion
from trunkline.types import Evidence


def right_rows(evidence: Evidence) -> NDArray[np.float64]:
    """(n,) 1 where the answer is exact, or rightly none."""
    return answer_exact_rows(evidence.test.target, evidence.prediction.values)


def detail(evidence: Evidence, units: Units) -> AnswersDetail:
    has = np.array([bool(spans) for spans in evidence.test.target], bool)
    said = _said(evidence)
    whole = Interval.of(proportion(said.astype(np.float64), units))
    parts = tuple(_part(evidence, units, has == one, one) for one in (True, False) if (has == one).any())
    return AnswersDetail(whole, parts)


def _said(evidence: Evidence) -> NDArray[np.bool_]:
    return np.array([bool(spans and spans[0].text) for spans in evidence.prediction.values], bool)


def _part(evidence: Evidence, units: Units, rows: NDArray[np.bool_], has_answer: bool) -> AnswerPart:
    target, values = evidence.test.target[rows], evidence.prediction.values[rows]
    of = None if units is None else units[rows]
    metric = evidence.task.metrics(evidence.spec, ())["answer_f1"]
    groups = None if of is None else of.tolist()
    return AnswerPart(
        has_answer,
        int(rows.sum()),
        Interval.of(proportion(_said(evidence)[rows].astype(np.float64), of)),
        Interval.of(proportion(answer_exact_rows(target, values), of)),
        Interval.of(estimate(metric, target, values, groups=groups, seed=evidence.spec.seed)),
    )


def mistakes(evidence: Evidence) -> tuple[Mistake, ...]:
    """The worst answers by F1, of equal ones the surest first."""
    test, values = evidence.test, evidence.prediction.values
    wrong = 1 - answer_f1_rows(test.target, values)
    sure = np.array([spans[0].score if spans else 0.0 for spans in values])
    worst = [i for i in np.lexsort((-sure, -wrong))[:MISTAKES].tolist() if wrong[i] > 0]
    return tuple(
        Mistake(
            row=int(test.rows[i]),
            inputs={name: shown(cell) for name, cell in test.inputs[i].items()},
            truth=" | ".join(dict.fromkeys(span.text for span in test.target[i])) or "∅",
            answer=(values[i][0].text if values[i] else "") or "∅",
            probability=float(sure[i]),
            size=float(wrong[i]),
        )
        for i in worst
    )
