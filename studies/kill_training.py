"""Kill training runs at random moments, resume them, and compare their weights with those of an unbroken run.

    python studies/kill_training.py --kills 200 --out killed

After each SIGKILL, the last checkpoint must load, and at most one epoch of work may be lost. Each run is resumed until
it ends, and must end with the weights of the unbroken run, bit for bit. Every other kill comes up to 5 ms after a
checkpoint begins to be written. The others come at any moment between the start of a process and the time that a whole
training takes. `--seed` draws the moments, which also depend on the speed of the machine. The script prints its counts
as JSON, and ends with exit code 1 if something is lost. The runs are forks of one process that has imported torch, so
it needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from gliomaseg.atomic import UNFINISHED
from gliomaseg.config import read_recipe
from gliomaseg.networks import build_network
from gliomaseg.phantoms import write_phantoms
from gliomaseg.training.checkpoint import load_checkpoint
from gliomaseg.training.optimiser import build_optimiser
from gliomaseg.training.progress import ProgressDisplay
from gliomaseg.training.run_folder import LAST, TrainOptions
from gliomaseg.training.train import train

EPOCHS = 4
SETTINGS = (
    "preprocessing.size_px=32", "network.base_features=16", "network.levels=3", "training.batch=8", "training.ema=0.9",
    f"training.epochs={EPOCHS}",
)  # fmt: skip
AFTER_WRITE_S = 0.005
COMPARED = (LAST, "checkpoint/best.safetensors", "model/model.safetensors")


class PositionFile(ProgressDisplay):
    """Writes the epochs that a run has done, as a fraction, into a file that survives the process."""

    def __init__(self, file: Path) -> None:
        super().__init__(lambda _line: None, None)
        self._handle = os.open(file, os.O_WRONLY | os.O_CREAT)

    def step(self, name: str, done: int, total: int, *, loss: float, images_per_s: float) -> None:
        """Write the position; `name` is "epoch 2/4"."""
        super().step(name, done, total, loss=loss, images_per_s=images_per_s)
        epoch = int(name.removeprefix("epoch ").partition("/")[0]) - 1
        os.pwrite(self._handle, f"{epoch + done / total:9.4f}".encode(), 0)


def start(options: TrainOptions, position: Path) -> int:
    """Train in a new process, and return its number."""
    if process := os.fork():
        return process
    code = 1
    try:
        sys.stderr = (options.out.parent / "errors.log").open("a")
        train(options, say=lambda _line: None, display=PositionFile(position))
        code = 0
    except BaseException as fault:
        sys.stderr.write(f"{options.out}: {fault!r}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def ended(process: int) -> int | None:
    """Return the exit code of a process, negative for a signal; None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait_and_kill(process: int, delay_s: float, checkpoints: Path | None) -> int:
    """Kill a process after a time, or after that time from the next write into `checkpoints`; return its exit code."""
    while checkpoints and not any(checkpoints.glob(f"{UNFINISHED}*")):
        if (code := ended(process)) is not None:
            return code
        time.sleep(0.0002)
    end = time.monotonic() + delay_s
    while (left_s := end - time.monotonic()) > 0:
        if (code := ended(process)) is not None:
            return code
        time.sleep(min(left_s, 0.01))
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@dataclass
class Study:
    """The runs of a study, and what has happened to them."""

    options: TrainOptions
    generator: np.random.Generator
    counts: Counter[str]
    largest_loss: float = 0.0
    train_s: float = 0.0

    def train_unbroken(self) -> None:
        """Train the run that the others are compared with, twice: the first time prepares the slices."""
        for name in ("first", "unbroken"):
            start_s = time.time()
            options = replace(self.options, out=self.options.out / name)
            if os.waitpid(start(options, self.options.out / "position"), 0)[1]:
                raise SystemExit((self.options.out / "errors.log").read_text("utf-8"))
            # The export takes longer than the training: few kills would come before it.
            self.train_s = (options.out / LAST).stat().st_mtime - start_s

    def kill_until_done(self, number: int, kills: int) -> None:
        """Train one run with at most `kills` kills, each followed by a check of its checkpoint, and compare it."""
        options = replace(self.options, out=self.options.out / f"run-{number}", resume=True)
        position = self.options.out / f"position-{number}"
        for kill in range(kills + 1):
            process = start(options, position)
            if kill == kills:
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            elif kill % 2:
                delay_s = self.generator.uniform(0, AFTER_WRITE_S)
                code = wait_and_kill(process, delay_s, options.out / "checkpoint")
            else:
                code = wait_and_kill(process, self.generator.uniform(0, self.train_s), None)
            if code == -signal.SIGKILL:
                self._check_checkpoint(options, position)
                continue
            self.counts["runs that failed"] += code != 0
            break
        self._compare(options.out)

    def _check_checkpoint(self, options: TrainOptions, position: Path) -> None:
        self.counts["kills"] += 1
        unfinished = [file.name for file in (options.out / "checkpoint").glob(f"{UNFINISHED}*")]
        self.counts["kills during the write of a checkpoint"] += any("last" in name for name in unfinished)
        for file in (options.out / "checkpoint").glob(f"{UNFINISHED}*"):
            file.unlink()  # the next write must be recognised
        done = float(position.read_text() or 0) if position.is_file() else 0.0
        saved, last = 0.0, options.out / LAST
        if last.is_file():
            network = build_network(options.recipe.network, options.recipe.preprocessing.inputs)
            average = build_network(options.recipe.network, options.recipe.preprocessing.inputs)
            progress = load_checkpoint(
                last, network, build_optimiser(network, options.recipe.training), average=average
            )
            self.counts["checkpoints that load"] += 1
            saved = float(progress.epoch)
        elif done > 1:
            self.counts["checkpoints that are missing"] += 1
        self.largest_loss = max(self.largest_loss, done - saved)

    def _compare(self, run: Path) -> None:
        self.counts["runs compared"] += 1
        for name in COMPARED:
            first, second = load_file(self.options.out / "unbroken" / name), load_file(run / name)
            is_equal = first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
            self.counts["files that differ"] += not is_equal


def study(out: Path, *, kills: int, seed: int) -> dict[str, int | float]:
    """Return the counts of a study, and the largest number of epochs that one kill has lost."""
    torch.set_num_threads(1)  # threads do not survive a fork
    out.mkdir(parents=True)
    write_phantoms(out / "data", patients=4, seed=0, side_px=64)
    recipe = read_recipe("unet_small").with_settings(SETTINGS)
    options = TrainOptions(recipe, out / "data", out, device="cpu", cache=out / "cache", trackers=("none",))
    runs = Study(options, np.random.default_rng(seed), Counter())
    runs.train_unbroken()
    number = 0
    while runs.counts["kills"] < kills:
        runs.kill_until_done(number, min(int(runs.generator.integers(1, 7)), kills - runs.counts["kills"]))
        number += 1
    return {**runs.counts, "epochs": EPOCHS, "largest loss in epochs": round(runs.largest_loss, 4), "seed": seed}


def main() -> None:
    """Run the study, and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args()
    found = study(arguments.out, kills=arguments.kills, seed=arguments.seed)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    bad = ("runs that failed", "checkpoints that are missing", "files that differ")
    raise SystemExit(any(found.get(name, 0) for name in bad) or found["largest loss in epochs"] > 1)


if __name__ == "__main__":
    main()
