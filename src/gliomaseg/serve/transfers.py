"""Bodies that come in, with their limits, and files that go out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Receive, Scope, Send

from gliomaseg.errors import UsageError
from gliomaseg.serve.documents import Choice
from gliomaseg.serve.job import Job
from gliomaseg.serve.security import refused
from gliomaseg.serve.worker_process import TaskError

CORRECTIONS = 2  # of one job: one runs, one waits
_CHOICE_BYTES = 4_096
_FIELDS = 10  # of text
_RETRY_S = 2
_MEDIA = {".gz": "application/gzip", ".tif": "image/tiff", ".dcm": "application/dicom", ".png": "image/png"}


@asynccontextmanager
async def opened_form(request: Request, *, field: str) -> AsyncIterator[Sequence[tuple[str, str | UploadFile]]]:
    """Give the fields of a form with files, in order; 400 for a body that is none, 413 for too many files.

    Args:
        request: with the form.
        field: of the files, for the message.
    """
    limit = request.app.state.settings.max_files
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(400, f"the body is not multipart/form-data; send files in the field {field}")
    try:
        form = await request.form(max_files=limit, max_fields=_FIELDS)
    except StarletteHTTPException as fault:  # the form is damaged, or has too many parts
        is_many = "Too many files" in str(fault.detail)
        text = f"the upload has more than {limit:,} files" if is_many else f"the form cannot be read ({fault.detail})"
        raise HTTPException(413 if is_many else 400, text) from fault
    try:
        yield form.multi_items()
    finally:
        await form.close()


async def limited_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body of a request; 422 for a longer one, of which the rest is not read."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit_bytes:
            raise HTTPException(422, f"the body has more than {limit_bytes:,} bytes; send fewer")
    return bytes(content)


async def read_choice(request: Request) -> Choice:
    """Return the numbers in the body of a choice; 422 if it is something else."""
    try:
        return Choice.model_validate_json(await limited_body(request, _CHOICE_BYTES))
    except ValidationError as fault:
        what = fault.errors()[0]["msg"]
        raise HTTPException(422, f'the body is not a choice ({what}); send JSON like {{"choice": 2}}') from fault


@asynccontextmanager
async def correcting(job: Job) -> AsyncIterator[None]:
    """Let one request correct a job and one more wait, each with its body in memory; 503 for others.

    A wrong mask and a failed correction are 422.
    """
    if job.corrections >= CORRECTIONS:
        text = "two corrections of this scan are not done yet; try again when they are"
        raise HTTPException(503, text, {"Retry-After": str(_RETRY_S)})
    job.corrections += 1
    try:
        yield
    except UsageError as fault:
        raise HTTPException(422, fault.line()) from fault
    except TaskError as fault:
        raise HTTPException(422, fault.text) from fault
    finally:
        job.corrections -= 1


class StoredFile(FileResponse):
    """A file of a job, which may be deleted before it is sent."""

    def __init__(self, path: Path) -> None:
        """Store the path; clients see its name without the version of the mask."""
        media = _MEDIA.get(path.suffix, "application/octet-stream")
        super().__init__(path, media_type=media, filename=path.name.removeprefix("corrected-").removeprefix("model-"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file; 404 if there is none."""
        try:
            await super().__call__(scope, receive, send)
        except RuntimeError:  # before the first byte
            await refused(404, "there is no such file; read the state of the job")(scope, receive, send)
