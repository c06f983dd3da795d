"""A trunk in PyTorch gives what its engine gives."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.trunks.e5 import E5SmallF32
from trunkline.trunks.minilm import MiniLM
from trunkline.types import Call

torch = pytest.importorskip("torch")

TEXTS = ["房间干净，早餐非常棒。", "a short one", "The hotel is close to the station, but rooms are loud at night. " * 12]


@pytest.mark.parametrize(("trunk", "close"), [(E5SmallF32(), 0.99999), (MiniLM(), 0.998)], ids=["e5-small-f32", "minilm"])
def test_the_module_gives_the_engines_vectors(trunk: E5SmallF32 | MiniLM, close: float, one_thread: None) -> None:
    from trunkline.networks.text_encoder import TextEncoder, padded

    wanted = np.asarray(trunk.load().run(Call("trunk", TEXTS)))
    module = TextEncoder(trunk.parts()).eval()
    with torch.no_grad():
        found = module.vectors(*padded(module.tokens(TEXTS))).numpy()
    assert (found * wanted).sum(axis=1).min() > close


def test_only_the_graphs_weights_are_learned() -> None:
    from trunkline.networks.text_encoder import TextEncoder

    module = TextEncoder(E5SmallF32().parts())
    moving = {name.removeprefix("bert.") for name, p in module.named_parameters() if p.requires_grad}
    assert moving == set(module.learned())
    assert sum(value.size for value in module.learned().values()) == 12 * (4 * 384 * 385 + 2 * 384 * 1536 + 1536 + 384 + 4 * 384) + 2 * 384
