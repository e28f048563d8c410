"""The paths of the API for an upload with several scans, or a study with several series."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi import Path as PathField
from pydantic import BaseModel, ConfigDict, Field

from gliomaseg.serve.documents import Choice, JobDocument, problems
from gliomaseg.serve.job import Job, State
from gliomaseg.serve.jobs import DiskFullError
from gliomaseg.serve.routes import DISK_FULL, JobId, job_of, jobs_of
from gliomaseg.serve.transfers import StoredFile, read_choice

router = APIRouter(prefix="/v1", responses=problems(400, 401, 403, 404, 409, 413, 422, 503))
CHOICE = {"requestBody": {"required": True, "content": {"application/json": {"schema": Choice.model_json_schema()}}}}


class CopiedScan(BaseModel):
    """The scan of an upload that gets a job of its own."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"choice": 2}]})
    choice: int = Field(ge=1, le=100_000)


@router.post("/segmentations/{job_id}/choice", status_code=202, response_model=JobDocument, openapi_extra=CHOICE)
async def choose(request: Request, job_id: JobId) -> Any:
    """Choose one of the scans of an upload, or the series of a study that are FLAIR, T1 and T1ce."""
    job = job_of(request, job_id)
    chosen = await read_choice(request)
    _require_choosing(job)
    _require_choice(chosen, _usable(job))
    jobs_of(request).choose(job, chosen.choice, chosen.others)
    return jobs_of(request).document(job)


@router.post("/segmentations/{job_id}/copies", status_code=202, response_model=JobDocument)
async def copy(request: Request, job_id: JobId, scan: CopiedScan) -> Any:
    """Put one of the scans of an upload into the queue, as a job of its own; the others can still be chosen."""
    jobs, job = jobs_of(request), job_of(request, job_id)
    _require_choosing(job)
    _require_choice(Choice(choice=scan.choice), _usable(job))
    try:
        return jobs.document(await jobs.copy(job, scan.choice))
    except DiskFullError as fault:
        raise HTTPException(503, DISK_FULL) from fault


@router.get("/segmentations/{job_id}/choices/{number}.png", response_class=Response)
async def choice_picture(request: Request, job_id: JobId, number: Annotated[int, PathField(ge=1)]) -> Response:
    """Return the middle slice of one of the scans of an upload."""
    return StoredFile(job_of(request, job_id).folder / "out" / f"choice-{number}.png")


def _require_choosing(job: Job) -> None:
    if job.state is not State.CHOOSE:
        raise HTTPException(409, f"the job is {job.state.value}, expected choose; there is nothing to choose")


def _usable(job: Job) -> dict[int, list[str]]:
    """Return the sequences that each choice of a job can be, by its number."""
    return {one["number"]: one["usable_as"] for one in job.choices}


def _require_choice(chosen: Choice, usable_as: dict[int, list[str]]) -> None:
    """Refuse a choice with 422, unless each number is of another choice that is usable as the sequence."""
    named = {"choice": chosen.choice, **chosen.others}
    for name, number in named.items():
        if number not in usable_as:
            raise HTTPException(422, f"{name} is {number}, expected one of {', '.join(map(str, usable_as))}")
        if name != "choice" and name not in usable_as[number]:
            raise HTTPException(422, f"{name} is {number}, which is not usable as {name}; leave it out")
    if len(set(named.values())) < len(named):
        raise HTTPException(422, f"{' and '.join(named)} have one number, expected another series for each")
