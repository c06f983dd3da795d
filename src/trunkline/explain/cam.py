"""Class activation maps: what each region of a picture adds to a score, from one pass through the network.

For a network that ends in the mean over all places and one linear layer, the class's weights times the last map are Grad-CAM
as well (Zhou et al. 2016, https://arxiv.org/abs/1512.04150; Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, its
appendix A): the gradient of a score in the map is the same at every place, the weight itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.desk import PREFIX
from trunkline.engines.looked import MAPS
from trunkline.explain.additive import Sum
from trunkline.explain.parts import Part, Parts
from trunkline.explain.regions import FINEST, GRID, Regions, box_of
from trunkline.heads.linear import DensePart, LinearHead
from trunkline.heads.onnx import OnnxHead
from trunkline.trunks import find
from trunkline.types import Call, Head, Places, Steps

WHOLE = (0.0, 0.0, 1.0, 1.0)
PLACES = "places"  # a trunk's form


def mapped(head: Head, parts: Parts) -> Steps[Sum | None]:
    """A row's scores as the summands of its picture's regions; their bases are 0. None where the product reads more than one picture,
    or its network has no such ending."""
    regions = next(iter(parts.columns.values()), None)
    if not isinstance(regions, Regions) or len(parts.row) > 1:
        return None
    if isinstance(head, OnnxHead) and any(tensor.side for tensor in head.tensors):
        (maps,) = yield from head.looked([parts.row], MAPS)
        found = _of_network(head, np.asarray(maps, np.float64))
    elif isinstance(head, LinearHead) and head.dense is not None and head.lexical is None:
        found = yield from _of_trunk(head, head.dense, regions)
    else:
        found = None
    if found is None:
        return None
    link, places = found
    cells = regions.parts(GRID * GRID)
    return Sum(link, np.zeros(len(places.values)), dict(zip(cells, summed(places, cells), strict=True)))


def _of_network(head: OnnxHead, maps: NDArray[np.float64]) -> tuple[str, Places] | None:
    """maps: (outputs, height, width) of one row, in the order of the network's outputs."""
    reading = head.reading
    if not maps.size or reading.holds not in ("logits", "value"):
        return None
    if reading.task == "regress":
        return "identity", Places(WHOLE, maps)
    if reading.task == "multilabel":
        return "labels", Places(WHOLE, maps[list(reading.order)])
    if len(maps) == 1:
        return "logistic", Places(WHOLE, maps if reading.order[1] == 1 else -maps)
    return "softmax", Places(WHOLE, maps[list(reading.order)])


def _of_trunk(head: LinearHead, part: DensePart, regions: Regions) -> Steps[tuple[str, Places] | None]:
    (engine, *more), dense = part.dense.engines, part.dense
    if more or dense.encoder is not None or not engine.startswith(PREFIX) or PLACES not in find(engine.removeprefix(PREFIX)).card.forms:
        return None
    ((found,),) = yield [Call(engine, [regions.picture], PLACES)]
    weights = (part.weights * part.scale).astype(np.float64)
    return head.link, Places(found.box, np.einsum("dhw,dk->khw", found.values.astype(np.float64), weights))


def summed(places: Places, cells: Sequence[Part]) -> list[NDArray[np.float64]]:
    """(k,) of each cell: places are counted by the share of them that lies in it."""
    height, width = places.values.shape[1:]
    left, top, right, bottom = places.box
    found = []
    for cell in cells:
        box = [edge / FINEST for edge in box_of(cell)]
        across, down = _within(box[0], box[2], left, right, width), _within(box[1], box[3], top, bottom, height)
        found.append(np.einsum("khw,h,w->k", places.values, down, across))
    return found


def _within(first: float, last: float, start: float, end: float, count: int) -> NDArray[Any]:
    """Of `count` equal pieces of [start, end], the share of each that lies in [first, last]."""
    edges = np.linspace(start, end, count + 1)
    overlap = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
    return np.asarray(np.clip(overlap / np.diff(edges), 0, 1))
