"""The model card: Markdown with YAML front matter and a model-index, as the Hugging Face Hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from trunkline.proof.messages import named, say
from trunkline.proof.numbers import signed, whole
from trunkline.proof.report import Report, table
from trunkline.proof.sentence import headline
from trunkline.proof.why_section import times

HUB_TASKS = {
    "classify": {True: "text-classification", False: "tabular-classification"},
    "multilabel": {True: "text-classification", False: "tabular-classification"},
    "tag": {True: "token-classification", False: "token-classification"},
    "extract": {True: "question-answering", False: "question-answering"},
    "regress": {True: "text-classification", False: "tabular-regression"},
}
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def render_card(report: Report, language: str) -> str:
    """Front matter, then the sentence, figures, limits, data, trunks and verdict, in `language` and then in the other one
    (English, Chinese). Holds no customer rows; a customer's words in names are escaped."""
    other = "en" if language == "zh" else "zh"
    bodies = ("\n".join(_body(report, each)) for each in (language, other))
    return f"---\n{_yaml(_front(report))}---\n\n" + "\n\n".join(bodies)


def _front(report: Report) -> dict[str, Any]:
    kinds = set(report.inputs.values())
    kind = HUB_TASKS.get(report.task, {}).get("text" in kinds, report.task)
    results = [
        {"type": name, "name": named("metric", name, "en"), "value": figure.value}
        for name, figure in table(report)
        if figure.value is not None
    ]
    licences = sorted({trunk.licence for trunk in report.trunks})
    return {
        "language": sorted({tag for trunk in report.trunks for tag in trunk.languages}) or [report.language],
        "library_name": "trunkline",
        "pipeline_tag": kind,
        "tags": ["trunkline", report.task],
        "base_model": [trunk.id for trunk in report.trunks],
        "trunk_licences": licences,
        "model-index": [
            {
                "name": report.product,
                "results": [
                    {
                        "task": {"type": kind},
                        "dataset": {"name": report.data.source, "type": "custom", "split": "test"},
                        "metrics": results,
                    }
                ],
            }
        ],
    }


def _yaml(value: dict[str, Any]) -> str:
    """Each value in JSON, which is YAML: nothing to escape wrongly."""
    return "".join(f"{key}: {json.dumps(item, ensure_ascii=False)}\n" for key, item in value.items())


def _body(report: Report, language: str) -> Iterator[str]:
    def part(key: str, **words: object) -> str:
        return say(key, language, **words)

    yield f"# {_plain(report.title)}\n"
    yield f"{_plain(headline(report, language))}\n\n{part('card.intro')}\n"
    inputs = ", ".join(f"`{_code(column)}` ({kind})" for column, kind in report.inputs.items())
    yield f"## {part('card.use')}\n"
    yield part("card.use.text", task=report.task, inputs=inputs, label=_code(report.label)) + "\n"
    yield f"## {part('card.figures')}\n"
    yield from _figures(report, language)
    yield f"\n{part('figures.sub', n=f'{report.main.n:,}')}. {part(f'figures.{report.resampled}')}\n"
    yield f"## {part('card.limits')}\n\n{part('card.limits.text')}\n"
    for fault in report.data.findings:
        if fault.severity != "info":
            yield f"- {_plain(getattr(fault, language))}"
    yield from _why(report, language)
    yield f"\n## {part('card.data')}\n"
    counts = ", ".join(f"{name} {n:,}" for name, n in report.data.rows.items())
    yield f"{_plain(report.data.source)}: {counts}.\n"
    if report.trunks:
        yield f"## {part('card.trunks')}\n"
        for trunk in report.trunks:
            yield f"- {_plain(trunk.id)}: {_plain(trunk.licence)}, {_plain(trunk.source)}"
    yield f"\n## {part('card.verdict')}\n"
    yield f"**{part('passed' if report.verdict.passed else 'failed')}**\n"
    for result in report.verdict.results:
        yield f"- {'✓' if result.passed else '×'} {_plain(getattr(result, language))}"
    yield ""


def _why(report: Report, language: str) -> Iterator[str]:
    """In plain words; of texts no word, since customers wrote them."""
    if report.why is None:
        return
    yield f"\n## {say('card.why', language)}\n"
    names = [_plain(one.name) for one in report.why.overall if one.kind == "column"][:5]
    if names:
        yield say("card.why.text", language, names=("、" if language == "zh" else ", ").join(names))
    faithful = report.why.faithful
    if faithful is not None:
        yield say("card.why.faithful", language, n=faithful.removed, ratio=times(faithful.ratio))
    yield say("card.why.ask", language)


def _figures(report: Report, language: str) -> Iterator[str]:
    baselines = list(report.main.baselines)
    names = [named("baseline", name, language) for name in baselines]
    head = [say("metric", language), say("this", language)]
    head += [f"{say('gain', language)}: {name}" for name in names]
    yield f"| {' | '.join(map(_plain, head))} |"
    yield f"|{' --- |' * len(head)}"
    for name, figure in table(report):
        cells = [named("metric", name, language), whole(figure.interval, figure.unit)]
        cells += [signed(figure.gains[baseline], figure.unit) for baseline in baselines]
        yield f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text.replace("\n", " "))


def _code(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")
