"""Virtual environments of the tools, made once, with the seconds they took and their size."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import tokenize
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.jobs import WORK

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
PEERS: dict[str, tuple[str, ...]] = {
    "hand": ("scikit-learn", "pandas", "fastapi", "uvicorn[standard]"),
    "setfit": ("torch==2.13.0", "setfit"),
    "autogluon": ("torch==2.13.0", "autogluon.tabular[lightgbm,catboost,xgboost]", "fastapi", "uvicorn[standard]"),
}
# Servers of many models. Our package is read from this working tree; what its engine needs is installed beside them.
SERVERS: dict[str, tuple[str, ...]] = {
    "litserve": ("litserve==0.2.19",),
    "bentoml": ("bentoml==1.4.40",),
    "mlserver": ("mlserver==1.7.1", "uvloop<0.22"),  # with 0.22 and later its workers die in get_event_loop
}
_ENGINE = ("charset-normalizer", "filelock", "msgspec", "numpy", "openvino", "orjson", "platformdirs", "safetensors",
           "sentencepiece", "tokenizers")  # fmt: skip
LIMIT_S = 600
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
            tokenize.ENDMARKER)  # fmt: skip


def python(tool: str) -> Path:
    return WORK / "venvs" / tool / "bin" / "python"


def install() -> dict[str, Any]:
    """Ours anew each time; a peer's where it isn't there yet."""
    shutil.rmtree(WORK / "venvs" / "ours", ignore_errors=True)
    with tempfile.TemporaryDirectory() as temp:  # a build leaves files behind: not in the working tree
        for part in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE"):
            shutil.copyfile(ROOT / part, Path(temp) / part)
        shutil.copytree(ROOT / "src", Path(temp) / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        _make("ours", "-c", f"{temp}/constraints.txt", f"{temp}[heads]")
    for tool, packages in PEERS.items():
        peer(tool, packages)
    made = {tool: json.loads((WORK / "venvs" / f"{tool}.json").read_text()) for tool in ("ours", *PEERS)}
    return {
        "mb": {tool: _mib(WORK / "venvs" / tool) for tool in made},
        "s": {tool: one["s"] for tool, one in made.items()},
        "versions": "; ".join(f"{tool}: {', '.join(versions(tool))}" for tool in PEERS),
    }


def server(tool: str) -> None:
    """The environment of one of SERVERS, with the engine's packages in the versions that are here."""
    peer(tool, (*SERVERS[tool], *(f"{name}=={version(name)}" for name in _ENGINE)))


def peer(tool: str, packages: tuple[str, ...]) -> None:
    if not (WORK / "venvs" / f"{tool}.json").exists():
        _make(tool, *packages)


def _make(tool: str, *packages: str) -> None:
    folder = WORK / "venvs" / tool
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python(tool)), "-m", "pip", "install", "--quiet", *packages]
    subprocess.run(pip, check=True, timeout=LIMIT_S, stderr=subprocess.DEVNULL)
    took = round(time.perf_counter() - began, 1)
    (WORK / "venvs" / f"{tool}.json").write_text(json.dumps({"s": took}))


def _mib(folder: Path) -> int:
    """What `du` says of it, pip itself apart."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return round(sum(path.stat().st_blocks * 512 for path in files if not _is_pip(path)) / 2**20)


def _is_pip(path: Path) -> bool:
    return any(part == "pip" or part.startswith("pip-") for part in path.parts)


def versions(tool: str) -> list[str]:
    main = {"hand": ("scikit-learn", "fastapi"), "setfit": ("setfit", "sentence-transformers", "torch"),
            "autogluon": ("autogluon.tabular",), **{name: (name, "openvino") for name in SERVERS}}  # fmt: skip
    code = f"from importlib.metadata import version\nfor p in {main[tool]!r}: print(p, version(p))"
    return subprocess.run([str(python(tool)), "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()


def lines(name: str) -> int:
    """Lines of a file under benchmarks/ that say something: no blank ones, comments or docstring."""
    path = BENCHMARKS / name
    if path.suffix != ".py":
        return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in path.read_text().splitlines())
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in _NO_CODE]
    told = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    if tokens and tokens[0].type == tokenize.STRING:  # the docstring is for the readers of this benchmark
        told -= set(range(tokens[0].start[0], tokens[0].end[0] + 1))
    return len(told)
