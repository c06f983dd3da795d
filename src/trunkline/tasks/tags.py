"""Tags of tokens to spans of a text: BIO, BIOES and BMES, read strictly, so that a slip in the data is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from trunkline.errors import DataError

BEGINS, INSIDE, ENDS, ALONE = frozenset("BS"), frozenset("IM"), frozenset("EL"), frozenset("SU")
PREFIXES = "BIOES, BMES, BILOU"
Raw = dict[str, Any]  # {"start", "end", "type", "text"}


def words_of(cell: Any) -> list[str]:
    """Tokens, or tags, of one cell: a list, JSON text of one, or parts with spaces between them."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        with suppress(ValueError):  # a token may be a bracket
            cell = json.loads(cell)
    return [str(part) for part in cell] if isinstance(cell, list | tuple) else str(cell or "").split()


def joined(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """(text, where each token begins): a space between tokens, none beside a Chinese sign."""
    parts, starts, at = [], [], 0
    for token, after in pairwise([*tokens, ""]):
        gap = " " if token and after and not (_wide(token[-1]) or _wide(after[0])) else ""
        parts.append(token + gap)
        starts.append(at)
        at += len(token) + len(gap)
    return "".join(parts), starts


def spans_of_tags(tokens: Sequence[str], tags: Sequence[str]) -> tuple[str, list[Raw]]:
    """(text, spans). Raises DataError naming the position: counts that differ, an unknown prefix, an inside or end
    without its beginning, a span that is never ended where the scheme marks ends."""
    if len(tokens) != len(tags):
        raise DataError("tokens and tags differ in number", found=f"{len(tokens)} tokens, {len(tags)} tags")
    text, starts = joined(tokens)
    marks_ends = any(tag[:1] in ENDS | ALONE for tag in tags)
    spans: list[Raw] = []
    begin: int | None = None
    for at, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        _check(prefix, kind, tag, at)
        if begin is not None and prefix not in INSIDE | ENDS:
            if marks_ends:
                raise DataError("a span is never ended", where=f"token {at}", found=tags[at - 1], wanted="E- or L-")
            spans.append(_span(text, starts[begin], starts[at - 1] + len(tokens[at - 1]), tags[begin]))
            begin = None
        elif prefix in INSIDE | ENDS:
            if begin is None or tags[begin].partition("-")[2] != kind:
                raise DataError(f"{tag!r} continues no span of its type", where=f"token {at + 1}", found=tag, wanted=f"B-{kind} before it")
            if prefix in ENDS:
                spans.append(_span(text, starts[begin], starts[at] + len(tokens[at]), tag))
                begin = None
            continue
        if prefix in ALONE:
            spans.append(_span(text, starts[at], starts[at] + len(tokens[at]), tag))
        elif prefix == "B":
            begin = at
    return text, spans


def spans_of_cell(cell: Any, text: str) -> list[Raw]:
    """A list of {"start", "end", "type"}, or JSON text of one, sorted. Raises DataError naming the position: a span
    outside its text, empty, or one that overlaps another."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.strip() else []
        except ValueError:
            raise DataError("the spans are no JSON", found=cell[:80], wanted='[{"start", "end", "type"}]') from None
    if not isinstance(cell, list):
        raise DataError("the spans are no list", found=repr(cell)[:80], wanted='[{"start", "end", "type"}]')
    spans = sorted((_read(one, at, text) for at, one in enumerate(cell)), key=lambda span: (span["start"], span["end"]))
    for before, after in pairwise(spans):
        if after["start"] < before["end"]:
            raise DataError("two spans overlap", found=f"{before['start']}-{before['end']} and {after['start']}-{after['end']}")
    return spans


def _read(one: Any, at: int, text: str) -> Raw:
    where = f"span {at + 1}"
    if not isinstance(one, Mapping) or not {"start", "end", "type"} <= one.keys():
        raise DataError("a span has no start, end and type", where=where, found=repr(one)[:80])
    start, end, kind = one["start"], one["end"], str(one["type"]).strip()
    if not (type(start) is int and type(end) is int and 0 <= start < end <= len(text)):
        found = f"{start}-{end} of {len(text)} characters"
        raise DataError("a span lies outside its text", where=where, found=found, wanted="0 <= start < end <= length")
    if not kind:
        raise DataError("a span has no type", where=where, found=repr(one)[:80])
    return _span(text, start, end, f"-{kind}")


def _span(text: str, start: int, end: int, tag: str) -> Raw:
    return {"start": start, "end": end, "type": tag.partition("-")[2], "text": text[start:end]}


def _check(prefix: str, kind: str, tag: str, at: int) -> None:
    if tag == "O":
        return
    if prefix not in BEGINS | INSIDE | ENDS | ALONE or not kind:
        raise DataError(f"{tag!r} is no tag", where=f"token {at + 1}", found=tag, wanted=f"O, or a prefix of {PREFIXES} and a type")


def _wide(sign: str) -> bool:
    return sign > "\u2e7f"
