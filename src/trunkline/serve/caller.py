"""Who calls: the holder of a key, or anybody where no key was ever made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """An organisation is a customer of this server; rows of one never meet another's in a cache."""

    name: str = "anonymous"
    organisation: str = ""
    scopes: frozenset[str] = frozenset({"predict"})


ANYBODY = Caller()
