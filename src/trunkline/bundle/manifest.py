"""manifest.json: what lies in a bundle, under which digests, and in which format.

Two digests. `answers` covers what decides an answer (head, decision, labels, own networks, the spec's
deciding parts, trunk fingerprints): equal digests answer equally. `files` covers every byte of the
bundle, the manifest's own fields included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trunkline.errors import BundleError
from trunkline.spec import Spec, dump_spec
from trunkline.types import EngineCard

FORMAT = 2
MANIFEST = "manifest.json"
REPLAY = "replay.json"  # rows and their answers; may be absent
REQUIRED = (
    "card.md",
    "data.json",
    "decision.json",
    "environment.json",
    "head.json",
    "head.safetensors",
    "product.json",
    "report.html",
    "report.json",
)

# A migration takes all files of a bundle of format n (name -> content) and gives those of format n+1,
# manifest included. Bundles on disk are never rewritten.
Migration = Callable[[Mapping[str, bytes]], dict[str, bytes]]


class Digests(Struct, frozen=True, forbid_unknown_fields=True):
    """Hex SHA-256 digests."""

    answers: str
    files: str


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first file that is read; everything else is checked against it."""

    format: int
    product: str
    version: str
    created: str  # ISO 8601, UTC
    trunkline: str  # the version that wrote it
    task: str
    method: str
    passed: bool  # the gate's verdict
    trunks: tuple[EngineCard, ...]
    files: dict[str, str]  # name -> sha256 of every other file
    digest: Digests

    @property
    def engine(self) -> str:
        """What calls are counted under: its trunk, several joined by "+", "" where it has none."""
        return "+".join(f"trunk:{card.id}" for card in self.trunks)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. Raises ValueError on nan."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def answers_digest(spec: Spec, files: Mapping[str, str], trunks: tuple[EngineCard, ...]) -> str:
    """Digest of what decides an answer; `files` are name -> sha256."""
    parts = dump_spec(spec)
    deciding = {
        "files": {name: digest for name, digest in files.items() if _decides(name)},
        "task": spec.task,
        "inputs": spec.inputs,
        "separator": spec.separator,
        "costs": parts["proof"]["costs"],
        "serve": parts["serve"],
        "trunks": {card.id: card.fingerprint for card in trunks},
    }
    return sha256(canonical(deciding))


def _decides(name: str) -> bool:
    return name not in (*REQUIRED, REPLAY) or name in ("head.json", "head.safetensors", "decision.json")


def files_digest(manifest: Manifest) -> str:
    """Digest of all files and of the manifest's own fields but this one."""
    plain = msgspec.to_builtins(manifest)
    plain["digest"] = {"answers": manifest.digest.answers}
    return sha256(canonical(plain))


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its `files` digest set."""
    seal = Digests(manifest.digest.answers, files_digest(manifest))
    return msgspec.structs.replace(manifest, digest=seal)


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def format_of(content: bytes, where: str) -> int:
    """The format number in a manifest, however the rest looks. Raises BundleError."""
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError("the bundle's manifest is damaged", where=where, found=str(error)) from None
    number = raw.get("format") if isinstance(raw, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise BundleError(
            "the bundle's manifest names no format", where=where, found=repr(number)[:80], wanted="1 or more"
        )
    if number > FORMAT:
        writer = str(raw.get("trunkline", "of a newer version"))[:40]
        raise BundleError(
            "this bundle was written by a newer Trunkline",
            where=where,
            found=f"format {number}",
            wanted=f"format {FORMAT} or older",
            hint=f"pip install 'trunkline>={writer}'",
        )
    return number


def decode(content: bytes, where: str) -> Manifest:
    """A manifest of the present format, its own seal verified. Raises BundleError."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError("the bundle's manifest is damaged", where=where, found=str(error)) from None
    found = files_digest(manifest)
    if found != manifest.digest.files or content != encode(manifest):
        raise BundleError(
            "the bundle was changed after it was written",
            where=where,
            found=f"digest {found[:12]}",
            wanted=manifest.digest.files[:12],
            hint="take it from its origin again, or train again",
        )
    return manifest


class _Product(Struct):
    product: str


def product_in(folder: Path) -> str | None:
    """The product that the manifest in a folder names, believed for now; None where it can't be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Product).product
    except (OSError, msgspec.DecodeError):
        return None


def _to_two(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Format 2 may hold replay.json and a spec with [rollout]; nothing else changed."""
    first = decode(files[MANIFEST], MANIFEST)
    return {**files, MANIFEST: encode(sealed(msgspec.structs.replace(first, format=2)))}


MIGRATIONS: dict[int, Migration] = {1: _to_two}


def migrate(files: Mapping[str, bytes], number: int, where: str) -> dict[str, bytes]:
    """The files of an older bundle, brought to the present format step by step. Raises BundleError."""
    moved = dict(files)
    for old in range(number, FORMAT):
        if old not in MIGRATIONS:
            raise BundleError(
                f"bundles of format {old} can't be read any more",
                where=where,
                wanted=f"format {FORMAT}",
                hint="train the product again",
            )
        moved = MIGRATIONS[old](moved)
    return moved
