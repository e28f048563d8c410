"""A list of cases to correct: segmented in the background, worst first, and stored in a folder of the user."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gliomaseg.data.tables import Row
from gliomaseg.errors import GliomasegError
from gliomaseg.pretrained import find_models
from gliomaseg.serve.job import Job, State
from gliomaseg.serve.jobs import Jobs
from gliomaseg.serve.sources import has_changed_source, write_source
from gliomaseg.serve.worker_process import TaskError
from gliomaseg.serve.worklist.entry import Entry, number_in
from gliomaseg.serve.worklist.folders import WorkFolders
from gliomaseg.serve.worklist.predictions import Predictions

_KEPT_BYTES = 2**30  # of arrays in the temporary folder
_KEPT_OPEN, _KEPT_NEXT = 3, 2  # cases whose arrays are kept even beyond this
_ATTEMPTS = 3
_TICK_S = 0.25


class WorkList:
    """The cases of a work list, their order and their jobs. Uploads are segmented before them."""

    def __init__(self, jobs: Jobs, folders: WorkFolders, predictions: Predictions) -> None:
        """Store the jobs of the server and the folders.

        Args:
            jobs: of the server.
            folders: the scans and the corrected masks.
            predictions: of an earlier server.
        """
        self.reader = folders.reader
        self._jobs = jobs
        self._folders = folders
        self._predictions = predictions
        self._entries = [Entry(number, case) for number, case in enumerate(folders.cases, start=1)]
        for entry in self._entries:
            entry.error = None if entry.case.entry.fault is None else folders.shown(entry.case.entry.fault.line())
            entry.values = predictions.read(entry.case)
        self._rows = folders.out.rows()
        self._wanted: list[Entry] = []
        self._openings = 0

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside the server until cancelled."""
        return [self._work(), self._keep_open()]

    def get(self, number: int) -> Entry | None:
        """Return a case by its number."""
        return self._entries[number - 1] if 1 <= number <= len(self._entries) else None

    def in_order(self) -> Sequence[Entry]:
        """Return all cases: to do, lowest predicted Dice first; then those that are done, the last one first."""
        to_do = sorted((entry for entry in self._entries if not self.row(entry)), key=lambda entry: entry.urgency)
        done = sorted((entry for entry in self._entries if self.row(entry)), key=self._stored_at, reverse=True)
        return [*to_do, *done]

    def row(self, entry: Entry) -> Row:
        """Return the row of a case in the manifest; empty if it is not stored."""
        return self._rows.get(entry.case.name.casefold(), {})

    def _stored_at(self, entry: Entry) -> str:
        return self.row(entry)["corrected_at"]

    def job_of(self, entry: Entry) -> Job | None:
        """Return the job of a case that is open, and keep it; None if a client has deleted it."""
        if entry.job is None or not entry.opened:
            return None
        if self._jobs.get(entry.job.id) is None:
            entry.job, entry.opened = None, 0
        return entry.job

    def document(self, entry: Entry) -> dict[str, Any]:
        """Return a case as JSON."""
        row, job = self.row(entry), self.job_of(entry)
        if job is not None and job.state is State.DONE and entry.values is None:  # a person chose one of its series
            entry.take_values(job)
        return entry.described(row, job)

    async def open(self, entry: Entry) -> Job:
        """Return the job of a case. Without arrays, or if its scan has changed, it is segmented before all other cases.

        Raises:
            GliomasegError: the temporary folder cannot be written.
        """
        job = self.job_of(entry) or entry.job
        if job is not None and job.state is State.DONE and await asyncio.to_thread(has_changed_source, job.folder):
            if entry.job is job:  # no other request has dropped it meanwhile
                await self._drop(entry)
            job = entry.job
        if job is None or job.state is State.FAILED:
            entry.error, entry.attempts = None, 0
            job = entry.job = self._new_job(entry)
            self._wanted.append(entry)
        self._openings += 1
        entry.opened = self._openings
        self._jobs.add(job)
        self._jobs.get(job.id)
        return job

    def _new_job(self, entry: Entry) -> Job:
        job = self._jobs.new(entry.case.name)
        job.state = State.READING  # it is not in the queue of uploads, whose length is limited
        job.series = self.row(entry).get("flair_series")  # that a person chose
        write_source(job.folder, entry.case.entry, without=self._folders.out.folder)
        return job

    async def store(self, entry: Entry, job: Job, *, reader: str, seconds: float) -> None:
        """Write the mask of a job and its row to the folder of the user. The caller holds the lock of the job.

        Args:
            entry: the case.
            job: of the case, which is done.
            reader: the name of the person.
            seconds: of work since the case was stored last; the row has those of all storings.

        Raises:
            TaskError: it cannot be written.
        """
        result, row = job.result or {}, self.row(entry)
        changes = result["changes"] or {"added_voxels": 0, "removed_voxels": 0}
        about = {
            "reader": reader,
            "corrected_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": f"{(number_in(row.get('seconds')) or 0) + seconds:.1f}",
            "storings": str(int(number_in(row.get("storings")) or bool(row)) + 1),
            "changed_voxels": str(changes["added_voxels"] + changes["removed_voxels"]),
            "model": str(result["model"]),
        }
        version = "corrected" if result["corrected"] else "model"
        out = str(self._folders.out.folder)
        try:
            await self._jobs.run_task("store", job, out=out, case=entry.case.name, version=version, about=about)
        except TaskError as fault:
            raise TaskError(self._folders.shown(fault.text), fault.kind) from fault
        self._rows = await asyncio.to_thread(self._folders.out.rows)

    async def _work(self) -> None:
        while True:
            entry = self._next()
            if entry is None:
                await asyncio.sleep(_TICK_S)
                continue
            try:
                job = entry.job = entry.job or self._new_job(entry)
                await self._segment(entry, job)
                await self._free_disk()
            except (GliomasegError, OSError) as fault:  # the disk is full; the next case may be smaller
                entry.error = self._folders.shown(str(fault))

    def _next(self) -> Entry | None:
        """Return the case to segment: an opened one; if no upload waits, one of the next; else any."""
        while self._wanted:
            entry = self._wanted.pop(0)
            if self.job_of(entry) is not None:
                return entry
        if self._jobs.waiting or self._jobs.running:
            return None
        to_do = [entry for entry in self.in_order() if not self.row(entry) and entry.error is None]
        no_arrays = [entry for entry in to_do[:_KEPT_NEXT] if entry.job is None]
        # A case whose series a person is choosing would be listed again and again, and its choice refused meanwhile.
        chosen = [entry for entry in to_do if entry.job is not None and entry.job.state is State.CHOOSE]
        no_values = [entry for entry in to_do if entry.values is None and entry not in chosen]
        return next(iter(no_arrays), None) or next(iter(no_values), None)

    async def _segment(self, entry: Entry, job: Job) -> None:
        try:
            await self._jobs.run(job)
            if job.state is State.DONE and self.row(entry):
                job.state = State.SEGMENTING  # until its stored mask is there
                job.result = await self._restored(entry, job)
                job.state = State.DONE
        except Exception as fault:  # the next case must run
            if self._has(entry, job):
                await self._fail(entry, job, fault)
        if job.state is State.CHOOSE and not entry.opened:
            entry.error = "has several series, none of them FLAIR by its name; open it to choose one"
            await self._drop(entry)
        if job.state is State.DONE:
            job.model_result, job.result = self._folders.shown_in(job.model_result), self._folders.shown_in(job.result)
            with suppress(GliomasegError, OSError):  # without them, a new server segments the case again
                await asyncio.to_thread(self._predictions.write, entry.case, entry.take_values(job))
        if not self._has(entry, job):  # a client deleted it while it ran
            await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def _restored(self, entry: Entry, job: Job) -> dict[str, Any]:
        """Return the result of the stored mask; if a person has removed it, that of the model's with a warning."""
        out = str(self._folders.out.folder)
        try:
            result: dict[str, Any] = await self._jobs.run_task("restore", job, out=out, case=entry.case.name)
        except TaskError as fault:
            result = job.model_result or {}
            return result | {"warnings": [*result["warnings"], f"the stored mask cannot be read ({fault.text})"]}
        return result

    def _has(self, entry: Entry, job: Job) -> bool:
        """Return whether a job is still that of its case; it is not if a client deleted it."""
        return entry.job is job and (not entry.opened or self.job_of(entry) is job)

    async def _fail(self, entry: Entry, job: Job, fault: Exception) -> None:
        """Try again if the process was ended, perhaps for an upload that was deleted; else keep the reason."""
        entry.attempts += 1
        if isinstance(fault, TaskError) and not fault.kind and entry.attempts < _ATTEMPTS:
            job.state = State.READING
            if entry.opened:
                self._wanted.append(entry)
            else:
                await self._drop(entry)
            return
        unexpected = f"the scan cannot be processed ({type(fault).__name__}); try again"
        entry.error = job.error = self._folders.shown(fault.text if isinstance(fault, TaskError) else unexpected)
        job.state = State.FAILED
        if not entry.opened:
            await self._drop(entry)

    async def _drop(self, entry: Entry) -> None:
        job, entry.job, entry.opened = entry.job, None, 0
        if job is not None:
            await self._jobs.delete(job)

    async def _free_disk(self) -> None:
        """Remove the arrays of cases that are far from their turn, while all together are too large."""
        ordered = self.in_order()
        recent = sorted((entry for entry in ordered if entry.opened), key=lambda entry: -entry.opened)[:_KEPT_OPEN]
        protected = [*recent, *(entry for entry in ordered if not self.row(entry))][: len(recent) + _KEPT_NEXT]
        held = [(entry, entry.job) for entry in ordered if entry.job is not None and entry.job.state is State.DONE]
        sizes = [await asyncio.to_thread(_size_bytes, job.folder) for _, job in held]
        total = sum(sizes)
        for (entry, job), size in zip(reversed(held), reversed(sizes), strict=True):
            if total <= _KEPT_BYTES:
                return
            if entry not in protected and entry.job is job:
                await self._drop(entry)
                total -= size

    async def _keep_open(self) -> None:
        """Ask for the open jobs from time to time, so that they do not expire."""
        while True:
            for entry in self._entries:
                self.job_of(entry)
            await asyncio.sleep(_TICK_S)


def _size_bytes(folder: Path) -> int:
    """Return the size of the files in a folder; those that vanish meanwhile do not count."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size
    return total


def open_worklist(jobs: Jobs, folders: WorkFolders, model: Path | None) -> WorkList:
    """Return the work list of a server, with the predictions of an earlier one that had the same model.

    Raises:
        ModelError: the model is missing or damaged.
    """
    return WorkList(jobs, folders, Predictions.of(folders.out.folder, find_models(model)))
