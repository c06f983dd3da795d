"""A job as the API shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trunkline.serve.jobs.place import KEPT

if TYPE_CHECKING:
    from trunkline.store.jobs import Job


def view(job: Job) -> dict[str, Any]:
    """See docs/http.md. `rows_per_second` is over all the time that was worked on it, waiting left out."""
    rate = job.progress / job.seconds if job.seconds else None
    left = None
    if rate and job.open and job.total is not None:
        left = (job.total - job.progress) / rate
    return {
        "id": job.id,
        "product": job.product,
        "version": job.request["version"],
        "digest": job.request["digest"],
        "state": job.state,
        "rows_done": job.progress,
        "rows_failed": job.errors,
        "rows_total": job.total,
        "rows_per_second": rate and round(rate, 1),
        "seconds_left": left and round(left, 1),
        "created": job.created.isoformat(timespec="seconds"),
        "ended": job.ended and job.ended.isoformat(timespec="seconds"),
        "kept_until": job.ended and (job.ended + KEPT).isoformat(timespec="seconds"),
        "error": job.result,
    }
