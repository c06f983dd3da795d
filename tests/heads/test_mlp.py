from __future__ import annotations

import numpy as np
import pytest
from tests.methods.texts import DIM, ask, encode

from trunkline.errors import BundleError
from trunkline.heads.dense import Dense
from trunkline.heads.mlp import MlpHead
from trunkline.program import one


def head(hidden: int = 4) -> MlpHead:
    rng = np.random.default_rng(0)
    layers = (
        rng.normal(size=(DIM, hidden)).astype(np.float16),
        rng.normal(size=hidden).astype(np.float32),
        rng.normal(size=(hidden, 3)).astype(np.float32),
        rng.normal(size=3).astype(np.float32),
    )
    return MlpHead(Dense.of_texts("trunk:t", ("text",)), "softmax", layers)


def test_the_network_is_what_its_docstring_says() -> None:
    made = head()
    into, into_bias, out, out_bias = (layer.astype(np.float64) for layer in made.layers)
    scores = np.maximum(encode(["my card"]) @ into + into_bias, 0) @ out + out_bias
    wanted = np.exp(scores) / np.exp(scores).sum()
    assert one(made.run([{"text": "my card"}]), ask).values[0].tolist() == pytest.approx(wanted[0].tolist(), rel=1e-3)


def test_layers_that_do_not_fit_are_refused() -> None:
    meta, arrays = head().save()
    assert isinstance(MlpHead.load(meta, arrays), MlpHead)
    for name in ("into", "into_bias", "out", "out_bias"):
        with pytest.raises(BundleError):
            MlpHead.load(meta, {**arrays, name: arrays[name][:-1]} if name != "into" else {**arrays, name: arrays[name][:, 1:].copy()})
    with pytest.raises(BundleError):
        MlpHead.load({**meta, "link": "identity"}, arrays)
