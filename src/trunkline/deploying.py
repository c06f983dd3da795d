"""What `trunkline deploy | rollback | status` and the comparison of two versions do, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trunkline.bundle import Bundle
from trunkline.errors import BundleError, TrunklineError
from trunkline.record import Record
from trunkline.serve.opening import find_products, is_bundle
from trunkline.shelf import Shelf

SHOWN = 5  # changes in a status, the newest last


def deploy(
    product: Path,
    version: str | None = None,
    *,
    canary: float | None = None,
    shadow: bool = False,
    override: str | None = None,
) -> dict[str, Any]:
    """Give a version (the newest) a role on a product's shelf: live, canary for a share of the users, or shadow.

    override: the reason to serve a bundle whose gate failed. {"version", "role", "status"}. A running server
    follows within a second or two. Raises GateFailed, BundleError.
    """
    if canary is not None and shadow:
        raise BundleError("a version is either canary or shadow", where=str(product), hint="leave one out")
    shelf, forced = Shelf(product), override is not None
    if canary is not None:
        bundle = shelf.set_canary(canary, version, forced, override)
    elif shadow:
        bundle = shelf.set_shadow(version, forced, override)
    else:
        bundle = shelf.set_live(version, forced, override)
    role = "canary" if canary is not None else "shadow" if shadow else "live"
    return {"version": bundle.version, "role": role, "status": _one(product)}


def rollback(product: Path, reason: str = "", shadow: bool = False) -> dict[str, Any]:
    """Return to what was live before; a canary ends first. shadow: only end the shadow. {"live", "status"}.

    Raises BundleError, GateFailed.
    """
    shelf = Shelf(product)
    live = shelf.end_shadow(reason) if shadow else shelf.rollback(reason)
    return {"live": live.version, "status": _one(product)}


def status(folder: Path) -> dict[str, Any]:
    """{"products": [...]}: what serves in each product at or below a folder, by the record on disk, and its
    newest changes. A product whose record can't be read has an `error` in place of them.

    Raises BundleError where there is no product.
    """
    if not folder.is_dir():
        raise BundleError("there is no such folder", where=str(folder))
    found = [_one(product) for product in find_products(folder)]
    if not found:
        raise BundleError(
            "there is no product here", where=str(folder), wanted="folders with product.toml", hint="trunkline init"
        )
    return {"products": found}


def compare(product: Path, first: str, second: str) -> dict[str, Any]:
    """Two versions by their own reports, before any traffic: {"first", "second"}, each with its metrics
    (value, low, high, n), gate, size and digest; `same_answers` is true where their digests agree.

    Metrics of two versions stand on the same rows only where `data` is equal. Raises BundleError.
    """
    one, two = (Shelf(product).open(version, verify=False) for version in (first, second))
    return {
        "product": one.name,
        "first": _proven(one),
        "second": _proven(two),
        "same_answers": one.manifest.digest.answers == two.manifest.digest.answers,
        "labels_added": sorted(set(two.labels) - set(one.labels)),
        "labels_removed": sorted(set(one.labels) - set(two.labels)),
    }


def share(text: str) -> float:
    """`10%` or `0.1` as a share. Raises BundleError."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number)
    except ValueError:
        raise BundleError("a share can't be read", found=repr(text)[:40], wanted="like 10% or 0.1") from None
    return value / 100 if text.strip().endswith("%") else value


def _one(folder: Path) -> dict[str, Any]:
    if is_bundle(folder):
        bundle = Bundle.open(folder, verify=False)
        return {"product": bundle.name, "folder": str(folder), "live": bundle.version, "versions": [bundle.version]}
    shelf = Shelf(folder)
    try:
        return {"product": folder.name, "folder": str(folder), "versions": shelf.versions(), **_roles(shelf.record())}
    except TrunklineError as error:
        return {"product": folder.name, "folder": str(folder), "error": error.as_dict()}


def _roles(record: Record) -> Mapping[str, Any]:
    plain = dict(msgspec.to_builtins(record))
    changes = plain["deployments"][-SHOWN:]
    return {**{name: plain[name] for name in ("live", "previous", "canary", "shadow")}, "changes": changes}


def _proven(bundle: Bundle) -> dict[str, Any]:
    report = bundle.report
    wanted = ("value", "low", "high", "n")
    metrics = {
        name: {part: figure[part] for part in wanted} for name, figure in dict(report.get("metrics", {})).items()
    }
    return {
        "version": bundle.version,
        "created": bundle.manifest.created,
        "method": bundle.manifest.method,
        "passed": bundle.manifest.passed,
        "digest": bundle.manifest.digest.answers,
        "bytes": bundle.size_bytes,
        "data": bundle.data.get("digest"),
        "primary": report.get("primary"),
        "metrics": metrics,
    }
