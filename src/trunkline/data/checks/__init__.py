"""What is wrong with the rows, before anything is learned. One check a function: View -> findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trunkline.data.checks import columns, duplicates, labels, missing, texts
from trunkline.data.checks.confident import with_wrong_labels as with_wrong_labels
from trunkline.data.checks.duplicates import leaks as leaks
from trunkline.data.checks.view import View
from trunkline.data.loaded import Loaded
from trunkline.spec import Spec
from trunkline.types import DataReport, Finding

Check = Callable[[View], list[Finding]]


def reading_notes(view: View) -> list[Finding]:
    """What was remarked while reading: encoding, separator, spaces around labels."""
    return [Finding(note.code, "info", 0.0, 0, note.message, note.message_zh) for note in view.loaded.notes]


CHECKS: tuple[Check, ...] = (
    labels.one_class,
    duplicates.leaked_rows,
    missing.refused_rows,
    missing.missing_cells,
    labels.alike_labels,
    labels.small_classes,
    labels.imbalance,
    labels.label_shift,
    duplicates.duplicates,
    duplicates.conflicts,
    duplicates.duplicate_ids,
    texts.mojibake,
    texts.long_inputs,
    texts.language_mix,
    columns.constant_columns,
    columns.identifier_columns,
    columns.target_leakage,
    reading_notes,
)
_ORDER = {"stop": 0, "warn": 1, "info": 2}


def check_data(spec: Spec, loaded: Loaded, max_tokens: int = 512) -> DataReport:
    """What was found, the gravest first. A finding of severity "stop" should end training unless the
    user says otherwise. Its rows and labels are counted without `leaks(loaded)`, which the caller
    leaves out: loaded.keep(~leaks(loaded)).

    `max_tokens` is what the trunk reads of a text; tokens are estimated from its signs.
    """
    view = View(spec, loaded, max_tokens)
    found = [finding for check in CHECKS for finding in check(view)]
    found.sort(key=lambda finding: (_ORDER[finding.severity], -finding.score))
    leaked = leaks(loaded)
    dropped = len(loaded.refused) + int(leaked.sum())
    return DataReport(
        rows={"train": int((~leaked).sum()), "test": len(loaded.test), "dropped": dropped},
        findings=found,
        columns={column: _about(view, column) for column in spec.inputs},
        labels=labels.label_counts(loaded.train.take(~leaked)),
        source=loaded.source,
        digest=loaded.digest,
    )


def language_of(report: DataReport) -> str:
    """"zh" or "en": what most texts, or else most labels, are written in."""
    shares: Mapping[str, float] = {}
    for about in report.columns.values():
        shares = about.get("languages") or shares
    shares = shares or texts.language_shares([*report.columns, *report.labels])
    return "zh" if shares.get("zh", 0.0) >= 0.5 else "en"


def _about(view: View, column: str) -> dict[str, Any]:
    """A column's figures over the training rows."""
    values = view.values(column)
    known = [value for value in values if value is not None and value == value]
    figures: dict[str, Any] = {
        "kind": view.spec.inputs[column],
        "missing": len(values) - len(known),
        "distinct": len(set(map(repr, known))) if known and not isinstance(known[0], str) else len(set(known)),
    }
    if view.spec.inputs[column] == "text":
        sizes = np.array([len(text) for text in known])
        figures["signs"] = {"median": float(np.median(sizes)), "p95": float(np.quantile(sizes, 0.95)), "max": int(sizes.max())}
        figures["languages"] = texts.language_shares(known)
    elif known and isinstance(known[0], float):
        figures["range"] = {"min": min(known), "mean": float(np.mean(known)), "max": max(known)}
    return figures
