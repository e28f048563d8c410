"""Folds side by side: the environment of each process, failures, interruption, log and table.

Most children here are small scripts that write events as a fold does: they start without PyTorch.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from rich.console import Console

from gliomaseg.cli.output import parse_devices
from gliomaseg.config import read_recipe
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import GliomasegError, Interrupted, UsageError
from gliomaseg.training import fold_process, parallel_folds
from gliomaseg.training.fold_process import FoldEvent
from gliomaseg.training.parallel_folds import Fold, Place, core_places, fold_table, gpu_places, train_folds
from gliomaseg.training.run_folder import TrainOptions

CHILD = """
import json, os, sys, time
from pathlib import Path
fold = json.loads(sys.stdin.readline())["fold"]
folder = Path(__file__).parent
def tell(**event): print(json.dumps(event), flush=True)
def wait_and_save():
    while sys.stdin.read(1): pass
    (folder / f"saved-{fold}").touch()
    sys.exit(130)
"""
CPU = Place("CPU", {})


@pytest.fixture
def run_children(tmp_path, monkeypatch):
    """Return `run(body, folds=2, places=...)`: it trains folds whose child is a script, and returns the lines."""

    def run(body, *, folds=2, places=(CPU, CPU), say=None):
        script = tmp_path / "child.py"
        script.write_text(CHILD + dedent(body))
        monkeypatch.setattr(fold_process, "COMMAND", (sys.executable, str(script)))
        options = TrainOptions(read_recipe("unet_small"), Path("data"), tmp_path)
        entries = [
            Fold(f"fold {k + 1} of {folds}", replace(options, fold=k, out=tmp_path / f"fold-{k}")) for k in range(folds)
        ]
        lines = []
        train_folds(entries, places, tmp_path / "folds.log", say=say or lines.append)
        return lines

    return run


def test_a_process_sees_only_its_gpu_and_a_fold_waits_for_a_free_one(run_children, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    # A second fold on a GPU finds the file of the first, and fails.
    body = """
        gpu = os.environ["CUDA_VISIBLE_DEVICES"]
        (folder / gpu).touch(exist_ok=False)
        tell(line=f"sees {gpu}")
        time.sleep(0.1)
        (folder / gpu).unlink()
    """
    lines = run_children(body, folds=4, places=gpu_places((4, 6), available=8))
    assert {line.partition(": sees ")[2] for line in lines if "sees" in line} == {"4", "6"}
    assert sum("sees" in line for line in lines) == 4


def test_a_gpu_is_counted_among_those_that_the_parent_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, GPU-b")
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in gpu_places((1, 0), available=2)] == [
        "GPU-b",
        "GPU-a",
    ]


@pytest.mark.parametrize(
    ("devices", "available", "message"),
    [
        ((0, 4), 4, "--devices: device is 4, expected 0 to 3"),
        ((0,), 0, "--devices: device is 0, but torch finds no GPU"),
        ((1, 0, 1), 2, "--devices: device 1 is repeated"),
    ],
)
def test_an_absent_or_repeated_gpu_raises(devices, available, message):
    with pytest.raises(UsageError, match=message):
        gpu_places(devices, available=available)


@pytest.mark.parametrize("text", ["", "0,", "a", "-1", "0.5", "cuda:0"])
def test_a_device_that_is_not_a_number_raises(text):
    with pytest.raises(UsageError, match="expected numbers of GPUs"):
        parse_devices(text)


@pytest.mark.parametrize(("jobs", "threads"), [(2, "2"), (5, "1"), (9, "1")])  # 5 cores
def test_processes_share_the_cores(jobs, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(parallel_folds, "thread_count", lambda: 5)
    assert [place.environment for place in core_places(jobs)] == [{"OMP_NUM_THREADS": threads}] * jobs


def test_a_number_of_threads_that_the_user_has_set_stays(run_children, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    lines = run_children('tell(line=os.environ["OMP_NUM_THREADS"])', folds=1, places=core_places(2))
    assert "fold 1 of 1: 3" in lines


def test_a_fold_with_wrong_settings_is_not_resumed(run_children, tmp_path):
    with pytest.raises(GliomasegError, match=r"settings are wrong; see .*folds\.log, then use --overwrite"):
        run_children('tell(error="settings are wrong", exit_code=2); sys.exit(2)', folds=1)


def test_a_failed_fold_is_named_and_the_others_save(run_children, tmp_path):
    body = """
        if fold == 1:
            tell(error="lgg: masks are inverted; repair them", exit_code=3)
            sys.exit(3)
        wait_and_save()
    """
    with pytest.raises(GliomasegError) as caught:
        run_children(body, folds=3)
    assert caught.value.line() == (
        f"fold 2 of 3 failed: lgg: masks are inverted; repair them; see {tmp_path}/folds.log, then use --resume"
    )
    assert caught.value.exit_code == 3
    assert (tmp_path / "saved-0").exists()
    assert "fold 3 of 3" not in (tmp_path / "folds.log").read_text()  # it was waiting


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("os.kill(os.getpid(), 9)", r"killed by SIGKILL \(is the memory full\?\)"),
        ("os.abort()", "killed by SIGABRT"),
        ("sys.exit(7)", "exit code 7"),
        ("sys.exit(130)", "its process was interrupted"),
    ],
)
def test_a_process_that_dies_is_a_failure_with_its_reason(ending, reason, run_children, tmp_path):
    with pytest.raises(GliomasegError, match=f"fold 2 of 2 failed: .*{reason}") as caught:
        run_children(f"if fold == 1:\n    {ending}\nwait_and_save()")
    assert caught.value.exit_code == 1
    assert (tmp_path / "saved-0").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_each_fold_save(number, run_children, tmp_path):
    ready = set()

    def interrupt(line):
        if line.endswith(": ready"):
            ready.add(line)
            if len(ready) == 2:
                os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="stopped all folds"):
        run_children('tell(line="ready")\nwait_and_save()', folds=3, say=interrupt)
    assert sorted(path.name for path in tmp_path.glob("saved-*")) == ["saved-0", "saved-1"]


def test_the_log_names_the_fold_in_each_line_and_has_the_output_of_libraries(run_children, tmp_path):
    lines = run_children('print("from a library", file=sys.stderr)\ntell(line="epoch 1")')
    log = (tmp_path / "folds.log").read_text().splitlines()
    assert log == lines
    assert all(line.startswith(("fold 1 of 2: ", "fold 2 of 2: ")) for line in log)
    assert {"fold 1 of 2: from a library", "fold 2 of 2: epoch 1", "fold 2 of 2: done"} <= set(log)


def test_a_fault_of_the_parent_leaves_no_process(run_children):
    def fail(line):
        if line.endswith("ready"):
            pids.append(int(line.split()[-2]))
            raise ValueError("no terminal")

    pids = []
    with pytest.raises(ValueError, match="no terminal"):
        run_children('tell(line=f"{os.getpid()} ready")\ntime.sleep(600)', folds=1, say=fail)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_the_table_has_the_latest_numbers_of_each_fold():
    options = TrainOptions(read_recipe("unet_small"), Path("data"), Path("out"))
    running = Fold("fold 1 of 2", options, Place("GPU 3", {}))
    running.take(FoldEvent(state="training", position="epoch 1/3", loss=0.5, dice=0.25, images_per_s=80))
    running.take(FoldEvent(position="epoch 2/3, batch 1/9", loss=0.4))
    console = Console(width=120)
    with console.capture() as text:
        console.print(fold_table([running, Fold("fold 2 of 2", options)]))
    assert [" ".join(line.split()) for line in text.get().splitlines()] == [
        "fold place state position loss Dice images/s",
        "fold 1 of 2 GPU 3 training epoch 2/3, batch 1/9 0.4000 0.250 80.0",
        "fold 2 of 2 waiting",
    ]


def test_options_reach_the_process_unchanged():
    labels = DataOptions("nnunet", MaskLabels(frozenset({1, 4})), None)
    recipe = read_recipe("residual_unet_t1")
    options = TrainOptions(recipe, Path("d"), Path("o"), Path("s"), 2, data_options=labels, trackers=("mlflow",))
    assert fold_process._OPTIONS.validate_json(fold_process._OPTIONS.dump_json(options)) == options


def test_a_real_process_reports_bad_data_with_its_exit_code(tmp_path):
    options = TrainOptions(read_recipe("unet_small"), tmp_path / "absent", tmp_path / "run", device="cpu")
    with pytest.raises(GliomasegError, match=r"fold 1 of 1 failed: .*absent: ") as caught:
        train_folds([Fold("fold 1 of 1", options)], [CPU], tmp_path / "folds.log", say=lambda _line: None)
    assert caught.value.exit_code == 3
