"""A source: lines of `label<TAB>text`, as fastText writes them. Found by the suffix .tagged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trunkline.errors import DataError
from trunkline.types import Row


class TaggedSource:
    """Rows with the columns `label` and `text`."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path, self.encoding = path, encoding or "utf-8"

    def describe(self) -> str:
        return self.path.name

    def rows(self) -> Iterator[Row]:
        try:
            with self.path.open(encoding=self.encoding) as file:
                for number, line in enumerate(file, 1):
                    label, tab, text = line.rstrip("\n").partition("\t")
                    if not tab:
                        raise DataError(
                            "a line has no tab", where=f"{self.path}, line {number}", wanted="label<TAB>text"
                        )
                    yield {"label": label, "text": text}
        except FileNotFoundError:
            raise DataError("this file does not exist", where=str(self.path)) from None
        except UnicodeDecodeError as error:
            raise DataError("this file is not text", where=str(self.path), found=error.reason) from None
