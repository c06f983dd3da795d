"""What `trunkline deploy | rollback | status` and the comparison of two versions do, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from trunkline.bundle import Bundle
from trunkline.errors import BundleError, TrunklineError
from trunkline.record import Record
from trunkline.serve.opening import find_products, is_bundle
from trunkline.serve.places import Places
from trunkline.shelf import Shelf
from trunkline.store.place import registry_at

SHOWN = 5  # changes in a status, the newest last


def deploy(
    product: Path,
    version: str | None = None,
    *,
    canary: float | None = None,
    shadow: bool = False,
    override: str | None = None,
    registry: str | None = None,
) -> dict[str, Any]:
    """Give a version (the newest) of a product a role: live, canary for a share of the users, or shadow.

    override: the reason to serve a bundle whose gate failed. registry: address of the store whose catalog says what
    serves, instead of the folder. {"version", "role", "status"}. A running server follows within a second or two.
    Raises GateFailed, BundleError, StoreError.
    """
    if canary is not None and shadow:
        raise BundleError("a version is either canary or shadow", where=str(product), hint="leave one out")
    places, forced = Places(registry_at(registry)), override is not None
    shelf = places.shelf(product)
    if canary is not None:
        bundle = shelf.set_canary(canary, version, forced, override)
    elif shadow:
        bundle = shelf.set_shadow(version, forced, override)
    else:
        bundle = shelf.set_live(version, forced, override)
    role = "canary" if canary is not None else "shadow" if shadow else "live"
    return {"version": bundle.version, "role": role, "status": _one(places, product)}


def rollback(
    product: Path, reason: str = "", shadow: bool = False, registry: str | None = None
) -> dict[str, Any]:
    """Return to what was live before; a canary ends first. shadow: only end the shadow. {"live", "status"}.

    Raises BundleError, GateFailed, StoreError.
    """
    places = Places(registry_at(registry))
    shelf = places.shelf(product)
    live = shelf.end_shadow(reason) if shadow else shelf.rollback(reason)
    return {"live": live.version, "status": _one(places, product)}


def explanations(product: Path, on: bool, registry: str | None = None) -> dict[str, Any]:
    """Let callers ask why an answer is what it is, or no more; what serves stays. {"explain", "status"}. A running server
    follows within a second or two. A product that was trained with explain = false stays without reasons either way.

    Raises BundleError for a product without a bundle, StoreError.
    """
    places = Places(registry_at(registry))
    places.shelf(product).set_explained(on)
    return {"explain": on, "status": _one(places, product)}


def status(folder: Path, registry: str | None = None) -> dict[str, Any]:
    """{"products": [...]}: what should serve in each product at or below a folder, its newest changes, and what its
    traffic measured since the last of them, by version. A product whose record can't be read, or that only the
    registry knows, has an `error` in place of them.

    Raises BundleError where there is no product, StoreError.
    """
    if not folder.is_dir():
        raise BundleError("there is no such folder", where=str(folder))
    opened = registry_at(registry, keep_open=True)
    with closing(opened) if opened is not None else nullcontext():
        places = Places(opened)
        found = [_one(places, product) for product in find_products(folder)]
        absent = places.absent([one["product"] for one in found])
        found += [{"product": name, "folder": None, "error": error.as_dict()} for name, error in absent.items()]
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


def _one(places: Places, folder: Path) -> dict[str, Any]:
    if is_bundle(folder) and places.registry is None:
        bundle = Bundle.open(folder, verify=False)
        return {"product": bundle.name, "folder": str(folder), "live": bundle.version, "versions": [bundle.version]}
    shelf = places.shelf(folder)
    named = {"product": shelf.name, "folder": str(folder)}
    try:
        record = shelf.record()
        traffic = shelf.kept.count(record.era, {}) or {}
    except TrunklineError as error:
        return {**named, "error": error.as_dict()}
    measured = {version: counts.as_dict() for version, counts in traffic.items()}
    return {**named, "versions": shelf.versions(), **_roles(record), "traffic": measured}


def _roles(record: Record) -> Mapping[str, Any]:
    plain = dict(msgspec.to_builtins(record))
    changes = plain["deployments"][-SHOWN:]
    roles = {name: plain[name] for name in ("live", "previous", "canary", "shadow")}
    return {**roles, "silent": record.silent, "changes": changes}


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
