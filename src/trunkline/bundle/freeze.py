"""Writing a bundle: all of it or nothing."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

import trunkline
from trunkline.bundle.folder import Bundle, Decided, safe_name
from trunkline.bundle.manifest import (
    FORMAT,
    MANIFEST,
    REPLAY,
    REQUIRED,
    Digests,
    Manifest,
    answers_digest,
    canonical,
    encode,
    sealed,
    sha256,
)
from trunkline.bundle.replay import Replay
from trunkline.bundle.replay import encode as encode_replays
from trunkline.errors import BundleError
from trunkline.files import atomic_folder
from trunkline.spec import Spec, dump_spec
from trunkline.types import Decision, EngineCard, Head

_PACKAGES = ("lightgbm", "numpy", "onnxruntime", "openvino", "scikit-learn", "tokenizers", "torch")


def freeze(
    folder: Path,
    *,
    spec: Spec,
    version: str,
    method: str,
    head: Head,
    decision: Decision,
    labels: Sequence[str],
    trunks: Sequence[EngineCard],
    report: Mapping[str, Any],
    html: str,
    card: str,
    data: Mapping[str, Any],
    verdict_passed: bool,
    replays: Sequence[Replay] = (),
    extra_files: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle to `folder`, which must not exist yet, and open it again.

    `data` is the data pointer, the split's digest and row counts, never rows. `replays` are rows with
    their answers, from `replay.record`. `extra_files` are the product's own networks and the like, by name. Raises BundleError for an unsafe file name, for
    nan or infinity in the head's meta or the decision, and for a folder that is taken.
    """
    files = _head_files(head, str(folder))
    files["product.json"] = _pretty(dump_spec(spec))
    files["decision.json"] = _exact(
        msgspec.to_builtins(Decided(tuple(labels), decision), enc_hook=_number), str(folder)
    )
    files["report.json"] = _pretty(report)
    files["report.html"] = html.encode()
    files["card.md"] = card.encode()
    files["data.json"] = _pretty(data)
    files["environment.json"] = _pretty(environment())
    for name, content in (extra_files or {}).items():
        if name in files or name in (MANIFEST, REPLAY):
            raise BundleError("two files of a bundle share a name", where=str(folder), found=repr(name))
        files[safe_name(name, str(folder))] = content
    if replays:
        files[REPLAY] = encode_replays(replays)
    manifest = _manifest(spec, version, method, trunks, verdict_passed, files)
    _write(folder, manifest, files)
    return Bundle.open(folder, verify=False)


def _write(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """All files at once, verified before they appear in their place."""
    if folder.exists():
        raise BundleError("there is something in the bundle's place already", where=str(folder))
    with atomic_folder(folder) as temporary:
        for name, content in {**files, MANIFEST: encode(manifest)}.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        Bundle.open(temporary)


def resealed(manifest: Manifest, spec: Spec, files: Mapping[str, bytes]) -> Manifest:
    """The manifest for changed files: all digests computed again."""
    digests = {name: sha256(files[name]) for name in sorted(files)}
    answers = answers_digest(spec, digests, manifest.trunks)
    return sealed(msgspec.structs.replace(manifest, files=digests, digest=Digests(answers, "")))


def environment() -> dict[str, Any]:
    """Python, packages and machine, for the record; nothing that names a user or a path."""
    packages = {"trunkline": trunkline.__version__}
    for name in _PACKAGES:
        try:
            packages[name] = installed(name)
        except PackageNotFoundError:
            continue  # an extra that isn't installed took no part
    return {
        "python": platform.python_version(),
        "packages": packages,
        "machine": {"system": platform.system(), "processor": platform.machine()},
    }


def _manifest(
    spec: Spec,
    version: str,
    method: str,
    trunks: Sequence[EngineCard],
    passed: bool,
    files: Mapping[str, bytes],
) -> Manifest:
    blank = Manifest(
        format=FORMAT,
        product=spec.name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        trunkline=trunkline.__version__,
        task=spec.task,
        method=method,
        passed=bool(passed),
        trunks=tuple(trunks),
        files={},
        digest=Digests("", ""),
    )
    assert set(REQUIRED) <= set(files)
    return resealed(blank, spec, files)


def _head_files(head: Head, where: str) -> dict[str, bytes]:
    from safetensors.numpy import save

    meta, arrays = head.save()
    return {
        "head.json": _exact({"format": head.format, "meta": meta}, where),
        "head.safetensors": save({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
    }


def _exact(value: Any, where: str) -> bytes:
    """JSON that decides answers: nan and infinity would be lost in it, so they are refused."""
    try:
        return canonical(value) + b"\n"
    except (ValueError, TypeError) as error:
        raise BundleError(
            "the head or its decision can't be written as JSON", where=where, found=str(error)
        ) from error


def _pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a decision")
