"""The Helm chart, rendered and linted by Helm's own library, its manifests checked against Kubernetes' schemas and
against the server that they start."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.deploy.chart import CHART, RefusedError, check, lint, render
from tests.serve.parts import make_product, register

from trunkline.cli import main
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog

ROOT = Path(__file__).parents[2]
LEAST: dict[str, Any] = {"store": {"secret": "trunkline-store"}}
MOST: dict[str, Any] = {
    "image": {"repository": "registry.example/trunkline", "tag": "1.2"},
    "imagePullSecrets": [{"name": "pull"}],
    "store": {"secret": "trunkline-store", "registry": True},
    "products": {"accessModes": ["ReadWriteMany"], "storageClassName": "shared"},
    "cache": {"existingClaim": "trunks"},
    "server": {"workers": 2, "port": 9000, "tlsSecret": "pair", "traces": "http://collector:4318"},
    "settings": {"TRUNKLINE_BATCH_ROWS": "8", "OTEL_SERVICE_NAME": "answers"},
    "autoscaling": {"enabled": True, "waitingRows": 20},
    "monitor": {"enabled": True, "labels": {"release": "prometheus"}, "keySecret": "scrape"},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}],
        "to": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 5432}]}],
    },
    "podAnnotations": {"a/b": "c"},
    "podLabels": {"tier": "serving"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "only", "operator": "Exists"}],
}
IMAGE: dict[str, Any] = {**LEAST, "replicas": 3, "products": {"persistence": False}}
CHOICES = {"least": LEAST, "most": MOST, "products in the image": IMAGE}
OWN = {"ServiceMonitor"}  # of the Prometheus operator: no schema of Kubernetes' own


def rendered(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Kind -> manifest."""
    found = [yaml.safe_load(text) for name, text in render(values).items() if not name.endswith(".txt")]
    return {one["kind"]: one for one in found if one}


def container(values: Mapping[str, Any]) -> dict[str, Any]:
    (only,) = rendered(values)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_it_is_linted(values: dict[str, Any]) -> None:
    check(values)
    report = lint(values)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", ["1.27", "1.30", "1.34"])
@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_kubernetes_knows_every_field(values: dict[str, Any], version: str) -> None:
    manifests = rendered(values)
    for kind, manifest in manifests.items():
        if kind not in OWN:
            kubernetes_validate.validate(manifest, version, strict=True)
    assert {"Deployment", "Service", "ConfigMap", "NetworkPolicy"} <= manifests.keys()


def test_everything_that_can_be_switched_on_is_there() -> None:
    also = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "PersistentVolumeClaim", "ServiceMonitor"}
    assert also <= rendered(MOST).keys()
    assert also.isdisjoint(rendered({**LEAST, "products": {"persistence": False}}))


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_the_server_understands_its_arguments(values: dict[str, Any]) -> None:
    command, *words = container(values)["args"]
    with main.commands[command].make_context(command, words) as context:
        given = context.params
    told = {**yaml.safe_load((CHART / "values.yaml").read_text())["server"], **values.get("server", {})}
    assert (given["port"], given["workers"], given["host"]) == (told["port"], told["workers"], "0.0.0.0")
    assert str(given["folder"]) == "/data"
    assert (given["traces"] or "") == told["traces"]


def test_probes_ask_routes_that_exist(tmp_path: Path) -> None:
    probes = [container(MOST)[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    monitor = rendered(MOST)["ServiceMonitor"]["spec"]["endpoints"][0]
    with register():
        make_product(tmp_path / "support")
        app: Any = build(LiveCatalog(tmp_path))
    paths = {route.path for route in app.app.app.routes}
    assert {*(probe["path"] for probe in probes), monitor["path"]} <= paths
    assert {probe["scheme"] for probe in probes} == {"HTTPS"}
    assert monitor["scheme"] == "https"


def test_what_the_container_mounts_is_there() -> None:
    for values in CHOICES.values():
        pod = rendered(values)["Deployment"]["spec"]["template"]["spec"]
        mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
        assert ("products" in mounted) == values.get("products", {}).get("persistence", True)


def test_variables_are_documented_and_hold_no_secret() -> None:
    words = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    variables = container(MOST)["env"]
    assert {one["name"] for one in variables} == {"TRUNKLINE_STORE", "TRUNKLINE_REGISTRY"}
    assert all("secretKeyRef" in one["valueFrom"] and f"`{one['name']}`" in words for one in variables)
    assert rendered(MOST)["ConfigMap"]["data"] == {"OTEL_SERVICE_NAME": "answers", "TRUNKLINE_BATCH_ROWS": "8"}


def test_pods_are_found_by_their_labels() -> None:
    for values in CHOICES.values():
        found = rendered(values)
        labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
        for kind, at in (("Deployment", "selector.matchLabels"), ("Service", "selector"), ("NetworkPolicy", "podSelector.matchLabels")):
            wanted = found[kind]["spec"]
            for part in at.split("."):
                wanted = wanted[part]
            assert wanted.items() <= labels


def test_a_changed_setting_starts_the_pods_again() -> None:
    def checksum(values: dict[str, Any]) -> str:
        return str(rendered(values)["Deployment"]["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum(LEAST) == checksum(dict(LEAST)) != checksum({**LEAST, "settings": {"TRUNKLINE_THREADS": "1"}})


def test_the_autoscaler_alone_says_how_many() -> None:
    found = rendered(MOST)
    assert "replicas" not in found["Deployment"]["spec"]
    assert [one["type"] for one in found["HorizontalPodAutoscaler"]["spec"]["metrics"]] == ["Resource", "Pods"]


WRONG = {
    "no store": ({}, "store.secret: name a Secret"),
    "a volume of one node": ({**LEAST, "replicas": 2}, "products.accessModes: several replicas"),
    "least over most": (
        {**LEAST, "products": {"persistence": False}, "autoscaling": {"enabled": True, "minReplicas": 11}},
        "minReplicas is more than",
    ),
}


@pytest.mark.parametrize(("values", "said"), WRONG.values(), ids=WRONG)
def test_what_can_not_work_is_said(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=f"HelmRenderError.*{re.escape(said)}"):
        render(values)


SLIPS: dict[str, dict[str, Any]] = {
    "a key that nothing reads": {**LEAST, "replicaCount": 2},
    "a secret in plain settings": {**LEAST, "settings": {"TRUNKLINE_STORE": "postgresql://u:p@h/d"}},
    "a variable of another program": {**LEAST, "settings": {"PATH": "/tmp"}},
    "no number": {**LEAST, "server": {"workers": "two"}},
    "a port that only root may take": {**LEAST, "server": {"port": 80}},
}


@pytest.mark.parametrize("values", SLIPS.values(), ids=SLIPS)
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="HelmValuesError"):
        check(values)


def test_the_schema_knows_every_value() -> None:
    def compare(values: Mapping[str, Any], schema: Mapping[str, Any], at: str) -> None:
        for name, value in values.items():
            assert name in schema["properties"], f"{at}{name} is not in values.schema.json"
            if isinstance(value, dict) and "properties" in schema["properties"][name]:
                compare(value, schema["properties"][name], f"{at}{name}.")

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), json.loads((CHART / "values.schema.json").read_text()), "")


def test_the_chart_is_of_this_trunkline() -> None:
    from trunkline import __version__

    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__
