"""Reasons in the report: of the worst mistakes, of the product as a whole, and whether they are the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.explain.faithful import TOP
from trunkline.explain.inside import Attention as Attended
from trunkline.explain.inside import Filter as Seen
from trunkline.explain.survey import Survey
from trunkline.methods.imitation import Imitation as Tree
from trunkline.proof.details import Interval
from trunkline.proof.explained import (
    Attention,
    Faithful,
    Filter,
    Imitation,
    Inside,
    Leaning,
    Mistake,
    Near,
    Reason,
    Rule,
    Why,
)
from trunkline.proof.intervals import Drawn, interval
from trunkline.proof.proportion import proportion
from trunkline.proof.report import Report
from trunkline.proof.resample import Resample
from trunkline.types import Estimate, Examples

SHOWN = 24


def with_reasons(
    report: Report, found: Survey, tree: Tree | None, near: Mapping[int, Sequence[Near]], test: Examples, seed: int
) -> Report:
    """The report with what the survey of its test rows found, a tree that imitates the product, and the training rows near
    test rows, by their numbers in the source."""
    place = {int(row): at for at, row in enumerate(test.rows.tolist())}

    def of(mistake: Mistake) -> Mistake:
        explained = found.explained.get(place.get(mistake.row, -1))
        told = () if explained is None else explained.reasons
        reasons = tuple(Reason(one.column, one.kind, one.name, one.weight, one.without) for one in told)
        return msgspec.structs.replace(mistake, why=reasons, near=tuple(near.get(mistake.row, ())))

    overall = tuple(Leaning(one.column, one.kind, one.name, one.label, one.weight, one.rows) for one in found.leanings[:SHOWN])
    why = Why(_faithful(found, test, seed), overall, None if tree is None else _imitation(tree, test, seed))
    return msgspec.structs.replace(report, mistakes=tuple(map(of, report.mistakes)), why=why)


def with_inside(report: Report, filters: Sequence[Seen], attention: Mapping[int, Attended | None]) -> Report:
    """attention: by the rows' numbers in the source."""
    tiles = tuple(Filter(one.kind, one.side, tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in one.pixels)) for one in filters)
    rows = tuple(
        Attention(row, tuple(one.words), one.more, tuple(tuple(map(tuple, layer)) for layer in one.shares))
        for row, one in attention.items() if one is not None
    )  # fmt: skip
    return msgspec.structs.replace(report, inside=Inside(tiles, rows))


def _imitation(tree: Tree, test: Examples, seed: int) -> Imitation:
    units = Resample(len(test), test.groups, test.times, seed).units
    rules = tuple(Rule(one.depth, one.question, one.answer, one.rows) for one in tree.rules)
    return Imitation(rules, Interval.of(proportion(tree.same, units)), tree.commonest)


def _faithful(found: Survey, test: Examples, seed: int) -> Faithful | None:
    """None where no row was fit to be tried."""
    if len(found.removed) < 2:
        return None
    part = test.take([at for at, _ in found.removed])
    resample = Resample(len(part), part.groups, part.times, seed)
    top, chance = (np.array([getattr(one, name) for _, one in found.removed]) for name in ("top", "random"))
    unit = "" if test.target.dtype.kind == "f" else "%"
    means = [Interval.of(_mean(falls, None, resample)) for falls in (top, chance, top - chance)]
    return Faithful(TOP, unit, means[0], means[1], means[2], Interval.of(_mean(top, chance, resample)))


def _mean(falls: NDArray[np.float64], over: NDArray[np.float64] | None, resample: Resample) -> Estimate:
    """The mean of falls (n,), or their sum over another's."""
    below = np.ones(len(falls)) if over is None else over

    def of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((weights @ falls) / (weights @ below))

    draws = np.concatenate([of(w) for w in resample.weights(resample.draws_for(1))])
    value = float(of(np.ones((1, len(falls))))[0])
    return interval(Drawn(value, len(falls), draws=draws, left_out=of(resample.leave_out())), resample)
