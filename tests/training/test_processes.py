"""Several processes that learn as one, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from gliomaseg.model import load_model

# 5 slices of each batch: with 2 processes one has 3 and the other 2. Weights are followed by an average, too.
SMALL = (
    "preparation.size_px=64", "network.widths=[8,8,8]", "network.patch=1", "training.batch=5", "training.epochs=2",
)  # fmt: skip


def torchrun(data: Path, out: Path, *more: str) -> list[str]:
    sets = [part for setting in SMALL for part in ("--set", setting)]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    line = ["-m", "gliomaseg.cli", "train", "residual_unet", "--data", str(data), "--out", str(out)]
    return [*start, *line, *sets, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return {**os.environ, "GLIOMASEG_CACHE": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def together(phantoms, tmp_path_factory, environment):
    out = tmp_path_factory.mktemp("together") / "run"
    done = subprocess.run(torchrun(phantoms, out), env=environment, capture_output=True, text=True, check=False)
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
    slices = lines[0]["images"]
    assert slices > 5
    assert not slices % 5 or slices % 5 > 1  # a rest of one slice is left out


def test_a_finished_run_of_two_processes_goes_on_alone_and_changes_nothing(together, phantoms, environment):
    out, _ = together
    before = load_file(out / "model" / "model.safetensors")
    alone = [sys.executable, *torchrun(phantoms, out, "--resume")[6:]]
    subprocess.run(alone, env=environment, capture_output=True, text=True, check=True)
    after = load_file(out / "model" / "model.safetensors")
    assert all(bool((after[name] == value).all()) for name, value in before.items())


def test_a_folder_in_use_stops_all_processes(together, phantoms, environment):
    out, _ = together
    done = subprocess.run(
        torchrun(phantoms, out), env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode
    assert done.stderr.count("gliomaseg: error:") == 1


def test_processes_that_are_asked_to_stop_can_go_on(phantoms, tmp_path, environment):
    out = tmp_path / "stopped"
    order = torchrun(phantoms, out, "--set", "training.epochs=60")
    told = []
    with subprocess.Popen(order, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            told.append(line)
            if "epoch 1 of 60" in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120)
    log = (out / "log.jsonl").read_text().splitlines()
    assert 1 <= len(log) < 60, "".join(told)
    assert (out / "checkpoint" / "last.safetensors").is_file()
    assert not (out / "model").exists()
