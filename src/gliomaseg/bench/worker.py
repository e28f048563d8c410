"""What growth does in a process of its own: `python -m gliomaseg.bench.worker JSON` prints its time and memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count as numbers
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from gliomaseg.bench.hardware import peak_mb
from gliomaseg.data.index import read_index
from gliomaseg.errors import GliomasegError
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.formats import read_volume
from gliomaseg.prediction import PredictOptions, Predictor, list_inputs, open_predictor
from gliomaseg.prediction.predict import MAX_BYTES, predict


def main() -> None:
    """Do what the first argument asks for."""
    order = json.loads(sys.argv[1])
    predictor = open_predictor(Path(order["model"]))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        work = (_predicting if order["do"] == "predict" else _evaluating)(order, predictor, Path(folder))
        work(1)  # what is loaded or allocated once
        start = time.perf_counter()
        done = work(order["count"])
        seconds = time.perf_counter() - start
    sys.stdout.write(json.dumps({"count": done, "seconds": seconds, "peak_mb": peak_mb()}) + "\n")


def _predicting(order: dict[str, Any], predictor: Predictor, folder: Path) -> Callable[[int], int]:
    """Return work that predicts volumes, from file to file, until there are enough slices."""
    (entry,) = list_inputs([Path(order["volume"])])
    depth: int = read_volume(entry.path, max_bytes=MAX_BYTES).scan.voxels.shape[0]

    def work(count: int) -> int:
        for number in numbers(1):
            row = predict(entry, folder, predictor, PredictOptions(overwrite=True))
            if row.error:
                raise GliomasegError(row.error)
            if number * depth >= count:
                return number * depth
        return 0

    return work


def _evaluating(order: dict[str, Any], predictor: Predictor, _folder: Path) -> Callable[[int], int]:
    """Return work that evaluates patients, the same few again and again under other names."""
    cases = read_index(Path(order["data"])).cases

    def work(count: int) -> int:
        chosen = [
            replace(
                case, name=f"{case.name}-{k}", patient=f"{case.patient}-{k}", slices=case.slices[-order["slices"] :]
            )
            for k, case in enumerate(islice(cycle(cases), count))
        ]
        rows = evaluate(chosen, predictor).patients
        if failed := [row.error for row in rows if row.error]:
            raise GliomasegError(failed[0])
        return len(rows)

    return work


if __name__ == "__main__":
    main()
