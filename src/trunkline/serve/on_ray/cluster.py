"""The Ray cluster that computes: joined where RAY_ADDRESS names one, else made on this machine and ended with the
server. For each trunk there is an application of Ray Serve, whose replicas follow the queue."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from trunkline.engines.threads import THREADS_VARIABLE
from trunkline.errors import MissingExtra, TrunklineError
from trunkline.store.place import VARIABLE

if TYPE_CHECKING:  # numpy comes only once BLAS has its one thread
    from ray.serve.handle import DeploymentHandle

    from trunkline.serve.computing import Compute
    from trunkline.serve.live import LiveCatalog
    from trunkline.serve.on_ray.away import Away

ADDRESS = "RAY_ADDRESS"
TARGET = 16  # calls under way that a replica should have: more, and another one is started
MOST = 8 * TARGET  # that it may have; further ones wait in the server
_STORE_BYTES = 100_000_000  # of Ray's object store on this machine: orders are small
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


def replicas(told: str) -> tuple[int, int]:
    """`2` or `1-8` as (least, most). Raises TrunklineError."""
    found = _RANGE.fullmatch(told.strip())
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most:
        raise TrunklineError("the number of replicas can't be read", found=repr(told[:40]), wanted="like 2, or 1-8")
    return least, most


class Replicas:
    """See `away.Group`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import RayServeException

        self._handle = handle
        self._broken = RayTaskError
        self.lost: tuple[type[Exception], ...] = (RayError, RayServeException)

    async def call(self, method: str, *order: Any) -> Any:
        response = getattr(self._handle, method).remote(*order)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except self._broken as error:  # not lost: asked again, it would break again
            raise TrunklineError("a replica broke", found=type(error.cause).__name__) from None


class RayCluster:
    """A context manager. `group` may be called on the event loop only."""

    def __init__(self, folder: Path, told: str, threads: int | None) -> None:
        self._folder, self._threads = folder.resolve(), threads or 1
        self._range = replicas(told)
        self._groups: dict[tuple[str, ...], asyncio.Future[Replicas] | Replicas] = {}
        self._mine = False

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers otherwise
        try:
            import ray
            from ray import serve
        except ImportError as error:
            raise MissingExtra("Ray Serve", "ray") from error
        self._mine = not os.environ.get(ADDRESS)
        local = {"include_dashboard": False, "object_store_memory": _STORE_BYTES} if self._mine else {}
        try:
            ray.init(namespace="trunkline", log_to_driver=False, configure_logging=False, **local)
        except Exception as error:  # noqa: BLE001 - Ray raises that very class where its processes don't come up
            raise TrunklineError(
                "the Ray cluster can't be joined" if not self._mine else "Ray can't start on this machine",
                where=os.environ.get(ADDRESS, ""), found=" ".join(str(error).split())[:200],
            ) from None  # fmt: skip
        serve.start(proxy_location="Disabled")  # calls come to this server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Replicas on a cluster of others stay: other servers may use them."""
        import ray
        from ray import serve

        if self._mine:
            serve.shutdown()
        ray.shutdown()

    def computing(self, live: LiveCatalog) -> Callable[[Compute], Away]:
        """Before the server answers: the replicas of every trunk that products stand on, in turn. Raises
        TrunklineError."""
        from trunkline.serve.on_ray.away import Away, trunks_of

        routes = live.snapshot().routes.values()
        for trunks in sorted({trunks_of(served) for route in routes for served in route.versions}):
            if trunks:
                self._groups[trunks] = self._started(trunks)
        return lambda here: Away(here, self)

    async def group(self, trunks: tuple[str, ...]) -> Replicas:
        """Made now where a product came later. Raises TrunklineError."""
        found = self._groups.get(trunks)
        if isinstance(found, Replicas):
            return found
        if found is None:
            found = self._groups[trunks] = asyncio.ensure_future(asyncio.to_thread(self._started, trunks))
        try:
            made = await asyncio.shield(found)
        except TrunklineError:
            self._groups.pop(trunks, None)
            raise
        self._groups[trunks] = made
        return made

    def _started(self, trunks: tuple[str, ...]) -> Replicas:
        """The replicas of these trunks: those that another server started, too, with this server's settings."""
        from ray import serve

        from trunkline.serve.on_ray.replica import Replica

        least, most = self._range
        name = "trunkline-" + re.sub(r"[^a-z0-9]+", "-", "-".join(trunks).lower()).strip("-")
        deployment = serve.deployment(Replica, name="replica").options(
            autoscaling_config={"min_replicas": least, "max_replicas": most, "target_ongoing_requests": TARGET},
            max_ongoing_requests=MOST,
            graceful_shutdown_timeout_s=10,
            ray_actor_options={"num_cpus": self._threads, "runtime_env": {"env_vars": self._variables()}},
        )
        try:
            return Replicas(serve.run(deployment.bind(str(self._folder), list(trunks)), name=name, route_prefix=None))
        except RuntimeError as error:
            raise TrunklineError(
                "the replicas of a trunk can't start", where=", ".join(trunks), found=str(error)[:300],
                hint="the products' folder and the trunk must be on every machine of the cluster",
            ) from None  # fmt: skip

    def _variables(self) -> dict[str, str]:
        """Ours, without the store of keys: a replica has no use for it."""
        ours = {name: value for name, value in os.environ.items() if name.startswith("TRUNKLINE_") and name != VARIABLE}
        return {**ours, THREADS_VARIABLE: str(self._threads)}
