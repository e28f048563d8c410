"""The jobs of a server: one for each upload, their folders, their order and their end."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gliomaseg.serve.job import Job, State, folder_bytes, link_upload
from gliomaseg.serve.names import FILE
from gliomaseg.serve.settings import ServeSettings
from gliomaseg.serve.tasks import store_correction
from gliomaseg.serve.worker_process import UNEXPECTED, TaskError, WorkerProcess


class DiskFullError(Exception):
    """The files of all jobs would be more than the limit."""


class QueueFullError(Exception):
    """As many jobs wait as the limit allows."""


class Jobs:
    """All jobs of a server. They run one after another, in the order in which they came."""

    def __init__(self, folder: Path, settings: ServeSettings) -> None:
        """Store the folder of all jobs and the settings."""
        self.folder = folder
        self._settings = settings
        self._jobs: dict[str, Job] = {}
        self._waiting: asyncio.Queue[tuple[Job, int | None]] = asyncio.Queue()
        self._running: Job | None = None
        self.finished = {State.DONE: 0, State.FAILED: 0}
        # Corrections do not wait for the scans of the queue.
        self._segmenting, self._correcting = (
            WorkerProcess(model=settings.model, limit_bytes=settings.worker_bytes, task_s=settings.job_s)
            for _ in range(2)
        )

    @property
    def waiting(self) -> int:
        """The number of jobs that wait."""
        return sum(job.state is State.QUEUED for job in self._jobs.values())

    @property
    def running(self) -> int:
        """The number of jobs that run: 0 or 1."""
        return int(self._running is not None)

    def newest_first(self) -> Sequence[Job]:
        """Return all jobs, newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.created)

    def get(self, job_id: str) -> Job | None:
        """Return a job, and keep it for another hour."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.used = time.time()
        return job

    def require_room(self) -> None:
        """Refuse a job while too many wait.

        Raises:
            QueueFullError: as many jobs wait as the settings allow.
        """
        if self.waiting >= self._settings.max_waiting:
            raise QueueFullError

    def new(self, name: str) -> Job:
        """Return a job with an empty folder, which is not in the queue yet."""
        job_id = secrets.token_urlsafe(16)
        folder = self.folder / job_id
        (folder / "upload").mkdir(parents=True)
        (folder / "out").mkdir()
        return Job(job_id, name, folder)

    async def submit(self, job: Job, names: dict[str, str]) -> None:
        """Put a job with its files into the queue.

        Raises:
            QueueFullError: as many jobs wait as the settings allow.
            DiskFullError: the files of all jobs would be more than the settings allow.
        """
        await asyncio.to_thread((job.folder / FILE).write_text, json.dumps(names), "utf-8")
        if await self._limit_kept(job) > self._settings.max_kept_bytes:
            raise DiskFullError
        self.require_room()
        self._jobs[job.id] = job
        self._waiting.put_nowait((job, None))

    def choose(self, job: Job, number: int, others: Mapping[str, int]) -> None:
        """Put a job into the queue again, for one of its scans. If it asks, the series of that scan may be chosen next.

        Args:
            job: that waits for a choice.
            number: of the scan, or of the series that is FLAIR.
            others: the numbers of the series that are `t1` and `t1ce`.

        Raises:
            QueueFullError: as many jobs wait as the settings allow.
        """
        self.require_room()
        series = {choice["number"]: choice["series"] for choice in job.choices}
        job.other_series |= {name: series[other] for name, other in others.items()}
        job.state = State.QUEUED
        if job.asks and series[number] is None:  # it is a scan, whose series are listed next
            job.scan = number
            self._waiting.put_nowait((job, None))
        else:
            self._waiting.put_nowait((job, number))

    async def copy(self, job: Job, number: int) -> Job:
        """Put one scan of an upload with several into the queue, as a job of its own with the same files.

        Raises:
            QueueFullError: as many jobs wait as the settings allow.
            DiskFullError: the files of all jobs would be more than the settings allow.
        """
        self.require_room()
        title = next(str(choice["title"]) for choice in job.choices if choice["number"] == number)
        new, now = await asyncio.to_thread(self.new, title), time.time()
        made = replace(job, id=new.id, name=title, folder=new.folder, lock=new.lock, created=now, used=now)
        made.other_series, made.asks = dict(job.other_series), False
        try:
            await asyncio.to_thread(link_upload, job.folder, made.folder)
            if await self._limit_kept(made) > self._settings.max_kept_bytes:
                raise DiskFullError
            self.choose(made, number, {})
            self._jobs[made.id] = made
        except BaseException:
            await self.delete(made)
            raise
        return made

    async def delete(self, job: Job) -> None:
        """Remove a job and all its files."""
        self._jobs.pop(job.id, None)
        job.is_deleted = True
        if self._running is job:
            await self._segmenting.stop()
        async with job.lock:  # a correction that runs would write its files again
            await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def work(self) -> None:
        """Run the jobs, until cancelled."""
        await self._segmenting.start()
        while True:
            job, number = await self._waiting.get()
            if job.id not in self._jobs:
                continue
            self._running = job
            try:
                await self._run(job, number)
            except TaskError as fault:
                job.state, job.error = State.FAILED, fault.text
            except Exception as fault:  # the next job must run
                job.state, job.error = State.FAILED, UNEXPECTED.format(type(fault).__name__)
            finally:
                self._running = None
            if job.is_deleted:
                await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)
                continue
            if job.state in self.finished:
                self.finished[job.state] += 1
            job.used = time.time()
            await self._limit_kept(job)

    async def _run(self, job: Job, number: int | None) -> None:
        def progress(done: float) -> None:
            job.progress = done

        is_choice = number is not None
        if number is None:
            job.state = State.READING
            job.choices = await self._segmenting.run(
                "list", job.folder, series=job.series, others=job.other_series, asks=job.asks, scan=job.scan
            )
            if job.is_deleted:
                return
            if len(job.choices) > 1:
                job.state = State.CHOOSE
                return
            number = job.choices[0]["number"]
        listed = next((choice for choice in job.choices if choice["number"] == number), job.choices[0])
        by_person = is_choice and listed["usable_as"] != ["flair"]
        scan = number if job.scan is None else job.scan
        chosen = {"number": scan, "series": listed["series"], "by_person": by_person, **job.other_series}
        job.state, job.progress = State.SEGMENTING, 5
        job.result = job.model_result = await self._segmenting.run(
            "segment", job.folder, on_progress=progress, chosen=chosen, name=job.name
        )
        job.state, job.progress = State.DONE, 100

    async def correct(self, job: Job, content: bytes) -> None:
        """Write the files of a corrected mask, and put them in the place of the ones before when all are written.

        Raises:
            UsageError: the mask has another size, or other values than 0 and 1.
            TaskError: a file cannot be written.
        """
        folder = job.folder / f"correction-{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(store_correction, job.folder, content, correction=folder.name)
            result = await self._correcting.run("correction", job.folder, correction=folder.name)
            for file in [file for part in ("arrays", "out") for file in (folder / part).iterdir()]:
                file.replace(job.folder / file.parent.name / file.name)  # without `await`: no request comes between
            job.result = result
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await self._limit_kept(job)

    async def _limit_kept(self, job: Job) -> int:
        """Remove idle jobs, those used least recently first, if the files of all are too large; return their bytes.

        Args:
            job: its files have changed; it is not removed.
        """
        job.files_bytes = await asyncio.to_thread(folder_bytes, job.folder)
        while True:
            kept = sum(one.files_bytes for one in {job.id: job, **self._jobs}.values())
            idle = [one for one in self._jobs.values() if one is not job and not one.is_busy]
            if kept <= self._settings.max_kept_bytes or not idle:
                return kept
            await self.delete(min(idle, key=lambda one: one.used))

    async def apply_strokes(self, job: Job) -> None:
        """Compute the mask of a job again from its strokes.

        Raises:
            TaskError: the strokes are refused.
        """
        await self._correcting.run("strokes", job.folder)

    async def run_task(self, task: str, job: Job, **values: Any) -> Any:
        """Return the result of a task on the files of a segmented job; it does not wait for the queue.

        Raises:
            TaskError: the task failed.
        """
        return await self._correcting.run(task, job.folder, **values)

    async def expire(self) -> None:
        """Remove jobs without a request for an hour, until cancelled."""
        while True:
            await asyncio.sleep(min(30.0, self._settings.expiry_s))
            oldest = time.time() - self._settings.expiry_s
            for job in [job for job in self._jobs.values() if job.used < oldest and not job.is_busy]:
                await self.delete(job)

    async def stop(self) -> None:
        """End the worker processes."""
        await self._segmenting.stop()
        await self._correcting.stop()

    def add(self, job: Job) -> None:
        """List a job that does not come through the queue."""
        self._jobs[job.id] = job

    async def run(self, job: Job) -> None:
        """Segment a job that does not come through the queue; it waits for the task that runs.

        Raises:
            TaskError: the scan cannot be segmented.
        """
        await self._run(job, None)

    def document(self, job: Job) -> dict[str, Any]:
        """Return a job as JSON."""
        expires = (time.time() if job.is_busy else job.used) + self._settings.expiry_s
        return {
            "id": job.id,
            "name": job.name,
            "state": job.state.value,
            "progress": round(job.progress),
            "created": _iso(job.created),
            "expires": _iso(expires),
            "choices": job.choices if job.state is State.CHOOSE else [],
            "error": job.error,
            "result": job.result,
            "reference": job.reference,
        }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
