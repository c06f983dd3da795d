"""Opening text files: encoding found or given, binary junk refused."""

from __future__ import annotations

import codecs
import io
import itertools
import re
from pathlib import Path

from trunkline.data.note import Note
from trunkline.errors import DataError
from trunkline.inputs.magic import looks

_CHUNK = 1 << 20
_SAMPLE, _BEFORE = 200_000, 2_000  # bytes judged for a legacy encoding; those before the first wrong one
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")  # control bytes other than tab, line ends and page breaks
_BINARY_SHARE = 0.02
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NAMES = {"gb18030": "GB18030 (GBK)", "big5": "Big5", "cp1252": "Windows-1252 (Latin)", "utf-16": "UTF-16"}
_CJK_SHARE = 0.5  # of the bytes above 0x7f: in Latin text accented letters stand alone between ASCII ones


def open_text(path: Path, encoding: str | None, newline: str | None = "") -> tuple[io.TextIOWrapper, list[Note]]:
    """The file as text, with notes about what was found.

    UTF-8 (with or without mark) is tried strictly over the whole file, then UTF-16 by its mark, then
    GB18030, Big5 and Latin as charset-normalizer judges them. Raises DataError for a missing or
    empty file, binary junk, and bytes that don't fit a given encoding.
    """
    head = _head(path)
    _refuse_binary(path, head)
    notes: list[Note] = []
    if encoding is None:
        encoding, notes = detect(path, head)
    check_name(path, encoding)
    return path.open(encoding=encoding, newline=newline), notes


def detect(path: Path, head: bytes) -> tuple[str, list[Note]]:
    """(codec name, notes)."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, [] if name == "utf-8-sig" else [_note(name)]
    wrong_at = _first_undecodable(path, "utf-8")
    if wrong_at is None:
        return "utf-8", []
    with path.open("rb") as file:
        file.seek(max(0, wrong_at - _BEFORE))
        legacy = _legacy(file.read(_SAMPLE))
    if legacy is None:
        raise DataError(
            "the text encoding of this file is not known",
            where=_line(path, wrong_at),
            found="bytes that are not UTF-8",
            hint='save it as UTF-8, or name its encoding: [data] encoding = "..."',
        )
    return legacy, [_note(legacy)]


def not_text(path: Path, error: UnicodeError, encoding: str) -> DataError:
    """The error for bytes that don't fit `encoding`, met while reading."""
    wrong_at = _first_undecodable(path, encoding)
    return DataError(
        f"this file is not {encoding} text",
        where=str(path) if wrong_at is None else _line(path, wrong_at),
        found=str(error),
        hint='remove [data] encoding to have it detected, or save the file as UTF-8',
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(65536)
    except FileNotFoundError:
        raise DataError(
            "this file does not exist", where=str(path), hint="check the path; one in [data] starts at product.toml"
        ) from None
    except OSError as error:
        raise DataError("this file can't be read", where=str(path), found=str(error.strerror)) from error
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError("this file is empty", where=str(path), wanted="rows of data")
    return head


def _refuse_binary(path: Path, head: bytes) -> None:
    known, where = looks(head), str(path)
    kind = known.name if known else None
    if kind is None and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = _BINARY.findall(head)
        if len(found) > _BINARY_SHARE * len(head):
            kind = "NUL bytes" if set(found) == {b"\0"} else "binary data"
            where = _line(path, head.index(found[0]))
    if kind:
        raise DataError("this file holds no text rows", where=where, found=kind, wanted="CSV or JSON lines as text")


def _line(path: Path, at: int) -> str:
    """The place of a byte as file and line."""
    with path.open("rb") as file:
        breaks = sum(file.read(min(_CHUNK, at - start)).count(b"\n") for start in range(0, at, _CHUNK))
    return f"{path}, line {breaks + 1}"


def _first_undecodable(path: Path, encoding: str) -> int | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    at = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return at + error.start
            at += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return at
    return None


def _legacy(sample: bytes) -> str | None:
    """gb18030, big5 or cp1252 by the share of adjacent high bytes, then by charset-normalizer."""
    import charset_normalizer

    sample = sample[: sample.rfind(b"\n") + 1] or sample  # whole lines: no sign is cut
    high = [byte > 0x7F for byte in sample]
    paired = sum(a and b for a, b in itertools.pairwise(high)) / max(1, sum(high))
    choices = ["gb18030", "big5"] if paired > _CJK_SHARE else ["cp1252"]
    best = charset_normalizer.from_bytes(sample, cp_isolation=choices, threshold=0.9).best()
    if best is not None and best.encoding in choices:
        return best.encoding
    return next((name for name in choices if _decodes(sample, name)), None)


def _decodes(sample: bytes, name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def check_name(path: Path, encoding: str) -> None:
    """Raises DataError for an encoding that Python doesn't know."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise DataError(
            "this encoding is not known", where=str(path), found=repr(encoding), wanted="utf-8, gb18030, big5 ..."
        ) from None


def _note(name: str) -> Note:
    shown = _NAMES[name]
    return Note("encoding", f"the file is not UTF-8; read as {shown}", f"文件不是 UTF-8 编码，已按 {shown} 读取")
