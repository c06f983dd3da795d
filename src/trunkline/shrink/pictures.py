"""A network of pictures with half of its channels: those of the largest weights stay (Li et al. 2017,
https://arxiv.org/abs/1608.08710), and it is taught for some epochs by the network it was.

It begins from the bundle's ONNX file, where batch norms are part of the convolutions, so the narrower network has none.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.engines.own import OwnNetwork
from trunkline.errors import TrainError
from trunkline.methods import METHODS
from trunkline.methods.cnn import CnnSettings
from trunkline.methods.settings import read_settings
from trunkline.shrink.forms import NET, Made
from trunkline.shrink.job import Job
from trunkline.shrink.quantise import unshare
from trunkline.shrink.teach import Teaching, learned, lessons, stand_of, told_of
from trunkline.types import Refused

Layer: TypeAlias = Any
CNN = "cnn"
CLOSE = 1e-3  # of a logit: both compute in float32


def pruned(job: Job) -> Made | Refused:
    """Raises TrainError for a file that isn't the network which the product's settings build."""
    if list(job.spec.inputs.values()) != ["image"] or not isinstance(job.own, OwnNetwork):
        return Refused("cannot", "of networks from scratch, those of one column of pictures are pruned")
    import onnx

    model = onnx.load(job.own.model)
    before = read_settings(job.spec, CNN, CnnSettings)
    settings = msgspec.structs.replace(
        before, start="", epochs=max(1, before.epochs // 2), rate=before.rate / 3, validation=job.share, patience=0
    )
    given, method = lessons(job), METHODS.get(CNN)()
    material = method.material(job.spec, given.examples, job.line.ask, settings)  # type: ignore[attr-defined]

    def build(outputs: int) -> Layer:
        module = folded(material.build(outputs), model)
        _same(module, job, material)
        return halved(module)

    learn = Teaching(job, given, "pruned", settings, replace(material, build=build, origin=job.own.card.fingerprint))
    module, whole = learned(learn)
    head, network, told = method.left(learn, module)  # type: ignore[attr-defined]
    return Made(stand_of(job, head, {NET: network}), CNN, {**told_of(whole), **told})


def folded(module: Layer, model: Any) -> Layer:
    """The module with the file's weights, its batch norms within its convolutions. Raises TrainError."""
    import torch
    from torch import nn

    unshare(model.graph)
    known = {tensor.name: tensor for tensor in model.graph.initializer}

    def arrays(operator: str) -> list[list[NDArray[np.float32]]]:
        from onnx.numpy_helper import to_array

        nodes = [node for node in model.graph.node if node.op_type == operator]
        if any(name not in known for node in nodes for name in node.input[1:]):
            raise TrainError("this network's weights are int8: prune the version that it was made of")
        return [[to_array(known[name]) for name in node.input[1:]] for node in nodes]

    places = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]
    norms = [name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)]
    convolutions, tops = arrays("Conv"), arrays("Gemm")
    if len(places) != len(convolutions) or len(tops) != 1 or any(len(each) != 2 for each in (*convolutions, *tops)):
        raise _other(f"{len(convolutions)} convolutions", f"{len(places)}")
    for name, (weight, bias) in zip(places, convolutions, strict=True):
        module.set_submodule(name, _convolution(torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())))
    for name in norms:
        module.set_submodule(name, nn.Identity())
    module.out = _linear(*(torch.from_numpy(array.copy()) for array in tops[0]))
    return module


def halved(module: Layer, share: float = 0.5) -> Layer:
    """A share of the channels between two layers, wherever nothing is added to them: really fewer."""
    for one, other in prunable(module):
        strong = one.weight.detach().flatten(1).norm(dim=1) * other.weight.detach().transpose(0, 1).flatten(1).norm(dim=1)
        kept = strong.argsort(descending=True, stable=True)[: max(1, round(share * len(strong)))].sort().values
        one.weight.data, one.bias.data = one.weight.data[kept].clone(), one.bias.data[kept].clone()
        other.weight.data = other.weight.data[:, kept].clone()
        one.out_channels = len(kept)
        setattr(other, "in_channels" if hasattr(other, "in_channels") else "in_features", len(kept))
    return module


def prunable(module: Layer) -> list[tuple[Layer, Layer]]:
    """(layer, the one that alone reads what it gives): not where a residual path adds to it."""
    from torch import nn

    from trunkline.networks.cnn import Residual

    own = [part for part in module.body if isinstance(part, nn.Conv2d | Residual)]
    pairs = [(a, b) for a, b in pairwise([*own, module.out]) if not isinstance(a, Residual) and not isinstance(b, Residual)]
    inner = [tuple(part for part in each.inner if isinstance(part, nn.Conv2d)) for each in own if isinstance(each, Residual)]
    return [*pairs, *inner]


def _convolution(weight: Any, bias: Any) -> Layer:
    from torch import nn

    made = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
    made.weight.data, made.bias.data = weight, bias  # type: ignore[union-attr]
    return made


def _linear(weight: Any, bias: Any) -> Layer:
    from torch import nn

    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight.data, made.bias.data = weight, bias
    return made


def _same(module: Layer, job: Job, material: Any) -> None:
    import torch

    assert job.own is not None
    rows = np.arange(min(4, len(job.train)))
    made = material.inputs(rows, None)
    with torch.no_grad():
        found = module.eval()(*made.values()).numpy()
    from trunkline.engines.ort import OrtSession

    (wanted,) = OrtSession(job.own.model).run({name: tensor.numpy() for name, tensor in made.items()})  # type: ignore[attr-defined]
    if found.shape != wanted.shape or not np.allclose(found, wanted, CLOSE, CLOSE):
        raise _other("other answers", "those of the product's settings")
    module.train()


def _other(found: str, wanted: str) -> TrainError:
    return TrainError("the bundle's network is not the one that these settings build", found=found, wanted=wanted)
