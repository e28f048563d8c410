"""The parent's side of the worker: start it, send requests, end it when it takes too long."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LONGEST_LINE = 16 * 2**20
_CRASHED = "the process of the server ended, perhaps for lack of memory; try again, or crop the scan"
UNEXPECTED = "the scan cannot be processed ({}); export it again, or report the fault with the version of gliomaseg"
_TOO_LONG = "the scan takes longer than {:.0f} s; crop it or give fewer slices"


class TaskError(Exception):
    """A task that failed, with a sentence for people."""

    def __init__(self, text: str, kind: str = "") -> None:
        """Store the sentence, and the name of the worker's error."""
        super().__init__(text)
        self.text = text
        self.kind = kind


class WorkerProcess:
    """A process of `gliomaseg.serve.worker` that runs one task at a time, started when it is needed."""

    def __init__(self, *, model: Path | None, limit_bytes: int, task_s: float) -> None:
        """Store the model, and the limits of memory and of seconds for each task."""
        self._model = model
        self._limit_bytes = limit_bytes
        self._task_s = task_s
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._requests = 0

    async def run(
        self, task: str, folder: Path, *, on_progress: Callable[[float], None] | None = None, **values: Any
    ) -> Any:
        """Return the result of a task; tasks wait for each other.

        Raises:
            TaskError: the task failed, took too long, or ended the process.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(self._task_s):
                    process = await self._started()
                    return await self._answer(process, {"task": task, "folder": str(folder), **values}, on_progress)
            except TimeoutError:
                await self._kill()
                raise TaskError(_TOO_LONG.format(self._task_s)) from None
            except TaskError:
                raise
            except (OSError, ValueError, asyncio.IncompleteReadError):
                await self._kill()
                raise TaskError(_CRASHED) from None
            except BaseException:  # an answer that nobody reads would be taken for that of the next task
                await self._kill()
                raise

    async def start(self) -> None:
        """Start the process if it does not run, so that the first task is fast; a failure is that of the first task."""
        async with self._lock:
            try:
                await self._started()
            except (OSError, ValueError, asyncio.IncompleteReadError):
                await self._kill()

    async def stop(self) -> None:
        """End the process."""
        await self._kill()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            arguments = [str(self._limit_bytes), *([] if self._model is None else [str(self._model)])]
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gliomaseg.serve.worker",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # messages of libraries may have names from headers
                limit=_LONGEST_LINE,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the server, which ends the worker itself
            )
            await self._read(self._process)
        return self._process

    async def _answer(
        self, process: asyncio.subprocess.Process, request: dict[str, Any], on_progress: Callable[[float], None] | None
    ) -> Any:
        if process.stdin is None:
            raise ConnectionError
        self._requests += 1
        process.stdin.write(json.dumps({"id": self._requests} | request).encode() + b"\n")
        await process.stdin.drain()
        while True:
            answer = await self._read(process)
            if answer.get("id") != self._requests:  # the result of another scan would be shown as that of this one
                raise ValueError(f"the answer has id {answer.get('id')}, expected {self._requests}")
            if "error" in answer:
                raise TaskError(answer["error"], answer["kind"])
            if "result" in answer:
                return answer["result"]
            if on_progress is not None:
                on_progress(answer["progress"])

    @staticmethod
    async def _read(process: asyncio.subprocess.Process) -> dict[str, Any]:
        line = b"" if process.stdout is None else await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise asyncio.IncompleteReadError(line, None)
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
