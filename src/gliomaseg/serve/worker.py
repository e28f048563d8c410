"""The process that decodes and segments: one request on each line of stdin, answers on stdout, both JSON.

    python -m gliomaseg.serve.worker BYTES [MODEL]

A request is `{"id", "task", "folder", ...}`. Answers are `{"progress": per cent}`, then `{"result": ...}` or
`{"error": text, "kind": name of the error}`, each with the `id` of its request. The memory of the process is limited,
so that a hostile file cannot take all of it. The process ends with its parent, whose end closes stdin.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from gliomaseg.errors import GliomasegError
from gliomaseg.prediction import ScanPredictor, open_models
from gliomaseg.prediction.predictor import used_sequences
from gliomaseg.pretrained import find_models
from gliomaseg.serve import tasks
from gliomaseg.serve.messages import with_cure
from gliomaseg.serve.names import ClientNames
from gliomaseg.serve.reference import compare_reference
from gliomaseg.serve.scans import list_scans
from gliomaseg.serve.worker_process import UNEXPECTED
from gliomaseg.serve.worklist import tasks as worklist_tasks

NICENESS = 5  # so that the server answers while a scan is segmented


def main() -> None:
    """Answer requests until stdin ends."""
    # Libraries that print to stdout must not break the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    limit_memory(int(sys.argv[1]))
    predictor = open_models(find_models(Path(sys.argv[2]) if len(sys.argv) > 2 else None))
    _answer(answers, None, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        answer = partial(_answer, answers, request.pop("id"))
        folder = Path(request.pop("folder"))
        names = ClientNames.read(folder)
        try:
            result = _run(request.pop("task"), folder, request, predictor, answer)
        except GliomasegError as fault:
            answer({"error": names.shown(with_cure(fault)), "kind": type(fault).__name__})
        except MemoryError:
            answer({"error": "the scan needs more memory than the server's limit; crop it", "kind": "Memory"})
        except OSError as fault:
            answer({"error": f"a file cannot be read or written ({fault.strerror}); try again", "kind": "OSError"})
        except Exception as fault:  # the next job must run
            answer({"error": UNEXPECTED.format(type(fault).__name__), "kind": "Exception"})
        else:
            answer({"result": names.shown_in(result)})


def limit_memory(limit_bytes: int) -> None:
    """Limit the memory that the process can allocate; not on systems without such limits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _answer(answers: TextIO, request_id: int | None, document: dict[str, Any]) -> None:
    answers.write(json.dumps({"id": request_id} | document) + "\n")


def _run(
    task: str, folder: Path, values: dict[str, Any], predictor: ScanPredictor, answer: Callable[[dict[str, Any]], None]
) -> Any:
    def progress(done: float) -> None:
        answer({"progress": done})

    known: dict[str, Callable[..., Any]] = {
        "list": partial(list_scans, takes=sorted(used_sequences(predictor))),
        "segment": partial(tasks.segment, predictor=predictor, progress=progress),
        "correction": partial(tasks.write_correction, predictor=predictor),
        "strokes": tasks.apply_strokes,
        "reference": compare_reference,
        "store": worklist_tasks.store,
        "restore": partial(worklist_tasks.restore, predictor=predictor),
    }
    return known[task](folder, **values)


if __name__ == "__main__":
    main()
