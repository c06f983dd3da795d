"""The encoder of pictures or sounds in a Hugging Face folder as ONNX, once, by torch.

Pooled where the model pools by learned or fixed weights of its own; a weight that the folder lacks is never made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.errors import TrunkError
from trunkline.trunks.torch_export import HINT, compared, cosines, exporting, imported, loaded, traced

# Used only to hide parts of a sound while learning
UNUSED = "masked_spec_embed"
CLASS_TOKENS = ("cls_token", "class_embedding", "cls_tokens")


def export_image(source: Path, path: Path, probes: Sequence[NDArray[np.float32]]) -> None:
    """Write pixels (1, 3, height, width) -> vector (1, dim) to `path`; checked on the probes.

    The vector: what the model aligns with texts (CLIP, SigLIP); else its own pooled output; else, where that needs
    weights which the folder lacks, the state of the class token, or the mean over all places.
    Raises MissingExtra, TrunkError.
    """
    torch = imported()

    class Pooled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, model: Any, pooler: bool) -> None:
            super().__init__()
            # EfficientNet's is a mean over places, written as a window wider than any picture, which OpenVINO refuses
            self.pooler = pooler and not isinstance(getattr(model, "pooler", None), torch.nn.AvgPool2d)
            self.model = model
            self.told = any(name.rsplit(".", 1)[-1] in CLASS_TOKENS for name, _ in model.named_parameters())

        def forward(self, pixels: Any) -> Any:
            if hasattr(self.model, "get_image_features"):
                found = self.model.get_image_features(pixel_values=pixels)
                return getattr(found, "pooler_output", found)
            found = self.model(pixel_values=pixels)
            pooled = getattr(found, "pooler_output", None) if self.pooler else None
            if pooled is None:
                states = found.last_hidden_state
                pooled = states.mean((2, 3)) if states.ndim == 4 else states[:, 0] if self.told else states.mean(1)
            return pooled.flatten(1)

    with exporting(source):
        model, lacking = loaded(source)
        _complete(source, [name for name in lacking if "pooler" not in name])
        worst = _written(torch, Pooled(model, not lacking), path, probes, {})
    compared(worst, source)


def export_audio(source: Path, path: Path, probes: Sequence[NDArray[np.float32]], long: bool) -> None:
    """Write one sound, prepared, -> states (1, frames, dim) to `path`; checked on the probes.

    long: sounds of any length, on the second axis. A spectrogram transformer's pooled output is its one frame.
    Raises MissingExtra, TrunkError.
    """
    torch = imported()

    class States(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.pools = model.config.model_type == "audio-spectrogram-transformer"
            self.model = model.get_encoder() if model.config.is_encoder_decoder else model

        def forward(self, sound: Any) -> Any:
            found = self.model(sound)
            return found.pooler_output[:, None] if self.pools else found.last_hidden_state

    with exporting(source):
        model, lacking = loaded(source)
        _complete(source, [name for name in lacking if UNUSED not in name])
        worst = _written(torch, States(model), path, probes, {"given": {1: "samples"}, "found": {1: "frames"}} if long else {})
    compared(worst, source)


def _complete(source: Path, lacking: Sequence[str]) -> None:
    if lacking:
        raise TrunkError(
            "the encoder lacks weights", where=str(source), found=f"{len(lacking)} are missing, such as {min(lacking)}",
            wanted="every weight in model.safetensors", hint=HINT,
        )  # fmt: skip


def _written(
    torch: Any, module: Any, path: Path, probes: Sequence[NDArray[np.float32]], free: Mapping[str, Mapping[int, str]]
) -> float:
    """The smallest cosine between what graph and module give for the probes."""
    traced(module, (torch.from_numpy(probes[0]),), path, ("given", "found"), free)
    session, worst = OpenVinoSession(path, "f32"), 1.0
    for probe in probes:
        with torch.no_grad():
            wanted = module(torch.from_numpy(probe)).numpy()
        (found,) = session.run([probe])
        if found.shape != wanted.shape:
            raise TrunkError("the exported graph doesn't give what the model gives", where=str(path), found=f"shape {found.shape}", wanted=f"{wanted.shape}")
        flat = (-1, wanted.shape[-1])
        worst = min(worst, float(cosines(found.reshape(flat), wanted.reshape(flat)).min()))
    return worst
