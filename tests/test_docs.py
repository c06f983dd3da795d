"""What is documented runs, and what exists is documented: keys, commands, routes, errors, links."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import click
import httpx
import msgspec
import pytest

from trunkline import errors
from trunkline.cli import main
from trunkline.demo import server
from trunkline.spec import parse_spec
from trunkline.spec.reference import keys

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("src/**/*.md")])
READMES = [page for page in PAGES if page.parent == ROOT and page.name.startswith("README")]
FENCE = re.compile(r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$", re.M | re.S)
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def text_of(name: str) -> str:
    page = DOCS / name
    assert page.is_file(), f"docs/{name} is missing"
    return page.read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """Heading (its code marks gone) -> what stands below it, up to the next heading of its level or above."""
    found = list(re.finditer(r"^(#+) (.+)$", text, re.M))
    ends = [
        next((later.start() for later in found[at + 1 :] if len(later[1]) <= len(head[1])), len(text))
        for at, head in enumerate(found)
    ]
    return {head[2].replace("`", "").strip(): text[head.end() : end] for head, end in zip(found, ends, strict=True)}


def blocks(text: str, language: str) -> Iterator[tuple[str, str]]:
    """(mark, body) of each fenced block; the mark is an HTML comment on the line before it."""
    for found in FENCE.finditer(text):
        if found["language"] == language:
            yield found["mark"] or "", found["body"]


# ---- keys ---------------------------------------------------------------------------------------


def test_generated_pages_are_current(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trunkline.spec.reference", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    for made in tmp_path.iterdir():
        assert text_of(made.name) == made.read_text(encoding="utf-8"), f"docs/{made.name} is old: make docs"


def test_every_key_is_described() -> None:
    page = text_of("spec.md")
    for key, _, _, description in keys():
        assert description, f"{key} has no description"
        assert f"`{key}`" in page


def test_toml_examples_are_valid_products() -> None:
    products = set()
    for page in PAGES:
        for mark, body in blocks(page.read_text(encoding="utf-8"), "toml"):
            raw = tomllib.loads(body)
            if "task" in raw and mark != "not a product":
                parse_spec(raw, where=str(page))
                products.add(page.name)
    assert {page.name for page in READMES} <= products


# ---- commands -----------------------------------------------------------------------------------


def commands(group: click.Group, path: str = "trunkline") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


@pytest.mark.parametrize(("path", "command"), list(commands(main)), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_and_option_is_documented(path: str, command: click.Command) -> None:
    assert command.help, f"{path} has no help"
    section = next((body for head, body in sections(text_of("cli.md")).items() if is_about(head, path)), None)
    assert section is not None, f"docs/cli.md has no heading for {path}"
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    missing = [o.opts[-1] for o in options if not re.search(rf"(?<![\w-]){o.opts[-1]}(?![\w-])", section)]
    assert not missing, f"docs/cli.md, {path}: {missing} undocumented"
    assert all(option.help for option in options), f"{path} has an option without help"


def is_about(heading: str, path: str) -> bool:
    return heading == path or heading.startswith(path + " ") or heading == path.removeprefix("trunkline ")


# ---- routes and errors --------------------------------------------------------------------------


def test_every_route_is_documented() -> None:
    from trunkline.serve import app

    routes = set(re.findall(r'Route\("(/[^"]+)"', inspect.getsource(app)))
    assert len(routes) > 4
    page = text_of("http.md")
    assert not [route for route in routes if route not in page]


ERRORS = [
    error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, errors.TrunklineError)
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_documented_in_two_languages(error: type[errors.TrunklineError]) -> None:
    section = sections(text_of("errors.md")).get(error.__name__, "")
    assert len(section) > 80, f"docs/errors.md has no section {error.__name__}"
    assert CHINESE.search(section)


def test_no_error_is_documented_that_is_gone() -> None:
    headings = [head for head in sections(text_of("errors.md")) if head != "Errors"]
    assert set(headings) == {error.__name__ for error in ERRORS}


# ---- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    assert not [t for t in local if not (page.parent / t).exists()]


def test_quoted_files_are_quoted_word_by_word() -> None:
    quoted = 0
    for page in PAGES:
        for mark, body in blocks(page.read_text(encoding="utf-8"), "python"):
            if mark.startswith("file: "):
                quoted += 1
                source = (ROOT / mark.removeprefix("file: ")).read_text(encoding="utf-8")
                assert body in source, f"{page.name}: the block is not what {mark} holds"
    assert quoted >= 6


def test_the_benchmark_page_is_current() -> None:
    from benchmarks.page import page

    assert text_of("benchmarks.md") == page(), "docs/benchmarks.md is old: make docs"


def test_the_page_of_scale_is_current() -> None:
    from benchmarks.scale_page import page

    assert page() == text_of("scale-serving.md"), "stale: python -m benchmarks.scale_page"


def test_the_matrix_page_and_its_picture_are_current() -> None:
    from benchmarks.matrix_page import page, picture

    assert text_of("matrix.md") == page(), "docs/matrix.md is old: make docs"
    assert text_of("matrix.svg") == picture(), "docs/matrix.svg is old: make docs"


def test_the_matrix_picture_is_a_drawing_for_light_and_dark() -> None:
    drawing = ElementTree.fromstring(text_of("matrix.svg"))
    spaces = {"svg": "http://www.w3.org/2000/svg"}
    assert drawing.get("role") == "img"
    assert "products" in drawing.get("aria-label", "")
    style = drawing.findtext("svg:style", "", spaces)
    assert "prefers-color-scheme: dark" in style
    for panel in drawing.findall("svg:g", spaces):
        labels = [float(t.get("y", 0)) for t in panel.findall("svg:text", spaces) if t.get("class") == "ink"]
        assert len(labels) >= 4
        assert min(abs(a - b) for a, b in pairwise(sorted(labels))) >= 14, "labels touch"


# ---- README -------------------------------------------------------------------------------------


def script(text: str, every: bool = False) -> list[str]:
    """The `$` lines of ```console blocks with what follows a `\\` at the end; without blocks marked "not run"."""
    lines: list[str] = []
    for mark, body in blocks(text, "console"):
        if mark == "not run" and not every:
            continue
        open_line = False
        for line in body.splitlines():
            if line.startswith("$ ") or open_line:
                lines.append(line.removeprefix("$ ") if not open_line else line)
                open_line = line.endswith("\\")
    return lines


def calls(text: str) -> list[tuple[str, str]]:
    """(route, body) of each curl line: asked of a server on a free port, as 8000 may be taken."""
    return re.findall(r"^\$ curl -s localhost:8000(/\S+) -d '([^'\n]+)'$", text, re.M)


def run_script(lines: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """As one bash script, stopping at the first line that fails; what it left in the background is ended."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "TRUNKLINE_CACHE": str(folder.parent / "cache")}
    code = "\n".join(["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", "set -x", *lines])
    return subprocess.run(
        ["bash", "-c", code], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.parametrize("readme", READMES, ids=lambda page: page.name)
def test_readme_runs(readme: Path, tmp_path: Path) -> None:
    """As a newcomer would, from an empty cache: the commands, the Python, a server and its calls."""
    text = readme.read_text(encoding="utf-8")
    done = run_script(script(text), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for _, code in blocks(text, "python"):
        told = run_script([f"python -c {shlex.quote(code)}"], tmp_path)
        assert told.returncode == 0, told.stderr[-3000:]
        assert told.stdout
    asked = calls(text)
    assert {route.rsplit("/", 2)[-2] for route, _ in asked} == {"support", "matrix"}
    with server(tmp_path) as (base, _):
        for route, body in asked:
            answered = httpx.post(base + route, content=body.encode(), timeout=30)
            assert answered.status_code == 200, answered.text
            assert not [a for a in answered.json()["answers"] if a["status"] == "error"]


def test_readmes_show_the_same_in_two_languages() -> None:
    """Commands, calls and product.toml; in an order and with comments of their own."""
    texts = [readme.read_text(encoding="utf-8") for readme in READMES]
    assert len(texts) == 2
    shown = [sorted(script(text, every=True)) for text in texts]
    assert len(shown[0]) > 10
    assert shown[0] == shown[1]
    specs = [sorted(map(repr, map(tomllib.loads, (body for _, body in blocks(t, "toml"))))) for t in texts]
    assert len(specs[0]) == 2
    assert specs[0] == specs[1]
    assert all(CHINESE.search(text) for text in texts)
    assert extras(texts[0]) == extras(texts[1]) == set(declared_extras()) - {"dev"}


def extras(text: str) -> set[str]:
    table = text[text.index("| extra |") :].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.M))


def declared_extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


def test_the_runner_fails_on_a_command_that_fails(tmp_path: Path) -> None:
    text = "```console\n$ echo one \\\n  two > out\n$ cat nothing-here\n```\n<!-- not run -->\n```console\n$ exit 0\n```\n"
    assert script(text) == ["echo one \\", "  two > out", "cat nothing-here"]
    assert run_script(script(text), tmp_path).returncode != 0
    assert (tmp_path / "out").read_text() == "one two\n"


def test_schema_and_spec_agree() -> None:
    from trunkline.spec.reference import json_schema

    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "task", "label", "inputs"}
    msgspec.json.encode(schema)
