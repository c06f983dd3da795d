"""An ONNX network in ONNX Runtime; imported only where such a network is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trunkline.engines.inside import with_outputs
from trunkline.engines.onnx_check import check_onnx
from trunkline.errors import BundleError, DataError, MissingExtra


@dataclass(frozen=True)
class Port:
    """An input or output as the network declares it."""

    name: str
    type: str  # "tensor(float)", "seq(map(string,tensor(float)))" ...
    shape: tuple[int | str | None, ...]  # a free axis has a name or None


class OrtSession:
    """One session, one thread for each caller, no memory arena. `run` is thread-safe.

    also: tensors on the way that are given too, behind its own outputs; only of a network without data files.
    Raises BundleError for a file that is unsafe or that ONNX Runtime can't load, and MissingExtra.
    """

    def __init__(self, path: Path, also: Sequence[str] = ()) -> None:
        check_onnx(path)
        self.path = path
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise MissingExtra("onnxruntime", "onnx") from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the largest batch ever seen
        options.log_severity_level = 3  # what goes wrong is raised; warnings would be printed
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            model = with_outputs(path.read_bytes(), also) if also else str(path)
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleError(
                "ONNX Runtime can't load this network",
                where=str(path),
                found=_first_line(error),
                hint="export it again with a supported opset",
            ) from error
        self.inputs = tuple(_port(node) for node in self._session.get_inputs())
        self.outputs = tuple(_port(node) for node in self._session.get_outputs())

    def run(
        self, arrays: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        """The outputs named (all if None), in that order. Raises DataError where the network can't."""
        try:
            given: list[NDArray[Any]] = self._session.run(outputs and list(outputs), dict(arrays))
        except Exception as error:
            raise DataError("the network can't compute a row", found=_first_line(error)) from error
        return given


def _port(node: Any) -> Port:
    return Port(node.name, node.type, tuple(node.shape))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
