"""One explanation, as a program: what it asks an engine for meets the rows of other products in one queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trunkline.errors import RequestError
from trunkline.explain import lime
from trunkline.explain.additive import sum_of
from trunkline.explain.cam import mapped
from trunkline.explain.occlusion import Weighed, finer, first_rows
from trunkline.explain.parts import Kind, Parts
from trunkline.explain.subject import Subject, Target, Unit, target_of, typical
from trunkline.types import Answer, Inputs, Prediction, Refused, Steps

METHODS = ("auto", "sum", "occlusion", "cam", "lime")
ROWS = 26  # that may be computed for an explanation besides the row itself: it costs less than 30 answers
MOST = 512  # that may be asked for
SPANS = ("tag", "extract")  # tasks whose answers are parts of the text: nothing is left out before they are refused
TOP = 10  # reasons given unless told otherwise


@dataclass(frozen=True)
class Asked:
    """label: the one to explain; None = the answer's. budget: rows to compute at most, besides the row itself (for texts
    and pictures; left-out table cells cost no engine). top: reasons to give, the heaviest."""

    label: str | None = None
    method: str = "auto"
    budget: int | None = None
    top: int = TOP

    def __post_init__(self) -> None:
        """Raises RequestError."""
        if self.method not in METHODS:
            raise RequestError("there is no such way to explain", where="method", found=repr(self.method)[:80], wanted=" | ".join(METHODS))
        for name, number in (("budget", self.budget), ("top", self.top)):
            if number is not None and not 1 <= number <= MOST:
                raise RequestError("this number can't be", where=name, found=str(number), wanted=f"1 to {MOST}")

    @property
    def most(self) -> int:
        if self.budget is not None:
            return self.budget
        return lime.ROWS if self.method == "lime" else ROWS


@dataclass(frozen=True)
class Reason:
    """A part of the row. weight: in the explanation's unit, above 0 where it speaks for the answer. without: the label's
    probability (or the number) without the part, where that was computed. start, end: characters of a text as it was
    read; box: left, top, right, bottom as shares of a picture."""

    column: str
    kind: Kind
    name: str
    weight: float
    without: float | None = None
    start: int | None = None
    end: int | None = None
    box: tuple[float, float, float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        place = {"start": self.start, "end": self.end} if self.start is not None else {"box": list(self.box)} if self.box else {}
        told = {"column": self.column, "kind": self.kind, "name": self.name, **place, "weight": self.weight}
        return told if self.without is None else {**told, "without": self.without}


@dataclass(frozen=True)
class Explanation:
    """of: the label, "" for a number, "out_of_scope" for what makes a row strange. figure: what is explained, as it is for
    the whole row, in `unit`; probability: of the label. base: what the weights of all parts begin from where they add up
    to the figure. rows: computed for it. parts: that the row was cut into; of them `reasons` are the heaviest. agreement: of LIME's model with
    the product about the row, R²."""

    of: str
    method: str
    unit: Unit
    figure: float
    probability: float | None
    base: float | None
    reasons: tuple[Reason, ...]
    parts: int
    rows: int
    agreement: float | None = None

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"of": self.of, "method": self.method, "unit": self.unit, "figure": self.figure}
        for name, number in (("probability", self.probability), ("base", self.base), ("agreement", self.agreement)):
            told |= {} if number is None else {name: number}
        return {**told, "reasons": [reason.as_dict() for reason in self.reasons], "parts": self.parts, "rows": self.rows}


@dataclass(frozen=True)
class Found:
    """What an explanation is told from. weighed: every part once. base: as of Explanation."""

    parts: Parts
    target: Target
    finished: Prediction  # its first row is the whole one
    weighed: Sequence[Weighed]
    method: str
    base: float | None
    rows: int
    agreement: float | None = None


def explaining(subject: Subject, row: Inputs, asked: Asked) -> Steps[tuple[Answer, Explanation | Refused]]:
    """The row's answer and its explanation; refusals and errors as of `finding`."""
    answer, found = yield from finding(subject, row, asked)
    return answer, found if isinstance(found, Refused) else told(found, asked.top)


def finding(subject: Subject, row: Inputs, asked: Asked) -> Steps[tuple[Answer, Found | Refused]]:
    """Refused where the answer has no explanation ("not_explainable"), or the row has no part that could be left out
    ("no_parts"), or a sum or a map was wanted where there is none ("no_sum", "no_map"). Raises RequestError for a label that
    isn't there."""
    parts = Parts(row, subject.kinds, typical(subject.head))
    exact = sum_of(subject.head, parts) if asked.method in ("auto", "sum") else None
    first, rows = first_rows(parts, asked.most)
    alone = exact is not None or asked.method in ("lime", "cam") or subject.task.name in SPANS
    finished = yield from subject.run(rows[:1] if alone else rows)
    answer = subject.answer(finished)
    target = target_of(answer, finished, subject.labels, asked.label)
    if isinstance(target, Refused):
        return answer, target
    if not first:
        return answer, Refused("no_parts", "no part of this row can be left out: it has no words, no table cells and no picture")
    if asked.method == "sum" and (exact is None or target.unit == "distance"):
        return answer, Refused("no_sum", "what is explained is no sum over the parts of this row; method = occlusion, or auto")
    if asked.method == "cam":
        return answer, (yield from _mapped(subject, parts, target, finished))
    if asked.method == "lime":
        fit = yield from lime.lime(subject, parts, target, finished, asked.most)
        return answer, Found(parts, target, finished, fit.weighed, "lime", fit.base, fit.rows, fit.agreement)
    if exact is not None and target.unit != "distance":
        base, weights = exact.weights(target, finished, subject.decision)
        weighed = [Weighed(part, weight) for part, weight in weights.items()]
        return answer, Found(parts, target, finished, weighed, "sum", base, 0)
    if exact is not None:  # its sum says nothing about how strange the row is
        finished = yield from subject.run(rows)
    weighed, spent = yield from finer(subject, parts, target, first, finished, asked.most)
    return answer, Found(parts, target, finished, weighed, "occlusion", None, spent)


def _mapped(subject: Subject, parts: Parts, target: Target, finished: Prediction) -> Steps[Found | Refused]:
    summed = None if target.unit == "distance" else (yield from mapped(subject.head, parts))
    if summed is None:
        return Refused("no_map", "no network of this product tells by places of one picture what it answers; method = occlusion, or auto")
    exact, weights = summed.weights(target, finished, subject.decision)
    base = None if exact is None else float(target.figures(finished)[0]) - sum(weights.values())
    return Found(parts, target, finished, [Weighed(part, weight) for part, weight in weights.items()], "cam", base, 1)


def told(found: Found, top: int) -> Explanation:
    """With the heaviest `top` of its parts as reasons."""
    target, whole = found.target, found.finished.take(np.array([0]))
    heaviest = sorted(found.weighed, key=lambda one: -abs(one.weight))[:top]
    return Explanation(
        of="out_of_scope" if target.unit == "distance" else target.label,
        method=found.method,
        unit="probability" if found.method == "lime" and target.unit == "log_odds" else target.unit,
        figure=float((target.probabilities if found.method == "lime" and target.unit == "log_odds" else target.figures)(whole)[0]),
        probability=float(target.probabilities(whole)[0]) if target.unit == "log_odds" else None,
        base=found.base,
        reasons=tuple(_reason(found.parts, one) for one in heaviest),
        parts=len(found.weighed),
        rows=found.rows,
        agreement=found.agreement,
    )


def _reason(parts: Parts, one: Weighed) -> Reason:
    at = parts.told(one.part)
    return Reason(one.part.column, one.part.kind, at.name, one.weight, one.without, at.start, at.end, at.box)
