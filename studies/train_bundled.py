"""Train the folds and candidates of the bundled models on another machine with a GPU: docs/results/search.md.

    python studies/train_bundled.py pack variants.toml --data lgg --splits five.json --out pack
    python studies/train_bundled.py train pack --work work --out results --minutes 9
    python studies/train_bundled.py scores results --data lgg --out scored

`pack` writes the prepared slices, the folds and the recipes into one folder. `train` needs this folder, `src` and
`studies`, but neither the data set nor a network. It trains all runs side by side, stops them before the minutes end,
and continues them in the next call with the same `--work`. It writes the weights of finished runs, in 16 bits, into
files of at most 16 MiB, 64 MiB in all; `--part 2` writes the runs that do not fit. `scores` makes runs of the weights,
as if `gliomaseg train` had trained them here, and evaluates them on the data set.
"""

# ruff: noqa: E402 - the packages are checked first
from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NEEDS = (
    "accelerate", "annotated_types", "matplotlib", "numpy", "onnx", "onnxruntime", "PIL", "pydantic", "pydantic_core",
    "rich", "safetensors", "scipy", "tifffile", "tomli_w", "torch", "typing_extensions", "typing_inspection",
)  # fmt: skip
if MISSING := [name for name in NEEDS if find_spec(name) is None]:
    sys.exit(f"{sys.executable}: packages are missing: {', '.join(MISSING)}")

import bundled_files as files
import numpy as np
from bundled_files import ALL, PLAN, WEIGHTS, Job, Plan, is_trained, read_plan, trained_epochs
from safetensors import safe_open

from gliomaseg.atomic import locked, new_file, write_text
from gliomaseg.data.cache import Cache, open_cache
from gliomaseg.data.case import Case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import select, write_splits
from gliomaseg.errors import GliomasegError, Interrupted, PartlyDoneError, TrainingError, UsageError
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.evaluate import describe_data
from gliomaseg.evaluation.results import EvaluationSetting
from gliomaseg.metrics.bootstrap import bootstrap_interval

RESERVE_S, GRACE_S, LINE_EVERY_S = 60, 60, 60
SEEN = "the model was trained on these patients: the scores are too high"
SEEN_CASES = 4


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


@dataclass(frozen=True)
class Deadline:
    """Stops a run at a time of `time.time`, or when `flag` does."""

    flag: Any
    until: float

    @property
    def requested(self) -> bool:
        """Whether the run must save and stop."""
        return self.flag.requested or time.time() > self.until


@contextmanager
def open_run(plan: Plan, job: Job, options: Any, cache: Cache, validation: tuple[Case, ...]) -> Iterator[Any]:
    """Yield the run of a job, new or in the state of its last checkpoint, as `gliomaseg train` opens it."""
    from gliomaseg.training.accelerator import deterministic, open_accelerator
    from gliomaseg.training.run_folder import CONFIG, require_out_folder, start_folder
    from gliomaseg.training.train import CaseSplit, build_run

    fold = plan.fold_of(job)
    # As `split_cases`, which refuses "all": it has no validation cases.
    digest = hashlib.sha256(json.dumps(fold.model_dump()).encode()).hexdigest()
    cases = CaseSplit(cache, select(plan.index, fold.train), validation, digest, EvaluationSetting())
    accelerator = open_accelerator(options.device, job.recipe.training.precision)
    with deterministic(), locked(options.out), ExitStack() as stack:
        resuming = (options.out / CONFIG).is_file()
        require_out_folder(options, resuming=resuming)
        if not resuming:
            start_folder(options, plan.splits_of(job))
        yield build_run(options, accelerator, stack, cases, say)


def train_one(pack: Path, work: Path, number: int, until: float, device: str) -> None:
    """Train one run until its end or a time of `time.time`; it saves its state before it stops."""
    from gliomaseg.training.loop import train_epochs
    from gliomaseg.training.run_folder import TrainOptions

    plan = read_plan(pack)
    job = plan.jobs[number]
    out = work / "runs" / job.name
    options = TrainOptions(job.recipe, Path(plan.data), out, device=device, resume=True, trackers=())
    validation = select(plan.index, plan.fold_of(job).validation)
    with open_run(plan, job, options, files.open_unpacked(plan, job, work / "cache"), validation) as run:
        train_epochs(replace(run, stop=Deadline(run.stop, until)))


def train_all(given: argparse.Namespace) -> None:
    """Train all runs until the minutes end, then write the finished ones.

    Raises:
        PartlyDoneError: the minutes have ended before some runs were finished.
        TrainingError: a run has failed.
    """
    until = time.time() + 60 * given.minutes - min(RESERVE_S, 12 * given.minutes)
    plan, work = read_plan(given.pack), given.work
    work.mkdir(parents=True, exist_ok=True)
    if (work / PLAN).is_file() and read_plan(work) != plan:
        raise UsageError("has the runs of another pack", where=work, cure="use another --work")
    write_text(work / PLAN, plan.model_dump_json())
    files.unpack(plan, given.pack, work / "cache")
    failed = train_side_by_side(plan, given, until)
    for job in failed:
        lines = (work / "output" / f"{job.name}.txt").read_text("utf-8").splitlines()
        say(f"{job.name} failed: {lines[-1] if lines else 'without output'}")
    say(files.write_part(plan, work, given.out, given.part))
    if failed:
        raise TrainingError(f"{len(failed)} run(s) failed", where=work / "output")
    if not all(is_trained(job, work) for job in plan.jobs):
        raise PartlyDoneError("not all runs are finished", where=work, cure="call again with the same --work")


def train_side_by_side(plan: Plan, given: argparse.Namespace, until: float) -> list[Job]:
    """Train all unfinished runs, each in its own process, and return the failed ones."""
    waiting = [number for number, job in enumerate(plan.jobs) if not is_trained(job, given.work)]
    running: dict[int, subprocess.Popen[bytes]] = {}
    ends: dict[int, int] = {}
    line_s = time.time()
    try:
        while running or (waiting and time.time() < until):
            while waiting and len(running) < given.side_by_side and time.time() < until:
                number = waiting.pop(0)
                running[number] = start_one(given, plan.jobs[number], number, until)
            ends |= {k: code for k, process in running.items() if (code := process.poll()) is not None}
            running = {k: process for k, process in running.items() if k not in ends}
            if time.time() > until + GRACE_S:
                break  # the last checkpoints stay
            if time.time() > line_s + LINE_EVERY_S:
                line_s += LINE_EVERY_S
                say(epochs_text(plan, given.work))
            time.sleep(0.2)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    say(epochs_text(plan, given.work))
    return [plan.jobs[k] for k, code in ends.items() if code not in (0, Interrupted.exit_code)]


def epochs_text(plan: Plan, work: Path) -> str:
    """Return the finished epochs of each run."""
    return "epochs: " + ", ".join(f"{job.name} {trained_epochs(job, work)[0]}" for job in plan.jobs)


def start_one(given: argparse.Namespace, job: Job, number: int, until: float) -> subprocess.Popen[bytes]:
    """Start the process of a run; it prints into a file."""
    output = given.work / "output" / f"{job.name}.txt"
    output.parent.mkdir(parents=True, exist_ok=True)
    own = ("one", given.pack, "--work", given.work, "--number", number, "--until", until, "--device", given.device)
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // given.side_by_side)), **os.environ}
    command = [sys.executable, __file__, *map(str, own)]
    with output.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)  # noqa: S603


def score_all(results: Sequence[Path], data: Path, out: Path, cache: Path | None) -> None:
    """Make runs of all weights, evaluate them on the data set, and print a table."""
    dice: dict[str, list[float]] = {}
    for folder in results:
        with tempfile.TemporaryDirectory(prefix="gliomaseg-results-") as name:
            plan = files.read_results(folder, Path(name))
            for job in plan.jobs:
                if not (Path(name) / job.name / WEIGHTS).is_file():
                    continue
                say(job.name)
                score_one(plan, job, Path(name) / job.name, replace(scored_run(plan, job, data, out), cache=cache))
                rows = read_evaluation(out / job.name / "model").patients
                row_name = f"{job.name}: {SEEN}" if job.fold == ALL else job.variant
                dice.setdefault(row_name, []).extend(row.dice_volume for row in rows if row.dice_volume is not None)
    sys.stdout.write("| runs | patients | `dice_volume` (95 % CI) |\n|---|---|---|\n")
    for name, values in dice.items():
        low, high = bootstrap_interval([np.array([value]) for value in values])
        sys.stdout.write(f"| {name} | {len(values)} | {np.mean(values):.3f} ({low:.3f} to {high:.3f}) |\n")


def scored_run(plan: Plan, job: Job, data: Path, out: Path) -> Any:
    """Return the options of a run that is evaluated here; `crossvalidate --resume` finds the same folders."""
    from gliomaseg.training.run_folder import TrainOptions

    options = TrainOptions(job.recipe, data, out / job.name, device="cpu", resume=True, trackers=())
    if job.fold == ALL:
        return options
    splits = out / job.variant / "splits.json"
    write_splits(plan.splits, splits)
    return replace(options, splits=splits, fold=job.fold)


def score_one(plan: Plan, job: Job, received: Path, options: Any) -> None:
    """Export and evaluate a received run, as `gliomaseg train --resume` does after the last epoch."""
    from gliomaseg.training.artifacts import write_artifacts
    from gliomaseg.training.run_folder import LAST, is_finished
    from gliomaseg.training.train import train

    if is_finished(options):
        return
    if not (options.out / LAST).is_file():
        write_run(plan, job, received, options)
    if job.fold != ALL:
        train(options, say=say)  # it checks data, folds and recipe
        return
    index = read_cases(options.data, plan.splits.data.complete(DataOptions()))
    cache = open_cache(index, job.recipe.preprocessing, folder=options.cache, progress=say)
    chosen = index.cases[:: math.ceil(len(index.cases) / SEEN_CASES)]
    setting = EvaluationSetting(
        data=options.data.resolve().name, split=plan.splits.by, seed=plan.splits.seed, subset="train", warning=SEEN
    )
    with open_run(plan, job, options, cache, chosen) as run:
        write_artifacts(run, setting.joined_with(describe_data(index)))


def write_run(plan: Plan, job: Job, received: Path, options: Any) -> None:
    """Write the folder of a trained run; its checkpoints have the received weights in 32 bits."""
    from gliomaseg.training.checkpoint import write_tensors
    from gliomaseg.training.run_folder import start_folder

    prefixes = ("network.", "average.") if job.recipe.training.ema else ("network.",)
    with safe_open(received / WEIGHTS, framework="pt") as file:
        progress, tensors = file.metadata()["progress"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    state = {f"{prefix}{name}": tensor.clone() for prefix in prefixes for name, tensor in floats.items()}
    with locked(options.out):
        start_folder(options, plan.splits_of(job))
        shutil.copyfile(received / "log.jsonl", options.out / "log.jsonl")
        for name in dict.fromkeys((job.recipe.training.exported_checkpoint, "last")):
            with new_file(options.out / "checkpoint" / f"{name}.safetensors") as temporary:
                write_tensors(state, temporary, metadata={"progress": progress})


def read_arguments() -> argparse.Namespace:
    """Return the arguments of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    pack, train, scores, one = (steps.add_parser(name) for name in ("pack", "train", "scores", "one"))
    pack.add_argument("variants", type=Path)
    pack.add_argument("--splits", type=Path, required=True, help="file of `gliomaseg split`")
    scores.add_argument("results", type=Path, nargs="+")
    for step in (pack, scores):
        step.add_argument("--data", type=Path, required=True)
        step.add_argument("--cache", type=Path, help="folder of prepared slices")
    for step in (train, one):
        step.add_argument("pack", type=Path)
        step.add_argument("--work", type=Path, required=True, help="folder of the runs, to continue them")
        step.add_argument("--device", default="auto")
    for step in (pack, train, scores):
        step.add_argument("--out", type=Path, required=True)
    train.add_argument("--minutes", type=float, required=True, help="budget; runs stop a minute earlier")
    train.add_argument("--side-by-side", type=int, default=os.cpu_count() or 1, help="number of processes")
    train.add_argument("--part", type=int, default=1, help="which part of the finished runs to write")
    one.add_argument("--number", type=int, required=True)
    one.add_argument("--until", type=float, required=True)
    return parser.parse_args()


def main() -> None:
    """Run one step."""
    given = read_arguments()
    try:
        if given.step == "pack":
            say(files.write_pack(given.variants, given.data, given.splits, given.out, given.cache, say))
        elif given.step == "train":
            train_all(given)
        elif given.step == "one":
            train_one(given.pack, given.work, given.number, given.until, given.device)
        else:
            score_all(given.results, given.data, given.out, given.cache)
    except (GliomasegError, Interrupted) as fault:
        say(fault.line() if isinstance(fault, GliomasegError) else str(fault))
        raise SystemExit(fault.exit_code) from None


if __name__ == "__main__":
    main()
