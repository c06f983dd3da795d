"""What heads on trunks compute on: pooled vectors of text and image columns, then encoded table columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import ColumnEncoder
from trunkline.errors import BundleError
from trunkline.heads.arena import kept
from trunkline.heads.rowwise import Matrix, array_of, multiply_each, prefixed, side_by_side, unit_rows
from trunkline.types import Arrays, Call, Inputs, Outputs


class Part(NamedTuple):
    """A column by its own trunk."""

    engine: str  # "trunk:e5-small"
    column: str


@dataclass(frozen=True)
class Dense:
    """How rows become float32 (n, dim): each part's pooled vector, then the table columns."""

    parts: tuple[Part, ...]
    encoder: ColumnEncoder | None = None

    @classmethod
    def of_texts(cls, engine: str, texts: Sequence[str], encoder: ColumnEncoder | None = None) -> Self:
        """All columns by one trunk."""
        return cls(tuple(Part(engine, column) for column in texts), encoder)

    @cached_property
    def engines(self) -> tuple[str, ...]:
        """One a part."""
        return tuple(part.engine for part in self.parts)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """One a part."""
        return tuple(part.column for part in self.parts)

    def calls(self, rows: Sequence[Inputs]) -> list[Call]:
        """One call a part; a text that a row lacks is the empty text (a row without its picture isn't read)."""
        return [Call(part.engine, texts_of(rows, part.column)) for part in self.parts]

    def pooled(self, outputs: Outputs) -> Matrix:
        """The answers to `calls`, side by side."""
        return np.concatenate([np.asarray(o, np.float32) for o in outputs], axis=1)

    def features(self, pooled: Matrix, rows: Sequence[Inputs]) -> Matrix:
        if self.encoder is None:
            return pooled
        return np.concatenate([pooled, self.encoder.transform(rows)], axis=1)

    def check_width(self, found: Matrix, wanted: int) -> None:
        """Raises BundleError where the trunk's vectors aren't as long as the head was learned on."""
        if found.shape[1] != wanted:
            raise BundleError(
                "the trunk's vectors don't fit the head",
                where=", ".join(dict.fromkeys(self.engines)),
                found=f"{found.shape[1]} features",
                wanted=str(wanted),
            )

    def fits(self, width: int, landmarks: Landmarks | None) -> bool:
        """Whether `width` features can be the vectors of every part and all table columns."""
        pooled = width - (self.encoder.dim if self.encoder else 0)
        marked = landmarks is None or len(landmarks.centre) == pooled
        even = len(set(self.engines)) > 1 or pooled % len(self.parts) == 0  # trunks may differ in width
        return pooled >= len(self.parts) and even and marked

    def save(self) -> tuple[dict[str, Any], Arrays]:
        meta: dict[str, Any] = {"parts": [list(part) for part in self.parts]}
        if self.encoder is None:
            return meta, {}
        encoder, arrays = self.encoder.save()
        return {**meta, "encoder": encoder}, {f"encoder.{k}": v for k, v in arrays.items()}

    @classmethod
    def load(cls, meta: Any, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises BundleError where meta isn't what `save` gives, or gave while all columns were texts of one trunk."""
        parts = _parts_of(meta) if isinstance(meta, Mapping) else []
        if not parts or not all(isinstance(name, str) for part in parts for name in part):
            raise BundleError("a head's columns can't be read", found=repr(meta)[:200])
        encoder = None
        if "encoder" in meta:
            encoder = ColumnEncoder.load(meta["encoder"], prefixed(arrays, "encoder"))
        return cls(tuple(parts), encoder)


def _parts_of(meta: Mapping[str, Any]) -> list[Part]:
    """Names aren't checked; [] where there are none."""
    texts, parts = meta.get("texts"), meta.get("parts")
    if isinstance(texts, list):
        return [Part(str(meta.get("engine")), column) for column in texts]
    pairs = parts if isinstance(parts, list) else []
    return [Part(*pair) for pair in pairs] if all(isinstance(p, list) and len(p) == 2 for p in pairs) else []


def texts_of(rows: Sequence[Inputs], column: str) -> list[str]:
    return [row.get(column) or "" for row in rows]


@dataclass(frozen=True)
class Landmarks:
    """Where training rows lie in the trunk's space: how far out a new row is.

    points int8 (m, d), about unit length times 127: mean directions of the classes, seen from
    `centre` float32 (d,).
    """

    centre: Matrix
    points: NDArray[np.int8]

    def __post_init__(self) -> None:
        # By columns: as the product of `outside` reads them.
        object.__setattr__(self, "points", kept(self.points.T).T)

    @classmethod
    def of(cls, centre: Matrix, means: NDArray[Any]) -> Self:
        return cls(centre.astype(np.float32), np.rint(unit_rows(means) * 127).astype(np.int8))

    def outside(self, pooled: Matrix) -> Matrix:
        """(n,) 1 - the largest cosine to a point: 0 at a point, up to 2."""
        return outside_each([self], pooled)

    @cached_property
    def lengths(self) -> Matrix:
        """(m,) of the points."""
        return np.asarray(np.linalg.norm(self.points.astype(np.float32, order="C"), axis=1))

    def save(self) -> Arrays:
        return {"landmarks.centre": self.centre, "landmarks.points": self.points}

    @classmethod
    def load(cls, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """What `save` put among a head's arrays, None if it has none. Raises BundleError where they
        don't fit each other."""
        own = prefixed(arrays, "landmarks")
        if not own:
            return None
        centre, points = array_of(own, "centre", np.float32, 1), array_of(own, "points", np.int8, 2)
        if points.shape[1] != len(centre) or not len(points):
            raise BundleError("a head's landmarks don't fit", found=f"{points.shape}, centre {centre.shape}")
        return cls(centre, points)


def outside_each(marks: Sequence[Landmarks], pooled: Matrix) -> Matrix:
    """(p * n,) `outside` of vectors (n, d) by the first of p landmarks of one shape, then by the next ones."""
    points, dim = marks[0].points.shape
    centres = side_by_side([each.centre for each in marks])
    directions = unit_rows((pooled - centres).reshape(-1, dim)).reshape(len(marks), -1, dim)
    cosines = np.empty((len(marks), len(pooled), points), np.float32)
    multiply_each(directions, _widened(marks), cosines)
    cosines /= side_by_side([each.lengths for each in marks])
    return np.asarray(1 - cosines.max(axis=2)).ravel()


def _widened(marks: Sequence[Landmarks]) -> Iterator[Matrix]:
    """float32 (d, m) of each, in one place: kept, they would be four times as large as what is saved."""
    place = np.empty(marks[0].points.T.shape, np.float32)
    for each in marks:
        place[...] = each.points.T
        yield place
