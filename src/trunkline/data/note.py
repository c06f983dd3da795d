"""Remarks made while reading: not errors, but something the data report should say."""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    code: str  # "encoding", "delimiter", "nul", "label_spaces" ...
    message: str
    message_zh: str
