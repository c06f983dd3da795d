"""A learned network as an ONNX file, checked against what PyTorch gives."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trunkline.engines.ort import OrtSession
from trunkline.errors import TrainError
from trunkline.files import write_atomic

OUTPUT = "logits"
OPSET = 17
# Largest difference of a logit, absolute and relative: both compute in float32, in another order.
TOLERANCE = 1e-4


def export(module: Any, path: Path, samples: Sequence[Mapping[str, Any]], free: Mapping[str, Mapping[int, str]]) -> float:
    """Write the module to `path` and return the largest difference over the samples, |a - b| / (1 + |b|).

    samples: inputs by name as torch tensors, the first one traced. free: the axes of each input that may have any
    length. Raises TrainError where ONNX Runtime doesn't give what PyTorch gives.
    """
    names = list(samples[0])
    module = module.cpu().eval()
    partial = path.with_name(path.name + ".partial")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of branches that tracing fixes, which the samples below judge
        torch.onnx.export(
            module, tuple(samples[0].values()), str(partial), input_names=names, output_names=[OUTPUT],
            dynamic_axes={**{name: dict(axes) for name, axes in free.items()}, OUTPUT: {0: "rows"}},
            dynamo=False, opset_version=OPSET,
        )  # fmt: skip
    write_atomic(path, partial.read_bytes())
    partial.unlink()
    return _check(module, path, samples)


def _check(module: Any, path: Path, samples: Sequence[Mapping[str, Any]]) -> float:
    session, worst = OrtSession(path), 0.0
    for sample in samples:
        with torch.no_grad():
            wanted = module(*sample.values()).numpy()
        (found,) = session.run({name: tensor.numpy() for name, tensor in sample.items()}, [OUTPUT])
        worst = max(worst, float((np.abs(found - wanted) / (1 + np.abs(wanted))).max()))
        if not np.allclose(found, wanted, TOLERANCE, TOLERANCE):
            raise TrainError(
                "the network's ONNX file doesn't give what PyTorch gives", where=str(path),
                found=f"a difference of {worst:.2g}", wanted=f"at most {TOLERANCE}",
            )  # fmt: skip
    return worst
