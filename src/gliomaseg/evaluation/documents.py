"""Read and write `metrics.json`, and read the log of a run."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from gliomaseg.config import metrics_to_format_2, printable_text
from gliomaseg.errors import DataError, FormatError
from gliomaseg.evaluation.results import METRICS, Evaluation, LoggedEpoch
from gliomaseg.user_files import read_text

LARGEST_BYTES = 64 * 2**20
CURE = "run `gliomaseg evaluate` again"


def dumps(evaluation: Evaluation) -> str:
    """Return an evaluation as the text of `metrics.json`."""
    return json.dumps(evaluation.document(), indent=1, allow_nan=False) + "\n"


def read_evaluation(folder: Path) -> Evaluation:
    """Return the evaluation in a folder; fields that the file lacks are None or empty.

    Raises:
        DataError: there is no `metrics.json` in the folder.
        FormatError: it cannot be read as one, or is larger than 64 MiB.
    """
    path = folder / METRICS
    if not path.is_file():
        raise DataError(f"there is no {METRICS}", where=folder, cure="name a folder that `gliomaseg evaluate` wrote")
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise FormatError(f"is larger than {LARGEST_BYTES >> 20} MiB", where=path, cure=CURE)
        tree = json.loads(read_text(path, most_bytes=LARGEST_BYTES), parse_constant=lambda _word: None)
        if not isinstance(tree, dict) or "patients" not in tree:
            raise FormatError("evaluation lacks the key `patients`", where=path, cure=CURE)
        return Evaluation.model_validate(metrics_to_format_2(tree))
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "measure":
            place = f"{place}.{first['ctx']['name']}"
        what = first["msg"].removeprefix("Value error, ")
        raise FormatError(printable_text(f"{place}: {what}"), where=path, cure=CURE) from fault
    except (ValueError, RecursionError) as fault:  # JSON and UTF-8 errors are both ValueErrors
        raise FormatError(f"is not readable JSON ({type(fault).__name__})", where=path, cure=CURE) from fault
    except OSError as fault:
        raise FormatError(f"cannot be read ({fault.strerror or fault})", where=path, cure="check its rights") from fault


def learning_curve(run: Path) -> list[LoggedEpoch]:
    """Return the lines of a run's `log.jsonl`; empty if the folder is not a run."""
    try:
        text = (run / "log.jsonl").read_text("utf-8")
        lines = [json.loads(line, parse_constant=lambda _nan: None) for line in text.splitlines()]
    except (OSError, ValueError, RecursionError):
        return []
    try:
        return [LoggedEpoch.model_validate(line) for line in lines if isinstance(line, dict)]
    except ValidationError:
        return []
