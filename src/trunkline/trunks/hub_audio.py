"""Audio encoders of transformers as trunks (wav2vec 2, HuBERT, Whisper's encoder, AST): exported once by torch, their
sounds made ready by `audio_processor`. Each sound goes by itself and unpadded where the model allows it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.errors import TrunkError
from trunkline.inputs.audio import RATE, Sound
from trunkline.trunks.audio_processor import AudioProcessor, heard_mean, read_audio_processor
from trunkline.trunks.hub_media import CONFIG, MediaTrunk

PROBES = (1.0, 0.37)  # seconds of the sounds by which a graph is checked


class HubAudio(MediaTrunk):
    kind: ClassVar[str] = "audio"
    part: ClassVar[str] = "feature_extractor"

    @cached_property
    def processor(self) -> AudioProcessor:
        return read_audio_processor(self.settings, self.config, str(self._settings_file))

    @cached_property
    def dim(self) -> int:
        self.processor  # noqa: B018 - what it doesn't know is told before anything is converted
        found = int(self.config.get("d_model") or self.config.get("hidden_size") or 0)
        if not found:
            raise TrunkError("config.json doesn't say how long the vectors are", where=str(self.folder / CONFIG), found=str(self.config.get("model_type")))
        return found

    def _export(self, path: Path) -> None:
        from trunkline.trunks.media_export import export_audio

        rng = np.random.default_rng(0)
        sounds = [rng.normal(0, 0.1, round(seconds * RATE)).astype(np.float32) for seconds in PROBES]
        export_audio(self.folder, path, [self.processor(sound)[0].given for sound in sounds], self.processor.long)

    def _vector(self, session: OpenVinoSession, item: Sound) -> NDArray[np.float32]:
        parts = self.processor(item.samples())
        return heard_mean([session.run([part.given])[0][0] for part in parts], parts)
