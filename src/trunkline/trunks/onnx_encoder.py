"""An encoder whose graph came as ONNX: run in OpenVINO, pooled here.

Nobody knows what a stranger's graph does to rows of one batch (dynamic quantisation shares a scale),
so rows go through one by one, each padded to its own bucket.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.onnx_check import check_onnx
from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.text import RowEncoder
from trunkline.errors import TrunkError
from trunkline.trunks.bert_graph import Dense

_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class OnnxEncoder(RowEncoder):
    """The graph's first output must be the last hidden states, (rows, tokens, hidden)."""

    def __init__(self, path: Path, pooling: str, dense: tuple[Dense, ...], normalize: bool) -> None:
        check_onnx(path)
        self._session = OpenVinoSession(path, "f32")
        if not set(self._session.inputs) <= _INPUTS:
            raise TrunkError(
                "the encoder's graph wants inputs that are not known here",
                where=str(path),
                found=", ".join(self._session.inputs),
                wanted=", ".join(sorted(_INPUTS)),
            )
        self._pooling, self._dense, self._normalize = pooling, dense, normalize

    def pooled(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        states = self.tokens(ids, lengths)
        rows = [self._pool(row[:n]) for row, n in zip(states, lengths, strict=True)]
        return np.stack(rows)

    def tokens(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._session.run([given[name] for name in self._session.inputs])[0]
        if states.ndim != 3 or states.shape[:2] != ids.shape:
            raise TrunkError(
                "the encoder's graph doesn't give its last hidden states first",
                found=f"shape {states.shape}",
                wanted=f"({len(ids)} rows, {ids.shape[1]} tokens, hidden)",
            )
        return states

    def _pool(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._pooling == "cls":
            out = states[0]
        else:
            out = states.max(axis=0) if self._pooling == "max" else states.mean(axis=0)
        for dense in self._dense:
            out = dense.weight @ out
            out = out if dense.bias is None else out + dense.bias
            out = np.tanh(out) if dense.tanh else out
        if self._normalize:
            out = out / max(float(np.sqrt(out @ out)), 1e-12)
        return np.asarray(out, np.float32)
