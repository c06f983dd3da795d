"""One file to move a bundle in: a stored zip with fixed order and times, verified before it lands.

Members are stored, never deflated: what a reader unpacks can't exceed what it was sent, so there is
no zip bomb to defuse.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import orjson

from trunkline.bundle.folder import Bundle, safe_name
from trunkline.bundle.freeze import resealed
from trunkline.bundle.manifest import MANIFEST, REPLAY, encode
from trunkline.bundle.replay import encode as encode_replays
from trunkline.errors import BundleError
from trunkline.files import atomic_folder, write_atomic

MAX_FILES = 1_000
MAX_BYTES = 2_000_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: equal bundles give equal archives


def export_bundle(bundle: Bundle, path: Path, *, with_rows: bool = False) -> Path:
    """Write the bundle as one file and return its path.

    Customers' rows are left out of report and replays unless `with_rows`; the digests are computed again,
    and `answers` stays the same. Raises BundleError if the bundle was changed meanwhile.
    """
    target = Path(path)
    if target.exists():
        raise BundleError("there is a file in the export's place already", where=str(target), hint="choose another -o")
    if not target.parent.is_dir():
        raise BundleError("there is no such folder", where=str(target.parent), hint="make it, or choose another -o")
    bundle.verify()
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    manifest = bundle.manifest
    if not with_rows:
        files |= _without_rows(files)
        files.pop(REPLAY, None)
        if examples := [each for each in bundle.replays() if each.example]:
            files[REPLAY] = encode_replays(examples)
        manifest = resealed(manifest, bundle.spec, files)
    write_atomic(target, _zip({MANIFEST: encode(manifest), **files}))
    return target


def import_bundle(path: Path, folder: Path) -> Bundle:
    """Read an exported bundle into `folder`, which must not exist yet; verified before it appears there.

    Raises BundleError for a file that isn't an archive, for names that leave the folder, links,
    doubled names, compressed or too large members, and for whatever `Bundle.open` refuses.
    """
    if folder.exists():
        raise BundleError("there is something in the bundle's place already", where=str(folder))
    with _readable(str(path)):
        archive = zipfile.ZipFile(path)
    with archive, atomic_folder(folder) as temporary:
        _check(archive.infolist(), Path(path))
        for member in archive.infolist():
            with _readable(f"{path}, {member.filename}"):
                content = archive.read(member)
            (temporary / member.filename).parent.mkdir(parents=True, exist_ok=True)
            (temporary / member.filename).write_bytes(content)
        try:
            Bundle.open(temporary)
        except BundleError as error:
            where = _where(error.where, temporary, Path(path))
            raise BundleError(
                error.what, where=where, found=error.found, wanted=error.wanted, hint=error.hint
            ) from None
    return Bundle.open(folder, verify=False)


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """What a damaged archive makes zipfile raise, as BundleError."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error) as error:
        raise BundleError(
            "the file is not an exported bundle, or is damaged",
            where=where,
            found=str(error) or type(error).__name__,
            hint="take the file from its origin again; trunkline export writes such files",
        ) from None
    except OSError as error:
        raise BundleError(
            "the exported bundle can't be read", where=where, found=error.strerror or str(error)
        ) from None


def _where(where: str, folder: Path, path: Path) -> str:
    """A place below the folder, which is gone when the message is read, as a member of the archive."""
    place = Path(where)
    if not place.is_relative_to(folder) or place == folder:
        return str(path)
    return f"{path}, {place.relative_to(folder).as_posix()}"


def _without_rows(files: Mapping[str, bytes]) -> dict[str, bytes]:
    from trunkline.proof import render_html, without_rows

    report = without_rows(orjson.loads(files["report.json"]))
    html = render_html(report, report["language"], with_rows=False)
    return {
        "report.json": orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n",
        "report.html": html.encode(),
    }


def _zip(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (name != MANIFEST, name)):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, whatever machine writes it
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, files[name])
    return out.getvalue()


def _check(members: list[zipfile.ZipInfo], path: Path) -> None:
    where = str(path)
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES or total > min(MAX_BYTES, path.stat().st_size):
        raise BundleError(
            "the archive unpacks to more than it may",
            where=where,
            found=f"{len(members)} files, {total} bytes",
            wanted=f"at most {MAX_FILES} files, {MAX_BYTES} bytes, and no more than the archive itself",
        )
    seen: set[str] = set()
    for member in members:
        name = safe_name(member.orig_filename, where)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BundleError(
                "the archive holds something other than plain files", where=where, found=repr(name)
            )
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1:
            raise BundleError("the archive is compressed or encrypted", where=where, found=repr(name))
        if name.casefold() in seen:
            raise BundleError("the archive names a file twice", where=where, found=repr(name))
        seen.add(name.casefold())
    for name in sorted(seen):
        if any(str(parent) in seen for parent in PurePosixPath(name).parents):
            raise BundleError("the archive has a file in a folder's place", where=where, found=repr(name))
