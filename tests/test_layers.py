"""Imports go one way along the line, and serving stays light. The rules are the tables below."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trunkline

ROOT = Path(trunkline.__file__).parent

# The line, left to right: a module may import what stands before it, and its own package.
ORDER = (
    "errors", "types", "registry", "files", "terminal", "spec", "metrics", "inputs", "data", "engines", "trunks",
    "program", "segments", "features", "desk", "tasks", "columns", "lexical", "vocabulary", "heads", "explain", "training", "networks", "pretraining", "methods", "proof", "tuning", "bundle", "record", "recordfile", "shelf",
    "views", "exporting", "line", "shrink", "store", "cluster", "serve", "client", "product", "deploying", "guess", "guess_spans", "init", "demo", "keys", "queue", "on_ray", "commands", "cli",
)  # fmt: skip

# Imports that point to the right on purpose. spec: names are checked against the doors, which are light.
# methods.ladder: what a rung brought is a paired difference, and those are computed in one place.
ALLOWED = {
    ("trunkline.methods.ladder", "proof"),
    ("trunkline.spec.load", "inputs"),
    ("trunkline.spec.load", "tasks"),
    ("trunkline.spec.load", "methods"),
    ("trunkline.spec.reference", "inputs"),
    ("trunkline.spec.reference", "tasks"),
    ("trunkline.spec.reference", "methods"),
}

# What answers requests may not import these, not even inside a function.
SERVING = ("serve", "explain", "heads", "bundle", "record", "recordfile", "shelf", "inputs", "engines", "program", "segments", "features", "desk", "columns", "lexical", "vocabulary")
TRAINING_ONLY = ("trunkline.methods", "trunkline.training", "trunkline.networks", "trunkline.pretraining", "trunkline.line.train", "trunkline.shrink", "trunkline.product", "sklearn", "lightgbm", "scipy", "torch", "transformers", "joblib")
PICKLES = ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")

# `import trunkline` and `trunkline --help` must not load these.
HEAVY = ("numpy", "torch", "sqlalchemy", "starlette", "uvicorn", "pyarrow", "sklearn", "lightgbm", "onnxruntime", "openvino")


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("trunkline", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names imported anywhere, functions included; `if TYPE_CHECKING` left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif is_type_checking(node):
            assert isinstance(node, ast.If)
            yield from imports(ast.Module(node.orelse, type_ignores=[]))
        else:
            yield from imports(node)


def imported(module: str) -> set[str]:
    return set(imports(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def station(name: str) -> str:
    """trunkline.spec.load.x -> spec; the package itself -> ''."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("module", [m for m in MODULES if m not in ("trunkline", "trunkline.__main__")])
def test_imports_go_one_way(module: str) -> None:
    here = station(module)
    assert here in ORDER, f"{module} has no place on the line: add {here!r} to ORDER"
    wrong = sorted(
        name
        for name in imported(module)
        if is_below(name, "trunkline")
        and (there := station(name)) in ORDER
        and ORDER.index(there) > ORDER.index(here)
        and (module, there) not in ALLOWED
    )
    assert not wrong, f"{module} imports from further right on the line: {wrong}"


def test_the_package_itself_names_only_known_stations() -> None:
    assert {station(m) for m in MODULES} - {"", "__main__"} <= set(ORDER)


def test_no_exception_is_left_that_nobody_needs() -> None:
    unused = {(m, s) for m, s in ALLOWED if m not in MODULES or s not in {station(n) for n in imported(m)}}
    assert not unused


@pytest.mark.parametrize("module", [m for m in MODULES if station(m) in SERVING])
def test_serving_imports_nothing_of_training(module: str) -> None:
    wrong = sorted(n for n in imported(module) if any(is_below(n, other) for other in TRAINING_ONLY))
    assert not wrong


@pytest.mark.parametrize("module", list(MODULES))
def test_nothing_pickles(module: str) -> None:
    wrong = sorted(n for n in imported(module) if any(is_below(n, other) for other in PICKLES))
    assert not wrong


def loaded_after(code: str, names: tuple[str, ...]) -> list[str]:
    script = f"{code}\nimport sys\nprint(*[n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.parametrize("code", ["import trunkline", "import trunkline.cli", "import trunkline.errors, trunkline.spec"])
def test_importing_is_light(code: str) -> None:
    assert loaded_after(code, HEAVY) == []


@pytest.mark.parametrize("module", [m for m in MODULES if m in ("trunkline.serve.run", "trunkline.serve.app")])
def test_the_server_loads_nothing_of_training(module: str) -> None:
    names = ("trunkline.methods.linear", "sklearn", "lightgbm", "scipy", "torch", "transformers", "joblib")
    assert loaded_after(f"import {module}", names) == []


def test_every_head_loads_without_training_libraries() -> None:
    code = "from trunkline.heads import HEADS\nfor name in HEADS.names(): HEADS.get(name)"
    assert loaded_after(code, ("sklearn", "lightgbm", "scipy", "torch")) == []


def test_the_rule_can_fail() -> None:
    tree = ast.parse("if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c.d import e\n")
    assert set(imports(tree)) == {"b", "c.d.e"}
