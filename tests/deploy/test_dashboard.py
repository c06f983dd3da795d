"""The dashboard asks for what the server counts: names and labels are those of a real server's /metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.serve.parts import make_product, register

from trunkline.engines.settings import Settings
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.serve.meters import Meter
from trunkline.serve.schedule import Spent

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "trunkline.json").read_text(encoding="utf-8"))
SCRAPED = {"instance", "job"}  # labels that Prometheus adds


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """Name -> labels of every series that a server exports."""
    meter = Meter(lambda product: True, lambda: {"trunk:toy": 3}, lambda: {"trunk:toy": Settings()})
    meter.request("support", "v1", "toy", 200, 2, Spent(0.1, 0.1, 2, 1), 0.3)
    meter.executed("trunk:toy", 2, 0.1)
    families = text_string_to_metric_families(meter.text()[0].decode())
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in BOARD["panels"] if panel["type"] != "row")


def queries() -> list[tuple[str, str]]:
    """(panel, PromQL), Grafana's variables filled in as Grafana does."""
    asked = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    filled = [(title, expr.replace("$__rate_interval", "1m")) for title, expr in asked]
    return [(title, re.sub(r"\$(product|engine|instance)", ".*", expr)) for title, expr in filled]


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """(series, labels of its matchers) of every selector in an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), {matcher.name for matcher in node.matchers.matchers}
    for name in ("expr", "lhs", "rhs", "vs", "vector_selector", "param"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


@pytest.mark.parametrize(("panel", "query"), queries())
def test_every_query_is_of_series_and_labels_that_there_are(panel: str, query: str, series: dict[str, set[str]]) -> None:
    asked = list(selectors(promql_parser.parse(query)))
    assert {name for name, _ in asked} == set(re.findall(r"trunkline_\w+", query))
    for name, labels in asked:
        assert name in series, f"{panel}: no server exports {name}"
        assert labels <= series[name] | SCRAPED
    grouped = {label.strip() for found in re.findall(r"\bby \(([^)]*)\)", query) for label in found.split(",")}
    assert grouped <= set.union(*(series[name] for name, _ in asked)) | SCRAPED


def test_what_is_counted_is_shown(series: dict[str, set[str]]) -> None:
    shown = {re.sub(r"_(bucket|sum|count|total)$", "", name) for _, query in queries() for name in re.findall(r"trunkline_\w+", query)}
    assert {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in series} == shown


def test_variables_are_of_labels_that_there_are(series: dict[str, set[str]]) -> None:
    asked = [one["definition"] for one in BOARD["templating"]["list"] if one["type"] == "query"]
    assert len(asked) == 3
    for definition in asked:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", definition)
        assert found
        assert found[2] in series[found[1]] | SCRAPED


def test_legends_name_labels_that_are_kept() -> None:
    for panel in panels():
        for target in panel["targets"]:
            kept = {label.strip() for found in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for label in found.split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def test_panels_have_a_place_and_a_name_of_their_own() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for one, two in combinations((panel["gridPos"] for panel in BOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
    for panel in panels():
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_prometheus_asks_a_route_that_exists(tmp_path: Path) -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    with register():
        make_product(tmp_path / "support")
        app: Any = build(LiveCatalog(tmp_path))
    assert job["metrics_path"] in {route.path for route in app.app.app.routes}
    for file in (DEPLOY / "grafana" / "provisioning").rglob("*.yml"):
        assert yaml.safe_load(file.read_text())["apiVersion"] == 1
