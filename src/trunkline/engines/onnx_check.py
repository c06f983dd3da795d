"""Is this ONNX file safe to load? Known operator domains, data only inside the file's own folder.

The file is walked as plain protocol-buffer fields, so a server needs no `onnx` package.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trunkline.engines.protobuf import Buffer, fields
from trunkline.errors import BundleError

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})

# Field numbers of onnx.proto
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS, _MODEL_TRAINING = 7, 8, 25, 20
_GRAPH = {1: "node", 5: "tensor", 15: "sparse"}
_NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE = {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}
_TENSOR_EXTERNAL = 13
_DEPTH = 32  # of graphs within graphs


@dataclass
class _Seen:
    operators: set[tuple[str, str]] = field(default_factory=set)  # (domain, operator)
    locations: set[str] = field(default_factory=set)  # of external data
    nodes: int = 0


def check_onnx(path: Path, domains: frozenset[str] = DOMAINS) -> tuple[Path, ...]:
    """The external data files of a network that is safe to load.

    Raises BundleError: not ONNX, a foreign operator or a function of its own, or data outside the
    file's folder (absolute, `..`, or a link that leads out) or missing.
    """
    seen = _Seen()
    try:
        with path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _model(memoryview(whole), seen)  # unmapped when the last view of it is gone
    except (ValueError, OSError) as error:
        raise _unsafe("this is not an ONNX file", path, str(error), "an ONNX network") from error
    if not seen.nodes:
        raise _unsafe("this is not an ONNX file", path, "no operators", "an ONNX network")
    for domain, operator in sorted(seen.operators):
        if domain not in domains:
            wanted = ", ".join(sorted(domains - {""}))
            raise _unsafe("the network has a foreign operator", path, f"{domain}:{operator}", wanted)
    return tuple(_inside(path, location) for location in sorted(seen.locations))


def _model(data: Buffer, seen: _Seen) -> None:
    for number, value in fields(data):
        if number == _MODEL_GRAPH and isinstance(value, memoryview):
            _graph(value, seen, 0)
        elif number == _MODEL_OPSETS and isinstance(value, memoryview):
            for inner, domain in fields(value):
                if inner == 1 and isinstance(domain, memoryview):
                    seen.operators.add((_text(domain), "(imported)"))
        elif number in (_MODEL_FUNCTIONS, _MODEL_TRAINING):
            seen.operators.add(("the file's own functions", "(defined)"))


def _graph(data: Buffer, seen: _Seen, depth: int) -> None:
    if depth > _DEPTH:
        raise ValueError(f"graphs nest more than {_DEPTH} deep")
    for number, value in fields(data):
        what = _GRAPH.get(number)
        if what and isinstance(value, memoryview):
            _part(what, value, seen, depth)


def _part(what: str, data: Buffer, seen: _Seen, depth: int) -> None:
    if what == "graph":
        _graph(data, seen, depth + 1)
    elif what == "node":
        _node(data, seen, depth)
    elif what == "tensor":
        seen.locations.update(_external(data))
    else:  # a sparse tensor: its values (1) and indices (2) are tensors
        for number, inner in fields(data):
            if number in (1, 2) and isinstance(inner, memoryview):
                seen.locations.update(_external(inner))


def _node(data: Buffer, seen: _Seen, depth: int) -> None:
    domain = operator = ""
    for number, value in fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_OP:
            operator = _text(value)
        elif number == _NODE_ATTRIBUTE:
            for inner, part in fields(value):
                what = _ATTRIBUTE.get(inner)
                if what and isinstance(part, memoryview):
                    _part(what, part, seen, depth)
    seen.nodes += 1
    seen.operators.add((domain, operator))


def _external(tensor: Buffer) -> Iterator[str]:
    """Locations named by a TensorProto; its raw data is skipped, not read."""
    for number, value in fields(tensor):
        if number == _TENSOR_EXTERNAL and isinstance(value, memoryview):
            pair = {k: _text(v) for k, v in fields(value) if isinstance(v, memoryview)}
            if pair.get(1) == "location":
                yield pair.get(2, "")


def _inside(path: Path, location: str) -> Path:
    folder = path.parent.resolve()
    relative = PurePosixPath(location.replace("\\", "/"))
    target = (folder / relative).resolve() if "\0" not in location else folder
    wrong = relative.is_absolute() or ".." in relative.parts or ":" in location or not location
    if wrong or not target.is_relative_to(folder):
        raise _unsafe(
            "the network's data lies outside its folder", path, repr(location), "a file beside it"
        )
    if not target.is_file():
        raise _unsafe("the network's data file is missing", path, "nothing", repr(location))
    return target


def _text(data: Buffer) -> str:
    return bytes(data).decode("utf-8", "replace")


def _unsafe(what: str, path: Path, found: str, wanted: str) -> BundleError:
    return BundleError(
        what, where=str(path), found=found, wanted=wanted, hint="export the network again"
    )
