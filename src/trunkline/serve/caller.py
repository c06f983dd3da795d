"""Who calls: the holder of a key, or anybody where no key was ever made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Caller:
    """An organisation is a customer of this server; rows of one never meet another's in a cache."""

    name: str = "anonymous"
    organisation: str = ""
    scopes: frozenset[str] = frozenset({"predict"})


ANYBODY = Caller()


@lru_cache(maxsize=64)
def is_local(host: str) -> bool:
    """Does this host name this machine alone? A name other than localhost doesn't: where it leads may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
