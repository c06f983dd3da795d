"""Good enough to serve? Rules over the proof's figures, judged into a verdict with reasons.

    rule    = figure op number
    figure  = name [ "[" label "]" ] [ ".low" | ".high" ]
    op      = ">=" | "<=" | ">" | "<" | "=="

name is a metric, gain.<baseline> (paired gain of the primary metric; gain.live over what serves
now), latency_p50_ms, latency_p95_ms, size_mb or cost_per_1000. Low and high are the ends of the
95 % interval.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from trunkline.errors import SpecError, nearest
from trunkline.types import Refused

PLAIN_FIGURES = ("latency_p50_ms", "latency_p95_ms", "size_mb", "cost_per_1000")
NOTHING_LIVE = Refused("nothing_live", "no bundle serves yet")
NOT_MEASURED = Refused("not_measured", "it was not measured on these rows")
ENDS = ("", ".low", ".high")
OPS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
RULE = re.compile(
    r"\s*(?P<figure>[^\s\[\]<>=]+(?:\[.+\](?:\.low|\.high)?)?)\s*(?P<op>>=|<=|==|>|<)\s*"
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*",
    re.DOTALL,
)

Figures = Mapping[str, float | Refused]


class Rule(Struct, frozen=True):
    """One condition. `str(rule)` parses back to an equal rule."""

    figure: str
    op: str
    number: float

    def __str__(self) -> str:
        short = f"{self.number:g}"
        return f"{self.figure} {self.op} {short if float(short) == self.number else repr(self.number)}"


class RuleResult(Struct, frozen=True):
    """What became of one rule. value is None where the figure could not be computed."""

    rule: str
    value: float | None
    passed: bool
    en: str
    zh: str


class Verdict(Struct, frozen=True):
    """passed only if every rule passed; a product without rules passes."""

    passed: bool
    results: tuple[RuleResult, ...] = ()


def parse_rule(text: str) -> Rule:
    """Raises SpecError where the text is not a rule."""
    match = RULE.fullmatch(text)
    number = float(match["number"]) if match else math.inf
    if match is None or not math.isfinite(number):
        raise SpecError(
            "a gate rule can't be read",
            where="gate.rules",
            found=repr(text),
            wanted="<figure> <op> <number>, op one of " + " ".join(OPS),
            hint='for example "accuracy.low >= 0.85" or "gain.ngrams.low > -0.01"',
        )
    return Rule(match["figure"], match["op"], number)


def known_figures(
    metrics: Collection[str],
    baselines: Collection[str],
    labels: Sequence[str] = (),
    per_label: Sequence[str] = ("precision", "recall", "f1"),
) -> list[str]:
    """Every figure that a product's rules may name; figures of single labels only where the task
    has labels."""
    names = [*metrics, *(f"gain.{name}" for name in (*baselines, "live"))]
    names += [f"{name}[{label}]" for name in per_label for label in labels]
    return [name + end for name in names for end in ENDS] + list(PLAIN_FIGURES)


def check_rules(rules: Sequence[str], known: Collection[str], key: str = "gate.rules") -> list[Rule]:
    """The parsed rules. Raises SpecError for the first that can't be read or names no known figure:
    to be called before training."""
    parsed = [parse_rule(text) for text in rules]
    names = set(known)
    for rule in parsed:
        if rule.figure not in names:
            raise SpecError(
                "a rule names an unknown figure",
                where=f"{key}: {rule}",
                found=repr(rule.figure),
                hint=nearest(rule.figure, names),
            )
    return parsed


def judge(rules: Sequence[str], figures: Figures) -> Verdict:
    """The verdict. A figure that could not be computed (nan, Refused with the reason, or not measured
    in this proof) fails its rule; a rule on gain.live passes where nothing is live. Raises SpecError
    for a rule that can't be read."""
    results = tuple(_judge(parse_rule(text), figures) for text in rules)
    return Verdict(all(result.passed for result in results), results)


def _judge(rule: Rule, figures: Figures) -> RuleResult:
    live = rule.figure in {f"gain.live{end}" for end in ENDS}
    value = figures.get(rule.figure, NOTHING_LIVE if live else NOT_MEASURED)
    if isinstance(value, Refused):
        if value.code == NOTHING_LIVE.code and live:
            return RuleResult(
                str(rule),
                None,
                True,
                f"{rule.figure}: nothing serves yet, so there is nothing to lose to.",
                f"{rule.figure}：目前没有在线版本，无需比较。",
            )
        return _uncomputed(rule, value.message)
    if not math.isfinite(value):
        return _uncomputed(rule, "these rows can't give it")
    passed = OPS[rule.op](value, rule.number)
    shown, wanted = f"{value:.4g}", f"{rule.op} {rule.number:g}"
    if shown == f"{rule.number:.4g}":
        shown = f"{value:.8g}"
    return RuleResult(
        str(rule),
        value,
        passed,
        f"{rule.figure} is {shown}, " + (f"as wanted ({wanted})." if passed else f"but {wanted} is wanted."),
        f"{rule.figure} 为 {shown}，" + (f"符合要求（{wanted}）。" if passed else f"要求 {wanted}，未达到。"),
    )


def _uncomputed(rule: Rule, reason: str) -> RuleResult:
    return RuleResult(
        str(rule),
        None,
        False,
        f"{rule.figure} could not be computed: {reason}.",
        f"{rule.figure} 无法计算：{reason}。",
    )
