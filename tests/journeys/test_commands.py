"""The commands as a shell runs them: output, exit codes, nothing half done."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.formats import read_picture, write_picture
from warm_commands import run_warm

GLIOMASEG = [sys.executable, "-m", "gliomaseg"]
SMALL = ["preprocessing.size_px=64", "network.base_features=8", "network.levels=3", "training.epochs=2"]


def run(*arguments, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    environment = {**os.environ, "GLIOMASEG_CACHE": str(cwd / "cache")}
    done = run_warm([*map(str, arguments)], folder=cwd, env=environment, timeout_s=200)
    assert done.returncode == code, done.stderr
    if code:
        lines = done.stderr.strip().splitlines()
        assert "Traceback" not in done.stderr
        assert lines[-1].startswith(("gliomaseg: ", "Error: ")), done.stderr
    return done


def test_the_whole_road(phantoms, tmp_path):
    """Audit, split, train, evaluate and predict, each from what the one before left."""
    findings = json.loads(run("audit", phantoms, "--json", cwd=tmp_path).stdout)
    assert (findings["patients"], findings["slices"]) == (5, 40)
    run("split", phantoms, "--out", "splits.json", "--folds", "5", cwd=tmp_path)
    sets = [part for setting in SMALL for part in ("--set", setting)]
    done = run(
        "train", "unet_small", "--data", phantoms, "--out", "run", "--splits", "splits.json", "--fold", 3, *sets,
        "--device", "cpu", cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.rstrip().endswith("run/model")
    evaluated = run(
        "evaluate", phantoms, "--out", "scores", "--model", "run", "--splits", "splits.json", "--subset", "validation",
        "--fold", 3, "--json", cwd=tmp_path,
    )  # fmt: skip
    metrics = json.loads(evaluated.stdout)
    assert metrics == json.loads((tmp_path / "scores" / "metrics.json").read_text())
    (validated,) = json.loads((tmp_path / "splits.json").read_text())["folds"][3]["validation"]
    assert [row["case"] for row in metrics["patients"]] == [validated]
    assert metrics["summary"].keys() >= {
        "dice_volume", "dice_tumour_slices", "dice_slices_empty_one", "dice_batch", "empty_slice_false_positive_rate",
    }  # fmt: skip
    counts = {"patients", "cases", "failed", "slices", "tumour_slices"}
    assert metrics["summary"].keys() - counts == metrics["definitions"].keys()
    ours = json.loads((tmp_path / "run" / "model" / "metrics.json").read_text())
    assert metrics["summary"] == ours["summary"]
    (row,) = json.loads(
        run("predict", phantoms / validated, "--out", "masks", "--model", "run", "--json", cwd=tmp_path).stdout
    )
    assert row.keys() == {
        "input", "outputs", "tumour_voxels", "tumour_volume_ml", "largest_area_mm2", "diameters_mm",
        "tumour_slices", "bounding_box",
        "components", "extent_mm", "orientation", "series", "model", "predicted_dice", "warnings", "skipped", "seconds",
        "left_out", "error",
    }  # fmt: skip
    assert all((tmp_path / output).is_file() for output in row["outputs"])
    assert row["tumour_voxels"] == metrics["patients"][0]["predicted_voxels"]


def test_evaluate_and_predict_run_where_torch_cannot_be_imported(phantoms, trained, tmp_path):
    """As after `pip install gliomaseg` without the extra."""
    absent = ["torch", "torchvision", "accelerate", "safetensors", "matplotlib", "tomli_w"]
    blocker = f"import sys; sys.modules.update(dict.fromkeys({absent}))"
    program = f"{blocker}; from gliomaseg.cli import main; main()"
    for arguments in (
        ["evaluate", phantoms, "--out", "scores", "--model", trained],
        ["predict", phantoms, "--out", "masks", "--model", trained],
    ):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    command = [sys.executable, "-c", program, "train", "unet_small", "--data", str(phantoms), "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "gliomaseg[train]"' in done.stderr


def test_predict_goes_on_past_a_bad_picture_and_exits_4(trained, tmp_path):
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "good.png", np.zeros((64, 64), np.uint8))
    (tmp_path / "in" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run("predict", "in", "--out", "out", "--model", trained, "--json", cwd=tmp_path, code=4)
    rows = {Path(row["input"]).name: row for row in json.loads(done.stdout)}
    assert rows["good.png"]["error"] is None
    assert "not a readable PNG" in rows["bad.png"]["error"]
    assert read_picture(tmp_path / "out" / "good_mask.png").shape == (64, 64, 1)


def test_predict_of_a_folder_of_volumes_goes_on_past_bad_ones(bright, tmp_path):
    """Names in headers, a volume that is too large and one that is cut short: rows, and no name anywhere."""
    folder = tmp_path / "in"
    folder.mkdir()
    data = np.random.default_rng(0).integers(0, 900, (20, 24, 9), np.int16)
    image = nibabel.Nifti1Image(data, np.diag([-8.0, -8, 9, 1]))
    image.header["descrip"] = b"MUSTERMANN^ERIKA"
    image.header["db_name"] = b"MUSTERMANN"
    nibabel.save(image, folder / "good.nii.gz")
    (folder / "short.nii.gz").write_bytes((folder / "good.nii.gz").read_bytes()[:-9])
    nibabel.save(nibabel.Nifti1Image(np.tile(data, (5, 5, 5)), image.affine / [8, 8, 1, 1]), folder / "large.nii")
    done = run(
        "predict", "in", "--out", "out", "--model", bright, "--json", "--max-memory", "20M", cwd=tmp_path, code=4
    )
    rows = {Path(row["input"]).name: row for row in json.loads(done.stdout)}
    assert rows["good.nii.gz"]["error"] is None
    assert rows["good.nii.gz"]["orientation"] == "LPS"
    assert rows["good.nii.gz"]["tumour_volume_ml"] == pytest.approx(rows["good.nii.gz"]["tumour_voxels"] * 0.576)
    assert "cut short" in rows["short.nii.gz"]["error"]
    assert "raise the memory limit (--max-memory" in rows["large.nii"]["error"]
    written = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert written == ["glioma_labels.ctbl", "glioma_labels.txt", "good_mask.nii.gz", "good_overlay.png"]
    assert "MUSTER" not in done.stdout + done.stderr
    assert nibabel.load(tmp_path / "out" / "good_mask.nii.gz").shape == data.shape
    run("predict", "in/large.nii", "--out", "o", "--model", bright, "--max-memory", "1M", cwd=tmp_path, code=5)
    run("predict", "in/large.nii", "--out", "o", "--model", bright, "--max-memory", "much", cwd=tmp_path, code=2)


def test_predict_of_one_bad_picture_exits_3(trained, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"")
    run("predict", "bad.tif", "--out", "out", "--model", trained, cwd=tmp_path, code=3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["audit", "absent"], 3, "folder does not exist"),
        (["audit", "."], 3, "has no layout that is known here"),
        (["split", "absent", "--out", "s.json"], 3, "folder does not exist"),
        (["split", ".", "--out", "s.json", "--folds", "1"], 2, "folds"),
        (["train", "absent", "--data", ".", "--out", "run"], 2, "recipe does not exist"),
        (["train", "unet_small", "--data", ".", "--out", "run", "--set", "training.speed=9"], 2, "training.speed"),
        (["train", "unet_small", "--data", "absent", "--out", "run"], 3, "folder does not exist"),
        (["train", "unet_small", "--out", "run"], 2, "--data"),
        (["evaluate", "absent", "--out", "e", "--model", "absent"], 3, "is not a model"),
        (["evaluate", ".", "--out", "e"], 3, "has no layout that is known here"),
        (["predict", "absent.tif", "--out", "o", "--model", "absent"], 3, "no such file"),
        (["phantom", "p", "--patients", "0"], 2, "patients"),
        (["download", "--from", "absent.zip", "--to", "d"], 3, "absent.zip"),
        (["nonsense"], 2, "nonsense"),
        (["predict", "a.nii", "--out", "o", "--to", "gif"], 2, "'gif' is not one of"),
        (["predict", "a.nii"], 2, "--out"),
        (["predict", "--out", "o"], 2, "nothing to predict"),
        (["predict", "--t1", "a.nii", "--out", "o"], 2, "--flair"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(arguments, code, words, tmp_path):
    done = run(*arguments, cwd=tmp_path, code=code)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "cache"] == []


def test_an_unsafe_data_set_exits_3_and_still_reports(kaggle_tree, tmp_path):
    data = kaggle_tree(tmp_path / "data", {"A_XX_1_20000101": 2, "B_XX_2_20000101": 2})
    (data / "A_XX_1_20000101" / "A_XX_1_20000101_1_mask.tif").write_bytes(b"damaged")
    findings = json.loads(run("audit", "data", "--json", cwd=tmp_path, code=3).stdout)
    assert "A_XX_1_20000101_1_mask.tif" in findings["problems"][0]["where"]
    run("train", "unet_small", "--data", "data", "--out", "run", cwd=tmp_path, code=3)
    assert not (tmp_path / "run").exists()


def test_outputs_that_exist_are_kept(phantoms, trained, tmp_path):
    (tmp_path / "splits.json").write_text("mine")
    run("split", phantoms, "--out", "splits.json", cwd=tmp_path, code=2)
    assert (tmp_path / "splits.json").read_text() == "mine"
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "metrics.json").write_text("mine")
    run("evaluate", phantoms, "--out", "scores", "--model", trained, cwd=tmp_path, code=2)
    assert (tmp_path / "scores" / "metrics.json").read_text() == "mine"
    run("phantom", tmp_path / "p", "--patients", 1, "--size", 64, cwd=tmp_path)
    run("phantom", tmp_path / "p", "--patients", 1, "--size", 64, cwd=tmp_path, code=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_exits_130_without_a_traceback(tmp_path, number):
    process = subprocess.Popen(
        [*GLIOMASEG, "phantom", "p", "--patients", "500"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    process.stderr.readline()  # the first patient is drawn: the command is at work
    process.send_signal(number)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert list((tmp_path / "p").iterdir()) == []


def test_help_names_every_command():
    out = subprocess.run([*GLIOMASEG, "--help"], capture_output=True, text=True, check=True).stdout
    for name in ("demo", "download", "phantom", "audit", "split", "train", "evaluate", "predict", "bulk", "models"):
        assert f"\n  {name} " in out


def test_models_lists_the_recipes(tmp_path):
    listed = json.loads(run("models", "--json", cwd=tmp_path).stdout)
    assert {entry["recipe"] for entry in listed["recipes"]} >= {"fcn_resnet50", "unet_small"}


@pytest.mark.real_data
def test_the_real_archive_is_audited_and_split_whichever_folder_is_named(real_data, tmp_path):
    splits = []
    for number, folder in enumerate([real_data, real_data / "lgg-mri-segmentation"]):
        run("split", folder, "--out", f"{number}.json", cwd=tmp_path)
        splits.append((tmp_path / f"{number}.json").read_text())
    assert len(set(splits)) == 1
    findings = json.loads(run("audit", real_data, "--json", cwd=tmp_path).stdout)
    assert (findings["slices"], findings["tumour_slices"], findings["problems"]) == (3019, 1057, [])
