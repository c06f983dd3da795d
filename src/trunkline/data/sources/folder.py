"""A folder of class folders: the folder's name is the label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trunkline.data.note import Note
from trunkline.data.sources.text import check_name, open_text
from trunkline.errors import DataError
from trunkline.inputs.blob import DataFile
from trunkline.inputs.file_kinds import SUFFIXES

_MOST = 1_100_000  # signs read of a text file: a little over what the kind `text` takes, so that it refuses


def parts_of(path: Path) -> tuple[Path, Path] | None:
    """The folders `train` and `test`, where `path` holds just these and they hold folders only; else None."""
    inside = {folder.name.lower(): folder for folder in _folders(path)}
    if set(inside) != {"train", "test"}:
        return None
    parts = inside["train"], inside["test"]
    return parts if all(_folders(part) and len(_folders(part)) == len(_seen(part)) for part in parts) else None


def _seen(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if not p.name.startswith("."))


def _folders(path: Path) -> list[Path]:
    return [p for p in _seen(path) if p.is_dir()]


class FolderSource:
    """One row a file, sorted by path: `file` (relative path), `label`, `text` for .txt files, `image` for pictures."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path, self.encoding = path, encoding
        self.notes: list[Note] = []

    def describe(self) -> str:
        return self.path.name + "/"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Streams rows; hidden files are skipped.

        Raises DataError for a missing folder, one without class folders, one of parts, and links that leave it.
        """
        if not self.path.is_dir():
            raise DataError("this folder does not exist", where=str(self.path))
        if parts := parts_of(self.path):
            raise DataError(
                "this folder holds a training and a test part, no class folders",
                where=str(self.path),
                hint=f'name both: train = "{parts[0].relative_to(self.path.parent)}", test = "{parts[1].relative_to(self.path.parent)}"',
            )
        classes = _folders(self.path)
        if not classes:
            raise DataError(
                "this folder holds no class folders",
                where=str(self.path),
                wanted="one folder a label, with its files in it",
            )
        if self.encoding is not None:
            check_name(self.path, self.encoding)
        for folder in classes:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.name.startswith("."):
                    yield self._row(folder.name, file)

    def _row(self, label: str, file: Path) -> dict[str, Any]:
        if not file.resolve().is_relative_to(self.path.resolve()):
            raise DataError("a link leaves the folder", where=str(file), hint="copy the file into the folder")
        row: dict[str, Any] = {"file": file.relative_to(self.path).as_posix(), "label": label}
        if file.suffix.lower() == ".txt":
            row["text"] = self._text(file)
        if kind := SUFFIXES.get(file.suffix.lower()):
            row[kind] = DataFile(file)
        return row

    def _text(self, file: Path) -> str | DataFile:
        """Its text; the file itself where it holds none, as a picture that is named .txt: one row fails, not all."""
        if file.stat().st_size == 0:
            return ""
        try:
            handle, notes = open_text(file, self.encoding, newline=None)
            with handle:
                text = handle.read(_MOST)
        except UnicodeError as error:
            return DataFile(file, f"bytes that are not {self.encoding or 'UTF-8'}: {error.reason if isinstance(error, UnicodeDecodeError) else error}")
        except DataError as error:
            return DataFile(file, error.found or error.what)
        self.notes += [note for note in notes if note not in self.notes]
        return text
