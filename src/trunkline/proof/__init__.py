"""The proof: how sure are we of a number, and is it good enough to serve?"""

from trunkline.proof.card import render_card
from trunkline.proof.figures import figures_before
from trunkline.proof.gate import Verdict, check_rules, judge, parse_rule
from trunkline.proof.html import render_html
from trunkline.proof.intervals import estimate, paired
from trunkline.proof.learning import extrapolate
from trunkline.proof.measure import machine, measure_latency
from trunkline.proof.prove import prove
from trunkline.proof.report import Report, without_rows
from trunkline.proof.sentence import headline

__all__ = [
    "Report",
    "Verdict",
    "check_rules",
    "estimate",
    "extrapolate",
    "figures_before",
    "headline",
    "judge",
    "machine",
    "measure_latency",
    "paired",
    "parse_rule",
    "prove",
    "render_card",
    "render_html",
    "without_rows",
]
