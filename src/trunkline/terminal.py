"""How the terminal looks: station lines and progress on stderr, results on stdout.

NO_COLOR, a stream that isn't a terminal, and --json are respected.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from trunkline.errors import TrunklineError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


class Ended(Exception):
    """Whoever follows a training has seen enough of it: `Progress.epoch` raises it, and it isn't gone on with."""


class Progress:
    """Progress of long work. This one is silent; `Terminal` shows it."""

    def station(self, name: str, text: str) -> None:
        """One station of the line has ended, with its result in a sentence."""

    def step(self, what: str, done: int, total: int, note: str = "", unit: str = "rows") -> None:
        """`done` of `total` units of `what` are through; called often, from one thread. note: figures so far."""

    def epoch(self, name: str, number: int, figures: Mapping[str, float]) -> None:
        """A network's epoch has been judged; figures of rows set aside, `loss` first. May raise Ended."""

    def close(self) -> None:
        """Take the bar off the screen."""


SILENT = Progress()


class Terminal(Progress):
    """Progress on stderr: a bar with rate and time left on a terminal, else a line a station."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: ProgressBar[int] | None = None
        self._what, self._started = "", 0.0

    def station(self, name: str, text: str) -> None:
        self.close()
        click.echo(f"{colour('✓', 'green', self._stream)} {name:<9}{text}", file=self._stream)

    def step(self, what: str, done: int, total: int, note: str = "", unit: str = "rows") -> None:
        if not self._stream.isatty():
            return
        if self._bar is None or what != self._what:
            self.close()
            self._what, self._started = what, time.perf_counter()
            self._bar = click.progressbar(length=total, label=what, file=self._stream, show_pos=True)
            self._bar.__enter__()
        rate = done / max(time.perf_counter() - self._started, 1e-3)
        shown = f"{rate:,.0f}" if unit == "rows" else f"{rate:,.2f}"
        self._bar.label, self._bar.length = f"  {what:<9}{shown} {unit}/s{note and '  ' + note}", total
        self._bar.update(done - self._bar.pos)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


class Stopwatch:
    """Seconds per station, for the report. encoding: seconds so far that went into features, a station of its own within
    the others; None = they count where they were asked for."""

    def __init__(self, encoding: Callable[[], float] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._encoding = encoding
        self._encoded = encoding() if encoding else 0.0
        self._last = time.perf_counter()

    def lap(self, station: str) -> float:
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        if self._encoding is not None:
            before, self._encoded = self._encoded, self._encoding()
            inside = min(self._encoded - before, spent)  # of several threads at once
            self._add("encode", inside)
            spent -= inside
        return self._add(station, spent)

    def _add(self, station: str, spent: float) -> float:
        self.seconds[station] = round(self.seconds.get(station, 0.0) + spent, 3)
        return self.seconds[station]


def colour(text: str, name: str, stream: TextIO) -> str:
    plain = "NO_COLOR" in os.environ or not stream.isatty()
    return text if plain else click.style(text, fg=name)


def error_lines(error: TrunklineError, stream: TextIO) -> str:
    """At most four lines: what, where, found / wanted, try."""
    return f"{colour('×', 'red', stream)} {error}"


def width(text: str) -> int:
    """Columns a text takes on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns aligned by spaces; `right` names the columns set flush right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(width(line[i]) for line in lines) for i in range(len(header))]

    def cell(text: str, i: int) -> str:
        gap = " " * (widths[i] - width(text))
        return gap + text if i in right else text + gap

    return "\n".join("  ".join(cell(t, i) for i, t in enumerate(line)).rstrip() for line in lines)
