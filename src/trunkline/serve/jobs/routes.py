"""The routes of bulk jobs, and the runner's life beside them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trunkline.serve import wire
from trunkline.serve.app import Server, caller_of, top_scores
from trunkline.serve.catalog import Served
from trunkline.serve.idempotency import Idempotency
from trunkline.serve.jobs import download
from trunkline.serve.jobs.place import KIND, Place, pieces
from trunkline.serve.jobs.rows import check_media
from trunkline.serve.jobs.runner import Runner
from trunkline.serve.jobs.upload import Upload, received
from trunkline.serve.jobs.view import view
from trunkline.serve.problems import json_bytes
from trunkline.serve.rollout import identity

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job

_CLAIM_SECONDS = 60.0  # that making a job of an upload may take
_LISTED = 100  # unless told otherwise
_MOST_LISTED = 1_000
_ID = re.compile(r"[0-9a-f]{32}")


class Jobs:
    """The handlers. `store`: the server's own, if it has one; else the embedded one, made with the first job."""

    def __init__(self, server: Server, store: Store | None) -> None:
        self._server = server
        self._place = Place(server.live.root, store)
        self._runner = Runner(server, self._place)

    def routes(self) -> list[Route]:
        one = "/v1/jobs/{id}"
        return [
            Route("/v1/products/{name}/jobs", self.submit, methods=["POST"]),
            Route("/v1/jobs", self.list),
            Route(one, self.one, methods=["GET", "DELETE"]),  # one route, so that a 405 names both
            Route(f"{one}/answers", self.answers),
            Route(f"{one}/cancel", self.cancel, methods=["POST"]),
        ]

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        """The lifespan of the app: jobs are done within it."""
        task = asyncio.create_task(self._runner.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def submit(self, request: Request) -> Response:
        """A file becomes a job for the version that is live now."""
        served = self._server.served(request)
        media, charset = check_media(
            request.headers.get("content-type", ""), request.headers.get("content-encoding", "")
        )
        asked = {"media": media, "encoding": charset, "top": top_scores(request)}
        store, mark = await asyncio.to_thread(self._place.made), await asyncio.to_thread(self._place.marked)
        async with received(request, self._place.home, self._server.limits.job_bytes) as upload:

            async def answer() -> Response:
                job = await asyncio.to_thread(self._job, store, mark, served, request, asked, upload)
                self._runner.wake()
                headers = {"location": f"/v1/jobs/{job.id}"}
                return Response(json_bytes(view(job)), 202, headers, "application/json")

            return await Idempotency(store, _CLAIM_SECONDS).once(request, upload.digest, answer)

    def _job(
        self, store: Store, mark: str, served: Served, request: Request, asked: dict[str, Any], upload: Upload
    ) -> Job:
        from trunkline.store.jobs import Job, add_job

        caller, named, most = caller_of(request), identity(served), self._server.limits.jobs
        told = {
            **asked,
            "version": named["version"],
            "digest": named["digest"],
            "columns": download.columns_of(served),
            "own_ids": bool(served.bundle.spec.data.id),
        }
        job = Job(
            kind=KIND, product=served.name, organisation=caller.organisation, owner=caller.name, request=told,
            created=datetime.now(UTC), place=mark,
        )  # fmt: skip
        try:
            self._place.adopt(upload.path, job.id)
            if not add_job(store, job, most):
                raise wire.CallerBusyError(
                    "this organisation has too many jobs that haven't ended", wanted=f"fewer than {most}",
                    hint="again when one has ended, or cancel one",
                )  # fmt: skip
        except BaseException:
            self._place.drop(job.id)
            raise
        return job

    async def one(self, request: Request) -> Response:
        return await (self.delete if request.method == "DELETE" else self.show)(request)

    async def list(self, request: Request) -> Response:
        """The organisation's, the newest first."""
        from trunkline.store.jobs import list_jobs

        limit = request.query_params.get("limit", str(_LISTED))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= _MOST_LISTED):
            raise wire.WrongRequestError(
                "the query parameter limit can't be read", found=repr(limit[:40]), wanted=f"1 to {_MOST_LISTED}"
            )
        store = await asyncio.to_thread(self._place.store)
        found = []
        if store is not None:
            found = await asyncio.to_thread(list_jobs, store, KIND, caller_of(request).organisation, int(limit))
        return _json({"jobs": [view(job) for job in found]})

    async def show(self, request: Request) -> Response:
        _, job = await self._own(request)
        return _json(view(job))

    async def answers(self, request: Request) -> Response:
        """Streamed from disk, whatever their number."""
        _, job = await self._own(request)
        format_ = download.wanted(request)
        if job.state != "done":
            raise wire.JobStateError(
                "the job has no answers yet" if job.open else "the job has no answers", found=job.state, wanted="done",
                hint="look at its state again later" if job.open else "its error says why" if job.result else "",
            )  # fmt: skip
        if job.place != await asyncio.to_thread(self._place.mark):
            raise wire.UnavailableError("the answers lie on another server that shares this store", hint="ask that one")
        stored, told = pieces(self._place, job), job.request
        headers = {
            "content-disposition": f'attachment; filename="{job.id}.{format_}"',
            **{f"x-trunkline-{name}": told[name] for name in ("version", "digest")},
            "x-trunkline-product": job.product,
        }
        if format_ == "csv":
            body = download.as_csv(stored, told["columns"])
        elif format_ == "parquet":
            body = download.as_parquet(stored, told["columns"], told["own_ids"])
        else:
            body = stored
            headers["content-length"] = str(sum(size for _, size in job.parts))
        if request.method == "HEAD":
            body = iter(())
        return StreamingResponse(body, headers=headers, media_type=download.FORMATS[format_])

    async def cancel(self, request: Request) -> Response:
        """Whoever works on it stops within moments; its files go now."""
        from trunkline.store.jobs import cancel_job

        store, job = await self._own(request)
        cancelled = await asyncio.to_thread(cancel_job, store, job.id, datetime.now(UTC))
        _, job = await self._own(request)
        if not cancelled and job.state != "cancelled":
            raise wire.JobStateError("the job has ended already", found=job.state, wanted="queued or running")
        await asyncio.to_thread(self._place.drop, job.id)
        return _json(view(job))

    async def delete(self, request: Request) -> Response:
        """Forgets the job, and removes its files; one under way is cancelled by it."""
        from trunkline.store.jobs import drop_job

        store, job = await self._own(request)
        await asyncio.to_thread(drop_job, store, job.id)
        await asyncio.to_thread(self._place.drop, job.id)
        return Response(status_code=204)

    async def _own(self, request: Request) -> tuple[Store, Job]:
        """The job that the path names. Raises UnknownJobError where it is another organisation's too."""
        from trunkline.store.jobs import find_job

        store, id_ = await asyncio.to_thread(self._place.store), request.path_params["id"]
        job = None
        if store is not None and _ID.fullmatch(id_):
            job = await asyncio.to_thread(find_job, store, id_)
        if store is None or job is None or job.kind != KIND or job.organisation != caller_of(request).organisation:
            raise wire.UnknownJobError(f"there is no job {id_[:80]!r}", hint="GET /v1/jobs lists yours")
        return store, job


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type="application/json")
