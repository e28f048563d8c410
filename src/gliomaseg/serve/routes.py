"""The paths of the API under /v1; docs/guide/rest-api.md is its contract."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi import Path as PathField
from starlette.datastructures import UploadFile

from gliomaseg.errors import printable
from gliomaseg.serve import tasks
from gliomaseg.serve.documents import (
    ASK,
    BINARY,
    LONGEST_SERIES,
    SERIES_FIELDS,
    JobDocument,
    ModelList,
    form_schema,
    problems,
)
from gliomaseg.serve.examples import write_example
from gliomaseg.serve.job import Job, State
from gliomaseg.serve.jobs import DiskFullError, Jobs
from gliomaseg.serve.transfers import StoredFile, correcting, limited_body, opened_form
from gliomaseg.serve.uploads import SEQUENCE_FIELDS, server_names, store, suffix_of_name

router = APIRouter(prefix="/v1", responses=problems(400, 401, 403, 404, 409, 413, 422, 503))
JobId = Annotated[str, PathField(pattern=r"^[A-Za-z0-9_-]{22}$")]
Version = Annotated[Literal["current", "model"], Query(description="current: the corrected mask, if there is one")]
Sha256 = Annotated[
    str | None,
    Query(
        pattern="^[0-9A-Fa-f]{64}$",
        description="SHA-256 of mask.u8 as the client has it; if the job has another mask, 409",
    ),
]
DISK_FULL = "the scans on the server fill its limit of disk space; delete some"
BYTES = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": BINARY}}}}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "oneOf": [
                        form_schema("files", files={"type": "array", "minItems": 1, "items": BINARY}),
                        form_schema("flair", **dict.fromkeys(SEQUENCE_FIELDS, BINARY)),
                        form_schema("example", example={"type": "string", "enum": ["phantom"]}),
                    ]
                }
            }
        },
    }
}


def jobs_of(request: Request) -> Jobs:
    """Return the jobs of the server that got a request."""
    jobs: Jobs = request.app.state.jobs
    return jobs


def job_of(request: Request, job_id: str) -> Job:
    """Return a job, or raise 404."""
    job = jobs_of(request).get(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job; it may have expired")
    return job


def done_job(request: Request, job_id: str) -> Job:
    """Return a job that is done; 404 if there is none, 409 if it is not done."""
    job = job_of(request, job_id)
    if job.state is not State.DONE:
        advice = job.error or ("choose a scan" if job.state is State.CHOOSE else "try again when it is")
        raise HTTPException(409, f"the job is {job.state.value}, expected done; {advice}")
    return job


def require_mask(job: Job, sha256: str | None) -> None:
    """Refuse a request with 409, if the mask of a job is not the one that the client has. The caller holds the lock.

    Args:
        job: that is done.
        sha256: of the client's mask; None skips the check.
    """
    if sha256 is not None and sha256.lower() != (job.result or {})["mask_sha256"]:
        raise HTTPException(409, "the mask was changed elsewhere, perhaps in another tab; open the case again")


@router.post("/segmentations", status_code=202, response_model=JobDocument, openapi_extra=FORM)
async def submit(request: Request) -> Any:
    """Put a scan into the queue."""
    jobs = jobs_of(request)
    jobs.require_room()
    async with opened_form(request, field="files") as fields:
        return await _submit_form(jobs, fields)


async def _submit_form(jobs: Jobs, fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    files = [(name, value) for name, value in fields if isinstance(value, UploadFile)]
    named = [name for name, value in fields if isinstance(value, str)]
    for name, count in repeated(named):
        raise HTTPException(400, f"{shown(name)} is given {count} times; send it once")
    texts = {name: value for name, value in fields if isinstance(value, str)}
    _require_fields(texts, [name for name, _ in files])
    is_example = "example" in texts
    name = "phantom" if is_example else _upload_name([file.filename or "" for _, file in files])
    job = await asyncio.to_thread(jobs.new, name)  # a busy disk must not stop other requests
    try:
        names = await asyncio.to_thread(write_example if is_example else _store_files, job.folder / "upload", files)
        job.series, job.asks = texts.get("series"), "ask" in texts
        job.other_series = {name: uid for name in ("t1", "t1ce") if (uid := texts.get(f"{name}_series"))}
        await jobs.submit(job, names)
    except BaseException as fault:
        await jobs.delete(job)
        if isinstance(fault, DiskFullError):
            raise HTTPException(503, DISK_FULL) from fault
        raise
    return jobs.document(job)


def _require_fields(texts: dict[str, str], files: Sequence[str]) -> None:
    """Refuse a form with 400, unless it has files or the example, each field once.

    Args:
        texts: the fields of text.
        files: the field of each file.
    """
    known = ("files", *SEQUENCE_FIELDS, "example", "ask", *SERIES_FIELDS)
    if unknown := {*texts, *files} - set(known):
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise HTTPException(400, f"field is {shown(min(unknown))}, expected {listed}; rename or remove it")
    if named := set(files) - {"files", *SEQUENCE_FIELDS}:
        name = min(named)
        raise HTTPException(400, f"{name} is a file, expected text; send files as files, flair, t1 or t1ce")
    _require_series_fields(texts, files)
    example = texts.get("example")
    if example not in (None, "phantom"):
        raise HTTPException(400, f"example is {shown(example or '')}, expected phantom; send this")
    if {"files"} < set(files):
        raise HTTPException(400, "both files and named sequences are given; send files, or flair with t1 and t1ce")
    if texts.keys() & {"files", *SEQUENCE_FIELDS}:
        raise HTTPException(400, "a field for files has text, expected a file; send it with a file name")
    if bool(files) == (example is not None):
        raise HTTPException(400, "no file is given, or files and the example; send one of them")
    for name in SEQUENCE_FIELDS:
        if files.count(name) > 1:
            raise HTTPException(400, f"{name} has several files; send one, or a zip of DICOM files")


def _require_series_fields(texts: dict[str, str], files: Sequence[str]) -> None:
    """Refuse a form with 400, unless each field of a series has a value, a series and a sequence of its own."""
    if texts.get("ask", ASK) != ASK:
        raise HTTPException(400, f"ask is {shown(texts['ask'])}, expected {ASK}; send this or remove the field")
    for name in SERIES_FIELDS:
        if name in texts and not re.fullmatch(rf"[!-~]{{1,{LONGEST_SERIES}}}", texts[name]):
            what = (
                f"has {len(texts[name])} characters" if len(texts[name]) > LONGEST_SERIES else "is empty or not a word"
            )
            raise HTTPException(400, f"{name} {what}; send the number or the UID of a DICOM series")
        if texts.get(name) and name.removesuffix("_series") in files:
            raise HTTPException(400, f"both {name.removesuffix('_series')} and {name} are given; send one of them")
    if texts.get("t1_series") and texts.get("t1_series") == texts.get("t1ce_series"):
        raise HTTPException(400, "t1_series and t1ce_series have one value, expected another series for each")


def repeated(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return the names that are there several times, each with its number."""
    return [(name, count) for name, count in Counter(names).items() if count > 1]


def shown(text: str) -> str:
    """Return a text of a client for a message, cut to 80 characters."""
    return printable(text)[:80] if text.strip() else "empty"


def _upload_name(names: Sequence[str]) -> str:
    """Return the name of an upload for people: its folder, or its first file."""
    first = names[0].replace("\\", "/")
    folder, _, file = first.rpartition("/")
    return printable(folder.split("/")[0] or file or "scan")[:100]


def _store_files(upload: Path, files: Sequence[tuple[str, UploadFile]]) -> dict[str, str]:
    """Write the files of an upload, and return the client's name of each by its path on disk."""
    made = server_names([file.filename or "" for _, file in files])
    names = {}
    for (field, file), path in zip(files, made, strict=True):
        own = path if field == "files" else f"{field}/{field}{suffix_of_name(file.filename or '')}"
        store(file.file, upload / own)
        names[own] = file.filename or field
    return names


@router.get("/segmentations", response_model=list[JobDocument])
async def list_jobs(request: Request) -> Any:
    """Return all jobs, newest first."""
    jobs = jobs_of(request)
    return [jobs.document(job) for job in jobs.newest_first()]


@router.delete("/segmentations", status_code=204)
async def delete_all(request: Request) -> None:
    """Remove all jobs and their files."""
    jobs = jobs_of(request)
    for job in jobs.newest_first():
        await jobs.delete(job)


@router.get("/segmentations/{job_id}", response_model=JobDocument)
async def get_job(request: Request, job_id: JobId) -> Any:
    """Return a job."""
    return jobs_of(request).document(job_of(request, job_id))


@router.delete("/segmentations/{job_id}", status_code=204)
async def delete_job(request: Request, job_id: JobId) -> None:
    """Remove a job and its files."""
    await jobs_of(request).delete(job_of(request, job_id))


@router.get("/segmentations/{job_id}/result.json", response_model=dict[str, Any])
async def result(request: Request, job_id: JobId) -> Any:
    """Return the values of the mask."""
    return done_job(request, job_id).result


@router.get("/segmentations/{job_id}/{name}", response_class=Response)
async def output(
    request: Request,
    job_id: JobId,
    name: Literal["mask.nii.gz", "mask.tif", "seg.dcm", "preview.png", "flair.nii.gz", "probability.nii.gz", "mask.u8"],
    version: Version = "current",
) -> Response:
    """Return one file of the result."""
    job = done_job(request, job_id)
    values = job.result or {}
    form = tasks.FILES.get(name)
    if form is not None and form.value not in values["formats"]:
        raise HTTPException(409, f"{name} does not suit this scan; take {', '.join(values['formats'])}")
    prefix = "corrected-" if values["corrected"] and version == "current" else "model-"
    return StoredFile(job.folder / "out" / (name if name in ("flair.nii.gz", "probability.nii.gz") else prefix + name))


@router.put("/segmentations/{job_id}/mask", response_model=JobDocument, openapi_extra=BYTES)
async def correct(request: Request, job_id: JobId, former_sha256: Sha256 = None) -> Any:
    """Replace the mask by a corrected one."""
    job = done_job(request, job_id)
    async with correcting(job):
        content = await _body(request, job, parts=1)
        async with job.lock:
            job_of(request, job_id)  # it may have been deleted while the lock was waited for
            require_mask(job, former_sha256)
            await jobs_of(request).correct(job, content)
    return jobs_of(request).document(job)


@router.delete("/segmentations/{job_id}/mask", response_model=JobDocument)
async def discard(request: Request, job_id: JobId, former_sha256: Sha256 = None) -> Any:
    """Return to the model's mask."""
    job = done_job(request, job_id)
    async with job.lock:
        require_mask(job, former_sha256)
        job.result = job.model_result
    return jobs_of(request).document(job)


async def _body(request: Request, job: Job, *, parts: int) -> bytes:
    """Return the body of a request: a number of parts of one byte for each voxel. A longer body is not read."""
    x, y, z = (job.result or {})["shape_xyz"]
    return await limited_body(request, parts * x * y * z)


@router.post("/segmentations/{job_id}/strokes", response_class=Response, openapi_extra=BYTES)
async def strokes(request: Request, job_id: JobId) -> Response:
    """Compute the mask again from strokes; nothing is kept."""
    job = done_job(request, job_id)
    async with correcting(job):
        content = await _body(request, job, parts=2)
        async with job.lock:
            job_of(request, job_id)
            await asyncio.to_thread((job.folder / "strokes.u8").write_bytes, content)
            del content  # the worker reads the file
            await jobs_of(request).apply_strokes(job)
            mask = await asyncio.to_thread((job.folder / "out" / "strokes.u8").read_bytes)
    return Response(mask, media_type="application/octet-stream")


@router.get("/models", response_model=ModelList)
async def models() -> Any:
    """Return the bundled models."""
    from gliomaseg.pretrained import list_models

    return {"models": [asdict(model) for model in await asyncio.to_thread(list_models)]}
