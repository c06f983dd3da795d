"""The fold of the page that shows how a network learned."""

from __future__ import annotations

import math

from trunkline.proof.charts import epochs_chart
from trunkline.proof.messages import say
from trunkline.proof.report import Report
from trunkline.proof.sections import Chart, Section, Table


def learned_section(report: Report, language: str) -> Section | None:
    """None for a product that learned no network here, or for a single epoch of which there is nothing to say."""
    epochs = report.epochs
    if not epochs or (len(epochs) < 2 and not report.notes):
        return None
    judged = [(loss, number) for number, _, loss in epochs if loss is not None and math.isfinite(loss)]
    heading = say("learned.title.plain", language)
    if judged:
        heading = say("learned.title", language, best=min(judged)[1], n=len(epochs))
    columns = tuple(say(f"learned.{name}", language) for name in ("epoch", "loss", "validation"))
    rows = tuple((str(number), _told(loss), _told(held)) for number, loss, held in epochs)
    notes = tuple(say(f"learned.{key}", language, **values) for key, values in report.notes)
    svg = epochs_chart(epochs, heading, lambda value: f"{value:g}")
    return Section("learned", heading, (Chart("", say("learned.sub", language), svg, Table(columns, rows), notes),))


def _told(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}"
