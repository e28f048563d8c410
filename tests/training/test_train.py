"""Training from a recipe to a model folder; killed processes are resumed."""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

import gliomaseg
from gliomaseg.config import Split, read_recipe
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import split_data, write_splits
from gliomaseg.errors import ConfigError, DataError, DownloadError, OutputExistsError
from gliomaseg.model import load_model
from gliomaseg.ownership import MANIFEST, file_digest
from gliomaseg.prediction import open_predictor
from gliomaseg.scan import Scan
from gliomaseg.training import run_folder
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train
from quick_export import PYTHONPATH

train_module = importlib.import_module("gliomaseg.training.train")
SMALL = ["preprocessing.size_px=64", "network.base_features=8", "network.levels=3", "training.epochs=2"]
# The reference network has dropout and many weights: a hard case for resuming bit for bit.
REFERENCE = ["preprocessing.size_px=32", "training.batch=8", "training.epochs=2"]


def options_for(data: Path, out: Path, *settings: str, **keywords) -> TrainOptions:
    recipe = read_recipe("unet_small").with_settings([*SMALL, *settings])
    return TrainOptions(recipe, data, out, cache=out.parent / "cache", **keywords)


def quiet(_text: str) -> None:
    pass


def command(data: Path, out: Path, *more: str) -> list[str]:
    sets = [part for setting in REFERENCE for part in ("--set", setting)]
    base = [sys.executable, "-m", "quick_export", "train", "fcn_resnet50", "--data", str(data), "--out", str(out)]
    return [*base, *sets, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory):
    """Return the folder of a finished run of two epochs; tests copy it before they change it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(options_for(phantoms, out), say=quiet)
    return out


def wait_for(text: str, process: subprocess.Popen, lines: list[str]) -> None:
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def test_a_run_writes_the_documented_files(trained):
    names = {entry.name for entry in trained.iterdir()}
    assert names >= {"model", "log.jsonl", "curves.png", "samples.png", "config.toml", "splits.json", "checkpoint"}
    model = {entry.name for entry in (trained / "model").iterdir()}
    assert model == {"model.onnx", "model.safetensors", "config.json", "metrics.json", "README.md", "SHA256SUMS"}
    assert load_model(trained).config.preprocessing.size_px == 64


def test_the_log_has_a_line_for_each_epoch(trained):
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 17))
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] / 2
    assert all(line["images"] == 80 for line in lines)


def test_the_scores_of_the_best_epoch_are_those_of_the_model(trained):
    """The log uses torch on the prepared grid, the model ONNX Runtime on the original one: equal here."""
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: line["dice_volume"])
    summary = json.loads((trained / "model" / "metrics.json").read_text())["summary"]
    assert summary["dice_volume"]["mean"] > 0.2
    for name in ("dice_volume", "dice_tumour_slices", "dice_batch", "dice_slices_empty_one"):
        assert summary[name]["mean"] == pytest.approx(best[name], abs=2e-3), name


def test_equal_options_give_equal_weights(finished, phantoms, tmp_path):
    train(options_for(phantoms, tmp_path / "again"), say=quiet)
    digests = {file_digest(run / "model" / "model.safetensors") for run in (finished, tmp_path / "again")}
    assert len(digests) == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_exported_network_computes_in_float32(precision, phantoms, tmp_path):
    """In bf16, accelerate wraps the network, and ONNX Runtime cannot run the casts of the wrapper."""
    train(options_for(phantoms, tmp_path / "run", f"training.precision={precision}", "training.epochs=1"), say=quiet)
    onnx, torch = (open_predictor(tmp_path / "run", engine=name) for name in ("onnxruntime", "torch"))
    scan = Scan(np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8), source="test")
    np.testing.assert_allclose(onnx.probability(scan), torch.probability(scan), atol=1e-4)


def test_another_seed_gives_other_weights(finished, phantoms, tmp_path):
    train(options_for(phantoms, tmp_path / "other", "training.seed=1"), say=quiet)
    digests = {file_digest(run / "model" / "model.safetensors") for run in (finished, tmp_path / "other")}
    assert len(digests) == 2


def test_a_reference_run_that_was_killed_and_interrupted_ends_with_the_same_bits(phantoms, unbroken, tmp_path):
    environment = {**os.environ, **PYTHONPATH, "GLIOMASEG_CACHE": str(tmp_path / "cache")}
    out = tmp_path / "stopped"
    # A checkpoint after every batch; SIGKILL comes at any point of the second epoch, SIGINT after a batch of it.
    starts = [("epoch 1 of 2", 0.5, signal.SIGKILL, -signal.SIGKILL), ("resuming at batch", 0.0, signal.SIGINT, 130)]
    for text, seconds, stop, code in starts:
        line = command(phantoms, out, "--set", "training.checkpoint_minutes=0", "--resume")
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment) as process:
            wait_for(text, process, [])
            time.sleep(seconds)
            process.send_signal(stop)
            rest = process.communicate(timeout=60)[1]
        assert process.returncode == code, rest
        assert "epoch 2 of 2" not in rest
        assert not (out / "model").exists()
    again = subprocess.run(
        command(phantoms, out, "--resume"), capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert "resuming at batch" in again.stderr
    for name in ("model/model.safetensors", "splits.json"):
        assert file_digest(out / name) == file_digest(unbroken / name)
    assert logged_losses(out) == logged_losses(unbroken)


@pytest.fixture(scope="module")
def unbroken(phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    environment = {**os.environ, **PYTHONPATH, "GLIOMASEG_CACHE": str(folder / "cache")}
    subprocess.run(command(phantoms, folder / "run"), check=True, capture_output=True, env=environment, timeout=200)
    return folder / "run"


def logged_losses(run: Path) -> list[tuple[float, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["train_loss"], line["validation_loss"]) for line in lines]


def test_the_authors_unet_trains(phantoms, tmp_path):
    recipe = read_recipe("unet").with_settings(
        ["preprocessing.size_px=32", "network.base_features=4", "network.levels=2", "training.epochs=1"]
    )
    train(TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache"), say=quiet)
    assert load_model(tmp_path / "run").config.preprocessing.inputs == 3


def test_context_slices_with_a_splits_file_by_slice_raise(phantoms, tmp_path):
    by_slice = read_recipe("unet_small").split.model_copy(update={"by": "slice"})
    write_splits(split_data(read_cases(phantoms), by_slice), tmp_path / "splits.json")
    options = options_for(phantoms, tmp_path / "run", "preprocessing.context_slices=1", splits=tmp_path / "splits.json")
    with pytest.raises(ConfigError, match="context_slices is 1, expected 0 with a split by slice"):
        train(options, say=quiet)
    assert not (tmp_path / "run").exists()


def test_resuming_a_finished_run_changes_nothing(finished, phantoms, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    before = file_digest(tmp_path / "run" / "model" / "model.safetensors")
    train(options_for(phantoms, tmp_path / "run", resume=True), say=quiet)
    assert file_digest(tmp_path / "run" / "model" / "model.safetensors") == before
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2


def test_a_finished_run_with_a_constant_rate_may_be_made_longer(phantoms, tmp_path):
    constant = "training.schedule=constant"
    train(options_for(phantoms, tmp_path / "long", constant, "training.epochs=3"), say=quiet)
    train(options_for(phantoms, tmp_path / "grown", constant), say=quiet)
    train(options_for(phantoms, tmp_path / "grown", constant, "training.epochs=3", resume=True), say=quiet)
    weights = [tmp_path / name / "model" / "model.safetensors" for name in ("long", "grown")]
    assert file_digest(weights[0]) == file_digest(weights[1])


def test_a_finished_run_with_a_schedule_may_not_be_made_longer(trained):
    recipe = read_recipe(str(trained / "config.toml")).with_settings(["training.epochs=17"])
    with pytest.raises(
        ConfigError, match=r"training\.epochs is 16, expected 17 as in this command; pass --set training\.epochs=16, or"
    ):
        train(TrainOptions(recipe, trained.parent / "data", trained, resume=True), say=quiet)


def test_resuming_with_other_settings_raises(trained, phantoms):
    options = TrainOptions(
        read_recipe("unet_small").with_settings(["training.batch=2"]), phantoms, trained, resume=True
    )
    with pytest.raises(
        ConfigError, match=r"size_px is 64, expected 128 .*; pass .*config\.toml as RECIPE without --set \("
    ):
        train(options, say=quiet)


def test_resuming_with_other_data_raises(finished, phantoms, tmp_path, kaggle_tree):
    shutil.copytree(finished, tmp_path / "run")
    names = {entry.name: 8 for entry in phantoms.iterdir()}
    other = kaggle_tree(tmp_path / "other", names, side=64)
    with pytest.raises(DataError, match="data set differs"):
        train(options_for(other, tmp_path / "run", resume=True), say=quiet)


def test_a_folder_that_is_not_empty_raises(phantoms, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        train(options_for(phantoms, tmp_path / "run"), say=quiet)
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["notes.txt", "model/notes.txt", "tensorboard/notes.txt", "checkpoint/epoch-1.safetensors", "my/notes.txt"]
)
def test_overwrite_keeps_a_foreign_file_in_a_run(name, finished, phantoms, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("mine")
    with pytest.raises(OutputExistsError, match=rf"{re.escape(name)}: is not ours: train did not write it"):
        train(options_for(phantoms, run, overwrite=True), say=quiet)
    assert (run / name).read_text() == "mine"
    assert load_model(run).onnx.is_file()


@pytest.mark.parametrize("name", ["config.toml", "model/README.md"])
def test_overwrite_keeps_a_changed_file_of_a_run(name, finished, phantoms, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    with (run / name).open("a") as file:
        file.write("# my words\n")
    with pytest.raises(OutputExistsError, match=rf"{re.escape(name)}: was changed since train wrote it"):
        train(options_for(phantoms, run, overwrite=True), say=quiet)


def test_overwrite_keeps_files_that_have_the_names_of_a_run(phantoms, tmp_path):
    (tmp_path / "run" / "checkpoint").mkdir(parents=True)
    for name in ("log.jsonl", "checkpoint/last.safetensors"):
        (tmp_path / "run" / name).write_text("mine")
    with pytest.raises(OutputExistsError, match=r"not ours .*: log\.jsonl, checkpoint/last\.safetensors"):
        train(options_for(phantoms, tmp_path / "run", overwrite=True), say=quiet)


def test_resuming_keeps_a_foreign_file_in_the_model_folder(finished, phantoms, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "model" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"notes\.txt: is not ours"):
        train(options_for(phantoms, run, resume=True), say=quiet)
    assert (run / "model" / "notes.txt").read_text() == "mine"


def test_a_run_without_a_manifest_can_be_resumed(finished, phantoms, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")  # as version 0.1.0 wrote it
    (run / MANIFEST).unlink()
    train(options_for(phantoms, run, resume=True), say=quiet)
    with pytest.raises(OutputExistsError, match="not ours"):
        train(options_for(phantoms, run, overwrite=True), say=quiet)


@pytest.mark.parametrize("call", ["train_epochs", "write_artifacts", "write_settings_of_a_run"])
@pytest.mark.parametrize("changes", [{"overwrite": True}, {"resume": True}])
def test_a_killed_run_can_be_overwritten_and_resumed(call, changes, phantoms, tmp_path, monkeypatch):
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    owner = run_folder if call == "write_settings_of_a_run" else train_module
    with monkeypatch.context() as patch:
        patch.setattr(owner, call.removesuffix("_of_a_run"), die)
        with pytest.raises(KeyboardInterrupt):
            train(options_for(phantoms, tmp_path / "run"), say=quiet)
    (tmp_path / "run" / ".lock").touch()
    assert load_model(train(options_for(phantoms, tmp_path / "run", **changes), say=quiet)).onnx.is_file()


def test_weights_that_cannot_be_downloaded_leave_no_run_and_keep_the_old_one(phantoms, finished, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise DownloadError("the weights cannot be downloaded")

    monkeypatch.setattr(train_module, "build_network", fail)
    recipe = read_recipe("fcn_resnet50").with_settings([*REFERENCE, "network.weights=imagenet"])
    run = shutil.copytree(finished, tmp_path / "run")
    for out, overwrite in ((tmp_path / "new", False), (run, True)):
        order = TrainOptions(recipe, phantoms, out, cache=tmp_path / "cache", overwrite=overwrite)
        with pytest.raises(DownloadError):
            train(order, say=quiet)
    assert not (tmp_path / "new").exists()
    assert load_model(run).onnx.is_file()


def test_a_split_by_slice_warns_in_log_splits_metrics_and_card(phantoms, tmp_path):
    lines: list[str] = []
    train(options_for(phantoms, tmp_path / "run", "split.by=slice", "training.epochs=1"), say=lines.append)
    assert any("both sides" in line for line in lines)
    assert "both sides" in json.loads((tmp_path / "run" / "splits.json").read_text())["warning"]
    assert "both sides" in json.loads((tmp_path / "run" / "model" / "metrics.json").read_text())["setting"]["warning"]
    assert "both sides" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_the_default_split_separates_patients(trained):
    (fold,) = json.loads((trained / "splits.json").read_text())["folds"]
    assert set(fold["train"]) & set(fold["validation"]) == set()
    assert np.size(fold["train"]) == 4


def test_a_data_set_with_a_problem_raises_before_anything_is_written(tmp_path, kaggle_tree):
    data = kaggle_tree(tmp_path / "data", {"A_XX_1_20000101": 2, "B_XX_2_20000101": 2})
    (data / "A_XX_1_20000101" / "A_XX_1_20000101_2_mask.tif").unlink()
    with pytest.raises(DataError, match="has no mask"):
        train(options_for(data, tmp_path / "run"), say=quiet)
    assert not (tmp_path / "run").exists()


def test_the_exported_network_has_no_paths_of_the_machine(trained):
    content = (trained / "model" / "model.onnx").read_bytes()
    assert str(Path(gliomaseg.__file__).parent).encode() not in content
    assert b".py" not in content


def test_a_run_warns_of_cases_on_no_side_and_of_masks_without_tumour(tmp_path, kaggle_tree):
    data = kaggle_tree(tmp_path / "data", {"p1": 1, "p2": 1, "p3": 1}, side=64)  # an odd slice has no tumour
    splits = split_data(read_cases(data), Split(holdout=0.5))
    fold = splits.folds[0].model_copy(update={"train": ("p1",), "validation": ("p2",)})
    write_splits(splits.model_copy(update={"folds": (fold,)}), tmp_path / "splits.json")
    lines: list[str] = []
    options = options_for(data, tmp_path / "run", "training.epochs=1", splits=tmp_path / "splits.json")
    train(options, say=lines.append)
    assert "warning: 1 case on no side of the split, not used: p3" in lines
    assert "warning: all masks: no mask of 3 cases has a pixel of tumour" in lines


def test_inverted_masks_are_not_trained_on(tmp_path, kaggle_tree):
    data = kaggle_tree(tmp_path / "data", {"p1": 2, "p2": 2}, side=64)
    mask = data / "p2" / "p2_2_mask.tif"
    tifffile.imwrite(mask, 255 - tifffile.imread(mask), photometric="minisblack")
    with pytest.raises(DataError, match="masks cover up to 75 % of a slice"):
        train(options_for(data, tmp_path / "run"), say=quiet)
    assert not (tmp_path / "run").exists()
