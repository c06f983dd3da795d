"""A report's reasons, gathered at training: what pushed the worst mistakes, which training rows are like them, what the
product looks at overall, whether that is true, a small tree that says nearly the same, and what a network looks with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trunkline.engines.own import Owned
from trunkline.explain.inside import attention_of, filters_of
from trunkline.explain.subject import Subject
from trunkline.explain.survey import MISTAKES, survey
from trunkline.methods.imitation import ROWS, Imitation, imitation
from trunkline.methods.nearest import nearest
from trunkline.metrics import decide
from trunkline.program import one
from trunkline.proof.cells import shown
from trunkline.proof.explained import Near
from trunkline.proof.reasons import with_inside, with_reasons
from trunkline.proof.report import Report
from trunkline.spec import Spec
from trunkline.types import Ask, Evidence, Examples, Head, Prediction

NEAR = 2  # training rows told beside a mistake
ATTENDED = 3  # rows whose attention is shown


def reasoned(
    report: Report, evidence: Evidence, head: Head, train: Examples | None, networks: Mapping[str, Owned], ask: Ask, uncached: Ask
) -> Report:
    """The report with its reasons, as it is where the owner wants none. train: without it no training row is named and
    nothing imitates. networks: those that the head may ask. uncached: for rows without some of their parts, which nobody
    asks for again."""
    test, spec = evidence.test, evidence.spec
    if not spec.explain or test.target.dtype == object:  # an answer that is a part of the text has no reasons
        return report
    subject = Subject(head, evidence.task, evidence.decision, test.labels, spec.inputs)
    place = {row: at for at, row in enumerate(test.rows.tolist())}
    mistakes = [place[mistake.row] for mistake in report.mistakes]
    found = survey(subject, test.inputs, mistakes, spec.seed, uncached)
    labelled = train if test.target.ndim == 1 and test.target.dtype.kind in "iu" else None
    tree = None if labelled is None else _tree(evidence, subject, labelled, ask)
    near = {} if labelled is None else _near(spec, labelled, test, mistakes[:MISTAKES], ask)
    shown_rows = list(dict.fromkeys([*mistakes[: ATTENDED - 1], *range(len(test))]))[:ATTENDED]
    attention = one(attention_of(head, [test.inputs[at] for at in shown_rows]), uncached)
    report = with_reasons(report, found, tree, near, test, spec.seed)
    return with_inside(report, filters_of(head, networks), dict(zip(test.rows[shown_rows].tolist(), attention, strict=True)))


def _tree(evidence: Evidence, subject: Subject, train: Examples, ask: Ask) -> Imitation | None:
    rows = train.take(np.random.default_rng(evidence.spec.seed).permutation(len(train))[:ROWS]).inputs
    said, answers = (_said(subject, part) for part in (one(subject.run(rows), ask), evidence.prediction))
    return imitation(evidence.spec.inputs, rows, said, evidence.test.inputs, answers)


def _said(subject: Subject, finished: Prediction) -> list[str]:
    """The label that each row is answered with, or would be if the product didn't abstain."""
    costs = subject.decision.costs
    return [subject.labels[at] for at in decide(finished.values, np.array(costs) if costs else None).tolist()]


def _near(spec: Spec, train: Examples, test: Examples, mistakes: Sequence[int], ask: Ask) -> dict[int, list[Near]]:
    """By the mistakes' row numbers."""
    found = nearest(spec, train.inputs, [test.inputs[at] for at in mistakes], NEAR, ask)
    return {int(test.rows[at]): [_told(train, near) for near in places] for at, places in zip(mistakes, found, strict=True)}


def _told(train: Examples, at: int) -> Near:
    cells = {name: shown(cell) for name, cell in train.inputs[at].items()}
    return Near(int(train.rows[at]), cells, train.labels[int(train.target[at])])
