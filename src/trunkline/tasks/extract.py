"""extract: the part of a context that answers a question, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline import metrics as m
from trunkline.data.split import folds
from trunkline.errors import DataError
from trunkline.spec import Spec
from trunkline.spec.model import document_of, question_of
from trunkline.tasks.answers import StartlessError, answers_of
from trunkline.tasks.common import chosen, metric
from trunkline.tasks.tag import as_read, least, ragged
from trunkline.types import Answer, Decision, Examples, Folds, Metric, Prediction, Refused, Row, Span, Value

START = "_start"  # the column beside the label's: answer, answer_start


class Extract:
    """A `Task`. target: object (n,), a tuple of `Span` each, all of them right; () where the context has no answer.
    values: a tuple of one `Span` or none; one without characters says that there is no answer, and how sure it would be."""

    name: ClassVar[str] = "extract"

    def arrange(self, spec: Spec, row: Row) -> Row | Refused:
        """The row with its answers as spans of its context as that will be read."""
        question_of(spec)
        context, column = str(row.get(document_of(spec)) or ""), spec.label + START
        try:
            spans = answers_of(row.get(spec.label), row.get(column), context)
        except StartlessError as error:
            beside = f"the column {column!r} is empty there" if column in row else f"there is no column {column!r}"
            ways = f'{column!r} beside it, or {{"text": [...], "answer_start": [...]}} in its place'
            return Refused("unreadable", f"{error.what} ({beside}): it needs {ways}")
        except DataError as error:
            hint = f"; {error.hint}" if error.hint else ""
            return Refused("unreadable", f"{error.what}: {error.found}{hint}")
        return {**row, spec.label: as_read(spans, context)}

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        return ragged([Span(s["start"], s["end"], 0, s.get("text", "")) for s in cell] for cell in raw), ()

    def primary(self, spec: Spec) -> str:
        return chosen(spec, "answer_f1", dict.fromkeys(("answer_f1", "answer_exact")))

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        found = [
            metric("answer_f1", m.answer_f1, rows=m.answer_f1_rows, unit="%"),
            metric("answer_exact", m.answer_exact, rows=m.answer_exact_rows, unit="%"),
        ]
        return {one.name: one for one in found}

    def folds(self, examples: Examples, k: int, seed: int) -> Folds:
        """Questions on one context share a fold: rows come grouped by it (`spec.model.group_of`)."""
        return folds(examples, k, seed, stratify=False)

    def baselines(self, spec: Spec) -> Sequence[str]:
        return ["majority", "best_sentence"]

    def calibrate(self, spec: Spec, examples: Examples, out_of_fold: Prediction) -> Decision:
        """The score under which no answer is given: as the spec says; or so that the share of exact answers that it
        asks for holds out of fold; or, where rows without an answer were seen, the one of the best out-of-fold F1."""
        if spec.serve.abstain_below is not None:
            return Decision(abstain_below=spec.serve.abstain_below)
        said = np.array([bool(spans) for spans in out_of_fold.values], bool)
        scores = np.array([spans[0].score for spans in out_of_fold.values if spans])
        target, values = examples.target[said], out_of_fold.values[said]
        if spec.serve.abstain_precision is not None:
            return Decision(abstain_below=least(scores, m.answer_exact_rows(target, values), spec.serve.abstain_precision))
        silent = np.array([float(not spans) for spans in target])
        if not silent.any():
            return Decision()
        return Decision(abstain_below=_best(scores, m.answer_f1_rows(target, values), silent))

    def finish(self, prediction: Prediction, decision: Decision) -> Prediction:
        rows = (tuple(_kept(span, decision.abstain_below) for span in spans) for spans in prediction.values)
        return replace(prediction, values=ragged(rows))

    def decode(self, finished: Prediction, decision: Decision, labels: Sequence[str]) -> list[Answer]:
        """{"answer", "start", "end", "score"}; the first three null where the context has no answer."""
        return [Answer("ok", _said(spans)) for spans in finished.values]

    def correct(self, answer: Answer, correction: Any, labels: Sequence[str]) -> Value:
        """None, {"start", "end"}, or a list of several. Raises DataError for anything else."""
        if isinstance(correction, str):
            raise DataError("a correction says where the answer stands", found=correction[:40], wanted='{"start", "end"} or null')
        spans = answers_of(correction, None, " " * 1_000_000)
        return [{"start": span["start"], "end": span["end"]} for span in spans]

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        whole = {"type": ["integer", "null"], "minimum": 0}
        properties = {
            "answer": {"type": ["string", "null"], "description": "A part of the context; null where it has no answer."},
            "start": {**whole, "description": "The first character in the context, counted from 0 in Unicode code points."},
            "end": {**whole, "description": "After the last character."},
            "score": {"type": "number", "description": "How sure the best part is, 0 to 1."},
        }
        return {"type": "object", "properties": properties, "example": {"answer": "1998", "start": 31, "end": 35, "score": 0.81}}


def _kept(span: Span, least_score: float) -> Span:
    return span if span.score >= least_score else Span(0, 0, 0, "", span.score)


def _said(spans: tuple[Span, ...]) -> dict[str, Any]:
    score = spans[0].score if spans else 0.0
    if not spans or not spans[0].text:
        return {"answer": None, "start": None, "end": None, "score": score}
    return {"answer": spans[0].text, "start": spans[0].start, "end": spans[0].end, "score": score}


def _best(scores: NDArray[Any], said: NDArray[Any], silent: NDArray[Any]) -> float:
    """The score from which answering is worth most: `said` (n,) is what a row brings answered, `silent` unanswered."""
    order = np.argsort(-scores, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((said - silent)[order])])
    last = np.concatenate([[True], np.append(scores[order][1:] < scores[order][:-1], True)])
    best = int(np.where(last, gains, -np.inf).argmax())
    return float(scores[order[best - 1]]) if best else 1.01
