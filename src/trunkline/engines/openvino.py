"""A model in OpenVINO on the processor: precision as the trunk says, threads as the machine allows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.threads import workers
from trunkline.errors import TrunkError

# Precision is the trunk's choice, for every machine alike. "w8-dq128": weights int8 per output
# channel, activations int8 in groups of 128; "f32": 32-bit floats throughout; "bf16": floats whose products are of
# bfloat16, which nothing but a row itself changes.
PRECISIONS: dict[str, dict[str, Any]] = {
    "f32": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
    "w8-dq32": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 32},
    "w8-dq64": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 64},
    "w8-dq128": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 128},
    "bf16": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "INFERENCE_PRECISION_HINT": "bf16"},
}


_once = threading.Lock()


def _make_type_table() -> None:
    """OpenVINO's table of number types is made when it is first looked into. Two threads that come for it at once stop
    the process for good (2026.4: one makes it and waits for the GIL, the other holds the GIL and waits for it)."""
    import openvino

    with _once:
        openvino.Type.f32.to_dtype()


class OpenVinoSession:
    """One compiled model with as many streams as cores. `run` is thread-safe.

    model: path of an OpenVINO IR (.xml) or ONNX file, or an openvino.Model.
    Raises TrunkError where OpenVINO can't read or compile it.
    """

    def __init__(self, model: Any, precision: str, streams: int | None = None) -> None:
        import openvino

        _make_type_table()
        self._tensor = openvino.Tensor
        width = streams or workers()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": width,  # one thread for each stream
            "NUM_STREAMS": width,
            "ENABLE_CPU_PINNING": False,
            **PRECISIONS[precision],
        }
        source = str(model) if isinstance(model, Path) else model
        try:
            self._model = openvino.Core().compile_model(source, "CPU", settings)
        except RuntimeError as error:
            raise TrunkError(
                "OpenVINO can't load this model",
                where=source if isinstance(source, str) else "a graph in memory",
                found=str(error).strip().splitlines()[-1][:200],
                hint="trunkline trunks pull, to convert it again",
            ) from error
        self._requests: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(width):
            self._requests.put(self._model.create_infer_request())
        self.inputs = [port.get_any_name() for port in self._model.inputs]
        self.shapes = [tuple(axis.get_length() if axis.is_static else -1 for axis in port.partial_shape) for port in self._model.inputs]

    def tensors(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Inputs made ready once, for many runs: the arrays' own memory."""
        return [self._tensor(np.ascontiguousarray(array), shared_memory=True) for array in arrays]

    def run(
        self, arrays: Sequence[NDArray[Any]], outputs: Sequence[int] = (0,), ready: Sequence[Any] = ()
    ) -> list[NDArray[Any]]:
        """Copies of the outputs asked for, by number; `arrays`, then `ready` (from `tensors`), in the order of `inputs`."""
        shared = [*self.tensors(arrays), *ready]
        request = self._requests.get()
        try:
            for i, tensor in enumerate(shared):
                request.set_input_tensor(i, tensor)
            request.start_async()  # `infer` would copy every output, asked for or not
            request.wait()
            return [np.array(request.get_output_tensor(i).data) for i in outputs]
        finally:
            self._requests.put(request)
