"""The Containerfile, linted by hadolint and held against what it copies, installs and starts. No container engine runs
where the tests do, so nothing here builds it."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.serve.parts import make_product, register

from trunkline.cli import main
from trunkline.serve.app import build
from trunkline.serve.auth import needed_scope
from trunkline.serve.live import LiveCatalog
from trunkline.trunks import TRUNKS

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """(instruction, the rest), continued lines joined, comments gone."""
    lines = "\n".join(line for line in FILE.read_text().splitlines() if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def only(word: str) -> str:
    (found,) = [rest for name, rest in instructions() if name == word]
    return found


def test_hadolint_finds_nothing() -> None:
    command = [str(Path(sys.executable).parent / "hadolint"), "--failure-threshold", "style", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_copies_is_in_the_context() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = [source.removesuffix("/") for words in copied for source in words]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"


def extras(wanted: str) -> set[str]:
    """Every requirement that some extras bring, those they name followed."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found: set[str] = set()
    for name in wanted.split(","):
        for requirement in table[name]:
            inner = re.fullmatch(r"trunkline\[(.*)\]", requirement)
            found |= extras(inner[1]) if inner else {re.split(r"[\[=<>;]", requirement)[0]}
    return found


def test_its_extras_exist_and_bring_no_torch() -> None:
    wanted = only("ARG").removeprefix("EXTRAS=")
    brought = extras(wanted)
    assert {"pyarrow", "sqlalchemy", "psycopg"} <= brought
    assert not brought & {"torch", "transformers", "scikit-learn", "lightgbm"}


def test_what_it_starts_is_understood() -> None:
    assert json.loads(only("ENTRYPOINT")) == ["trunkline"]
    command, *words = json.loads(only("CMD"))
    with main.commands[command].make_context(command, words) as context:
        assert (str(context.params["folder"]), context.params["host"]) == ("/data", "0.0.0.0")
        assert context.params["port"] == int(only("EXPOSE"))
    runs = " && ".join(rest for word, rest in instructions() if word == "RUN")
    pulled = re.search(r"trunkline trunks pull (\S+)", runs)
    assert pulled
    assert pulled[1] in TRUNKS.names()


def test_it_does_not_run_as_root() -> None:
    user = only("USER")
    created = " ".join(rest for word, rest in instructions() if word == "RUN")
    uid, gid = user.split(":")
    assert f"--uid {uid}" in created
    assert f"--gid {gid}" in created
    owned = [rest for word, rest in instructions() if word == "COPY" and f"--chown={user}" in rest]
    assert {rest.split()[-1] for rest in owned} == {"/data", "/cache"}  # what it writes to
    assert "VOLUME" not in {word for word, _ in instructions()}  # an image on top of it couldn't copy products to /data


def test_its_health_check_asks_what_needs_no_key(tmp_path: Path) -> None:
    _, _, command = only("HEALTHCHECK").partition("CMD ")
    code = json.loads(command)[-1]
    compile(code, "health", "exec")
    asked = re.search(r"http://127\.0\.0\.1:(\d+)(/[^']*)'", code)
    assert asked
    with register():
        make_product(tmp_path / "support")
        app: Any = build(LiveCatalog(tmp_path))
    assert asked[1] == only("EXPOSE")
    assert asked[2] in {route.path for route in app.app.app.routes}
    assert needed_scope("GET", asked[2]) is None


def test_its_variables_are_documented() -> None:
    known = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    names = [word.split("=")[0] for word in shlex.split(only("ENV"))]
    assert [name for name in names if name.startswith("TRUNKLINE_") and f"`{name}`" not in known] == []
