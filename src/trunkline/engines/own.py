"""A product's own network as an engine: an ONNX file of its bundle, run by ONNX Runtime on the processor.

Its name is its content, "own:<digest>": two products with the same file share one engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.engines import examples
from trunkline.engines.looked import ATTENTION, MAPS, Looked
from trunkline.engines.onnx_check import check_onnx
from trunkline.engines.ort import OrtSession
from trunkline.engines.ports import TYPES, alike, as_row, check_port, filled, size_of, width_of
from trunkline.engines.processor import kind
from trunkline.engines.settings import Settings
from trunkline.errors import BundleError
from trunkline.files import digest_file
from trunkline.inputs.tensors import TENSORS, Tensors
from trunkline.types import Call, EngineCard, Refused, Trunk

NET = "net"  # the name of a product's only network: its head asks "own:net"
OUTPUTS = "outputs"  # the form
HOME = "own"  # the bundle's folder of networks: own/<name>/model.onnx, its data, engine.json
MODEL, RECORD = "model.onnx", "engine.json"
TOGETHER = 16  # rows of one run, at most
PROBES = 48  # rows by which `rows_together` judges
_ZIPMAP = "export it as a tensor; with skl2onnx: options={'zipmap': False}"


class Owned(Trunk, Protocol):
    """The files of an engine that only one product has, in its bundle below own/<name>/; `load` opens them."""

    @property
    def size_bytes(self) -> int:
        """Of the files on disk."""
        ...

    @classmethod
    def opened(cls, folder: Path, digests: Mapping[str, str]) -> Self:
        """From the bundle's folder, digests: sha256 by file name; nothing is loaded. Raises BundleError."""
        ...

    def packed(self, call: Call) -> dict[str, bytes]:
        """Its files by their names below own/<name>/. call: rows as its head asks them."""
        ...


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """engine.json: how many rows go together, and where that was measured."""

    together: int = 1
    runtime: str = ""
    processor: str = ""

    def here(self) -> int:
        """Rows that go together on this machine; 1 wherever it wasn't measured."""
        return self.together if (self.runtime, self.processor) == (_runtime(), kind()) else 1


class OwnNetwork:
    """A network's files: an `Owned`.

    model: the .onnx file; its external data must lie below its folder. digests: sha256 of the files by the
    names that `files` gives them, where they are known. Raises BundleError for an unsafe file (`check_onnx`).
    """

    def __init__(
        self, model: Path, measured: Measured | None = None, digests: Mapping[str, str] | None = None
    ) -> None:
        self.model, self.measured = model, measured or Measured()
        folder = model.parent.resolve()
        data = {path.relative_to(folder).as_posix(): path for path in check_onnx(model)}
        if MODEL in data:
            raise BundleError("the network's data may not have this name", where=str(model), found=MODEL)
        self.files = {MODEL: model, **data}
        known = digests or {}
        self._digests = {name: known.get(name) or digest_file(path) for name, path in self.files.items()}

    @classmethod
    def opened(cls, folder: Path, digests: Mapping[str, str]) -> Self:
        """From a bundle's folder of it; nothing is loaded. Raises BundleError."""
        return cls(folder / MODEL, _measured(folder / RECORD), digests)

    def packed(self, call: Call) -> dict[str, bytes]:
        """The call's rows measure how many may go together here."""
        record = msgspec.json.encode(Measured(self.load().rows_together(call), _runtime(), kind()))
        return {**{name: path.read_bytes() for name, path in self.files.items()}, RECORD: record}

    @property
    def size_bytes(self) -> int:
        """Of the files on disk."""
        return sum(path.stat().st_size for path in self.files.values())

    @cached_property
    def card(self) -> EngineCard:
        content = _digest(*(part for pair in sorted(self._digests.items()) for part in pair))
        return EngineCard(
            id=f"{HOME}:{content[:16]}",
            fingerprint=_digest(content, "onnxruntime", "as exported"),
            kind=TENSORS,
            forms=(OUTPUTS, MAPS, ATTENTION),
            dim=0,
            licence="the product's own",
            source=self.model.name,
            precision="as exported",
            runtime="onnxruntime",
        )

    def available(self) -> Refused | None:
        return None if _runtime() else Refused("missing", "onnxruntime is not installed: trunkline[onnx]")

    def load(self) -> OwnEngine:
        """Raises BundleError for files that changed since or can't be loaded, and MissingExtra."""
        for name, path in self.files.items():
            if digest_file(path) != self._digests[name]:
                raise BundleError("a network's file was changed after it was checked", where=str(path))
        return OwnEngine(self.card, OrtSession(self.model), self.measured.here())


class OwnEngine:
    """An `Engine` for items of `inputs.tensors`. Call.options: ("tensors", names of the item's parts, in
    order) and ("output", the output tensor's name, or "" where there is one).

    together: rows that go through the network in one run; 1 unless their bits don't depend on it.
    """

    def __init__(self, card: EngineCard, session: OrtSession, together: int = 1) -> None:
        self.card, self._session, self.settings = card, session, Settings()
        self._looked = Looked(session.path)
        self._ports = {port.name: port for port in session.inputs}
        for port in session.inputs:
            check_port(port)
        self._free = any(not isinstance(axis, int) for port in session.inputs for axis in port.shape[1:])
        self.together = 1 if self._takes_one() else together

    def cost(self, item: Tensors) -> int:
        """1 where all rows are of one size, else the row's size: rows of equal cost go through together."""
        return sum(size_of(part) for part in item) if self._free else 1

    def examples(self) -> list[Call]:
        """For `engines.measure`."""
        ports = self._ports.values()
        parts = [(TYPES[port.type] is np.object_, width_of(port)) for port in ports]
        output = next((port.name for port in self._session.outputs if port.type in TYPES), "")
        options = (("output", output), ("tensors", tuple(self._ports)))
        rows = [
            tuple(as_row(port, part) for port, part in zip(ports, row, strict=True)) for row in examples.tensors(parts, TOGETHER)
        ]
        return [Call(self.card.id, rows, OUTPUTS, options=options)]

    def run(self, call: Call) -> Any:
        """(n, values) as the network gives them; of the forms of `Looked` a list of n. Raises BundleError where names, types
        or shapes don't fit, DataError for a row that can't be computed."""
        options = dict(call.options)
        names, output = options["tensors"], self._output(options["output"])
        if set(names) != set(self._ports):
            raise BundleError(
                "the product's columns don't fit the network's inputs",
                found=", ".join(names),
                wanted=", ".join(f"{port.name} {port.type} {list(port.shape)}" for port in self._ports.values()),
                hint="[method.settings.inputs] says which columns an input takes",
            )
        found = [np.empty((0, 0))] * len(call.items)
        for places in alike(call.items, self.together):
            arrays = self._arrays(names, [call.items[at] for at in places])
            some = self._some(arrays, output) if call.form == OUTPUTS else self._looked.run(call.form, arrays)
            for place, row in zip(places, some, strict=True):
                found[place] = row
        if call.form != OUTPUTS:
            return found
        return np.stack(found) if found else np.empty((0, 0))

    def stream(self, call: Call) -> Iterator[NDArray[Any]]:
        yield self.run(call)

    def rows_together(self, call: Call) -> int:
        """How many rows may go together here: TOGETHER if batches of every size up to it give each of the
        call's rows (`PROBES` of them) the bits that it has alone, else 1."""
        probe = replace(call, items=call.items[:PROBES])
        if len(probe.items) < 2 or self._takes_one():
            return 1
        alone = OwnEngine(self.card, self._session).run(probe)
        sizes = range(2, TOGETHER + 1)
        same = (_same_bits(OwnEngine(self.card, self._session, size).run(probe), alone) for size in sizes)
        return TOGETHER if all(same) else 1

    def _takes_one(self) -> bool:
        return any(port.shape[0] == 1 for port in self._ports.values())

    def _arrays(self, names: Sequence[str], items: Sequence[Tensors]) -> dict[str, NDArray[Any]]:
        return {name: filled(self._ports[name], [item[at] for item in items]) for at, name in enumerate(names)}

    def _some(self, arrays: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        rows = len(next(iter(arrays.values())))
        (found,) = self._session.run(arrays, [output])
        if not isinstance(found, np.ndarray) or found.shape[:1] != (rows,):
            raise BundleError(
                "the network doesn't give one answer a row",
                where=f"output {output}",
                found=str(getattr(found, "shape", type(found).__name__)),
                wanted=f"({rows}, ...)",
            )
        return found.reshape(rows, -1)

    def _output(self, name: str) -> str:
        outputs = {port.name: port for port in self._session.outputs}
        chosen = name or (next(iter(outputs)) if len(outputs) == 1 else "")
        if chosen not in outputs:
            raise BundleError(
                "the network has no such output",
                found=repr(name),
                wanted=" | ".join(outputs),
                hint="method.settings.output names one",
            )
        if outputs[chosen].type not in TYPES:
            raise BundleError(
                "that output is no tensor", where=chosen, found=outputs[chosen].type, hint=_ZIPMAP
            )
        return chosen


def _measured(path: Path) -> Measured:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Measured)
    except msgspec.DecodeError as error:
        raise BundleError("a network's record can't be read", where=str(path), found=str(error)) from None


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype == np.object_:
        return bool(one.shape == other.shape and (one == other).all())
    return one.tobytes() == other.tobytes()


def _runtime() -> str:
    """The version of ONNX Runtime here; "" if there is none."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
