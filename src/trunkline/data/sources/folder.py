"""A folder of class folders: the folder's name is the label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trunkline.data.note import Note
from trunkline.data.sources.text import not_text, open_text
from trunkline.errors import DataError

_MOST = 1_100_000  # signs read of a text file: a little over what the kind `text` takes, so that it refuses


class FolderSource:
    """One row a file, sorted by path: `file` (relative path), `label`, and `text` for .txt files."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path, self.encoding = path, encoding
        self.notes: list[Note] = []

    def describe(self) -> str:
        return self.path.name + "/"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Streams rows; hidden files are skipped.

        Raises DataError for a missing folder, one without class folders, and links that leave it.
        """
        if not self.path.is_dir():
            raise DataError("this folder does not exist", where=str(self.path))
        classes = sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not classes:
            raise DataError(
                "this folder holds no class folders",
                where=str(self.path),
                wanted="one folder a label, with its files in it",
            )
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
        return row

    def _text(self, file: Path) -> str:
        if file.stat().st_size == 0:
            return ""
        handle, notes = open_text(file, self.encoding, newline=None)
        self.notes += [note for note in notes if note not in self.notes]
        with handle:
            try:
                return handle.read(_MOST)
            except UnicodeError as error:
                raise not_text(file, error, handle.encoding) from error
