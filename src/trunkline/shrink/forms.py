"""Smaller forms that need no learning: the same network in fewer bits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from trunkline.engines.own import Owned, OwnNetwork
from trunkline.engines.ports import filled
from trunkline.engines.processor import groups_of_int8, need_precision
from trunkline.errors import TrunkError
from trunkline.files import write_atomic
from trunkline.program import one
from trunkline.shrink.job import Job
from trunkline.shrink.measure import Stand
from trunkline.trunks.adapted import Adapted, adapted, widened
from trunkline.types import Call, Outputs, Refused

NET = "own:net"
GROUPS = "w8-dq128"  # int8 of an adapted trunk
_SHARED = "its head stands on a shared trunk, whose precision [trunks] chooses"


@dataclass(frozen=True)
class Made:
    """method: what answers now, if not the method of before. told: of its learning, as `Candidate.settings` has it."""

    stand: Stand
    method: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)


def bf16(job: Job) -> Made | Refused:
    """The products of an adapted trunk in bfloat16: no weight changes."""
    own = job.own
    if not isinstance(own, Adapted):
        return Refused("cannot", _SHARED if own is None else "ONNX Runtime has no bfloat16 on this kind of processor")
    if own.precision != "f32":
        return Refused("cannot", f"it computes in {own.precision} already")
    try:
        need_precision("bf16", "bfloat16")
    except TrunkError as error:
        return Refused("processor", f"this processor has no bfloat16: {error.found}")
    return Made(_with(job, in_precision(own, "bf16", job.folder)))


def int8(job: Job) -> Made | Refused:
    """Weights and activations of 8 bits, each row's scales its own (`quantise`, `engines.openvino.PRECISIONS`). Raises
    TrainError for a network that can't be quantised, naming its operator."""
    own = job.own
    if isinstance(own, OwnNetwork):
        return Made(_with(job, _quantised(job, own)))
    if not isinstance(own, Adapted):
        return Refused("cannot", _SHARED)
    if own.precision.startswith("w8"):
        return Refused("cannot", f"it is int8 already ({own.precision})")
    if groups_of_int8() is False:
        return Refused("processor", "this processor has neither AVX-512 nor AVX-VNNI")
    return Made(_with(job, in_precision(own, GROUPS, job.folder)))


def in_precision(own: Adapted, precision: str, folder: Path) -> Adapted:
    """The same network computed in another precision, stored as small as that allows."""
    if own.about.kind == "lora":
        return Adapted(msgspec.structs.replace(own.about, precision=precision), own.weights)
    return adapted(own.about.base, own.about.kind, widened(own.arrays()), folder, precision, own.about.layers)


def _with(job: Job, own: Owned) -> Stand:
    return replace(job.whole, networks={NET: own})


def _quantised(job: Job, own: OwnNetwork) -> OwnNetwork:
    import onnx

    from trunkline.shrink.quantise import quantised

    content = quantised(onnx.load(own.model), _feeds(job, own)).SerializeToString()
    place = job.folder / f"{hashlib.sha256(content).hexdigest()[:16]}.onnx"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, content)
    return OwnNetwork(place)


def _feeds(job: Job, own: OwnNetwork) -> list[dict[str, NDArray[Any]]]:
    """The network's inputs of the calibration rows, each alone."""
    from trunkline.engines.ort import OrtSession

    asked: list[Call] = []
    ask = job.desk(job.whole).ask

    def watching(calls: Sequence[Call]) -> Outputs:
        asked.extend(call for call in calls if call.engine == NET)
        return ask(calls)

    one(job.whole.head.run(job.calibration.inputs), watching)
    ports = {port.name: port for port in OrtSession(own.model).inputs}
    found = []
    for call in asked:
        names = dict(call.options)["tensors"]
        found += [{name: filled(ports[name], [item[at]]) for at, name in enumerate(names)} for item in call.items]
    return found
