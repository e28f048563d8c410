"""The web application: the API, the page, /health and /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import gliomaseg
from gliomaseg.serve.choice_routes import router as choice_router
from gliomaseg.serve.documents import Health, allowed_methods
from gliomaseg.serve.jobs import Jobs, QueueFullError
from gliomaseg.serve.reference_routes import router as reference_router
from gliomaseg.serve.routes import repeated, router, shown
from gliomaseg.serve.security import SAFE, Security, refused
from gliomaseg.serve.settings import ServeSettings
from gliomaseg.serve.worklist.folders import WorkFolders
from gliomaseg.serve.worklist.routes import router as worklist_router
from gliomaseg.serve.worklist.worklist import open_worklist

PAGE = Path(__file__).with_name("page")
_RETRY_S = 10
_DESCRIPTION = "Segment the tumour in a brain MRI. Research software, not a medical device."


def create_app(settings: ServeSettings, folder: Path, work: WorkFolders | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: of the server.
        folder: of all jobs; it exists and belongs to this server alone.
        work: the folders of a work list; None without one.
    """
    jobs = Jobs(folder, settings)
    worklist = None if work is None else open_worklist(jobs, work, settings.model)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loops = [jobs.work(), jobs.expire(), *(worklist.loops() if worklist else ())]
        running = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            for task in running:
                with suppress(asyncio.CancelledError):
                    await task
            await jobs.stop()

    app = FastAPI(
        title="gliomaseg",
        version=gliomaseg.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.jobs, app.state.settings, app.state.worklist = jobs, settings, worklist
    for paths in (reference_router, router, choice_router, worklist_router):  # the first, before the paths with {name}
        app.include_router(paths, dependencies=[Depends(_require_known_query)])
    app.add_middleware(Security, settings=settings)
    _add_error_answers(app)
    _add_monitoring(app, jobs)
    _add_page(app)
    return app


def _require_known_query(request: Request) -> None:
    """Refuse a change with 400 if its query has an unknown name: a mistyped former_sha256 would protect nothing.

    A name that is given twice is refused too: which of the values would count?
    """
    if request.method in SAFE:
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    names = [name for name, _ in request.query_params.multi_items()]
    if unknown := set(names) - known:
        expected = " or ".join(sorted(known)) or "no query"
        raise HTTPException(400, f"a name of the query is {shown(min(unknown))}, expected {expected}; remove it")
    for name, count in repeated(names):
        raise HTTPException(400, f"{name} is {count} times in the query; send it once")


def _add_error_answers(app: FastAPI) -> None:
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(QueueFullError)(_queue_full)
    app.exception_handler(OSError)(_disk_error)
    app.exception_handler(ClientDisconnect)(_disconnected)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


def _add_monitoring(app: FastAPI, jobs: Jobs) -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_JobMetrics(jobs))

    @app.get("/health", response_model=Health)
    async def health() -> Any:
        """Return whether the server answers."""
        return {"status": "ok", "queued": jobs.waiting, "running": jobs.running}

    @app.get("/metrics", response_class=Response, include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _JobMetrics:
    """The numbers of jobs, for Prometheus."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def collect(self) -> list[Metric]:
        """Return the metrics."""
        finished = CounterMetricFamily("gliomaseg_jobs", "Finished jobs", labels=["state"])
        for state, count in self._jobs.finished.items():
            finished.add_metric([state.value], count)
        return [
            finished,
            GaugeMetricFamily("gliomaseg_jobs_queued", "Jobs that wait", value=self._jobs.waiting),
            GaugeMetricFamily("gliomaseg_jobs_running", "Jobs that run", value=self._jobs.running),
            GaugeMetricFamily("gliomaseg_jobs_kept", "Jobs with files on disk", value=len(self._jobs.newest_first())),
        ]


async def _http_error(request: Request, fault: HTTPException) -> Response:
    text, headers = str(fault.detail), dict(fault.headers or {})
    if text == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        return _wrong_method(request, allowed_methods(request.app.openapi(), request.url.path) or [headers["Allow"]])
    if text == HTTPStatus.NOT_FOUND.phrase:  # of a path that no route has
        text = "there is no such path; /openapi.json lists all"
    return refused(fault.status_code, text, headers)


async def _invalid(request: Request, fault: RequestValidationError) -> Response:
    first = fault.errors()[0]
    if first["loc"][0] != "path":
        place = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return refused(422, f"{place}: {first['msg']}; /openapi.json has the form of each value")
    methods = allowed_methods(request.app.openapi(), request.url.path)
    if methods and request.method not in methods:  # the path of the files of a job fits those of its other parts
        return _wrong_method(request, methods)
    return refused(404, "there is no such job or file; /openapi.json lists all paths")


def _wrong_method(request: Request, methods: Sequence[str]) -> Response:
    listed = ", ".join(methods)
    text = f"the method is {request.method[:20]}, expected {listed}; use one of these"
    return refused(405, text, {"Allow": listed})


async def _queue_full(_request: Request, _fault: QueueFullError) -> Response:
    text = f"too many scans wait; try again in {_RETRY_S} s"
    return refused(503, text, {"Retry-After": str(_RETRY_S)})


async def _disconnected(_request: Request, _fault: ClientDisconnect) -> Response:
    return refused(400, "the connection ended before the body; send it again")


async def _disk_error(_request: Request, fault: OSError) -> Response:
    return refused(503, f"the server's disk cannot be written ({fault.strerror}); free space and try again")
