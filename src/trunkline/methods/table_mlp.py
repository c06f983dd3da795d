"""The method `table_mlp`: a network of hidden layers for tables. `mlp` is another: one layer on a text's vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from trunkline.columns import NUMERIC_KINDS, TABLE_KINDS, ColumnReader
from trunkline.heads.onnx import Tensor
from trunkline.methods.learning import Index, Material
from trunkline.methods.network import NetSettings, Network
from trunkline.spec import Spec
from trunkline.types import Ask, Examples


class TableMlp(Network):
    name: ClassVar[str] = "table_mlp"

    def reads(self, spec: Spec) -> str:
        other = sorted({kind for kind in spec.inputs.values() if kind not in TABLE_KINDS})
        return f"{self.name} reads table columns, not {', '.join(other)}" if other else ""

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: NetSettings) -> Material:
        reader = ColumnReader.fit(spec.inputs, examples.inputs)
        cells = reader.read(examples.inputs)
        at = [i for i, column in enumerate(reader.columns) if column.kind in NUMERIC_KINDS]
        known = [reader.columns[i] for i in reader.categorical]
        numbers, codes = cells[:, at], cells[:, reader.categorical]
        mean, scale = scales(numbers)
        numbers = ((numbers - mean) / scale).astype(np.float32)
        whole = np.where(np.isnan(codes), -1, codes).astype(np.int64)
        sizes = tuple(len(column.values) for column in known)

        def build(outputs: int) -> Any:
            from trunkline.networks.mlp import TableMlp as Net

            return Net(len(at), sizes, outputs, **settings.told())

        def inputs(rows: Index, rng: np.random.Generator | None) -> dict[str, Any]:
            import torch

            every = {"numbers": torch.from_numpy(numbers[rows]), "codes": torch.from_numpy(whole[rows])}
            return {name: tensor for name, tensor in every.items() if tensor.shape[1]}

        tensors = [Tensor("numbers", tuple(reader.columns[i].name for i in at))] if at else []
        if known:
            named = {column.name: column.values for column in known}
            tensors.append(Tensor("codes", tuple(named), codes=named, unseen=-1.0, missing=-1.0))
        extra = len(known)  # codes go as they are
        mean, scale = np.concatenate([mean, np.zeros(extra)]), np.concatenate([scale, np.ones(extra)])
        return Material(build, inputs, {tensor.name: {0: "rows"} for tensor in tensors}, tensors, mean, scale)


def scales(numbers: Any) -> tuple[Any, Any]:
    """(mean, spread) of each column's known numbers; 0 and 1 where there are none."""
    known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, numbers, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, numbers - mean, 0) ** 2).sum(axis=0) / count)
    return mean, np.where(spread > 0, spread, 1.0)
