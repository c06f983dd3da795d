"""Full fine-tuning of the image trunk on one column of pictures: what `finetune` does where a product reads these."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from trunkline.methods.cnn import PictureSettings, pictures
from trunkline.methods.learning import Material
from trunkline.methods.network import NetSettings, Network
from trunkline.spec import Range, Ranges, Spec
from trunkline.spec.model import trunk_of
from trunkline.types import Ask, Examples

TRUNK = "efficientnet-lite0"


class FinetunePicturesSettings(PictureSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As the trunk's own training saw pictures; a smaller `side` is faster and worse."""

    side: Annotated[int, Meta(ge=32, le=512)] = 224
    epochs: Annotated[int, Meta(ge=1)] = 6
    batch: Annotated[int, Meta(ge=1)] = 16
    rate: Annotated[float, Meta(gt=0)] = 3e-4
    folds: Annotated[int, Meta(ge=2, le=20)] = 2


class FinetunePictures(Network):
    name: ClassVar[str] = "finetune"
    climbs: ClassVar[bool] = True
    settings: ClassVar[type[NetSettings]] = FinetunePicturesSettings
    ranges: ClassVar[Ranges] = {"rate": Range(5e-5, 1e-3, log=True), "epochs": [4, 6, 10], "augment": ["none", "light", "strong"]}

    def reads(self, spec: Spec) -> str:
        if list(spec.inputs.values()) != ["image"]:
            return f"{self.name} of pictures reads one column of kind image, not {', '.join(spec.inputs.values())}"
        trunk = trunk_of(spec, "image")
        return "" if trunk == TRUNK else f"{self.name} of pictures starts from {TRUNK}, not {trunk or 'no trunk'}"

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: FinetunePicturesSettings) -> Material:
        from trunkline.trunks.efficientnet import EfficientNetLite0

        (column,) = spec.inputs
        weights, told = EfficientNetLite0().weights(), settings.told()

        def build(outputs: int) -> Any:
            from trunkline.networks.efficientnet_lite import EfficientNetLite

            return EfficientNetLite(outputs, weights, **{name: told[name] for name in ("dropout",) if name in told})

        values = [row[column] for row in examples.inputs]
        origin = EfficientNetLite0().card.fingerprint
        return replace(pictures(column, values, settings, build), origin=origin, large=settings.precision == "auto")
