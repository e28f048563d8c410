"""The paths of the API for a reference mask; docs/guide/rest-api.md is their contract."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from gliomaseg.data.masks import parse_labels
from gliomaseg.errors import UsageError, printable
from gliomaseg.formats import stem_of
from gliomaseg.serve.documents import problems
from gliomaseg.serve.job import Job
from gliomaseg.serve.reference import FILE, FOLDER
from gliomaseg.serve.routes import JobId, done_job, jobs_of
from gliomaseg.serve.transfers import opened_form
from gliomaseg.serve.uploads import store, suffix_of_name
from gliomaseg.serve.worker_process import TaskError

router = APIRouter(prefix="/v1", responses=problems(400, 401, 403, 404, 409, 413, 422))
FORM = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["mask"],
                    "properties": {
                        "mask": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "labels": {"type": "string", "examples": ["1,2,4"]},
                    },
                }
            }
        }
    }
}
_NUMBER = re.compile(r"(\d{1,9})(?:[-_. ](?:mask|seg|label))?$", re.IGNORECASE)


class SliceComparison(BaseModel):
    """One axial slice with a voxel in either mask."""

    slice: int = Field(ge=1, description="from 1, the lowest")
    dice: float
    reference_voxels: int
    predicted_voxels: int


class Comparison(BaseModel):
    """How the mask agrees with the reference; the measures are those of `gliomaseg evaluate`."""

    name: str = Field(examples=["expert.nii.gz"])
    dice_volume: float | None = Field(description="null if both masks are empty")
    hausdorff_95_mm: float | None
    average_surface_distance_mm: float | None
    surface_dice: float | None = Field(description="within 2 mm")
    reference_ml: float | None
    predicted_ml: float | None
    reference_voxels: int
    predicted_voxels: int
    slices: list[SliceComparison]


@router.put("/segmentations/{job_id}/reference", response_model=Comparison, openapi_extra=FORM)
async def put_reference(request: Request, job_id: JobId) -> Any:
    """Compare the mask with a reference, and keep the reference for later comparisons."""
    done_job(request, job_id)
    async with opened_form(request, field="mask") as fields:
        files, labels = _fields(fields)
        return await _store_and_compare(request, job_id, files, labels)


def _fields(fields: Sequence[tuple[str, Any]]) -> tuple[dict[int, UploadFile], list[int] | None]:
    """Return the mask's files by the numbers of their slices, and the values that are tumour."""
    if unknown := {name for name, _ in fields} - {"mask", "labels"}:
        raise HTTPException(400, f"field is {printable(min(unknown))[:80]}, expected mask or labels")
    files = [value for name, value in fields if name == "mask" and isinstance(value, UploadFile)]
    if not files:
        raise HTTPException(400, "no mask is given; send it in the field mask")
    labels = next((value for name, value in fields if name == "labels" and isinstance(value, str)), "")
    try:
        values = sorted(parse_labels(labels, where="labels")) if labels.strip() else None
    except UsageError as fault:
        raise HTTPException(422, fault.line()) from fault
    return _by_number(files), values


def _by_number(files: Sequence[UploadFile]) -> dict[int, UploadFile]:
    """Return the images of slices by the number at the end of their names, in order; a single file is number 1."""
    if len(files) == 1:
        return {1: files[0]}
    numbered: dict[int, UploadFile] = {}
    for file in files:
        match = _NUMBER.search(stem_of(Path(file.filename or "")))
        if match is None or int(match[1]) in numbered:
            text = "the masks of slices have no number, or one of them twice; name them 1_mask.png, 2_mask.png ..."
            raise HTTPException(422, text)
        numbered[int(match[1])] = file
    return dict(sorted(numbered.items()))


async def _store_and_compare(
    request: Request, job_id: str, files: dict[int, UploadFile], labels: list[int] | None
) -> dict[str, Any]:
    job = done_job(request, job_id)
    # Letters that no client's name has, so that messages can be translated back.
    token = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
    names = {
        f"{token}_{number}{suffix_of_name(file.filename or '')}": _shown_name(file) for number, file in files.items()
    }
    async with job.lock:
        done_job(request, job_id)  # it may have been deleted while the lock was waited for
        place = job.folder / FOLDER
        try:
            await asyncio.to_thread(_store, place, list(names), list(files.values()))
            found = await _compare(request, job, files=list(names), labels=labels)
        except TaskError as fault:
            raise HTTPException(422, _with_client_names(fault.text, names)) from fault
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        first = next(iter(names.values()))
        job.reference = first if len(names) == 1 else f"{first} and {len(names) - 1} more"
        return {"name": job.reference, **found}


def _shown_name(file: UploadFile) -> str:
    return printable((file.filename or "mask").replace("\\", "/").rsplit("/", 1)[-1])[:100]


def _store(place: Path, names: Sequence[str], files: Sequence[UploadFile]) -> None:
    for name, file in zip(names, files, strict=True):
        store(file.file, place / name)


def _with_client_names(text: str, names: dict[str, str]) -> str:
    text = text.replace(f"{FOLDER}/", "").replace("--labels", "the field labels")
    for own, name in reversed(names.items()):  # 12 before 1
        text = text.replace(own, name).replace(stem_of(Path(own)), stem_of(Path(name)))
    return text


@router.get("/segmentations/{job_id}/reference.json", response_model=Comparison)
async def get_comparison(request: Request, job_id: JobId) -> Any:
    """Compare the current mask with the reference that is stored."""
    job = _job_with_reference(request, job_id)
    async with job.lock:
        _job_with_reference(request, job_id)
        try:
            return {"name": job.reference, **await _compare(request, job)}
        except TaskError as fault:
            raise HTTPException(422, fault.text) from fault


@router.get("/segmentations/{job_id}/reference.u8", response_class=Response)
async def get_reference(request: Request, job_id: JobId) -> Response:
    """Return the reference in the form of mask.u8."""
    job = _job_with_reference(request, job_id)
    return FileResponse(job.folder / "out" / FILE, media_type="application/octet-stream", filename=FILE)


@router.delete("/segmentations/{job_id}/reference", status_code=204)
async def delete_reference(request: Request, job_id: JobId) -> None:
    """Remove the reference."""
    job = _job_with_reference(request, job_id)
    async with job.lock:
        job.reference = None
        (job.folder / "out" / FILE).unlink(missing_ok=True)


async def _compare(request: Request, job: Job, **values: Any) -> dict[str, Any]:
    is_corrected = job.result is not None and job.result["corrected"]
    found: dict[str, Any] = await jobs_of(request).run_task("reference", job, is_corrected=is_corrected, **values)
    return found


def _job_with_reference(request: Request, job_id: str) -> Job:
    job = done_job(request, job_id)
    if job.reference is None:
        raise HTTPException(404, "there is no reference; send a mask by PUT")
    return job
