"""Models of the Hugging Face hub, or of a folder laid out as theirs: which kind of trunk one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from trunkline.errors import TrunklineError
from trunkline.trunks.hub_files import locate, read_json
from trunkline.types import Trunk

AUDIO = frozenset({"num_mel_bins", "feat_extract_norm"})
IMAGE = frozenset({"vision_config", "num_channels", "pretrained_cfg"})


def kind_of(config: Mapping[str, Any]) -> str:
    """The input kind that a model of this config.json reads. Whisper and spectrogram transformers count mel bands,
    wav2vec2 and its kin name their first layers' norm; vision models count colours."""
    if AUDIO & set(config):
        return "audio"
    return "image" if IMAGE & set(config) else "text"


def hub_trunk(name: str) -> Trunk:
    """The trunk "hf:<id>" or "folder:<path>", by its config.json, which is fetched if it isn't here. Where that can't be
    had, the trunk's `available` says why."""
    try:
        folder = locate(name)
        config = folder / "config.json"
        kind = kind_of(read_json(config)) if config.is_file() else "text"  # older sentence encoders have it deeper
    except TrunklineError:
        kind = "text"
    if kind == "image":
        from trunkline.trunks.hub_image import HubImage

        return HubImage(name)
    if kind == "audio":
        from trunkline.trunks.hub_audio import HubAudio

        return HubAudio(name)
    from trunkline.trunks.huggingface import HuggingFaceTrunk

    return cast(Trunk, HuggingFaceTrunk(name))  # its card is known only after a look
