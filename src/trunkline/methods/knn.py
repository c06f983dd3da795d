"""The method `knn`: what the most similar training rows say."""

from __future__ import annotations

from itertools import product
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.errors import TrainError
from trunkline.heads.neighbours import NeighboursHead
from trunkline.methods.dense_rows import check_budget, members_of, read_rows
from trunkline.methods.neighbourhood import SHARPNESS, Known, choose, head_of, known_prior, refuse_neighbours
from trunkline.methods.settings import read_settings
from trunkline.methods.table_target import Answers, answers_of
from trunkline.methods.tunable import Searched
from trunkline.spec import Range, Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Refused

NEAREST = (1, 5, 15, 45)
_MARGIN = 0.98  # of the budget for the points; the rest holds centre, prior and names


class KnnSettings(msgspec.Struct, frozen=True):
    """None = chosen by out-of-fold loss."""

    neighbours: Annotated[int, Meta(ge=1)] | None = None


class Knn:
    """Training rows are kept as int8 vectors, as many as the budget holds, of each class its share."""

    name: ClassVar[str] = "knn"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, KnnSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return refuse_neighbours(spec, self.name)

    def searched(self, spec: Spec) -> Searched:
        return Searched(KnnSettings, {"neighbours": Range(1, 64, log=True)})

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises SpecError (settings), TrainError (not one row a class fits into the budget)."""
        settings = read_settings(spec, self.name, KnnSettings)
        rows, answers = read_rows(spec, examples, ask), answers_of(spec, examples)
        number, targets = answers.link == "identity", _targets(answers, len(examples.labels))
        room = _room(spec, answers, rows.pooled.shape[1])
        place = np.random.default_rng(spec.seed).permutation(len(examples))
        grid = list(product((settings.neighbours,) if settings.neighbours else NEAREST, SHARPNESS))

        def head(at: NDArray[np.int64], setting: tuple[int, float]) -> NeighboursHead:
            kept = at[_share(answers.take(at), place[at], room)]
            known = Known(rows.pooled[kept] - rows.origin, targets[kept])
            prior = known_prior(answers.take(at), len(examples.labels))
            return head_of(rows, known, prior, setting[0], setting[1], number)

        setting, out_of_fold = choose(rows, answers, folds, head, grid)
        whole = head(np.arange(len(examples)), setting)
        check_budget(whole, spec, self.name)
        return Candidate(whole, out_of_fold, {"neighbours": setting[0], "sharpness": setting[1]})


def _room(spec: Spec, answers: Answers, width: int) -> int:
    """Points that fit: int8 (width,) and what a point says, in the bytes the head saves it in."""
    said = answers.outputs if answers.link == "labels" else 4
    fixed = 4 * width + 8 * answers.outputs
    room = int((_MARGIN * spec.method.head_mb * 1e6 - fixed) / (width + said))
    if room < 1:
        raise TrainError("no row fits into the head's budget", where="method.head_mb", found=str(spec.method.head_mb))
    return room


def _targets(answers: Answers, labels: int) -> NDArray[np.float32]:
    if answers.link in ("softmax", "logistic"):
        return np.asarray(np.eye(labels, dtype=np.float32)[answers.values])
    return np.asarray(answers.values.reshape(len(answers.values), -1), np.float32)


def _share(answers: Answers, place: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """At most `room` positions, of each class (label, bin of a number) about its share, in order."""
    if len(place) <= room:
        return np.arange(len(place), dtype=np.int64)
    group = members_of(answers).argmax(axis=1)
    order = np.lexsort((place, group))
    rank = np.empty(len(place))
    for name in np.unique(group):
        members = order[group[order] == name]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.lexsort((place, rank))[:room])
