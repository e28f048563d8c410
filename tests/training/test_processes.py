"""Training in several processes that torchrun starts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from gliomaseg.config import read_recipe
from gliomaseg.errors import ConfigError
from gliomaseg.model import load_model
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train
from quick_export import PYTHONPATH

# An epoch has 41 samples: 8 batches of 5, of which one process gets 3 and the other 2, and a last batch of 1. Three
# epochs are 27 steps. The loss pools the pixels of the batch. Adam amplifies rounding: with the recipe's learning rate
# and augmentation, weights of one process change by 0.002 if the slices of each batch are in reverse order.
SMALL = (
    "preprocessing.size_px=64", "network.features=[8,8,8]", "network.pixel_unshuffle=2",
    "training.batch=5", "training.epochs=3", "training.precision=fp32", "training.loss=bce + dice",
    "training.learning_rate=1e-5", "augmentation.preset=none",
)  # fmt: skip
RECIPE = read_recipe("residual_unet").with_settings(list(SMALL))
SECONDS = 300


RECORDING = str(Path(__file__).with_name("record_samples.py"))


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    sets = [part for setting in SMALL for part in ("--set", setting)]
    line = [RECORDING, "train", "residual_unet", "--data", str(data), "--out", str(out)]
    return [*line, *sets, "--device", "cpu", *more]


def torchrun(data: Path, out: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return [*start, *arguments(data, out, *more)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return {
        **os.environ, **PYTHONPATH, "GLIOMASEG_CACHE": str(folder), "OMP_NUM_THREADS": "1", "SAMPLES": str(folder)
    }  # fmt: skip


def completed(command: list[str], environment: dict[str, str]) -> str:
    """Run a command that ends well, and return its messages."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def together(phantoms, tmp_path_factory, environment):
    out = tmp_path_factory.mktemp("together") / "run"
    return out, completed(torchrun(phantoms, out), {**environment, "SAMPLES": str(out.parent)})


@pytest.fixture(scope="module")
def alone(phantoms, tmp_path_factory, environment):
    out = tmp_path_factory.mktemp("alone") / "run"
    completed([sys.executable, *arguments(phantoms, out)], {**environment, "SAMPLES": str(out.parent)})
    return out


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def samples_of(file: Path, epoch: int) -> list[list[list[int]]]:
    """Return the batches of an epoch, as the process that wrote the file got them."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [samples for number, samples in lines if number == epoch]


def require_equal_states(run: Path, other: Path, *, atol: float) -> None:
    first, second = (load_file(folder / "checkpoint" / "last.safetensors") for folder in (run, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        if name.startswith(("network.", "average.")):
            torch.testing.assert_close(second[name], tensor, atol=atol, rtol=0, msg=lambda text, n=name: f"{n}: {text}")


def test_two_processes_write_one_run_and_one_log(together):
    out, output = together
    assert output.count("epoch 3 of 3") == 1
    assert "cpu, fp32, 2 processes" in output
    assert len(log_of(out)) == 3
    assert len(load_model(out).config.trained_on) > 1


def test_two_processes_train_to_the_weights_of_one(together, alone):
    require_equal_states(alone, together[0], atol=1e-5)


def test_the_losses_and_scores_of_two_processes_are_those_of_one(together, alone):
    for first, second in zip(log_of(alone), log_of(together[0]), strict=True):
        assert first["images"] == second["images"] == 41
        for name in ("train_loss", "validation_loss", "dice_volume"):
            assert second[name] == pytest.approx(first[name], abs=1e-5), name


def test_two_processes_train_on_each_sample_once_an_epoch(together, alone):
    for epoch in range(3):
        whole = samples_of(alone.parent / "samples-0.jsonl", epoch)
        parts = [samples_of(together[0].parent / f"samples-{rank}.jsonl", epoch) for rank in range(2)]
        assert [len(batch) for batch in parts[0]] == [3] * 8 + [1]
        assert [len(batch) for batch in parts[1]] == [2] * 8 + [1]
        for batch, first, second in zip(whole, *parts, strict=True):
            # Both processes compute the last batch, and the mean of their equal gradients counts it once.
            assert sorted(first + second) == sorted(batch if len(batch) > 1 else batch * 2)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_goes_on_with_another_number_of_processes(processes, alone, phantoms, tmp_path, environment):
    """A run of one epoch by 2 or 1 processes goes on with 1 or 2: its weights are those of an unbroken run of one."""
    out = tmp_path / "run"
    samples = {**environment, "SAMPLES": str(tmp_path)}
    stopping = {**samples, "STOP_AFTER_EPOCH": "1"}
    commands = [[sys.executable, *arguments(phantoms, out, "--resume")], torchrun(phantoms, out, "--resume")]
    done = subprocess.run(
        commands[2 - processes], env=stopping, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert "stopped after epoch 1" in done.stderr, done.stderr
    assert "resuming at batch 1 of epoch 2" in completed(commands[processes - 1], samples)
    require_equal_states(alone, out, atol=1e-5)


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
    text = stopped_by(signal.SIGTERM, torchrun(phantoms, out, "--set", "training.epochs=6"), environment)
    assert "run it again with --resume" in text, text
    assert "closed by peer" not in text
    assert not (out / "model").exists()
    resumed = completed(torchrun(phantoms, out, "--set", "training.epochs=6", "--resume"), environment)
    assert "resuming at batch" in resumed
    assert len((out / "log.jsonl").read_text().splitlines()) == 6


def test_a_killed_process_ends_the_run_which_can_be_resumed(phantoms, tmp_path, environment, alone):
    out = tmp_path / "killed"
    text = stopped_by(signal.SIGKILL, torchrun(phantoms, out), environment)
    assert f"gliomaseg: error: {out}: another process of the run has ended; start all processes again" in text, text
    assert not (out / "model").exists()
    assert "resuming at batch" in completed(torchrun(phantoms, out, "--resume"), environment)
    require_equal_states(alone, out, atol=1e-5)


@pytest.fixture
def hosts():
    """Return the prefixes that run a command on one of two hosts, which a virtual cable joins: network namespaces."""
    if shutil.which("ip") is None or os.getuid() != 0:
        pytest.skip("network namespaces need the program ip and root")
    names = [f"gliomaseg-{os.getpid()}-{number}" for number in range(2)]
    cables = [f"gs{os.getpid()}{end}" for end in "ab"]
    lines = [f"ip netns add {name}" for name in names]
    lines += [f"ip link add {cables[0]} type veth peer name {cables[1]}"]
    for number, (name, cable) in enumerate(zip(names, cables, strict=True), start=1):
        lines += [f"ip link set {cable} netns {name}", f"ip -n {name} addr add 10.99.0.{number}/24 dev {cable}"]
        lines += [f"ip -n {name} link set {cable} up", f"ip -n {name} link set lo up"]
    try:
        for line in lines:
            done = subprocess.run(line.split(), capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"this machine allows no network namespaces: {done.stderr.strip()}")
        yield [(f"ip netns exec {name}".split(), cable) for name, cable in zip(names, cables, strict=True)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_two_hosts_train_to_the_weights_of_one_process(hosts, phantoms, tmp_path, environment, alone):
    out, running = tmp_path / "run", []
    line = f"{sys.executable} -m torch.distributed.run --nnodes 2 --nproc_per_node 1 --master_addr 10.99.0.1"
    for rank, (prefix, cable) in enumerate(hosts):
        command = [*prefix, *line.split(), "--node_rank", str(rank), *arguments(phantoms, out)]
        variables = {**environment, "GLOO_SOCKET_IFNAME": cable}
        running.append(subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True))
    try:
        outputs = [process.communicate(timeout=SECONDS)[1] for process in running]
    finally:
        for process in running:
            process.terminate()
    assert [process.returncode for process in running] == [0, 0], outputs
    require_equal_states(alone, out, atol=1e-5)


def stopped_by(number: int, command: list[str], environment: dict[str, str]) -> str:
    """Send a signal to the second process after the first epoch, and return the messages of the run, which fails."""
    output = []
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            output.append(line)
            if "epoch 1 of " in line:
                os.kill(second_of(process.pid), number)
        assert process.wait(timeout=SECONDS)
    return "".join(output)


def second_of(launcher: int) -> int:
    """Return the process that torchrun started second."""
    workers = [child for child in psutil.Process(launcher).children() if RECORDING in child.cmdline()]
    return next(child.pid for child in workers if child.environ()["RANK"] == "1")
