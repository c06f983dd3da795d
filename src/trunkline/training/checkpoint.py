"""A training on disk: safetensors for everything that is a tensor, JSON for the rest. Never pickle.

One file: the JSON travels in the safetensors header, so weights and counters can't be of two moments.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from trunkline.files import write_atomic
from trunkline.training import parallel

FILE = "checkpoint.safetensors"
FORMAT = 1


def write(folder: Path, tensors: dict[str, Any], meta: dict[str, Any]) -> None:
    """Replace the folder's checkpoint: a temporary name, flushed, renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"trunkline": json.dumps({"format": FORMAT, **meta})}
    # a copy each: safetensors refuses tensors that share memory, as tied weights do
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomic(folder / FILE, save(whole, told))


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(tensors, meta) of the folder's checkpoint; None without one, or where it is damaged or of another format."""
    try:
        with safe_open(folder / FILE, "pt") as file:
            meta = json.loads((file.metadata() or {}).get("trunkline", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (OSError, SafetensorError, ValueError):
        return None
    return (tensors, meta) if meta.pop("format", None) == FORMAT else None


def found(folder: Path | None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """`read` of the folder that the first process gives, in all processes: only that one's disk is asked."""
    if parallel.size() == 1:
        return read(folder) if folder else None
    data = parallel.sent((folder / FILE).read_bytes() if folder and read(folder) else b"")
    if not data:
        return None
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta = json.loads(head["__metadata__"]["trunkline"])
    del meta["format"]
    return load(data), meta


def flat(optimiser: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tensors, numbers) of an optimiser's state, by "parameter/name"."""
    tensors: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for parameter, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            kept = tensors if torch.is_tensor(value) else numbers
            kept[f"{parameter}/{name}"] = value
    return tensors, {name: value for name, value in numbers.items() if value is not None}


def unflat(optimiser: Any, tensors: dict[str, Any], numbers: dict[str, Any]) -> None:
    """Put back what `flat` gave; the groups keep their own settings."""
    state: dict[int, dict[str, Any]] = {}
    for path, value in {**tensors, **numbers}.items():
        parameter, _, name = path.partition("/")
        state.setdefault(int(parameter), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
