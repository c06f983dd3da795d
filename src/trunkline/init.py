"""`trunkline init`: a new product's folder, from a shipped sample or from the user's own file."""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path
from typing import Any

from trunkline.data.paths import rows_of
from trunkline.data.read import open_path
from trunkline.data.sources.folder import parts_of
from trunkline.errors import DataError, SpecError, TrunklineError, nearest
from trunkline.files import atomic_folder
from trunkline.guess import Guessed, guess_columns
from trunkline.guess_spans import guess_spans
from trunkline.inputs.blob import DataFile

SAMPLE_ROWS = 20_000  # read for guessing; enough to see rare labels, read in about a second

# What a founder calls the job -> the shipped sample that does it.
TEMPLATES: dict[str, str] = {
    "intent": "support",
    "triage": "departments",
    "toxicity": "toxicity",
    "privacy": "privacy",
    "topics": "papers",
    "risk": "risk",
}


@dataclass(frozen=True)
class Guess:
    """What `init_from_file` made and why; `notes` are sentences in English and Chinese."""

    task: str
    label: str
    inputs: Mapping[str, str]  # column -> kind
    left_out: Mapping[str, str]  # column -> reason
    notes: tuple[str, ...] = ()
    files: list[Path] = field(default_factory=list)


def init_from_template(folder: Path, name: str, template: str) -> list[Path]:
    """Fill `folder` with the sample behind `template`; gives the files written.

    Raises SpecError for an unknown template or a name that can't be a product's, TrunklineError where
    a file would be overwritten or can't be written. Nothing is left half-written.
    """
    if template not in TEMPLATES:
        raise SpecError(
            f"there is no template {template!r}",
            found=repr(template),
            wanted=" | ".join(TEMPLATES),
            hint=nearest(template, TEMPLATES),
        )
    sample = TEMPLATES[template]
    with as_file(files("trunkline") / "samples" / sample) as source:
        text = (source / "product.toml").read_text(encoding="utf-8")
        text = text.replace(f'"{sample}"', json.dumps(name), 1)
        _check(text)

        def fill(stage: Path) -> None:
            for file in sorted(source.iterdir()):
                if file.is_file() and file.suffix in (".csv", ".md"):
                    shutil.copyfile(file, stage / file.name)
            (stage / "product.toml").write_text(text, encoding="utf-8")

        return _place(folder, fill)


def init_from_file(
    folder: Path, name: str, csv: Path, label: str | None, inputs: list[str] | None
) -> Guess:
    """Make a product of one's own rows: task and kinds are guessed from a sample of them.

    csv: a .csv, .jsonl or .parquet file, copied into `folder` as `train.*` with the pictures it names, or a folder of
    class folders (or of `train` and `test` with these in them), copied whole; left where it is if it lies there already.
    label: column with the right answer; found by its name if None. inputs: the columns that go in;
    all that look useful if None. Raises DataError for an unreadable file, a missing column (with the
    nearest name) or a label that can't be learned; else as `init_from_template`.
    """
    parts = parts_of(csv) if csv.is_dir() else None
    rows = _sample(parts[0] if parts else csv)
    guessed = guess_spans(rows, label, inputs) or guess_columns(rows, label, inputs, where=str(csv))
    inside = csv.resolve().parent == folder.resolve()
    train = csv.resolve().name if inside or csv.is_dir() else f"train{csv.suffix.lower()}"
    data = {k: f"{train}/{p.name}" for k, p in zip(("train", "test"), parts, strict=True)} if parts else {"train": train}
    text = product_toml(name, data, guessed, csv.name)
    _check(text)

    def fill(stage: Path) -> None:
        if not inside:
            _copy(csv, stage / train, guessed.inputs)
        (stage / "product.toml").write_text(text, encoding="utf-8")

    written = _place(folder, fill)
    return Guess(
        guessed.task, guessed.label, guessed.inputs, guessed.left_out, tuple(guessed.notes), written
    )


def _copy(source: Path, target: Path, kinds: Mapping[str, str]) -> None:
    """A folder, or a file of rows with the files that its cells name."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"), copy_function=shutil.copyfile)
        return
    shutil.copyfile(source, target)
    base = source.parent.resolve()
    for row in rows_of(open_path(source), kinds):
        for cell in row.values():
            if isinstance(cell, DataFile) and cell.path.is_file():
                place = target.parent / cell.path.relative_to(base)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(cell.path, place)


def product_toml(name: str, data: Mapping[str, str], guessed: Guessed, origin: str) -> str:
    """product.toml with a comment for whatever was guessed."""
    import tomli_w

    head: dict[str, Any] = {"name": name, "task": guessed.task, "label": guessed.label}
    if guessed.task == "multilabel":
        head["separator"] = guessed.separator
    data = {**data, "id": guessed.id} if guessed.id else data
    left = [f"# left out: {_comment(column)}, {why}" for column, why in guessed.left_out.items()]
    parts = [
        f"# Made by trunkline init --from {_comment(origin)}; change what was guessed wrongly.",
        "# All keys: trunkline config FOLDER, or docs/spec.md",
        tomli_w.dumps(head).strip(),
        "",
        tomli_w.dumps({"inputs": dict(guessed.inputs)}).strip(),
        *left,
        "",
        tomli_w.dumps({"data": data}).strip(),
        *([] if "test" in data else ['# test = "test.csv"   # without it, a stable fifth of the rows is kept for the proof']),
        *(f"# group = {json.dumps(c, ensure_ascii=False)}   # if rows of one belong together" for c in guessed.groups),
        "",
        "[gate]",
        'rules = ["gain.majority.low > 0"]   # what must hold before the server answers with it',
    ]
    return "\n".join(parts) + "\n"


def _comment(text: str) -> str:
    """One line, whatever a column or a file is called."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "")


def _check(text: str) -> None:
    from trunkline.spec import parse_spec

    parse_spec(tomllib.loads(text))


def _sample(file: Path) -> list[dict[str, Any]]:
    if not file.is_file() and not file.is_dir():
        known = [f.name for f in file.parent.iterdir() if f.is_file()] if file.parent.is_dir() else []
        raise DataError(
            "this file does not exist" if not file.exists() else "this is neither a file nor a folder",
            where=str(file),
            wanted="a .csv, .jsonl or .parquet file, or a folder of class folders",
            hint=nearest(file.name, known),
        )
    rows = [dict(row) for row in islice(open_path(file).rows(), SAMPLE_ROWS)]
    if not rows:
        raise DataError("this file holds no rows", where=str(file), wanted="a header and rows below it")
    if file.is_dir():  # names tell rows apart, but not equal pictures under two names
        kinds = Counter(name for row in rows for name in row if name not in ("file", "label"))
        others = {"file", *(name for name, _ in kinds.most_common()[1:])}  # a file is of one kind: what most are is read
        rows = [{name: cell for name, cell in row.items() if name not in others} for row in rows]
    return rows


def _place(folder: Path, fill: Callable[[Path], None]) -> list[Path]:
    """Fill a hidden folder, then move it into place: all files appear, or none."""
    if folder.exists() and not folder.is_dir():
        raise TrunklineError("there is a file of this name", where=str(folder), hint="choose another name")
    if not folder.exists():
        with atomic_folder(folder) as stage:
            fill(stage)
        return sorted(folder.iterdir())
    try:
        with _stage_in(folder) as stage:
            fill(stage)
            return _move(sorted(stage.iterdir(), key=lambda f: (f.name == "product.toml", f.name)), folder)
    except OSError as error:
        raise TrunklineError(
            "can't write into this folder", where=str(folder), found=error.strerror or str(error)
        ) from error


@contextmanager
def _stage_in(folder: Path) -> Iterator[Path]:
    stage = Path(tempfile.mkdtemp(prefix=".init-", dir=folder))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(staged: Sequence[Path], folder: Path) -> list[Path]:
    """product.toml last: while it is missing, the folder is no product."""
    taken = [file.name for file in staged if (folder / file.name).exists()]
    if taken:
        raise TrunklineError(
            f"{', '.join(taken)} would be overwritten",
            where=str(folder),
            hint="choose another folder, or move the old files away",
        )
    moved: list[Path] = []
    try:
        for file in staged:
            moved.append(file.rename(folder / file.name))
    except BaseException:
        for file in moved:
            file.unlink(missing_ok=True)
        raise
    return sorted(moved)
