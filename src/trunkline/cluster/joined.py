"""The cluster that a command uses: joined where RAY_ADDRESS names one, else made on this machine and ended with the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module

from trunkline.errors import MissingExtra, TrunklineError
from trunkline.store.place import VARIABLE

ADDRESS = "RAY_ADDRESS"
_STORE_BYTES = 100_000_000  # of Ray's object store on this machine: what goes through it is small


def join(library: str) -> bool:
    """Is the cluster this command's own? library: of Ray's, that it is joined for. Raises MissingExtra, TrunklineError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers otherwise
    try:
        import ray

        import_module(library)
    except ImportError as error:
        raise MissingExtra(library, "ray") from error
    mine = not os.environ.get(ADDRESS)
    local = {"address": "local", "include_dashboard": False, "object_store_memory": _STORE_BYTES} if mine else {}  # else Ray joins any that runs here
    try:
        ray.init(namespace="trunkline", log_to_driver=False, configure_logging=False, **local)
    except Exception as error:  # noqa: BLE001 - Ray raises that very class where its processes don't come up
        raise TrunklineError(
            "Ray can't start on this machine" if mine else "the Ray cluster can't be joined",
            where=os.environ.get(ADDRESS, ""), found=" ".join(str(error).split())[:200],
        ) from None  # fmt: skip
    return mine


@contextmanager
def joined(library: str) -> Iterator[bool]:
    """`join` while it lasts, for a command whose output comes after it: what Ray says of processes that died goes to stderr,
    which Ray writes to stdout."""
    with redirect_stdout(sys.stderr):
        mine = join(library)
        try:
            yield mine
        finally:
            leave()


def room(processes: int, cores: int) -> None:
    """Raises TrunklineError where the cluster joined has too few cores for so many processes of so many each: Ray would wait
    for machines that nobody adds."""
    import ray

    has = int(ray.cluster_resources().get("CPU", 0))
    if has < processes * cores:
        raise TrunklineError(
            "the Ray cluster is too small for so many processes", where=os.environ.get(ADDRESS, "this machine"),
            found=f"{has} cores", wanted=f"{processes * cores}: {cores} for each of {processes} processes", hint=f"--processes {max(1, has // cores)}",
        )  # fmt: skip


def leave() -> None:
    """End the cluster, if it is this command's own."""
    import ray

    ray.shutdown()


def variables() -> dict[str, str]:
    """Ours, without the store of keys: no process on a cluster has a use for it."""
    return {name: value for name, value in os.environ.items() if name.startswith("TRUNKLINE_") and name != VARIABLE}
