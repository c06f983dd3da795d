"""An encoder's own code as ONNX, once, by torch: what no graph of ours and no ONNX file of its own covers.

Only classes of the transformers package, never code that came with the weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.onnx_check import check_onnx
from trunkline.errors import MissingExtra, TrunkError
from trunkline.trunks.onnx_encoder import OnnxEncoder

_SHORT = 5  # tokens of the second probe
_CLOSE = 0.9999  # cosine, the worst token's
HINT = "put its own ONNX file at onnx/model.onnx, or take another encoder"


def export(source: Path, path: Path, max_tokens: int) -> None:
    """Write the last hidden states of the model in folder `source` as a graph to `path`.

    Raises MissingExtra without torch and transformers; TrunkError where they can't read or trace the
    model, or where the graph doesn't give what the model gives.
    """
    torch = imported()
    with exporting(source):
        model, _ = loaded(source)
        _trace(torch, model, path)
        probes = _probes(int(model.config.vocab_size), max_tokens)
        wanted = [_states(torch, model, probe) for probe in probes]
        worst = _worst(OnnxEncoder(path, "mean", (), False), probes, wanted)
    compared(worst, source)


def imported() -> Any:
    """torch. Raises MissingExtra where it or transformers is absent."""
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra("torch and transformers, which export this encoder,", "train") from error
    return torch


def loaded(source: Path) -> tuple[Any, frozenset[str]]:
    """(the model of folder `source` in float32, names of its weights that the folder lacks)."""
    import torch
    from transformers import AutoModel

    model, told = AutoModel.from_pretrained(
        source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
    )
    return model.eval(), frozenset(told["missing_keys"])


@contextmanager
def exporting(source: Path) -> Iterator[None]:
    """Whatever goes wrong within is told as a TrunkError."""
    try:
        yield
    except TrunkError:
        raise
    except Exception as error:
        raise TrunkError(
            "this encoder can't be exported",
            where=str(source),
            found=f"{type(error).__name__}: {error}".splitlines()[0][:200],
            hint=HINT,
        ) from error


def compared(worst: float, source: Path) -> None:
    """Raises TrunkError where the smallest cosine between graph and model is too small."""
    if not worst >= _CLOSE:
        raise TrunkError(
            "the exported graph doesn't give what the model gives",
            where=str(source),
            found=f"cosine {worst:.6f}",
            wanted=f"at least {_CLOSE}",
            hint=HINT,
        )


def traced(module: Any, samples: tuple[Any, ...], path: Path, names: Sequence[str], free: Mapping[str, Mapping[int, str]]) -> None:
    """Write `module` as a graph of its inputs and one output, by `names`. free: axes of any length."""
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        # of each branch taken while tracing, and that this exporter is the older one: the probes judge it
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            samples,
            str(path),
            input_names=list(names[:-1]),
            output_names=[names[-1]],
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
            dynamo=False,
        )
    check_onnx(path)


def _trace(torch: Any, model: Any, path: Path) -> None:
    class States(torch.nn.Module):  # type: ignore[misc]
        """Tracing hands over every argument by position, which some models of transformers refuse."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    sample = torch.ones((2, 8), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "last_hidden_state"]
    traced(States(), (sample, sample.clone()), path, names, {name: {0: "rows", 1: "tokens"} for name in names})


def _probes(vocabulary: int, max_tokens: int) -> list[NDArray[np.int64]]:
    """Token ids of the longest text there can be, and of a short one that is padded beside it; the first
    tenth of the vocabulary, where marks like padding lie, is left out."""
    rng = np.random.default_rng(0)
    return [rng.integers(vocabulary // 10, vocabulary, length) for length in (max_tokens, _SHORT)]


def _states(torch: Any, model: Any, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    given = torch.from_numpy(ids)[None]
    with torch.no_grad():
        found = model(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state
    return np.asarray(found[0].numpy(), np.float32)


def _worst(encoder: OnnxEncoder, probes: list[NDArray[np.int64]], wanted: list[NDArray[np.float32]]) -> float:
    """The smallest cosine between a token's states in both."""
    lengths = np.array([len(ids) for ids in probes])
    block = np.zeros((len(probes), lengths.max()), np.int64)
    for row, ids in zip(block, probes, strict=True):
        row[: len(ids)] = ids
    found = encoder.tokens(block, lengths)
    each = [cosines(got[: len(want)], want) for got, want in zip(found, wanted, strict=True)]
    return float(np.concatenate(each).min())


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) between the rows of both, (n, dim)."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(lengths, 1e-12), np.float32)
