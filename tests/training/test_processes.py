"""Training in several processes that torchrun starts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from accelerate import Accelerator
from safetensors.torch import load_file

from gliomaseg.config import read_recipe
from gliomaseg.errors import ConfigError
from gliomaseg.model import load_model
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train

# 5 slices in a batch: one process gets 3 slices and the other 2.
SMALL = (
    "preprocessing.size_px=64", "network.features=[8,8,8]", "network.pixel_unshuffle=2",
    "training.batch=5", "training.epochs=2",
)  # fmt: skip
RECIPE = read_recipe("residual_unet").with_settings(list(SMALL))
SECONDS = 300


def torchrun(data: Path, out: Path, *more: str) -> list[str]:
    sets = [part for setting in SMALL for part in ("--set", setting)]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    line = ["-m", "gliomaseg", "train", "residual_unet", "--data", str(data), "--out", str(out)]
    return [*start, *line, *sets, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return {**os.environ, "GLIOMASEG_CACHE": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def together(phantoms, tmp_path_factory, environment):
    out = tmp_path_factory.mktemp("together") / "run"
    done = subprocess.run(
        torchrun(phantoms, out), env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return out, done.stderr


def test_two_processes_write_one_run_and_one_log(together):
    out, output = together
    assert output.count("epoch 2 of 2") == 1
    assert "cpu, bf16, 2 processes" in output or "cpu, fp32, 2 processes" in output
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    model = load_model(out)
    assert len(model.config.trained_on) > 1
    assert lines[0]["images"] == 40  # of 41: a last batch of one slice is dropped


def test_resuming_a_finished_run_of_two_processes_alone_changes_nothing(together, phantoms, environment):
    out, _ = together
    before = load_file(out / "model" / "model.safetensors")
    train(
        TrainOptions(RECIPE, phantoms, out, device="cpu", resume=True, cache=Path(environment["GLIOMASEG_CACHE"])),
        say=lambda _line: None,
    )
    after = load_file(out / "model" / "model.safetensors")
    assert all(bool((after[name] == value).all()) for name, value in before.items())


def test_a_folder_in_use_stops_all_processes(together, phantoms, environment):
    out, _ = together
    done = subprocess.run(
        torchrun(phantoms, out), env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode
    assert done.stderr.count("gliomaseg: error:") == 1
    assert "another --out" in done.stderr or "already" in done.stderr


def test_a_batch_smaller_than_the_number_of_processes_raises(phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    options = TrainOptions(RECIPE.with_settings(["training.batch=1"]), phantoms, tmp_path / "run", device="cpu")
    with pytest.raises(ConfigError, match="batch is 1, expected at least 2 for 2 processes"):
        train(options, say=lambda _line: None)
    assert not (tmp_path / "run").exists()


def test_a_signal_to_one_process_saves_and_stops_all(phantoms, tmp_path, environment):
    """Only the second process gets the signal, within an epoch: both stop after the same batch."""
    out = tmp_path / "stopped"
    options = torchrun(phantoms, out, "--set", "training.epochs=6")
    output = []
    with subprocess.Popen(options, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            output.append(line)
            if "epoch 1 of 6" in line:
                os.kill(second_of(process.pid), signal.SIGTERM)
        assert process.wait(timeout=SECONDS)
    text = "".join(output)
    assert "run it again with --resume" in text, text
    assert "closed by peer" not in text
    assert not (out / "model").exists()
    done = subprocess.run(
        torchrun(phantoms, out, "--set", "training.epochs=6", "--resume"),
        env=environment, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "resuming at batch" in done.stderr
    assert len((out / "log.jsonl").read_text().splitlines()) == 6


def second_of(launcher: int) -> int:
    """Return the process that torchrun started second."""
    workers = [child for child in psutil.Process(launcher).children() if "gliomaseg" in child.cmdline()]
    return next(child.pid for child in workers if child.environ()["RANK"] == "1")
