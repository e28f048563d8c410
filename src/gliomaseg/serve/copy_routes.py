"""The path of the API that makes a job for another scan of an upload."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from gliomaseg.serve.documents import JobDocument, problems
from gliomaseg.serve.job import State
from gliomaseg.serve.jobs import DiskFullError
from gliomaseg.serve.routes import DISK_FULL, JobId, jobs_of

router = APIRouter(prefix="/v1", responses=problems(401, 403, 404, 409, 422, 503))


class CopiedScan(BaseModel):
    """The scan of an upload that gets a job of its own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"choice": 2}]})
    choice: int = Field(ge=1, le=100_000)


@router.post("/segmentations/{job_id}/copies", status_code=202, response_model=JobDocument)
async def copy(request: Request, job_id: JobId, scan: CopiedScan) -> Any:
    """Put one of the scans of an upload into the queue, as a job of its own; the others can still be chosen."""
    jobs = jobs_of(request)
    job = jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job; it may have expired")
    if job.state is not State.CHOOSE:
        raise HTTPException(409, f"the job is {job.state.value}, expected choose; there is nothing to choose")
    numbers = [one["number"] for one in job.choices]
    if scan.choice not in numbers:
        raise HTTPException(422, f"choice is {scan.choice}, expected one of {', '.join(map(str, numbers))}")
    try:
        return jobs.document(await jobs.copy(job, scan.choice))
    except DiskFullError as fault:
        raise HTTPException(503, DISK_FULL) from fault
