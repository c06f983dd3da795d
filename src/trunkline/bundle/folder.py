"""Reading a bundle: every digest verified before anything in it is believed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from trunkline.bundle import manifest as manifests
from trunkline.bundle import replay
from trunkline.bundle.manifest import MANIFEST, REPLAY, REQUIRED, Manifest, answers_digest, sha256
from trunkline.errors import BundleError, SpecError
from trunkline.heads import HEADS
from trunkline.spec import Spec, parse_spec
from trunkline.types import Decision, Head

if TYPE_CHECKING:
    from trunkline.engines.own import Owned

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}){0,3}")


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """decision.json."""

    labels: tuple[str, ...]
    decision: Decision


@dataclass(frozen=True)
class Bundle:
    """A frozen product. `open` is the way in; head and report are read on first use."""

    folder: Path
    manifest: Manifest
    spec: Spec
    decision: Decision
    labels: tuple[str, ...]
    migrated: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # what an older format has otherwise

    @classmethod
    def open(cls, path: Path, verify: bool = True) -> Bundle:
        """The bundle in a folder.

        With `verify` all files are read and compared; without it, only those that are used. Raises
        BundleError for anything missing, extra, changed, linked, of another format, or not allowed.
        """
        folder = Path(path)
        where = str(folder)
        names = set(_walk(folder))
        if MANIFEST not in names:
            raise BundleError(
                "there is no bundle here", where=where, wanted=f"a file {MANIFEST}", hint="trunkline train"
            )
        first = (folder / MANIFEST).read_bytes()
        number = manifests.format_of(first, where)
        migrated: dict[str, bytes] = {}
        if number < manifests.FORMAT:
            stored = {name: (folder / name).read_bytes() for name in names}
            moved = manifests.migrate(stored, number, where)
            first, names = moved[MANIFEST], set(moved)
            migrated = {name: content for name, content in moved.items() if stored.get(name) != content}
        manifest = manifests.decode(first, where)
        _same_names(set(manifest.files), names - {MANIFEST}, where)
        bundle = _assemble(folder, manifest, migrated)
        if verify:
            bundle.verify()
        return bundle

    @property
    def name(self) -> str:
        return self.manifest.product

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum((self.folder / name).stat().st_size for name in [MANIFEST, *self.manifest.files])

    def read(self, name: str) -> bytes:
        """The content of a file, its digest verified. Raises BundleError."""
        return _content(self.folder, self.manifest, self.migrated, name)

    def verify(self) -> None:
        """Read every file, compare every digest, check the networks. Raises BundleError."""
        for name in self.manifest.files:
            self.read(name)
            if name.endswith(".onnx"):
                from trunkline.engines.onnx_check import check_onnx

                check_onnx(self.folder / name)
        found = answers_digest(self.spec, self.manifest.files, self.manifest.trunks)
        if found != self.manifest.digest.answers:
            raise BundleError(
                "the bundle's `answers` digest doesn't fit its files",
                where=str(self.folder),
                found=found[:12],
                wanted=self.manifest.digest.answers[:12],
            )

    def head(self) -> Head:
        """The head, loaded on first use. Raises BundleError if it can't be."""
        return self._head

    @cached_property
    def _head(self) -> Head:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        where = str(self.folder / "head.json")
        raw = _json(self.read("head.json"), where)
        try:
            arrays = load(self.read("head.safetensors"))
            return HEADS.get(raw["format"]).load(self._outside(raw["meta"]), arrays)
        except (SafetensorError, KeyError, ValueError, TypeError, IndexError) as error:
            raise BundleError(
                "the bundle's head can't be loaded", where=where, found=f"{type(error).__name__}: {error}"
            ) from error

    def replays(self) -> list[replay.Replay]:
        """Rows with the answers that were given when the bundle was frozen. Raises BundleError."""
        if REPLAY not in self.manifest.files:
            return []
        try:
            return replay.decode(self.read(REPLAY))
        except msgspec.DecodeError as error:
            where = str(self.folder / REPLAY)
            raise BundleError("the bundle's replays can't be read", where=where, found=str(error)) from None

    @cached_property
    def networks(self) -> dict[str, Owned]:
        """The product's own engines by their names in the bundle; none is loaded. Raises BundleError."""
        if not any(name.startswith("own/") for name in self.manifest.files):
            return {}
        from trunkline.trunks.owned import bundled

        return bundled(self.folder, self.manifest.files)

    @property
    def engines(self) -> dict[str, Owned]:
        """The same by the names under which the head asks them: "own:<digest>", the same for equal files."""
        return {network.card.id: network for network in self.networks.values()}

    def _outside(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        """A head's meta with its own engines under the names they have outside the bundle: in "engine", and in the
        "parts" of `heads.dense`."""
        names = {f"own:{name}": own.card.id for name, own in self.networks.items()}
        return _renamed(meta, names) if names else meta

    @cached_property
    def report(self) -> dict[str, Any]:
        """report.json."""
        return dict(_json(self.read("report.json"), str(self.folder / "report.json")))

    @cached_property
    def data(self) -> dict[str, Any]:
        """data.json: where the rows were, how they were split, how many there were."""
        return dict(_json(self.read("data.json"), str(self.folder / "data.json")))


def _renamed(meta: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found = dict(meta)
    for key, value in meta.items():
        if key == "engine":
            found[key] = names.get(value, value)
        elif key == "parts":
            found[key] = [[names.get(engine, engine), column] for engine, column in value]
        elif isinstance(value, Mapping):
            found[key] = _renamed(value, names)
    return found


def _assemble(folder: Path, manifest: Manifest, migrated: Mapping[str, bytes]) -> Bundle:
    where = str(folder / "product.json")
    try:
        spec = parse_spec(_json(_content(folder, manifest, migrated, "product.json"), where), where)
    except SpecError as error:
        raise BundleError(
            error.what, where=where, found=error.found, wanted=error.wanted, hint=error.hint
        ) from None
    where = str(folder / "decision.json")
    try:
        decided = msgspec.json.decode(_content(folder, manifest, migrated, "decision.json"), type=Decided)
    except msgspec.DecodeError as error:
        raise BundleError("the bundle's decision can't be read", where=where, found=str(error)) from None
    if (spec.name, spec.task) != (manifest.product, manifest.task):
        raise BundleError(
            "the bundle's manifest and spec name different products",
            where=str(folder),
            found=f"{manifest.product} ({manifest.task})",
            wanted=f"{spec.name} ({spec.task})",
        )
    return Bundle(folder, manifest, spec, decided.decision, decided.labels, migrated)


def _content(folder: Path, manifest: Manifest, migrated: Mapping[str, bytes], name: str) -> bytes:
    wanted = manifest.files.get(name)
    if wanted is None:
        raise BundleError("the bundle holds no such file", where=str(folder), found=repr(name))
    content = migrated[name] if name in migrated else _read(folder / name)
    if sha256(content) != wanted:
        raise BundleError(
            "a file of the bundle was changed after it was written",
            where=str(folder / name),
            found=f"sha256 {sha256(content)[:12]}",
            wanted=wanted[:12],
            hint="take the bundle from its origin again, or train again",
        )
    return content


def safe_name(name: str, where: str) -> str:
    """A file name inside a bundle: plain characters, below the folder. Raises BundleError."""
    if not _NAME.fullmatch(name):
        raise BundleError(
            "a file name leaves the bundle or isn't plain",
            where=where,
            found=repr(name)[:120],
            wanted="letters, digits, _ . - and at most three folders",
        )
    return name


def _walk(folder: Path, prefix: str = "") -> Iterator[str]:
    """Names of all plain files below; links and special files are refused."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError("there is no bundle here", where=str(folder), wanted="a folder") from None
    for entry in entries:
        name = safe_name(prefix + entry.name, str(folder))
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{name}/")
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise BundleError(
                "a bundle may hold only plain files",
                where=entry.path,
                found="a link" if entry.is_symlink() else "a special file",
            )


def _same_names(wanted: set[str], found: set[str], where: str) -> None:
    for name in wanted:
        safe_name(name, where)
    missing = sorted((wanted | set(REQUIRED)) - found)
    extra = sorted(found - wanted)
    if missing:
        raise BundleError("a file of the bundle is missing", where=where, wanted=", ".join(missing[:5]))
    if extra:
        raise BundleError(
            "the bundle holds a file that its manifest doesn't name",
            where=where,
            found=", ".join(extra[:5]),
            hint="remove it, or take the bundle from its origin again",
        )


def _read(file: Path) -> bytes:
    """Without following a link, should one have been put there since the folder was listed."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BundleError("a bundle may hold only plain files", where=str(file))
            return stream.read()
    except OSError as error:
        raise BundleError(
            "a file of the bundle can't be read", where=str(file), found=error.strerror or str(error),
            hint="take the bundle from its origin again, or train again",
        ) from error  # fmt: skip


def _json(content: bytes, where: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BundleError("a file of the bundle is not JSON", where=where, found=str(error)) from None
