"""What the terminal says of reports and bundles, and the same as plain values for --json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from trunkline.bundle import Bundle
from trunkline.proof import Report, headline
from trunkline.proof.explained import Mistake
from trunkline.proof.gate import RuleResult
from trunkline.proof.messages import say
from trunkline.terminal import table
from trunkline.types import DataReport, EngineCard

SHOWN = 12  # findings on the terminal; all are in the report
WORDS = {
    "en": {
        "cost": "{p50:.1f} ms a call (95 %: {p95:.1f}), head {size:.2f} MB",
        "report": "report:",
        "passed": "passed its gate",
        "failed": "the gate failed",
    },
    "zh": {
        "cost": "单次调用 {p50:.1f} 毫秒（95 %：{p95:.1f}），头 {size:.2f} MB",
        "report": "报告：",
        "passed": "通过门槛",
        "failed": "未通过门槛",
    },
}
SIGNS = {"stop": "×", "warn": "!", "info": "·"}


def data_sentence(report: DataReport) -> str:
    """`10,003 rows, 77 classes, 12 problems -> validate`."""
    problems = [finding for finding in report.findings if finding.severity != "info"]
    classes = f", {len(report.labels)} classes" if report.labels else ""
    found = f", {_count(len(problems), 'problem')} -> trunkline validate" if problems else ", no problems"
    return f"{sum(report.rows[part] for part in ('train', 'test')):,} rows{classes}{found}"


def data_dict(report: DataReport) -> dict[str, Any]:
    return dict(msgspec.to_builtins(report, enc_hook=_plain))


def data_text(report: DataReport) -> str:
    """The findings, the gravest first, each with its remedy."""
    lines = [
        f"{report.source}: {report.rows['train']:,} train and {report.rows['test']:,} test rows,"
        f" {report.rows['dropped']:,} left out"
    ]
    for finding in report.findings[:SHOWN]:
        lines.append(f"{SIGNS[finding.severity]} {finding.message}")
        if finding.check == "refused_rows":
            lines += [f"    {row['part']} row {row['row'] + 1}: {row['note']}" for row in finding.rows]
        if finding.fix and finding.severity != "info":
            lines.append(f"    try: {finding.fix}")
    if len(report.findings) > SHOWN:
        lines.append(f"  and {len(report.findings) - SHOWN} more: --json shows all")
    return "\n".join(lines)


def bundle_dict(bundle: Bundle) -> dict[str, Any]:
    return {"bundle": str(bundle.folder), "version": bundle.version, "report": bundle.report}


def bundle_text(bundle: Bundle) -> str:
    """The report's head and where it lies; at most 12 lines."""
    return report_text(bundle.report, str(bundle.folder / "report.html"), bundle.version)


def report_text(report: Mapping[str, Any], page: str, version: str) -> str:
    full = Report.from_dict(report)
    verdict = full.verdict
    lines = [headline(full, full.language), ""]
    lines += [f"{'✓' if rule.passed else '×'} {_sentence(rule, full.language)}" for rule in verdict.results[:5]]
    words = WORDS[full.language]
    lines += [f"! {getattr(fault, full.language)}" for fault in full.data.findings if fault.check == "seen_rows"]
    if full.cost is not None:
        cost = words["cost"].format(p50=full.cost.p50_ms, p95=full.cost.p95_ms, size=full.size_mb)
        lines.append(f"  {cost}")
    lines += [f"  {words['report']} {page}"] if page else []
    lines += [f"  {version}: {words['passed' if verdict.passed else 'failed']}"]
    return "\n".join(lines)


def mistakes_text(report: Mapping[str, Any]) -> str:
    """The three worst mistakes, a line each with what pushed them; "" where no row was answered wrong."""
    full = Report.from_dict(report)

    def line(mistake: Mistake) -> str:
        pushed = [one.name for one in mistake.why if one.weight > 0][:3]
        said = f"{say('worst.answer', full.language)} {mistake.answer}, {say('worst.truth', full.language)} {mistake.truth}"
        because = f"; {say('why.because', full.language)} {' · '.join(pushed)}" if pushed else ""
        return " ".join(f"  {say('worst.row', full.language, row=mistake.row)}: {said}{because}".split("\n"))

    return "\n".join(map(line, full.mistakes[:3]))


def matrix_table(rows: Sequence[tuple[Report, int, float, float]]) -> str:
    """The demo's table of (report, training rows, seconds, bundle MB)."""
    header = ("product", "rows", "metric", "value (95 %)", "baseline", "seconds", "MB", "gate")
    return table(header, [_matrix_row(*row) for row in rows], right=(1, 5, 6))


def _matrix_row(report: Report, rows: int, seconds: float, megabytes: float) -> tuple[str, ...]:
    figure = report.main
    name, base = max(
        figure.baselines.items(),
        key=lambda pair: (pair[1].value or 0.0) * (1 if figure.higher_is_better else -1),
        default=("none", None),
    )
    return (
        report.product,
        f"{rows:,}",
        report.primary,
        _span(figure.value, figure.low, figure.high),
        f"{name} {base.value:.3f}" if base is not None and base.value is not None else name,
        f"{seconds:.1f}",
        f"{megabytes:.2f}",
        "✓ passed" if report.verdict.passed else "× failed",
    )


def answers_text(sentence: str, asked: Mapping[str, Any]) -> str:
    """One sentence and what every product says to it."""
    rows = [(answer["product"], answer["status"], _said(answer)) for answer in asked["answers"]]
    return f"“{sentence}”\n" + table(("product", "status", "answer"), rows) + "\n"


def _said(answer: Mapping[str, Any]) -> str:
    if answer["status"] == "error":
        return str(answer.get("message", ""))
    scores = answer.get("scores", {})
    names = answer["labels"] if "labels" in answer else [answer["label"]] if answer.get("label") else []
    if names:
        return ", ".join(f"{name} {scores.get(name, 0):.2f}" for name in names)
    return str(answer.get("value", "none"))


def trunk_dicts() -> list[dict[str, Any]]:
    """Every registered trunk's card, and whether its weights are on this machine."""
    from trunkline.trunks import TRUNKS

    return [trunk_dict(name) for name in TRUNKS.names()]


def trunk_dict(name: str) -> dict[str, Any]:
    from trunkline.trunks import find

    trunk = find(name)
    lacking = trunk.available()
    here = {"here": lacking is None, "lacking": lacking.message if lacking else ""}
    return {**asdict(trunk.card), **here, "measured": _measured(trunk.card)}


def _measured(card: EngineCard) -> dict[str, Any]:
    """The settings that suit this machine and what they stand on; empty before they were measured."""
    from trunkline.engines.settings import known
    from trunkline.trunks.cache import settings_folder

    record = known(settings_folder(), card)
    names = ("rows", "tokens", "threads", "when", "seconds", "row_ms", "rows_per_s")
    return {name: getattr(record, name) for name in names} if record else {}


def trunks_text(trunks: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (t["id"], t["kind"], " ".join(t["languages"]), str(t["dim"]), t["licence"], "✓" if t["here"] else t["lacking"])
        for t in trunks
    ]
    also = "\nalso hf:<hub id> and folder:<path>, for texts, pictures or sounds by their config.json; trunkline trunks pull NAME"
    return table(("trunk", "kind", "languages", "dim", "licence", "here"), rows, right=(3,)) + also


def card_text(card: Mapping[str, Any]) -> str:
    return "\n".join(f"{name:<12} {_cell(value)}" for name, value in card.items() if value not in ("", (), {}))


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items() if not isinstance(one, Mapping))
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _span(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "unknown"
    return f"{value:.3f} ({low:.3f}-{high:.3f})"


def _sentence(rule: RuleResult, language: str) -> str:
    return rule.zh if language == "zh" else rule.en


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def status_text(found: Mapping[str, Any]) -> str:
    """One line a product: who is live, who is tried; then a line for each version that is tried, and its traffic."""
    rows, measured = [], []
    for one in found["products"]:
        canary, shadow = one.get("canary"), one.get("shadow")
        tried = f"{canary['version']} ({canary['share']:.0%})" if canary else ""
        said = one["error"]["what"] if "error" in one else ", ".join(one["versions"])
        said += ", explanations off" if one.get("silent") else ""
        rows.append([one["product"], one.get("live") or "-", tried, shadow or "", said])
        for role, version in (("canary", canary and canary["version"]), ("shadow", shadow)):
            if version in one.get("traffic", {}):
                measured.append(f"{one['product']} {version}, {role}: {_traffic(one['traffic'][version])}")
    return "\n".join([table(["product", "live", "canary", "shadow", "versions"], rows), *measured])


def _traffic(counts: Mapping[str, Any]) -> str:
    errors, agreement = counts["error_rate"], counts["agreement"]
    parts = [f"{counts['requests']:,} requests"]
    if errors is not None:
        parts.append(f"{errors['value']:.2%} errors [{errors['low']:.2%}, {errors['high']:.2%}]")
    if agreement is not None:
        parts.append(f"{agreement['value']:.1%} agree with live [{agreement['low']:.1%}, {agreement['high']:.1%}]")
    return ", ".join(parts)


def compare_text(found: Mapping[str, Any]) -> str:
    """Metrics of two versions side by side; they stand on the same rows only where the data is the same."""
    first, second = found["first"], found["second"]
    same_data = first["data"] == second["data"]
    rows = [["gate", *("passed" if one["passed"] else "failed" for one in (first, second))]]
    for name in sorted(first["metrics"].keys() & second["metrics"].keys()):
        rows.append([name, *(_interval(one["metrics"][name]) for one in (first, second))])
    said = "the same rows" if same_data else "other rows: not comparable one to one"
    return table(["", first["version"], second["version"]], rows) + f"\nmeasured on {said}"


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    return f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"
