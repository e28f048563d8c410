import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gliomaseg.config import Split
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import split_data, write_splits

SCRIPT = Path(__file__).parents[2] / "studies" / "time_to_accuracy.py"


def line(dice, seconds):
    return {"dice_volume": dice, "train_seconds": seconds, "images": 100}


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def test_a_level_is_reached_when_it_first_is(script):
    found = script.first_times([line(None, 10), line(0.76, 20), line(0.74, 20), line(0.81, 50)])
    assert found["seconds_to"] == {"0.75": 30.0, "0.80": 100.0, "0.85": None}
    assert found["best_dice_volume"] == 0.81
    assert found["images_per_s"] == 4.0


def test_runs_that_are_there_make_a_table(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text(json.dumps(line(0.86, 42)) + "\n")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--run", tmp_path / "run"], capture_output=True, text=True, check=True
    )
    assert "| run | 42 s | 42 s | 42 s | 0.860 in 42 s | 1 | 2.4 |" in done.stdout


def test_a_recipe_is_trained_and_timed(phantoms, tmp_path):
    small = ["preprocessing.size_px=64", "network.base_features=4", "network.levels=2", "training.epochs=1"]
    command = [sys.executable, SCRIPT, "--recipe", "unet_small", "--data", phantoms, "--out", tmp_path / "timed"]
    done = subprocess.run(
        [*command, *(part for setting in small for part in ("--set", setting))],
        capture_output=True, text=True, check=True, env={**os.environ, "GLIOMASEG_CACHE": str(tmp_path / "c")},
    )  # fmt: skip
    (row,) = json.loads((tmp_path / "timed" / "time_to_accuracy.json").read_text())
    assert row["epochs"] == 1
    assert row["seconds"] > 0
    assert "| unet_small |" in done.stdout


def test_the_plain_script_leaves_a_log_that_is_timed(phantoms, script, tmp_path):
    splits = tmp_path / "splits.json"
    write_splits(split_data(read_cases(phantoms), Split(by="patient")), splits)
    command = [sys.executable, SCRIPT.with_name("plain_training.py"), "--data", phantoms, "--splits", splits]
    environment = {**os.environ, "GLIOMASEG_CACHE": str(tmp_path / "c")}
    subprocess.run([*command, "--out", tmp_path / "plain", "--steps", "2"], check=True, env=environment)
    row = script.timed(tmp_path / "plain")
    assert (row["run"], row["epochs"]) == ("plain", 1)
    assert row["images_per_s"] > 0
    assert 0 <= row["best_dice_volume"] <= 1
