"""The error tree. Breakage is an error; a refusal (abstained, unreadable row) is a value: `types.Refused`.

TrunklineError
├── SpecError          product.toml is not valid
├── DataError          a source, a column or the rows can't be used
├── TrunkError         weights missing, altered, or not loadable
├── TrainError         no method can learn this product, or learning failed
├── BundleError        a bundle is damaged, unsafe, or of another format
├── GateFailed         trained and proven, but not good enough (exit code 3)
├── BusyError          another process is working in the same folder
├── MissingExtra       an optional part is not installed
├── UsageError         a command was used wrongly
└── RequestError       a call to the server can't be answered
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager


class TrunklineError(Exception):
    """One clear error: what went wrong, where, what was found, what was wanted, what to try.

    Only `what` is required. `str(error)` is at most four lines; each part is a plain sentence or value.
    """

    exit_code = 2

    def __init__(
        self, what: str, *, where: str = "", found: str = "", wanted: str = "", hint: str = ""
    ) -> None:
        self.what, self.where, self.found, self.wanted, self.hint = what, where, found, wanted, hint
        super().__init__(what)

    def __str__(self) -> str:
        seen = ", ".join(
            f"{name} {value}"
            for name, value in (("found", self.found), ("wanted", self.wanted))
            if value
        )
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if seen:
            lines.append(f"  {seen}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)

    @property
    def line(self) -> str:
        """What and where, in one line, without a remedy."""
        return ": ".join(part for part in (self.what, self.where, self.found) if part)

    def as_dict(self) -> dict[str, str]:
        """The same parts as JSON-ready strings; empty parts are left out."""
        parts = {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "found": self.found,
            "wanted": self.wanted,
            "try": self.hint,
        }
        return {name: value for name, value in parts.items() if value}

    @staticmethod
    def from_dict(told: Mapping[str, str]) -> TrunklineError:
        """What `as_dict` told of in another process; a plain TrunklineError where its class isn't known here."""
        kind = next((one for one in _kinds(TrunklineError) if one.__name__ == told["error"]), TrunklineError)
        error = kind.__new__(kind)  # some make their parts of other arguments
        parts = {part: told.get(part, "") for part in ("where", "found", "wanted")}
        TrunklineError.__init__(error, told["what"], **parts, hint=told.get("try", ""))
        return error


@contextmanager
def located(where: str) -> Iterator[None]:
    """While it lasts, an error of ours that says no place says this one: a name alone doesn't tell where it stands."""
    try:
        yield
    except TrunklineError as error:
        error.where = error.where or where
        raise


def _kinds(of: type[TrunklineError]) -> Iterator[type[TrunklineError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


class SpecError(TrunklineError):
    """product.toml is not valid."""


class DataError(TrunklineError):
    """A source, a column or the rows can't be used."""


class TrunkError(TrunklineError):
    """A trunk's weights are missing, altered, or can't be loaded."""


class TrainError(TrunklineError):
    """No method can learn this product, or learning failed."""


class BundleError(TrunklineError):
    """A bundle is damaged, unsafe, or of a format this version can't read."""


class GateFailed(TrunklineError):
    """The product was trained and proven, but its numbers don't pass its gate."""

    exit_code = 3


class BusyError(TrunklineError):
    """Another process is working in the same folder."""


class MissingExtra(TrunklineError):
    """An optional part is not installed."""

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(
            f"{part} is not installed",
            wanted=f"the '{extra}' extra",
            hint=f"pip install 'trunkline[{extra}]'",
        )


class UsageError(TrunklineError):
    """A command was used wrongly: an option that isn't known, an argument that lacks."""


class RequestError(TrunklineError):
    """A call to the server can't be answered."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known name closest to `name`, or listing the known ones."""
    names = sorted(known)
    plain = {one.casefold(): one for one in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), plain, n=1, cutoff=0.5)
    if close:
        return f"did you mean {plain[close[0]]!r}?"
    return f"known: {', '.join(names[:20])}" if names else "none are known"
