"""OpenAPI of bulk jobs."""

from __future__ import annotations

from trunkline.serve.limits import Limits
from trunkline.serve.openapi_parts import ALWAYS, JSON, ONCE, TEXT, Json, path, problems, response

_COUNT = {"type": "integer", "minimum": 0}
_FIGURE = {"type": ["number", "null"]}
_WHEN = {"type": ["string", "null"], "format": "date-time"}
JOB: Json = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "product": TEXT,
        "version": TEXT,
        "digest": {"type": "string", "description": "Of all that decides an answer; that of the job's whole life."},
        "state": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
        "rows_done": {**_COUNT, "description": "Rows that are answered for good."},
        "rows_failed": {**_COUNT, "description": "Of those, the ones whose answer says error."},
        "rows_total": {"type": ["integer", "null"], "description": "Known once the file was read through."},
        "rows_per_second": {**_FIGURE, "description": "Over the time that was worked on it."},
        "seconds_left": {**_FIGURE, "description": "At that speed."},
        "created": {"type": "string", "format": "date-time"},
        "ended": _WHEN,
        "kept_until": {**_WHEN, "description": "Answers can be fetched until then."},
        "error": {"type": ["object", "null"], "description": "Why it failed: what, where, found, wanted, try."},
    },
}
JOB["required"] = list(JOB["properties"])
_ID = path("id")
_SCORES = {"name": "scores", "in": "query", "schema": {"enum": ["top", "all"], "default": "top"}}
_LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}}
_FORMAT = {"name": "format", "in": "query", "schema": {"enum": ["ndjson", "csv", "parquet"], "default": "ndjson"}}
_FILES: Json = {
    "text/csv": {"schema": TEXT, "example": "text\nmy card is late\n我的卡还没到\n"},
    "application/x-ndjson": {"schema": TEXT, "example": '{"text": "my card is late"}\n{"text": "我的卡还没到"}\n'},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}
_MISSING = {"404": "The caller's organisation has no such job."}
_STATE = {**_MISSING, "409": "The job's state doesn't allow it."}


def job_paths(limits: Limits) -> Json:
    """Path -> operations."""
    refused = {
        "404": "No product of that name.",
        "409": "The same upload is being taken.",
        "413": f"The file is over {limits.job_bytes:,} bytes.",
        "415": "No CSV, lines of JSON or Parquet.",
        "422": "An empty file, or a key that was used for another.",
        "429": f"The organisation has {limits.jobs} jobs that haven't ended.",
        "501": "Parquet or the store is not installed.",
        "503": "The product or the store can't serve.",
        "507": "No room on the disk.",
    }
    made = {"202": response("The job, queued; Location leads to it.", {JSON: JOB})}
    job, no_body = {"200": response("The job.", {JSON: JOB})}, {"204": {"description": "Gone."}}
    listed = {"type": "object", "properties": {"jobs": {"type": "array", "items": JOB}}, "required": ["jobs"]}
    files: Json = {media: {} for media in _FILES}
    submit = _operation("submit_job", "Answer a whole file", "提交批量任务", made, refused, [path("name"), _SCORES, ONCE])
    one = {
        "get": _operation("job", "A job's state and progress", "任务状态与进度", job, _MISSING, [_ID]),
        "delete": _operation("delete_job", "Forget a job and its files", "删除任务及其文件", no_body, _MISSING, [_ID]),
    }
    many = _operation(
        "jobs", "Your jobs, the newest first", "任务列表",
        {"200": response("Jobs.", {JSON: listed})}, {"422": "A limit that can't be read."}, [_LIMIT],
    )  # fmt: skip
    answers = _operation(
        "job_answers", "A job's answers, in the order of its rows", "下载答案", {"200": response("Answers.", files)},
        {**_STATE, "422": "An unknown format.", "501": "Parquet is not installed.", "503": "They lie on another server."},
        [_ID, _FORMAT],
    )  # fmt: skip
    cancel = _operation("cancel_job", "Stop a job", "取消任务", job, _STATE, [_ID])
    return {
        "/v1/products/{name}/jobs": {"post": {**submit, "requestBody": {"required": True, "content": _FILES}}},
        "/v1/jobs": {"get": many},
        "/v1/jobs/{id}": one,
        "/v1/jobs/{id}/answers": {"get": answers},
        "/v1/jobs/{id}/cancel": {"post": cancel},
    }


def _operation(
    name: str,
    english: str,
    chinese: str,
    answered: Json,
    refused: dict[str, str],
    parameters: list[Json],
) -> Json:
    return {
        "operationId": name,
        "summary": english,
        "x-summary-zh": chinese,
        "parameters": parameters,
        "responses": answered | problems({*ALWAYS, *refused}, meanings=refused),
    }
