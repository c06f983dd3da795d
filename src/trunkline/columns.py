"""Table columns as numbers: what linear heads and tree heads compute with. Numpy only, serving-safe.

`ColumnReader` turns rows into one float64 matrix, a column an input (categories as codes);
`ColumnEncoder` turns that into standardised and one-hot features for linear models.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.types import Arrays, Inputs

NUMERIC_KINDS = ("number", "date", "bool")
TABLE_KINDS = (*NUMERIC_KINDS, "category")
UNSEEN = -1.0  # code of a category that training had not, or too seldom
MAX_VALUES = 254  # categories kept a column, the most frequent first
MIN_COUNT = 2  # a category seen once says nothing about its next row
SLACK = 1.0  # numbers are clipped this many training ranges beyond the training range


@dataclass(frozen=True)
class Column:
    """One input column of a table; `values` are the known categories, most frequent first."""

    name: str
    kind: str
    values: tuple[str, ...] = ()


class ColumnReader:
    """Rows -> float64 (n, columns). NaN = missing; a category is its index in `values`, or UNSEEN."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._codes: list[dict[str, float] | None] = [
            {value: float(i) for i, value in enumerate(c.values)} if c.kind == "category" else None
            for c in self.columns
        ]

    @classmethod
    def fit(cls, kinds: Mapping[str, str], inputs: Sequence[Inputs]) -> Self:
        """The table columns among `kinds` (column -> kind); other kinds are left to their trunks."""
        columns = []
        for name, kind in kinds.items():
            if kind in NUMERIC_KINDS:
                columns.append(Column(name, kind))
            elif kind == "category":
                columns.append(Column(name, kind, _frequent(name, inputs)))
        return cls(columns)

    @property
    def categorical(self) -> list[int]:
        """Positions of the category columns."""
        return [i for i, c in enumerate(self.columns) if c.kind == "category"]

    def read(self, rows: Sequence[Inputs]) -> NDArray[np.float64]:
        """float64 (n, columns); a column absent from a row counts as missing."""
        read = [
            [_number(row.get(column.name)) for row in rows]
            if codes is None
            else [_code(codes, row.get(column.name)) for row in rows]
            for column, codes in zip(self.columns, self._codes, strict=True)
        ]
        return np.array(read, np.float64).reshape(len(self.columns), len(rows)).T

    def save(self) -> list[dict[str, Any]]:
        """JSON-ready columns, in order."""
        return [{"name": c.name, "kind": c.kind, "values": list(c.values)} for c in self.columns]

    @classmethod
    def load(cls, saved: Any) -> Self:
        """Raises BundleError where `saved` is not what `save` gives."""
        try:
            columns = [Column(str(c["name"]), str(c["kind"]), tuple(map(str, c["values"]))) for c in saved]
        except (TypeError, KeyError) as error:
            raise BundleError("a head's columns can't be read", found=repr(error)) from None
        for column in columns:
            if column.kind not in TABLE_KINDS or len(set(column.values)) != len(column.values):
                raise BundleError("a head's column is not valid", where=column.name, found=column.kind)
        return cls(columns)


def _frequent(name: str, inputs: Sequence[Inputs]) -> tuple[str, ...]:
    counts = Counter(v for row in inputs if (v := row.get(name)) is not None)
    ranked = sorted(
        ((v, c) for v, c in counts.items() if c >= MIN_COUNT), key=lambda pair: (-pair[1], pair[0])
    )
    return tuple(v for v, _ in ranked[:MAX_VALUES])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _code(codes: Mapping[str, float], value: Any) -> float:
    return math.nan if value is None else codes.get(value, UNSEEN)


class ColumnEncoder:
    """Rows -> float32 (n, dim) features for linear models; each row's features depend on it alone.

    Numbers, dates and bools are standardised (missing = the mean) with an indicator where training
    had missing cells, and optionally hinges max(0, z - knot) at quantiles, which let a linear model
    bend (linear splines: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 5.2).
    Categories are one-hot over the frequent values, with `other` (rare in training, or unseen) and
    `missing` where training had them.
    """

    def __init__(self, reader: ColumnReader, arrays: Arrays) -> None:
        self.reader = reader
        self._numeric = np.array([i for i, c in enumerate(reader.columns) if c.kind != "category"], np.int64)
        self._categorical = np.array(reader.categorical, np.int64)
        count = (len(self._numeric), len(self._categorical))
        self.mean, self.scale = _sized(arrays, "mean", count[0]), _sized(arrays, "scale", count[0])
        self.low, self.high = _sized(arrays, "low", count[0]), _sized(arrays, "high", count[0])
        self.knots = arrays["knots"]
        if self.knots.ndim != 2 or len(self.knots) != count[0]:
            raise BundleError("a head's knots don't fit its columns", found=str(self.knots.shape))
        self.number_missing = _sized(arrays, "number_missing", count[0]).astype(bool)
        self.category_other = _sized(arrays, "category_other", count[1]).astype(bool)
        self.category_missing = _sized(arrays, "category_missing", count[1]).astype(bool)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise BundleError("a head's column scales are not valid", found=str(self.scale))
        self._plan()

    @classmethod
    def fit(cls, kinds: Mapping[str, str], inputs: Sequence[Inputs], knots: int = 0) -> Self:
        """Learn scales and vocabularies from training rows. `kinds`: column -> kind, as in the spec;
        `knots`: hinges a number column, at most (0 = straight lines only)."""
        reader = ColumnReader.fit(kinds, inputs)
        raw = reader.read(inputs)
        numbers = raw[:, [i for i, c in enumerate(reader.columns) if c.kind != "category"]]
        codes = raw[:, reader.categorical]
        mean, scale, low, high = _scales(numbers)
        standard = (np.where(np.isnan(numbers), mean, numbers) - mean) / scale
        return cls(
            reader,
            {
                "mean": mean,
                "scale": scale,
                "low": low,
                "high": high,
                "knots": _knots(standard, knots),
                "number_missing": np.any(np.isnan(numbers), axis=0, keepdims=True)[0],
                "category_other": np.any(codes == UNSEEN, axis=0, keepdims=True)[0],
                "category_missing": np.any(np.isnan(codes), axis=0, keepdims=True)[0],
            },
        )

    def _plan(self) -> None:
        """Where each feature goes. `_slots[start + code + 2]` is the feature of a code; the slot past
        the end takes what has no feature."""
        names = [self.reader.columns[i].name for i in self._numeric]
        hinged = ~np.isnan(self.knots)
        self._hinge_column, at = np.nonzero(hinged)
        self._hinge_knot = self.knots[self._hinge_column, at]
        self._missing = np.flatnonzero(self.number_missing)
        features = [
            *names,
            *(
                f"{names[j]} above {k:.3g} sd"
                for j, k in zip(self._hinge_column, self._hinge_knot, strict=True)
            ),
        ]
        features += [f"{names[j]} missing" for j in self._missing]
        slots: list[int] = []
        starts: list[int] = []
        for j, position in enumerate(self._categorical):
            column = self.reader.columns[position]
            starts.append(len(slots) + 2)
            extra = (("missing", self.category_missing[j]), ("other", self.category_other[j]))
            for label, present in extra:
                slots.append(len(features) if present else -1)
                features += [f"{column.name} {label}"] if present else []
            slots.extend(range(len(features), len(features) + len(column.values)))
            features += [f"{column.name}={value}" for value in column.values]
        self.names: tuple[str, ...] = tuple(features)
        self._slots = np.array(slots, np.int64)
        self._slots[self._slots < 0] = len(features)
        self._starts = np.array(starts, np.int64)

    @property
    def dim(self) -> int:
        return len(self.names)

    def transform(self, rows: Sequence[Inputs]) -> NDArray[np.float32]:
        """float32 (n, dim), in the order of `names`."""
        return self.encode(self.reader.read(rows))

    def encode(self, raw: NDArray[np.float64]) -> NDArray[np.float32]:
        """`transform` of what `reader.read` gave."""
        n = len(raw)
        out = np.zeros((n, self.dim + 1), np.float32)
        numbers = raw[:, self._numeric]
        missing = np.isnan(numbers)
        clipped = np.minimum(np.maximum(np.where(missing, self.mean, numbers), self.low), self.high)
        standard = (clipped - self.mean) / self.scale
        hinges, indicators = len(self._hinge_knot), len(self._missing)
        at = len(self._numeric)
        out[:, :at] = standard
        if hinges:
            out[:, at : at + hinges] = np.maximum(standard[:, self._hinge_column] - self._hinge_knot, 0)
        if indicators:
            out[:, at + hinges : at + hinges + indicators] = missing[:, self._missing]
        if len(self._categorical):
            codes = raw[:, self._categorical]
            known = np.where(np.isnan(codes), -2, codes).astype(np.int64)
            out[np.arange(n)[:, None], self._slots[self._starts + known]] = 1
        return out[:, : self.dim]

    def save(self) -> tuple[dict[str, Any], Arrays]:
        """(JSON-ready meta, arrays)."""
        arrays: Arrays = {
            "mean": self.mean,
            "scale": self.scale,
            "low": self.low,
            "high": self.high,
            "knots": self.knots,
            "number_missing": self.number_missing.astype(np.uint8),
            "category_other": self.category_other.astype(np.uint8),
            "category_missing": self.category_missing.astype(np.uint8),
        }
        return {"columns": self.reader.save()}, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where meta and arrays don't fit each other."""
        try:
            return cls(ColumnReader.load(meta["columns"]), arrays)
        except (KeyError, ValueError) as error:
            raise BundleError("a head's column encoder can't be read", found=repr(error)) from None


def _sized(arrays: Arrays, name: str, size: int) -> NDArray[Any]:
    array = arrays[name]
    if array.shape != (size,):
        raise BundleError(
            f"a head's array {name!r} has a wrong shape", found=str(array.shape), wanted=f"({size},)"
        )
    return array


def _scales(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """mean, scale (1 where constant), low and high limits, each (columns,); NaN cells are left out."""
    stats = [_scale(column[np.isfinite(column)]) for column in numbers.T]
    mean, scale, low, high = np.array(stats, np.float64).reshape(-1, 4).T
    return mean, scale, low, high


def _scale(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    if not len(values):
        return 0.0, 1.0, 0.0, 0.0
    spread = float(values.std())
    low, high = float(values.min()), float(values.max())
    reach = SLACK * (high - low)
    return float(values.mean()), spread if spread > 0 else 1.0, low - reach, high + reach


def _knots(standard: NDArray[np.float64], knots: int) -> NDArray[np.float64]:
    """(columns, knots) distinct inner quantiles, NaN where a column has fewer."""
    found = np.full((standard.shape[1], knots), np.nan)
    for j, column in enumerate(standard.T if knots else ()):
        low, high = column.min(), column.max()
        at = np.unique(np.quantile(column, np.linspace(0, 1, knots + 2)[1:-1]))
        inner = at[(at > low) & (at < high)]
        found[j, : len(inner)] = inner
    return found
