"""Several processes that learn as one, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from gliomaseg.model import load_model

# 5 slices a batch: of 2 processes one has 3 and the other 2. All heads learn, an average follows.
SMALL = (
    "preprocessing.size_px=64", "network.features=[8,8,8]", "network.pixel_unshuffle=2",
    "training.batch=5", "training.epochs=2",
)  # fmt: skip


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


def test_two_processes_leave_one_run_and_speak_once(together):
    out, told = together
    assert told.count("epoch 2 of 2") == 1
    assert "cpu, bf16, 2 processes" in told or "cpu, fp32, 2 processes" in told
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    model = load_model(out)
    assert len(model.config.trained_on) > 1
    assert lines[0]["images"] == 40  # of 41: a rest of one slice is left out


def test_a_finished_run_of_two_processes_goes_on_alone_and_changes_nothing(together, phantoms, environment):
    out, _ = together
    before = load_file(out / "model" / "model.safetensors")
    alone = [sys.executable, *torchrun(phantoms, out, "--resume")[6:]]
    subprocess.run(alone, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS)
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


def test_fewer_slices_than_processes_are_refused(phantoms, tmp_path, environment):
    order = torchrun(phantoms, tmp_path / "run", "--set", "training.batch=1")
    done = subprocess.run(order, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode
    assert "a batch of 1 is too small for 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()


def test_one_process_that_is_asked_to_stop_stops_all_and_saves(phantoms, tmp_path, environment):
    """The signal comes within an epoch and to the second process alone: both leave after the same batch."""
    out = tmp_path / "stopped"
    order = torchrun(phantoms, out, "--set", "training.epochs=30")
    told = []
    with subprocess.Popen(order, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            told.append(line)
            if "epoch 1 of 30" in line:
                os.kill(second_of(process.pid), signal.SIGTERM)
        assert process.wait(timeout=SECONDS)
    text = "".join(told)
    assert "run it again with --resume" in text, text
    assert "closed by peer" not in text
    assert not (out / "model").exists()
    done = subprocess.run(
        torchrun(phantoms, out, "--set", "training.epochs=30", "--resume"),
        env=environment, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "picking up at batch" in done.stderr
    assert len((out / "log.jsonl").read_text().splitlines()) == 30


def second_of(launcher: int) -> int:
    """Return the process that torchrun started second."""
    workers = [child for child in psutil.Process(launcher).children() if "gliomaseg" in child.cmdline()]
    return next(child.pid for child in workers if child.environ()["RANK"] == "1")
