"""The Ray cluster that computes (`cluster.joined`). For each trunk there is an application of Ray Serve, whose replicas
follow the queue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from trunkline.cluster.joined import join, leave, variables
from trunkline.engines.threads import THREADS_VARIABLE
from trunkline.errors import TrunklineError

if TYPE_CHECKING:  # numpy comes only once BLAS has its one thread
    from ray.serve.handle import DeploymentHandle

    from trunkline.serve.computing import Compute, Executed
    from trunkline.serve.live import LiveCatalog
    from trunkline.serve.on_ray.away import Away

TARGET = 16  # calls under way that a replica should have: more, and another one is started
MOST = 8 * TARGET  # that it may have; further ones wait in the server
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
        self._mine = join("ray.serve")
        from ray import serve

        serve.start(proxy_location="Disabled")  # calls come to this server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Replicas on a cluster of others stay: other servers may use them."""
        from ray import serve

        if self._mine:
            serve.shutdown()
        leave()

    def computing(self, live: LiveCatalog) -> Callable[[Compute, Executed], Away]:
        """Before the server answers: the replicas of every trunk that products stand on, in turn. Raises
        TrunklineError."""
        from trunkline.serve.on_ray.away import Away, trunks_of

        routes = live.snapshot().routes.values()
        for trunks in sorted({trunks_of(served) for route in routes for served in route.versions}):
            if trunks:
                self._groups[trunks] = self._started(trunks)
        return lambda here, executed: Away(here, executed, self)

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
            ray_actor_options={"num_cpus": self._threads, "runtime_env": {"env_vars": {**variables(), THREADS_VARIABLE: str(self._threads)}}},
        )
        try:
            return Replicas(serve.run(deployment.bind(str(self._folder), list(trunks)), name=name, route_prefix=None))
        except RuntimeError as error:
            raise TrunklineError(
                "the replicas of a trunk can't start", where=", ".join(trunks), found=str(error)[:300],
                hint="the products' folder and the trunk must be on every machine of the cluster",
            ) from None  # fmt: skip
