"""The process that decodes and segments: one request on each line of stdin, answers on stdout, both JSON.

    python -m gliomaseg.serve.worker BYTES [MODEL]

A request is `{"task", "folder", ...}`. Answers are `{"progress": per cent}`, then `{"result": ...}` or `{"error": text,
"kind": name of the error}`. The memory of the process is limited, so that a hostile file cannot take all of it. The
process ends with its parent, whose end closes stdin.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from gliomaseg.errors import GliomasegError, printable
from gliomaseg.prediction import ScanPredictor, open_models
from gliomaseg.pretrained import find_models
from gliomaseg.serve import tasks, worklist_tasks
from gliomaseg.serve.names import ClientNames
from gliomaseg.serve.reference import compare_reference
from gliomaseg.serve.scans import list_scans


def main() -> None:
    """Answer requests until stdin ends."""
    # Libraries that print to stdout must not break the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    limit_memory(int(sys.argv[1]))
    predictor = open_models(find_models(Path(sys.argv[2]) if len(sys.argv) > 2 else None))
    _answer(answers, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request.pop("folder"))
        names = ClientNames.read(folder)
        try:
            result = _run(request.pop("task"), folder, request, predictor, lambda done: _answer(answers, done))
        except GliomasegError as fault:
            _answer(answers, {"error": names.shown(fault.line()), "kind": type(fault).__name__})
        except MemoryError:
            _answer(answers, {"error": "the scan needs more memory than the server's limit; crop it", "kind": "Memory"})
        except OSError as fault:
            _answer(answers, {"error": f"cannot be read or written ({fault.strerror})", "kind": "OSError"})
        except Exception as fault:  # the next job must run
            _answer(answers, {"error": f"the scan cannot be processed ({type(fault).__name__})", "kind": "Exception"})
        else:
            _answer(answers, {"result": names.shown_in(result)})


def limit_memory(limit_bytes: int) -> None:
    """Limit the memory that the process can allocate; not on systems without such limits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _answer(answers: TextIO, document: dict[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")


def _run(
    task: str, folder: Path, values: dict[str, Any], predictor: ScanPredictor, answer: Callable[[dict[str, Any]], None]
) -> Any:
    def progress(done: float) -> None:
        answer({"progress": done})

    if task == "list":
        return list_scans(folder)
    if task == "segment":
        return tasks.segment(folder, predictor=predictor, progress=progress, **values)
    if task == "store":
        return worklist_tasks.store(folder, **values)
    if task == "restore":
        return worklist_tasks.restore(folder, predictor=predictor, **values)
    if task == "correction":
        return tasks.write_correction(folder, predictor=predictor)
    if task == "strokes":
        return tasks.apply_strokes(folder)
    if task == "reference":
        return compare_reference(folder, **values)
    raise ValueError(f"task is {printable(task)}")


if __name__ == "__main__":
    main()
