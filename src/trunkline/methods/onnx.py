"""The method `onnx`: a network that was learned elsewhere, from an ONNX file beside product.toml.

Nothing is fitted. The training rows only set temperature and thresholds, and the test rows prove it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from msgspec import Meta, Struct

from trunkline.columns import NUMERIC_KINDS, TABLE_KINDS
from trunkline.engines.own import HOME, NET, PROBES, Owned, OwnNetwork
from trunkline.errors import SpecError, nearest
from trunkline.files import safe_below
from trunkline.heads.onnx import OnnxHead, Reading, Tensor
from trunkline.methods.dense_rows import TASKS
from trunkline.methods.settings import read_settings
from trunkline.program import one
from trunkline.spec import Spec
from trunkline.spec.model import trunk_of
from trunkline.trunks.owned import packed
from trunkline.types import Ask, Call, Candidate, Examples, Finding, Folds, Head, Outputs, Refused


class Taken(Struct, frozen=True, forbid_unknown_fields=True):
    """[method.settings.inputs.<tensor>]: what one input of the network takes."""

    columns: Annotated[tuple[str, ...], Meta(min_length=1)]
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    codes: dict[str, tuple[str, ...]] = {}  # category column -> its names, in the order of their codes
    unseen: float = -1.0  # code of a name that `codes` lacks
    missing: float | str | None = None  # what stands for a missing cell: nan, or "" among strings
    pooled: bool = False  # the text column as its trunk's vector


class OnnxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """[method.settings] of a product that brings its own network."""

    file: str = "model.onnx"  # below the folder of product.toml
    inputs: dict[str, Taken] = {}  # a column that none of them takes goes to the input of its own name
    output: str = ""  # the output to read; needs no name where there is one
    holds: Literal["probabilities", "logits", "label", "value"] | None = None
    labels: tuple[str, ...] = ()  # in the output's order; sorted as scikit-learn does if not given


class Onnx:
    """Raises BundleError for a network that doesn't fit the columns or the answer."""

    name: ClassVar[str] = "onnx"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, OnnxSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.method.name != self.name:
            return Refused("cannot", "onnx brings a network of its own: only a product that names it has one")
        other = sorted({kind for kind in spec.inputs.values() if kind not in (*TABLE_KINDS, "text")})
        if other or spec.task not in TASKS:
            found = ", ".join(other) or spec.task
            return Refused("cannot", f"onnx reads texts and table columns for {', '.join(TASKS)}, not {found}")
        return None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """The training rows answered. They are not out of fold: the network may have learned them, which
        `may_have_seen` says in the report. Raises SpecError, BundleError, MissingExtra."""
        settings = read_settings(spec, self.name, OnnxSettings)
        taken = _taken(spec, settings)
        tensors = [_tensor(spec, name, one_input) for name, one_input in taken]
        scales = [_scales(one_input, tensor) for (_, one_input), tensor in zip(taken, tensors, strict=True)]
        mean = np.array([cell for means, _ in scales for cell in means], np.float64)
        scale = np.array([cell for _, spreads in scales for cell in spreads], np.float64)
        reading = _reading(spec, settings, examples.labels)
        head = OnnxHead(tensors, mean, scale, settings.output, reading)
        out = one(head.run(examples.inputs), ask)
        told = {"file": settings.file, "holds": reading.holds, "labels": list(reading.labels)}
        return Candidate(head, out, told)


def own_networks(spec: Spec, folder: Path) -> dict[str, OwnNetwork]:
    """Engine name -> the network that the product brings; empty for every other method. Raises SpecError for
    a file that isn't there, BundleError for an unsafe one."""
    if spec.method.name != Onnx.name:
        return {}
    file = read_settings(spec, Onnx.name, OnnxSettings).file
    path = safe_below(folder, file)
    if not path.is_file():
        raise SpecError(
            "the product's network is not there", where="method.settings.file", found=repr(file), wanted=f"a file in {folder}"
        )
    return {f"{HOME}:{NET}": OwnNetwork(path)}


def network_files(networks: Mapping[str, Owned], head: Head, rows: Examples, ask: Ask) -> dict[str, bytes]:
    """The bundle's files of the networks that a head asks, by name."""
    asked: dict[str, Call] = {}

    def watching(calls: Sequence[Call]) -> Outputs:
        asked.update({call.engine: call for call in calls if call.engine in networks})
        return ask(calls)

    one(head.run(rows.inputs[:PROBES]), watching)
    files: dict[str, bytes] = {}
    for engine, call in asked.items():
        files |= packed(networks[engine], call)
    return files


def may_have_seen(examples: Examples) -> Finding:
    """What nobody here can know about a network that came ready made."""
    n = len(examples)
    return Finding(
        "network_may_have_seen",
        "warn",
        0.0,
        n,
        f"the network was learned elsewhere and may have seen these rows: temperature and thresholds come from its "
        f"answers to the {n:,} training rows, and the test figures hold only if it never saw the test rows",
        f"该网络在别处训练，可能见过这些数据：温度与阈值来自它对 {n:,} 行训练数据的回答；只有它从未见过测试数据时，测试指标才成立",
        fix="test on rows that are newer than the network",
    )


def _taken(spec: Spec, settings: OnnxSettings) -> list[tuple[str, Taken]]:
    """Every input that the settings name, then every column left, as an input of its own name."""
    used = {column for taken in settings.inputs.values() for column in taken.columns}
    left = [(column, Taken((column,))) for column in spec.inputs if column not in used]
    both = sorted({column for column, _ in left} & set(settings.inputs))
    if both:
        raise SpecError(
            "a column goes to an input that others take", where=f"method.settings.inputs.{both[0]}", found=both[0]
        )
    return [*settings.inputs.items(), *left]


def _tensor(spec: Spec, name: str, taken: Taken) -> Tensor:
    """Raises SpecError for a column that isn't there, or columns that don't go together."""
    where = f"method.settings.inputs.{name}"
    for column in (*taken.columns, *taken.codes):
        if column not in spec.inputs or column not in taken.columns:
            raise SpecError("there is no such column", where=where, found=repr(column), hint=nearest(column, spec.inputs))
    kinds = {column: spec.inputs[column] for column in taken.columns}
    if taken.pooled:
        trunk = trunk_of(spec, "text")
        if list(kinds.values()) != ["text"] or trunk is None:
            raise SpecError("pooled takes one text column and its trunk", where=where, found=", ".join(kinds.values()))
        return Tensor(name, taken.columns, trunk=f"trunk:{trunk}")
    strings = [c for c, kind in kinds.items() if kind not in NUMERIC_KINDS and c not in taken.codes]
    if strings and len(strings) < len(kinds):
        raise SpecError(
            "numbers and names can't share an input", where=where, found=", ".join(strings), hint="give their codes"
        )
    if not strings and isinstance(taken.missing, str):
        raise SpecError("missing must be a number here", where=where, found=repr(taken.missing))
    return Tensor(name, taken.columns, bool(strings), dict(taken.codes), taken.unseen, taken.missing)


def _scales(taken: Taken, tensor: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, scale), one for each number column. Raises SpecError."""
    width = 0 if tensor.strings or tensor.trunk else len(tensor.columns)
    mean, scale = taken.mean or (0.0,) * width, taken.scale or (1.0,) * width
    if len(mean) != width or len(scale) != width or 0 in scale:
        raise SpecError(
            "mean and scale need one number for each number column, scale none that is 0",
            where=f"method.settings.inputs.{tensor.name}",
            found=f"{len(mean)} and {len(scale)}",
            wanted=str(width),
        )
    return mean, scale


def _reading(spec: Spec, settings: OnnxSettings, labels: Sequence[str]) -> Reading:
    """Raises SpecError for labels other than the data's, or an output that can't answer the task."""
    holds = settings.holds or ("value" if spec.task == "regress" else "probabilities")
    fits = {"classify": ("probabilities", "logits", "label"), "multilabel": ("probabilities", "logits")}
    allowed = fits.get(spec.task, ("value",))
    if holds not in allowed:
        raise SpecError(f"such an output can't answer {spec.task}", where="method.settings.holds", found=holds, wanted=" | ".join(allowed))
    named = settings.labels or tuple(labels)
    if sorted(named) != sorted(labels):
        raise SpecError(
            "the network's labels are not the data's", where="method.settings.labels",
            found=", ".join(named), wanted=", ".join(labels), hint="every label of the training rows, in the output's order",
        )  # fmt: skip
    return Reading(holds, spec.task, named, tuple(named.index(label) for label in labels))
