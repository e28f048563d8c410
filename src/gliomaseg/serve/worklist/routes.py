"""The paths of the API for a work list; docs/guide/serve.md is its contract."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathField
from pydantic import BaseModel, ConfigDict, Field

from gliomaseg.errors import GliomasegError
from gliomaseg.serve.documents import JobDocument, problems
from gliomaseg.serve.job import State
from gliomaseg.serve.routes import jobs_of, require_mask
from gliomaseg.serve.worker_process import TaskError
from gliomaseg.serve.worklist.entry import Entry
from gliomaseg.serve.worklist.folders import valid_reader
from gliomaseg.serve.worklist.worklist import WorkList

_LONGEST_S = 10_000_000
router = APIRouter(prefix="/v1/worklist", responses=problems(400, 401, 403, 404, 409, 422, 503))
Number = Annotated[int, PathField(ge=1, le=1_000_000)]


class WorkCaseDocument(BaseModel):
    """A case of the work list."""

    number: int = Field(examples=[1])
    case: str = Field(examples=["patient_07"])
    state: str = Field(examples=["segmented"], description="waiting, segmented, failed or corrected")
    predicted_dice: float | None
    tumour_volume_ml: float | None
    job: str | None = Field(description="the job of an opened case")
    error: str | None
    corrected_at: str | None = Field(examples=["2026-11-29T08:00:00+00:00"])
    seconds: float | None = Field(description="of work, all storings of the case together")
    changed_voxels: int | None
    reader: str | None


class WorkListDocument(BaseModel):
    """The work list: to do, lowest predicted Dice first; then what is done."""

    reader: str | None = Field(examples=["anna"], description="null without a work list")
    cases: list[WorkCaseDocument]


class Stored(BaseModel):
    """Who corrected the mask of a case, how long it took, and which mask the client shows."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"seconds": 94.5, "reader": "anna"}]}
    )
    seconds: float = Field(
        ge=0, le=_LONGEST_S, allow_inf_nan=False, description="of work since the case was stored last"
    )
    reader: str | None = None
    mask_sha256: str | None = Field(
        default=None, description="SHA-256 of mask.u8 as the client has it; another mask is refused with 409"
    )


def _worklist(request: Request) -> WorkList | None:
    worklist: WorkList | None = request.app.state.worklist
    return worklist


def _entry(request: Request, number: int) -> tuple[WorkList, Entry]:
    worklist = _worklist(request)
    entry = None if worklist is None else worklist.get(number)
    if worklist is None or entry is None:
        raise HTTPException(404, "there is no such case; start the server with --cases and --out")
    return worklist, entry


@router.get("", response_model=WorkListDocument)
async def read(request: Request) -> Any:
    """Return the work list; it is empty if the server has none."""
    worklist = _worklist(request)
    if worklist is None:
        return {"reader": None, "cases": []}
    return {"reader": worklist.reader, "cases": [worklist.document(entry) for entry in worklist.in_order()]}


@router.post("/{number}", status_code=202, response_model=JobDocument)
async def open_case(request: Request, number: Number) -> Any:
    """Return the job of a case. If it has none, it is segmented before the other cases."""
    worklist, entry = _entry(request, number)
    try:
        return jobs_of(request).document(await worklist.open(entry))
    except GliomasegError as fault:
        raise HTTPException(503, fault.line()) from fault


@router.put("/{number}/mask", response_model=WorkCaseDocument)
async def store(request: Request, number: Number, stored: Stored) -> Any:
    """Write the mask of an open case to the folder of corrected masks, and its row to the manifest."""
    worklist, entry = _entry(request, number)
    job = worklist.job_of(entry)
    if job is None or job.state is not State.DONE:
        what = "not open" if job is None else job.state.value
        raise HTTPException(409, f"the case is {what}, expected done; open it first")
    try:
        reader = worklist.reader if stored.reader is None else valid_reader(stored.reader)
        async with job.lock:
            if worklist.job_of(entry) is not job:  # it may have been deleted while the lock was waited for
                raise HTTPException(409, "the case is not open; open it first")
            require_mask(job, stored.mask_sha256)
            await worklist.store(entry, job, reader=reader, seconds=stored.seconds)
    except GliomasegError as fault:  # the reader is refused, or a person has damaged the manifest just now
        raise HTTPException(422, fault.line()) from fault
    except TaskError as fault:
        raise HTTPException(422, fault.text) from fault
    return worklist.document(entry)
