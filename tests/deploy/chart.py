"""Asks Helm's own library about our chart, in a process of its own: that library is Go's, and brings down one that holds
torch and others. As a program it reads {"do", "values"} and prints {"found"} or {"refused", "why"}."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "trunkline"


class RefusedError(Exception):
    """Helm's name for what is wrong, and its words."""


def render(values: Mapping[str, Any]) -> dict[str, str]:
    """Template -> manifest, as `helm template` gives them. Raises RefusedError."""
    return dict(_asked("render", json.dumps(values)))


def lint(values: Mapping[str, Any]) -> dict[str, Any]:
    """The report of `helm lint --strict`."""
    return dict(_asked("lint", json.dumps(values)))


def check(values: Mapping[str, Any]) -> None:
    """By values.schema.json. Raises RefusedError."""
    _asked("check", json.dumps(values))


@cache
def _asked(do: str, values: str) -> Any:
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps({"do": do, "values": json.loads(values)}),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    if "refused" in told:
        raise RefusedError(f"{told['refused']}: {told['why']}")
    return told["found"]


def _main() -> None:
    import helm_python as helm

    asked = json.load(sys.stdin)
    values = asked["values"]
    try:
        with helm.Chart.load(CHART) as chart:
            found: Any = None
            if asked["do"] == "lint":
                found = helm.lint(CHART, values, strict=True, kube_version="v1.30.0")
            elif asked["do"] == "check":
                chart.validate_schema(values)  # raises
                found = None
            else:
                found = chart.render(values, name="demo", namespace="prod")
        print(json.dumps({"found": found}))
    except helm.HelmError as error:
        print(json.dumps({"refused": type(error).__name__, "why": str(error)}))


if __name__ == "__main__":
    _main()
