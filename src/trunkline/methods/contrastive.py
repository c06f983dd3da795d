"""The method `contrastive`: a text trunk learned further from a few rows a class, then a linear head on its vectors.

SetFit's two stages (Tunstall et al. 2022, https://arxiv.org/abs/2209.11055): texts of one class are drawn together and
others apart, then a head is fitted. SetFit lists pairs of texts; here a step draws some classes with a few rows each,
and every pair within that batch counts (Khosla et al. 2020): nothing grows with the square of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.heads.dense import Dense
from trunkline.heads.linear import LinearHead
from trunkline.heads.links import apply_link
from trunkline.methods.adapt import CHECKED, ENGINE, Adapting, agreement
from trunkline.methods.crossfit import cooled_loss
from trunkline.methods.dense_rows import check_budget, rows_by, texts_of
from trunkline.methods.learning import FoldSettings, Index, Learning, answered
from trunkline.methods.linear import PENALTIES
from trunkline.methods.network import unscoped
from trunkline.methods.settings import read_settings
from trunkline.methods.solve import fit_linear
from trunkline.methods.table_target import Answers
from trunkline.methods.tunable import HeldOut, Searched
from trunkline.spec import Range, Ranges, Spec
from trunkline.spec.model import trunk_of
from trunkline.tasks.common import judgeable
from trunkline.training import parallel
from trunkline.training.settings import Above, Count, Share
from trunkline.trunks.adapted import Adapted, adapted
from trunkline.trunks.bert import BertParts
from trunkline.types import Ask, Call, Candidate, Examples, Folds, Prediction, Refused

PER_CLASS = 64  # rows: from here on other methods have enough to learn from
PASSES, STEPS = 6, (40, 400)  # how often as many rows are drawn as there are, within these numbers of steps
TOGETHER = 2  # rows of a class in a batch, at least: one alone has nothing to come closer to
FEW = 16  # rows a class, up to which each row counts: as many networks as folds


class ContrastiveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """epochs: how often as many rows are drawn as there are; None = PASSES, within STEPS. batch: rows of a step, of as many
    classes as it holds twice. folds: networks for the out-of-fold predictions; None = 5 up to 16 rows a class, else 2."""

    epochs: Count | None = None
    batch: Annotated[int, Meta(ge=4)] = 64
    rate: Above = 5e-5
    temperature: Above = 0.05
    dropout: Share = 0.1
    folds: Annotated[int, Meta(ge=2, le=20)] | None = None
    precision: Literal["auto", "float32"] = "auto"


class Drawing(FoldSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As the loop takes it. each: rows of a class in a batch."""

    temperature: float
    dropout: float
    each: int


def drawing(settings: ContrastiveSettings, counts: NDArray[np.int64]) -> Drawing:
    """counts: rows of each class that has any."""
    middle = int(np.median(counts))
    classes = min(len(counts), settings.batch // TOGETHER)
    each = max(TOGETHER, min(settings.batch // classes, middle))
    a_pass = math.ceil(int(counts.sum()) / (classes * each))
    steps = min(max(PASSES * a_pass, STEPS[0]), STEPS[1])
    return Drawing(
        epochs=settings.epochs or math.ceil(steps / a_pass), batch=classes * each, rate=settings.rate, patience=0,
        folds=settings.folds or (5 if middle <= FEW else 2), precision=settings.precision,
        temperature=settings.temperature, dropout=settings.dropout, each=each,
    )  # fmt: skip


class Contrastive(Adapting):
    """Classes of one text column."""

    name: ClassVar[str] = "contrastive"
    kind: ClassVar[Literal["lora", "full"]] = "full"
    ranges: ClassVar[Ranges] = {"rate": Range(1e-5, 2e-4, log=True), "temperature": Range(0.02, 0.2, log=True), "dropout": [0.0, 0.1, 0.2]}
    tasks: ClassVar[tuple[str, ...]] = ("classify",)

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, ContrastiveSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.task in self.tasks:
            counts = np.bincount(examples.target, minlength=len(examples.labels))
            if (counts == 1).any():
                label = examples.labels[int(np.flatnonzero(counts == 1)[0])]
                return Refused("cannot", f"{self.name} needs {TOGETHER} rows of each class, and {label!r} has one")
            if spec.method.name != self.name and np.median(counts[counts > 0]) > PER_CLASS:
                return Refused("cannot", f"{self.name} is for {PER_CLASS} rows a class at most, unless a product names it")
        return super().can(spec, examples)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises SpecError (settings), TrainError (learning failed, or the head is over its budget)."""
        settings, learn = self._learn(spec, examples, ask)
        how = learn.settings
        with learn.turn():
            penalty, scores = _out_of_fold(learn, folds % how.folds)
            module, whole = learn(np.arange(len(examples)), "all rows")
            parallel.first_alone()
            head, own, told = tuned(learn, module, penalty)
            learn.forget()
        told = {
            **msgspec.to_builtins(settings), "epochs": how.epochs, "folds": how.folds, "rows of a class in a batch": how.each,
            "penalty": penalty, **told, "curve": msgspec.to_builtins(whole.epochs), "notes": [*whole.notes, *unscoped(spec)],
        }  # fmt: skip
        return Candidate(head, Prediction(apply_link(learn.answers.link, scores)), told, {ENGINE: own})

    def searched(self, spec: Spec) -> Searched:
        return Searched(ContrastiveSettings, self.ranges)

    def held_out(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> HeldOut:
        """All rows at once: the penalty is chosen over all folds."""
        _, learn = self._learn(spec, examples, ask)
        with learn.turn():
            _, scores = _out_of_fold(learn, folds % learn.settings.folds)
            learn.forget()
        yield np.arange(len(examples)), Prediction(apply_link(learn.answers.link, scores))

    def _learn(self, spec: Spec, examples: Examples, ask: Ask) -> tuple[ContrastiveSettings, Contrasting]:
        settings = read_settings(spec, self.name, ContrastiveSettings)
        counts = np.bincount(examples.target)
        how = drawing(settings, counts[counts > 0])
        return settings, Contrasting(spec, examples, how, self.material(spec, examples, ask, how), self.progress)

    def module(self, spec: Spec, parts: BertParts, outputs: int, settings: Any) -> Any:
        from trunkline.networks.adapted import Vectors

        return Vectors(parts, settings.dropout)


class Contrasting(Learning):
    """`module(ids, mask)` gives vectors, which come closer within a class."""

    settings: Drawing

    def __call__(self, rows: Index, name: str) -> tuple[Any, Any]:
        import torch

        from trunkline.training.gradient import Recipe
        from trunkline.training.loop import train_loop
        from trunkline.training.losses import contrastive

        target = self.answers.values[rows]
        classes = [rows[target == label] for label in np.unique(target)]
        settings, material = self.settings, self.material

        def batch(at: Index, rng: np.random.Generator) -> Any:
            found, which = drawn(classes, settings.each, at)
            return material.inputs(found, None), torch.from_numpy(which)

        with torch.random.fork_rng():
            torch.manual_seed(self.spec.seed)
            module = material.build(self.outputs)
        recipe = Recipe(
            module, math.ceil(len(rows) / settings.batch) * settings.batch, batch,
            lambda module, made: contrastive(module(*made[0].values()), made[1], settings.temperature), large=material.large, whole=True,
        )  # fmt: skip
        place = self.folder / name.replace(" ", "-").replace("/", "-of-")
        learned = train_loop(recipe, settings, self.spec.seed, folder=place, about=self.about_rows(rows), progress=self.progress, name=name)
        return module.cpu(), learned


def drawn(classes: Sequence[Index], each: int, numbers: Index) -> tuple[Index, NDArray[np.int64]]:
    """(rows, their classes as numbers) in place of the loop's numbers, which only seed the draw: as many classes as they
    hold `each` times, none twice, and `each` rows of each one, again where it has fewer (Gao et al. 2021: dropout tells two
    copies apart)."""
    rng = np.random.default_rng(numbers)
    picked = rng.permutation(len(classes))[: max(1, len(numbers) // each)]
    rows = [np.resize(rng.permutation(classes[number]), each) for number in picked.tolist()]
    return np.concatenate(rows), np.repeat(picked, each)


def _out_of_fold(learn: Contrasting, parts: Folds) -> tuple[float, NDArray[np.float64]]:
    """(the penalty with the least loss, its scores (n, k)): trunk and head of each fold know the other rows only."""
    answers, every = learn.answers, np.unique(parts)
    scores = {penalty: np.zeros((len(parts), answers.outputs)) for penalty in PENALTIES}
    for at, fold in enumerate(every, 1):
        held, rest = np.flatnonzero(parts == fold), np.flatnonzero(parts != fold)
        module, _ = learn(rest, f"fold {at}/{len(every)}")
        vectors = answered(module, learn.material, np.arange(len(parts)))
        x = rows_by(_dense(learn.spec), learn.examples, [vectors]).x
        for penalty, found in scores.items():
            found[held] = fit_linear(x[rest], answers.take(rest), penalty).scores(x[held])
    judged = judgeable(answers.values)
    best = min(PENALTIES, key=lambda penalty: _loss(answers, scores[penalty], judged))
    return best, scores[best]


def tuned(learn: Contrasting, module: Any, penalty: float) -> tuple[LinearHead, Adapted, dict[str, Any]]:
    """(head, the engine that it asks, what to tell): the head is fitted to vectors as they will be served."""
    spec, texts = learn.spec, texts_of(learn.spec, learn.examples)
    own = adapted(str(trunk_of(spec, "text")), "full", module.learned(), learn.folder)
    engine = own.load()
    cosine = agreement(module, engine, texts[:CHECKED])
    rows = rows_by(_dense(spec), learn.examples, [engine.run(Call(ENGINE, texts))])
    part, bias = rows.part(fit_linear(rows.x, learn.answers, penalty), None)
    head = LinearHead(learn.answers.link, bias, part)
    check_budget(head, spec, Contrastive.name)
    return head, own, {"cosine": cosine}


def _dense(spec: Spec) -> Dense:
    return Dense.of_texts(ENGINE, list(spec.inputs))


def _loss(answers: Answers, scores: NDArray[np.float64], judged: NDArray[np.bool_]) -> float:
    return cooled_loss(answers, scores[judged].astype(np.float32), judged)
