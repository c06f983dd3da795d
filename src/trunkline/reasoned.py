"""A report's reasons, gathered at training: what pushed the worst mistakes, which training rows are like them, what the
product looks at overall, whether that is true, and a small tree that says nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.data.loaded import Loaded
from trunkline.explain.subject import Subject
from trunkline.explain.survey import MISTAKES, survey
from trunkline.methods.imitation import ROWS, Imitation, imitation
from trunkline.methods.nearest import nearest
from trunkline.metrics import decide
from trunkline.program import one
from trunkline.proof.cells import shown
from trunkline.proof.reasons import with_reasons
from trunkline.proof.report import Near, Report
from trunkline.spec import Spec
from trunkline.types import Ask, Examples, Inputs

NEAR = 2  # training rows told beside a mistake


def reasoned(report: Report, spec: Spec, subject: Subject, loaded: Loaded, ask: Ask, uncached: Ask) -> Report:
    """The report with its reasons. uncached: for rows without some of their parts, which nobody asks for again."""
    test = loaded.test
    if test.target.dtype == object:  # an answer that is a part of the text has no reasons
        return report
    place = {row: at for at, row in enumerate(test.rows.tolist())}
    mistakes = [place[mistake.row] for mistake in report.mistakes]
    found = survey(subject, test.inputs, mistakes, spec.seed, uncached)
    labelled = test.target.ndim == 1 and test.target.dtype.kind in "iu"
    tree = _tree(spec, subject, loaded, ask) if labelled else None
    near = _near(spec, loaded, mistakes[:MISTAKES], ask) if labelled else {}
    return with_reasons(report, found, tree, near, test, spec.seed)


def _tree(spec: Spec, subject: Subject, loaded: Loaded, ask: Ask) -> Imitation | None:
    train, test = loaded.train, loaded.test.inputs
    rows = train.take(np.random.default_rng(spec.seed).permutation(len(train))[:ROWS]).inputs
    said, answers = (_said(subject, part, ask) for part in (rows, test))
    return imitation(spec.inputs, rows, said, test, answers)


def _said(subject: Subject, rows: Sequence[Inputs], ask: Ask) -> list[str]:
    """The label that each row is answered with, or would be if the product didn't abstain."""
    costs = subject.decision.costs
    values = one(subject.run(rows), ask).values
    return [subject.labels[at] for at in decide(values, np.array(costs) if costs else None).tolist()]


def _near(spec: Spec, loaded: Loaded, mistakes: Sequence[int], ask: Ask) -> dict[int, list[Near]]:
    """By the mistakes' row numbers."""
    train, test = loaded.train, loaded.test
    found = nearest(spec, train.inputs, [test.inputs[at] for at in mistakes], NEAR, ask)
    return {int(test.rows[at]): [_told(train, near) for near in places] for at, places in zip(mistakes, found, strict=True)}


def _told(train: Examples, at: int) -> Near:
    cells = {name: shown(cell) for name, cell in train.inputs[at].items()}
    return Near(int(train.rows[at]), cells, train.labels[int(train.target[at])])
