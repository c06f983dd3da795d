"""tag: spans of a text, each with a type."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline import metrics as m
from trunkline.data.split import folds
from trunkline.errors import DataError, SpecError, nearest
from trunkline.inputs.cell import clean
from trunkline.inputs.text import places
from trunkline.metrics.wilson import wilson
from trunkline.spec import Spec
from trunkline.tasks.common import chosen, metric
from trunkline.tasks.sureness import rescored, temperature_of, warmed
from trunkline.tasks.tags import Raw, spans_of_cell, spans_of_tags, words_of
from trunkline.types import Answer, Decision, Examples, Folds, Metric, Prediction, Refused, Row, Span, Value


class Tag:
    """A `Task`. target and values: object (n,), a tuple of `Span` each, in order."""

    name: ClassVar[str] = "tag"

    def arrange(self, spec: Spec, row: Row) -> Row | Refused:
        """The row with its text as it will be read and its label cell as a list of spans. Tags make a text of the
        tokens; spans stand for characters of the text as it is written."""
        column, raw = text_column(spec), row.get(spec.label)
        try:
            if _are_spans(raw):
                text = str(row.get(column) or "")
                return {**row, spec.label: as_read(spans_of_cell(raw, text), text)}
            text, spans = spans_of_tags(words_of(row.get(column)), words_of(raw))
        except DataError as error:
            at = f" ({error.where})" if error.where else ""
            return Refused("unreadable", f"{error.what}{at}: {error.found}")
        return {**row, column: text, spec.label: spans}

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Raises DataError for a type outside `labels`, with the nearest known one."""
        known = tuple(labels) if labels is not None else tuple(sorted({one["type"] for cell in raw for one in cell}))
        place = {label: i for i, label in enumerate(known)}
        for at, cell in enumerate(raw):
            for one in cell:
                if one["type"] not in place:
                    hint = nearest(one["type"], known)
                    raise DataError("a type was never seen in training", where=f"row {at + 1}", found=repr(one["type"]), hint=hint)
        return ragged([Span(s["start"], s["end"], place[s["type"]], s.get("text", "")) for s in cell] for cell in raw), known

    def primary(self, spec: Spec) -> str:
        return chosen(spec, "span_f1", dict.fromkeys(("span_f1", "span_precision", "span_recall", "span_macro_f1", "exact_spans")))

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        found = [
            metric("span_f1", m.span_f1, unit="%"),
            metric("span_precision", m.span_precision, unit="%"),
            metric("span_recall", m.span_recall, unit="%"),
            metric("span_macro_f1", m.span_macro_f1, unit="%", labels=len(labels)),
            metric("exact_spans", m.exact_spans, rows=m.exact_rows, unit="%"),
        ]
        return {one.name: one for one in found}

    def folds(self, examples: Examples, k: int, seed: int) -> Folds:
        return folds(examples, k, seed, stratify=False)

    def baselines(self, spec: Spec) -> Sequence[str]:
        return ["majority", "dictionary"]

    def calibrate(self, spec: Spec, examples: Examples, out_of_fold: Prediction) -> Decision:
        """The temperature at which scores say out of fold how often such spans are right, and the score under which a
        span is left out: as the spec says, or so that the share of right spans that it asks for holds out of fold."""
        found, right = [], []
        for true, said in zip(examples.target, out_of_fold.values, strict=True):
            places = {span[:3] for span in true}
            found += [span.score for span in said]
            right += [span[:3] in places for span in said]
        scores, hits = np.array(found), np.array(right, bool)
        temperature = temperature_of(scores, hits)
        if spec.serve.abstain_below is not None or spec.serve.abstain_precision is None:
            return Decision(temperature, abstain_below=spec.serve.abstain_below or 0.0)
        scores = scores if temperature == 1.0 else warmed(scores, temperature)
        return Decision(temperature, abstain_below=least(scores, hits, spec.serve.abstain_precision))

    def finish(self, prediction: Prediction, decision: Decision) -> Prediction:
        sure = (rescored(spans, decision.temperature) for spans in prediction.values)
        kept = ragged([span for span in spans if span.score >= decision.abstain_below] for spans in sure)
        return Prediction(kept, prediction.outside)

    def decode(self, finished: Prediction, decision: Decision, labels: Sequence[str]) -> list[Answer]:
        """{"spans"}: what is not sure enough is left out, so a row always has an answer, if an empty one."""
        return [Answer("ok", {"spans": [_said(span, labels) for span in spans]}) for spans in finished.values]

    def correct(self, answer: Answer, correction: Any, labels: Sequence[str]) -> Value:
        """A list of {"start", "end", "type"}. Raises DataError for anything else."""
        spans = spans_of_cell(correction, " " * 1_000_000)
        for span in spans:
            if span["type"] not in labels:
                raise DataError("that is no type of this product", found=repr(span["type"]), hint=nearest(span["type"], labels))
        return [{name: span[name] for name in ("start", "end", "type")} for span in spans]

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        whole = {"type": "integer", "minimum": 0}
        span = {
            "type": "object",
            "properties": {
                "start": {**whole, "description": "The first character, counted from 0 in Unicode code points."},
                "end": {**whole, "description": "After the last character."},
                "type": {"enum": list(labels)},
                "text": {"type": "string"},
                "score": {"type": "number"},
            },
        }
        example = {"spans": [{"start": 0, "end": 3, "type": labels[0], "text": "...", "score": 0.93}]} if labels else {}
        return {"type": "object", "properties": {"spans": {"type": "array", "items": span}}, "example": example}


def text_column(spec: Spec) -> str:
    """The one column of kind text. Raises SpecError for another number of inputs."""
    if list(spec.inputs.values()) != ["text"]:
        raise SpecError("tag reads one column, of kind text", where="inputs", found=", ".join(spec.inputs), wanted="one text")
    return next(iter(spec.inputs))


def ragged(rows: Any) -> NDArray[Any]:
    """object (n,) of tuples."""
    listed = [tuple(row) for row in rows]
    out = np.empty(len(listed), object)
    out[:] = listed
    return out


def as_read(spans: list[Raw], text: str) -> list[Raw]:
    """The same spans, counted in the characters of the text as the kind `text` reads it."""
    read = clean(text)
    if read == text or not spans:
        return spans
    starts, ends = places(text)
    out = []
    for span in spans:
        a, b = bisect_right(ends, span["start"]), bisect_left(starts, span["end"])
        out.append({**span, "start": a, "end": b, "text": read[a:b]})
    return out


def _are_spans(raw: Any) -> bool:
    if isinstance(raw, list):
        return not raw or isinstance(raw[0], Mapping)
    return raw is None or str(raw).strip() in ("", "[]") or str(raw).lstrip().startswith("[{")


def _said(span: Span, labels: Sequence[str]) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "type": labels[span.label], "text": span.text, "score": span.score}


def least(scores: NDArray[Any], right: NDArray[Any], precision: float) -> float:
    """The least score from which the lower end of the 95 % interval of the share of right spans is `precision`."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    for n in range(len(order), 0, -1):
        last = n == len(order) or scores[order[n]] < scores[order[n - 1]]
        if last and wilson(hits[n - 1] / n, n)[0] >= precision:
            return float(scores[order[n - 1]])
    return 1.01
