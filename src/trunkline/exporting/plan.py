"""How a bundle becomes a graph: what is read, the nodes, and the numbers that a row is for them. By the head's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trunkline.bundle import Bundle
from trunkline.errors import BundleError
from trunkline.exporting.graph import Tail
from trunkline.exporting.needs import Numbers, Pixels, Tokens, Words
from trunkline.types import Call

Feed = Mapping[str, NDArray[np.generic]]  # the network's inputs by name, of one row


@dataclass(frozen=True)
class Plan:
    """tail: the graph, up to `values` (what the head's program ends in); outside: of how far a row lies out, "" if the
    head can't tell. feed: the first call of the head's program for one row -> the network's inputs. tolerance: of a
    probability, between this graph and the bundle. files: by name, what `reads` speaks of."""

    reads: tuple[Words | Tokens | Pixels | Numbers, ...]
    tail: Tail
    values: str
    feed: Callable[[Call], Feed]
    tolerance: float
    outside: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    licence: tuple[str, ...] = ()


def cannot(bundle: Bundle, why: str, hint: str = "") -> BundleError:
    """Why this product can't go to a phone or a browser, as one error."""
    return BundleError("this product can't be exported for a phone or a browser", where=f"{bundle.name} {bundle.version}", found=why, hint=hint)
