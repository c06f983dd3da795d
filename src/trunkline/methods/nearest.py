"""The training rows that lie nearest to a row: by the trunk's vectors of its texts and pictures, and its table columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import TABLE_KINDS, ColumnEncoder
from trunkline.heads.dense import texts_of
from trunkline.heads.rowwise import unit_rows
from trunkline.spec import Spec
from trunkline.spec.model import trunk_of
from trunkline.types import Ask, Call, Inputs

ROWS = 20_000  # training rows that are looked at, at most

Floats = NDArray[np.float64]


def nearest(spec: Spec, train: Sequence[Inputs], rows: Sequence[Inputs], count: int, ask: Ask) -> list[list[int]]:
    """For each row the places of `count` training rows, the nearest first; [] where the product has neither a trunk nor
    table columns. Every column counts alike, whatever its width."""
    train = train[:ROWS]
    known, asked = _vectors(spec, train, train, ask), _vectors(spec, train, rows, ask)
    if not known or not rows:
        return [[] for _ in rows]
    far = sum(np.square(b[:, None, :] - a[None, :, :]).sum(axis=2) for a, b in zip(known, asked, strict=True))
    order = np.argsort(far, axis=1, kind="stable")[:, :count]
    return [[int(at) for at in row] for row in order]


def _vectors(spec: Spec, train: Sequence[Inputs], rows: Sequence[Inputs], ask: Ask) -> list[Floats]:
    """Of each text or picture column, and of all table columns together, (rows, dim) of about unit length."""
    found: list[Floats] = []
    for column, kind in spec.inputs.items():
        trunk = trunk_of(spec, kind) if kind not in TABLE_KINDS else None
        if trunk is not None:
            calls = [Call(f"trunk:{trunk}", texts_of(part, column)) for part in (train, rows)]
            own, wanted = (np.asarray(vectors, np.float64) for vectors in ask(calls))
            found.append(unit_rows(wanted - own.mean(axis=0)).astype(np.float64))
    table = {column: kind for column, kind in spec.inputs.items() if kind in TABLE_KINDS}
    if table:
        encoder = ColumnEncoder.fit(table, train)
        found.append(encoder.transform(rows).astype(np.float64) / np.sqrt(len(table)))
    return found
