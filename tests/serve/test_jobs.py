"""The jobs of a server: their order, their end and their files, with a worker that does nothing by itself."""

from __future__ import annotations

import asyncio
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import HTTPException

from gliomaseg.scan import Scan
from gliomaseg.serve.job import Job, State
from gliomaseg.serve.jobs import DiskFullError, Jobs
from gliomaseg.serve.settings import ServeSettings
from gliomaseg.serve.transfers import CORRECTIONS, correcting
from gliomaseg.serve.view import view_of
from gliomaseg.serve.worker_process import TaskError, WorkerProcess

Run = Callable[..., Awaitable[Any]]


def jobs_of(folder: Path, monkeypatch: pytest.MonkeyPatch, run: Run | None = None, **settings: Any) -> Jobs:
    """Return jobs whose worker processes are replaced by `run(task, folder, **values)`."""

    async def nothing(self: WorkerProcess) -> None:
        """Start no process."""

    async def replaced(self: WorkerProcess, task: str, folder: Path, **values: Any) -> Any:
        assert run is not None
        return await run(task, folder, **values)

    monkeypatch.setattr(WorkerProcess, "start", nothing)
    monkeypatch.setattr(WorkerProcess, "run", replaced)
    return Jobs(folder, ServeSettings(**settings))


async def new_job(jobs: Jobs, size: int = 0, *, used: float | None = None, state: State = State.QUEUED) -> Job:
    job = jobs.new("scan")
    (job.folder / "upload" / "a.nii").write_bytes(bytes(size))
    await jobs.submit(job, {})
    job.state, job.used = state, job.used if used is None else used
    return job


def test_a_job_that_is_deleted_after_it_was_read_is_not_segmented(tmp_path: Path, monkeypatch) -> None:
    tasks = []

    async def run(task: str, folder: Path, **values: Any) -> Any:
        tasks.append(task)
        await jobs.delete(job)
        return [{"number": 1, "series": None}]

    async def scenario() -> None:
        nonlocal job
        job = await new_job(jobs)
        working = asyncio.create_task(jobs.work())
        while job.folder.exists() or jobs.running:
            await asyncio.sleep(0.01)
        working.cancel()

    job: Job
    jobs = jobs_of(tmp_path, monkeypatch, run)
    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert tasks == ["list"]
    assert jobs.finished == {State.DONE: 0, State.FAILED: 0}


@pytest.mark.parametrize(
    ("usable", "others", "expected"),
    [
        (["flair"], {}, {"number": 2, "series": "1.2", "by_person": False}),
        (["flair", "t1"], {"t1": 1}, {"number": 2, "series": "1.2", "by_person": True, "t1": "1.1"}),
    ],
)
def test_the_numbers_of_a_choice_become_series(
    usable: list[str], others: dict[str, int], expected: dict[str, Any], tmp_path: Path, monkeypatch
) -> None:
    segmented = []

    async def run(task: str, folder: Path, **values: Any) -> Any:
        if task == "list":
            return [{"number": number, "series": f"1.{number}", "usable_as": usable} for number in (1, 2)]
        segmented.append(values["chosen"])
        return {}

    async def scenario() -> None:
        job = await new_job(jobs)
        working = asyncio.create_task(jobs.work())
        for state in (State.CHOOSE, State.DONE):
            while job.state is not state:
                await asyncio.sleep(0.01)
            if state is State.CHOOSE:
                jobs.choose(job, 2, others)
        working.cancel()

    jobs = jobs_of(tmp_path, monkeypatch, run)
    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert segmented == [expected]


@pytest.mark.parametrize(("asks", "is_copy"), [(True, False), (True, True), (False, False)])
def test_a_job_that_asks_lists_the_series_of_the_scan_that_was_chosen(
    asks: bool, is_copy: bool, tmp_path: Path, monkeypatch
) -> None:
    listed, segmented = [], []

    async def run(task: str, folder: Path, **values: Any) -> Any:
        if task == "list":
            listed.append(values["scan"])
            uids, usable = ([None, None], ["flair"]) if values["scan"] is None else (["1.1", "1.2"], ["flair", "t1"])
            return [{"number": k, "title": "", "series": uid, "usable_as": usable} for k, uid in enumerate(uids, 1)]
        segmented.append(values["chosen"])
        return {}

    async def scenario() -> None:
        job = await new_job(jobs)
        job.asks = asks
        working = asyncio.create_task(jobs.work())
        answers: list[tuple[int, dict[str, int]]] = [(2, {}), (1, {"t1": 2})]
        while job.state is not State.DONE:
            await asyncio.sleep(0.01)
            if job.state is State.CHOOSE and is_copy:
                job = await jobs.copy(job, answers.pop(0)[0])
            elif job.state is State.CHOOSE:
                jobs.choose(job, *answers.pop(0))
        working.cancel()

    jobs = jobs_of(tmp_path, monkeypatch, run)
    asyncio.run(asyncio.wait_for(scenario(), 10))
    if asks and not is_copy:
        assert listed == [None, 2]
        assert segmented == [{"number": 2, "series": "1.1", "by_person": True, "t1": "1.2"}]
    else:
        assert listed == [None]
        assert segmented == [{"number": 2, "series": None, "by_person": False}]


def test_only_jobs_that_are_done_expire(tmp_path: Path, monkeypatch) -> None:
    async def scenario() -> list[State]:
        for state in State:
            await new_job(jobs, used=time.time() - 60, state=state)
        waiting = jobs.newest_first()[-1]
        assert jobs.document(waiting)["expires"] >= jobs.document(waiting)["created"]
        expiring = asyncio.create_task(jobs.expire())
        await asyncio.sleep(0.2)
        expiring.cancel()
        return [job.state for job in jobs.newest_first()]

    jobs = jobs_of(tmp_path, monkeypatch, expiry_s=0.05)
    assert set(asyncio.run(scenario())) == {State.QUEUED, State.READING, State.SEGMENTING}


def test_the_files_of_all_jobs_are_limited(tmp_path: Path, monkeypatch) -> None:
    async def scenario() -> None:
        now = time.time()
        first = await new_job(jobs, 1_000, used=now - 1, state=State.DONE)
        old = await new_job(jobs, 1_000, used=now - 9, state=State.FAILED)
        busy = await new_job(jobs, 1_000, used=now - 99)
        # A fourth kilobyte is more than the limit. The job that waits is older and stays.
        last = await new_job(jobs, 1_000, state=State.DONE)
        assert jobs.newest_first() == [last, busy, first]
        assert not old.folder.exists()
        first.state = last.state = State.QUEUED
        with pytest.raises(DiskFullError):
            await new_job(jobs, 1_000)

    jobs = jobs_of(tmp_path, monkeypatch, max_kept_bytes=3_100)  # each job has a file of names of 2 bytes
    asyncio.run(scenario())


@pytest.mark.parametrize("fails", [True, False])
def test_a_corrected_mask_is_shown_when_all_its_files_are_written(tmp_path: Path, monkeypatch, *, fails: bool) -> None:
    drawn = bytes([0, 1, 1, 0])

    async def run(task: str, folder: Path, *, correction: str) -> Any:
        new = folder / correction / "out"
        assert (new / "corrected-mask.u8").read_bytes() == drawn
        assert (folder / "out" / "corrected-mask.u8").read_bytes() == b"before"
        if fails:
            raise TaskError("the disk is full")
        (new / "corrected-mask.nii.gz").write_bytes(b"new")
        return {"corrected": True}

    async def scenario() -> Job:
        job = await new_job(jobs, state=State.DONE)
        (job.folder / "out" / "corrected-mask.u8").write_bytes(b"before")
        (job.folder / "arrays").mkdir()
        (job.folder / "view.json").write_text(view_of(Scan(np.zeros((1, 2, 2, 1), np.uint8), "here")).to_json())
        try:
            await jobs.correct(job, drawn)
        except TaskError:
            assert fails
        return job

    jobs = jobs_of(tmp_path, monkeypatch, run)
    job = asyncio.run(scenario())
    files = {file.name: file.read_bytes() for file in (job.folder / "out").iterdir()}
    if fails:
        assert (job.result, files) == (None, {"corrected-mask.u8": b"before"})
    else:
        assert job.result == {"corrected": True}
        assert files == {"corrected-mask.u8": drawn, "corrected-mask.nii.gz": b"new"}
    assert list(job.folder.glob("correction-*")) == []


def test_one_correction_runs_one_waits_and_others_are_refused(tmp_path: Path) -> None:
    async def scenario() -> int:
        job = Job("a", "scan", tmp_path)
        async with correcting(job), correcting(job):
            assert job.corrections == CORRECTIONS
            with pytest.raises(HTTPException) as refused:
                async with correcting(job):
                    pass
        assert job.corrections == 0
        return refused.value.status_code

    assert asyncio.run(scenario()) == 503


def test_an_answer_to_another_request_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "worker"
    program.write_text(
        f"""#!{sys.executable}
import json, sys
print(json.dumps({{"ready": True}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    number = request["id"] + (request["task"] == "stale")
    print(json.dumps({{"id": number, "result": request["task"]}}), flush=True)
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("gliomaseg.serve.worker_process.sys.executable", str(program))

    async def scenario() -> list[Any]:
        worker = WorkerProcess(model=None, limit_bytes=2**30, task_s=30)
        first = await worker.run("one", tmp_path)
        with pytest.raises(TaskError):
            await worker.run("stale", tmp_path)
        second = await worker.run("two", tmp_path)  # by a new process
        await worker.stop()
        return [first, second]

    assert asyncio.run(scenario()) == ["one", "two"]
