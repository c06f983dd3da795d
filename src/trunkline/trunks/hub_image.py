"""Any vision model of transformers as a trunk (ViT, DeiT, DINOv2, Swin, ConvNeXt, ResNet, EfficientNet, CLIP, SigLIP):
exported once by torch, its pictures made ready by `image_processor`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.errors import TrunkError
from trunkline.inputs.image import Picture
from trunkline.trunks.hub_media import CONFIG, MediaTrunk
from trunkline.trunks.image_processor import ImageProcessor, read_image_processor

PROJECTED = ("clip", "chinese_clip", "metaclip_2", "altclip")  # their pictures' vectors are as long as their texts'
SIGLIP = 768  # of a vision_config that names no hidden_size


class HubImage(MediaTrunk):
    kind: ClassVar[str] = "image"
    part: ClassVar[str] = "image_processor"

    @cached_property
    def processor(self) -> ImageProcessor:
        return read_image_processor(self.settings, str(self._settings_file))

    @cached_property
    def dim(self) -> int:
        config = self.config
        if "architecture" in config and "model_type" not in config:
            raise TrunkError(
                "this is a model of timm, which needs torchvision and is not read here", where=str(self.folder / CONFIG),
                found=str(config["architecture"]), wanted="a vision model of transformers",
                hint="take its transformers form, such as hf:facebook/convnext-tiny-224 or hf:microsoft/resnet-50",
            )  # fmt: skip
        self.processor  # noqa: B018 - what it doesn't know is told before anything is fetched or converted
        found = _dim(config)
        if not found:
            raise TrunkError("config.json doesn't say how long the vectors are", where=str(self.folder / CONFIG), found=str(config.get("model_type")))
        return found

    def _export(self, path: Path) -> None:
        from trunkline.trunks.media_export import export_image

        height, width = self.processor.size
        rng = np.random.default_rng(0)
        export_image(self.folder, path, [rng.normal(0, 1, (1, 3, height, width)).astype(np.float32) for _ in range(2)])

    def _vector(self, session: OpenVinoSession, item: Picture) -> NDArray[np.float32]:
        return np.asarray(session.run([self.processor(item)])[0][0], np.float32)


def _dim(config: dict[str, Any]) -> int:
    vision = config.get("vision_config")
    if isinstance(vision, dict):
        told = config.get("projection_dim") if config.get("model_type") in PROJECTED else vision.get("hidden_size", SIGLIP)
    else:
        told = config.get("hidden_size") or (config.get("hidden_sizes") or [0])[-1] or config.get("hidden_dim")
    return int(told or 0)
