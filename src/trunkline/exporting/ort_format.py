"""ONNX Runtime's own file format: read without parsing ONNX, and the one that a runtime built for a product alone takes.

By ONNX Runtime's converter (https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html), with
the optimisations that any phone's processor can run.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trunkline.errors import BundleError

OPERATORS = "model.required_operators.config"  # for --include_ops_by_config, where a runtime is built


def to_ort(model: Path) -> Path:
    """Write model.ort and OPERATORS beside model.onnx; the former's path. Raises BundleError with the converter's words."""
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it tells each step
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves a file to the garbage collector
            convert_onnx_models_to_ort(model, model.parent, [OptimizationStyle.Fixed], target_platform="arm")
    except Exception as error:
        raise BundleError(
            "ONNX Runtime can't write the network in its own format", where=str(model), found=str(error).strip().splitlines()[0][:300],
            hint="replace the operator that it names in the network",
        ) from error  # fmt: skip
    return model.with_suffix(".ort")


class OrtFormat:
    """A file of that format in memory, to compare it by."""

    def __init__(self, model: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All outputs."""
        return list(self._session.run(None, dict(arrays)))
