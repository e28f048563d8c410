"""The section `scaling`: time a slice or patient, and peak memory, for many of them against few.

Each measurement runs in a process of its own: `python -m gliomaseg.bench.scaling TASK`, with a `WorkerTask` as JSON.
The process prints a `WorkerResult` as JSON.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count as numbers
from itertools import cycle, islice, pairwise
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel

from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.timing import BenchRow, Timing, peak_mb, run_process, try_measurement
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import GliomasegError
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.formats import read_volume
from gliomaseg.prediction import PredictOptions, Predictor, list_inputs, open_predictor
from gliomaseg.prediction.predict import MAX_BYTES, predict


class WorkerTask(BaseModel):
    """The work of one process.

    Attributes:
        command: "predict" a volume again and again, or "evaluate" patients.
        count: number of slices to predict, at least; or number of patients to evaluate.
        model: a model folder.
        source: the NIfTI volume to predict, or the data set to evaluate.
        slices_per_patient: number of slices of each evaluated patient.
    """

    command: Literal["predict", "evaluate"]
    count: int
    model: Path
    source: Path
    slices_per_patient: int = 1


class WorkerResult(BaseModel):
    """The measurement of one process.

    Attributes:
        count: number of slices or patients that were processed.
        seconds: duration, without imports and one warm-up.
        peak_mb: peak memory of the process in MB (10^6 bytes).
    """

    count: int
    seconds: float
    peak_mb: float


def measure_scaling(fixtures: Fixtures) -> list[BenchRow]:
    """Return a row for each step from fewer to more predicted slices, and one for few and many evaluated patients."""
    sizes = fixtures.sizes
    rows = [
        _measure_growth(fixtures, "slices", "prediction", few, many, partial(_predict, fixtures))
        for few, many in pairwise(sizes.scaling_slices)
    ]
    few, many = sizes.scaling_patients
    return [*rows, _measure_growth(fixtures, "patients", "evaluation", few, many, partial(_evaluate, fixtures))]


def _measure_growth(
    fixtures: Fixtures, items: str, work: str, few: int, many: int, run: Callable[[int], WorkerResult]
) -> BenchRow:
    def measure(figure: str) -> BenchRow:
        start = time.monotonic()
        large, small = [run(many)], [run(few)]
        while len(large) < fixtures.sizes.scaling_turns and time.monotonic() - start < fixtures.sizes.budget_s:
            large.append(run(many))
            small.append(run(few))
        ours = Timing(f"{many:,} {items}", tuple(result.count / result.seconds for result in large))
        baseline = Timing(f"{few:,} {items}", tuple(result.count / result.seconds for result in small))
        peak_many_mb, peak_few_mb = (median(result.peak_mb for result in results) for results in (large, small))
        agreement = {
            "time_a_piece_grows_percent": round((baseline.median / ours.median - 1) * 100, 2),
            "memory_grows_mb": round(peak_many_mb - peak_few_mb, 1),
            "peak_mb": round(peak_many_mb, 1),
        }
        return BenchRow(figure, f"{items}/s", ours, baseline, agreement)

    figure = f"{work} of {many:,} {items} against {few:,}"
    fixtures.log(figure)
    return try_measurement(figure, f"{items}/s", measure)


def _predict(fixtures: Fixtures, count: int) -> WorkerResult:
    model, volume = fixtures.small_model.resolve(), fixtures.volume
    return _run_worker(fixtures, WorkerTask(command="predict", count=count, model=model, source=volume))


def _evaluate(fixtures: Fixtures, count: int) -> WorkerResult:
    task = WorkerTask(
        command="evaluate",
        count=count,
        model=fixtures.small_model.resolve(),
        source=fixtures.index.root,
        slices_per_patient=fixtures.sizes.slices_per_patient,
    )
    return _run_worker(fixtures, task)


def _run_worker(fixtures: Fixtures, task: WorkerTask) -> WorkerResult:
    command = (sys.executable, "-m", "gliomaseg.bench.scaling", task.model_dump_json())
    printed, _ = run_process(*command, folder=fixtures.folder)
    return WorkerResult.model_validate_json(printed)


def main() -> None:
    """Run the task in the first argument, and print its result."""
    task = WorkerTask.model_validate_json(sys.argv[1])
    predictor = open_predictor(task.model)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        if task.command == "predict":
            work = _prediction_work(task, predictor, Path(folder))
        else:
            work = _evaluation_work(task, predictor)
        work(1)  # warm-up: excludes one-time loading and allocation
        start = time.perf_counter()
        count = work(task.count)
        seconds = time.perf_counter() - start
    result = WorkerResult(count=count, seconds=seconds, peak_mb=peak_mb())
    sys.stdout.write(result.model_dump_json() + "\n")


def _prediction_work(task: WorkerTask, predictor: Predictor, folder: Path) -> Callable[[int], int]:
    """Return a function that predicts the volume, from file to file, until at least `count` slices are predicted."""
    (entry,) = list_inputs([task.source])
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


def _evaluation_work(task: WorkerTask, predictor: Predictor) -> Callable[[int], int]:
    """Return a function that evaluates `count` patients: copies of the data set's patients under other names."""
    cases = read_cases(task.source).cases

    def work(count: int) -> int:
        chosen = [
            replace(
                case,
                name=f"{case.name}-{k}",
                patient=f"{case.patient}-{k}",
                slices=case.slices[-task.slices_per_patient :],
            )
            for k, case in enumerate(islice(cycle(cases), count))
        ]
        rows = evaluate(chosen, predictor).patients
        if errors := [row.error for row in rows if row.error]:
            raise GliomasegError(errors[0])
        return len(rows)

    return work


if __name__ == "__main__":
    main()
