"""Cross-validation: every patient is evaluated once, runs can be resumed, wrong options raise."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import torch

from gliomaseg import model_export
from gliomaseg.atomic import locked
from gliomaseg.config import Postprocessing, read_recipe
from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import read_splits, select
from gliomaseg.errors import ConfigError, DataError, FolderInUseError, ModelError, OutputExistsError, UsageError
from gliomaseg.evaluation import read_evaluation
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.model import load_model, write_config, write_digests
from gliomaseg.model_export import export_model
from gliomaseg.ownership import MANIFEST, file_digest
from gliomaseg.prediction import open_predictor
from gliomaseg.training import crossvalidation
from gliomaseg.training.crossvalidation import CrossValidateOptions, crossvalidate
from gliomaseg.training.run_folder import TrainOptions, is_finished
from gliomaseg.training.train import train
from quick_export import EXPORT

SMALL = [
    "preprocessing.size_px=64",
    "network.base_features=4",
    "network.levels=2",
    "training.epochs=1",
    "split.folds=2",
]


def quiet(_text: str) -> None:
    pass


def options(data: Path, out: Path, **changes) -> CrossValidateOptions:
    recipe = read_recipe("unet_small").with_settings(SMALL)
    return replace(CrossValidateOptions(recipe, data, out, cache=out.parent / "cache"), **changes)


@pytest.fixture(scope="module")
def crossed(phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("crossed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", EXPORT)  # as the processes of folds side by side
        crossvalidate(options(phantoms, out), say=quiet)
    return out


def test_every_patient_is_evaluated_once_by_a_model_not_trained_on_it(crossed):
    evaluation = json.loads((crossed / "metrics.json").read_text())
    assert [len(curve["lines"]) for curve in evaluation["learning"]] == [1, 1]
    assert len({row["patient"] for row in evaluation["patients"]}) == len(evaluation["patients"]) == 5
    for row in evaluation["patients"]:
        fold = json.loads((crossed / f"fold-{row['fold']}" / "splits.json").read_text())["folds"][row["fold"]]
        assert row["case"] in fold["validation"]
        assert row["case"] not in fold["train"]
    assert evaluation["summary"]["patients"] == 5
    assert evaluation["setting"]["folds"] == 2
    assert len({*evaluation["setting"]["model_digests"]}) == 2
    assert len(list((crossed / "pictures").iterdir())) == 5


def test_pooled_rows_equal_the_rows_of_each_folds_model(crossed):
    pooled = {row["case"]: row["dice_volume"] for row in json.loads((crossed / "metrics.json").read_text())["patients"]}
    for fold in (0, 1):
        own = json.loads((crossed / f"fold-{fold}" / "model" / "metrics.json").read_text())
        for row in own["patients"]:
            assert pooled[row["case"]] == row["dice_volume"]


def test_a_recipe_that_strips_skulls_is_measured_on_copies_without_skull(phantoms, tmp_path):
    recipe = read_recipe("unet_small").with_settings(
        [*SMALL, "augmentation.preset=strong", "augmentation.skull_strip=0.5"]
    )
    crossvalidate(options(phantoms, tmp_path / "out", recipe=recipe), say=quiet)
    evaluation = read_evaluation(tmp_path / "out")
    fold_of = {row.case: row.fold for row in evaluation.patients}
    kinds = Counter(row.changed for row in evaluation.copies)
    assert kinds["without skull"] == 5
    assert {row.case for row in evaluation.copies if row.changed == "single slice without skull"} == fold_of.keys()
    assert all(row.fold == fold_of[row.case] for row in evaluation.copies)
    groups = {
        group.name: (group.cases, group.dice_volume.mean)
        for group in evaluation.subgroups
        if group.by == "changed copies"
    }
    stripped = [row.dice_volume for row in evaluation.copies if row.changed == "without skull"]
    assert groups["without skull"] == (5, pytest.approx(sum(stripped) / 5))
    assert evaluation.summary.cases == 5


def test_resuming_with_other_data_raises_although_every_fold_is_trained(crossed, phantoms, tmp_path):
    other = shutil.copytree(phantoms, tmp_path / phantoms.name)
    mask = next(path for path in sorted(other.rglob("*_mask.tif")) if tifffile.imread(path).any())
    tifffile.imwrite(mask, tifffile.imread(mask)[:, ::-1])
    before = (crossed / "metrics.json").read_bytes()
    with pytest.raises(DataError, match=r"data set differs from the one that the run in .*fold-0 was started with"):
        crossvalidate(options(other, crossed, resume=True), say=quiet)
    assert (crossed / "metrics.json").read_bytes() == before


def test_a_stopped_cross_validation_resumes_at_its_fold(crossed, phantoms, tmp_path, monkeypatch):
    train, started = crossvalidation.train, []

    def second_dies(fold_options, *, say):
        if fold_options.fold == 1 and not started:
            started.append(1)
            raise KeyboardInterrupt
        return train(fold_options, say=say)

    monkeypatch.setattr(crossvalidation, "train", second_dies)
    out, lines = tmp_path / "out", []
    with pytest.raises(KeyboardInterrupt):
        crossvalidate(options(phantoms, out), say=quiet)
    assert not (out / "metrics.json").exists()
    crossvalidate(options(phantoms, out, resume=True), say=lines.append)
    assert "fold 1 of 2 is already trained" in lines
    for fold in (0, 1):
        weights = f"fold-{fold}/model/model.safetensors"
        assert file_digest(out / weights) == file_digest(crossed / weights)


@pytest.fixture
def same_threads(monkeypatch):
    """Give child processes as many threads as this one has: with another number, sums round differently."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))


@pytest.fixture(scope="module")
def side_by_side(phantoms, tmp_path_factory):
    out, lines = tmp_path_factory.mktemp("side") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
        crossvalidate(options(phantoms, out, jobs=2), say=lines.append)
    return out, lines


def require_same_weights(out, reference):
    for fold in (0, 1):
        weights = f"fold-{fold}/model/model.safetensors"
        assert file_digest(out / weights) == file_digest(reference / weights)


def test_folds_side_by_side_have_the_weights_and_scores_of_one_after_the_other(crossed, side_by_side):
    out, lines = side_by_side
    require_same_weights(out, crossed)
    rows = [json.loads((folder / "metrics.json").read_text())["patients"] for folder in (crossed, out)]
    assert rows[0] == rows[1]
    prepared = [line for line in lines if "preparing 5 cases" in line]
    assert len(prepared) == 1
    assert prepared[0].startswith("preparing")  # by the parent
    assert {line[:11] for line in lines if "epoch 1 of 1" in line} == {"fold 1 of 2", "fold 2 of 2"}


def test_overwrite_replaces_the_log_of_folds_side_by_side(side_by_side, phantoms, tmp_path, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = shutil.copytree(side_by_side[0], tmp_path / "out")
    assert (out / "folds.log").is_file()
    monkeypatch.setattr(crossvalidation, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        crossvalidate(options(phantoms, out, overwrite=True), say=quiet)
    assert not (out / "folds.log").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_to_the_parent_leaves_no_process_and_all_folds_resume(
    number, code, crossed, phantoms, tmp_path, same_threads
):
    sets = [part for setting in SMALL for part in ("--set", setting)]
    command = [sys.executable, "-m", "gliomaseg", "crossvalidate", "unet_small", "--data", str(phantoms)]
    command += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--jobs", "2", *sets]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if ": training unet" in line:
                children = psutil.Process(process.pid).children()
                os.kill(process.pid, number)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=60) == code, rest
    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert ("interrupted: stopped all folds; run it again with --resume to go on" in rest) == (code == 130)
    assert not (tmp_path / "out" / "metrics.json").exists()
    crossvalidate(options(phantoms, tmp_path / "out", resume=True), say=quiet)
    require_same_weights(tmp_path / "out", crossed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"devices": (0,), "jobs": 2}, "neither --jobs"), ({"devices": (0,), "device": "cpu"}, "nor --device cpu")],
)
def test_gpus_with_jobs_or_the_cpu_raise(changes, message, phantoms, tmp_path):
    with pytest.raises(UsageError, match=message):
        crossvalidate(options(phantoms, tmp_path / "out", **changes), say=quiet)
    assert not (tmp_path / "out").exists()


def test_a_finished_cross_validation_is_not_overwritten(crossed, phantoms):
    with pytest.raises(OutputExistsError):
        crossvalidate(options(phantoms, crossed), say=quiet)


def test_resuming_with_other_folds_or_settings_raises(crossed, phantoms):
    recipe = read_recipe("unet_small").with_settings([*SMALL, "split.seed=1"])
    with pytest.raises(ConfigError, match=r"split\.seed is 0, expected 1 .*; pass --set split\.seed=0, or"):
        crossvalidate(options(phantoms, crossed, recipe=recipe, resume=True), say=quiet)
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.batch=2"])
    with pytest.raises(ConfigError, match=r"training\.batch is 8, expected 2 .*; pass --set training\.batch=8"):
        crossvalidate(options(phantoms, crossed, recipe=recipe, resume=True), say=quiet)


def test_resuming_with_another_number_of_epochs_raises(crossed, phantoms):
    # A single run may be made longer; folds of different lengths must not be averaged.
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.epochs=2"])
    with pytest.raises(ConfigError, match=r"training\.epochs is 1, expected 2 "):
        crossvalidate(options(phantoms, crossed, recipe=recipe, resume=True), say=quiet)


def test_a_number_of_folds_with_a_split_by_site_raises(phantoms, tmp_path):
    recipe = read_recipe("unet_small").with_settings([*SMALL, "split.by=site"])
    with pytest.raises(ConfigError, match="one fold a site"):
        crossvalidate(options(phantoms, tmp_path / "out", recipe=recipe), say=quiet)


def test_a_second_process_in_the_folder_raises(crossed, phantoms):
    with locked(crossed), pytest.raises(FolderInUseError, match="another run is at work here"):
        crossvalidate(options(phantoms, crossed, resume=True), say=quiet)


def test_an_out_folder_inside_the_data_raises(phantoms):
    with pytest.raises(UsageError, match="lies inside the data set"):
        crossvalidate(options(phantoms, phantoms / "crossed"), say=quiet)


@pytest.mark.parametrize(
    "name", ["pictures/holiday.png", "fold-2024-notes/diary.txt", "fold-0/diary.txt", "fold-0/model/diary.txt"]
)
def test_overwrite_keeps_foreign_files_in_subfolders(name, phantoms, tmp_path):
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / "splits.json").write_text("{}")
    (out / name).write_text("precious")
    with pytest.raises(OutputExistsError):
        crossvalidate(options(phantoms, out, overwrite=True), say=quiet)
    assert (out / name).read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["pictures/holiday.png", "fold-1/model/notes.txt", "fold-0/tensorboard/notes.txt", "notes.txt"]
)
def test_overwrite_keeps_a_foreign_file_in_a_finished_cross_validation(name, crossed, phantoms, tmp_path):
    out = shutil.copytree(crossed, tmp_path / "out")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("precious")
    with pytest.raises(OutputExistsError, match=rf"{re.escape(name)}: is not ours"):
        crossvalidate(options(phantoms, out, overwrite=True), say=quiet)
    assert (out / name).read_text() == "precious"
    assert (out / "fold-1" / "model" / "model.onnx").is_file()


def test_overwrite_replaces_a_cross_validation(crossed, phantoms, tmp_path, monkeypatch):
    out = shutil.copytree(crossed, tmp_path / "out")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crossvalidation, "train", stop)
    for _ in range(2):  # the second replaces what an interrupted one left
        with pytest.raises(KeyboardInterrupt):
            crossvalidate(options(phantoms, out, overwrite=True), say=quiet)
        assert sorted(entry.name for entry in out.iterdir()) == [MANIFEST, "splits.json"]


def test_a_split_by_slice_raises(phantoms, tmp_path):
    recipe = read_recipe("fcn_resnet50")
    with pytest.raises(ConfigError, match="leaks"):
        crossvalidate(options(phantoms, tmp_path / "out", recipe=recipe), say=quiet)
    assert not (tmp_path / "out").exists()


def test_overwrite_keeps_foreign_files(phantoms, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"thesis\.txt"):
        crossvalidate(options(phantoms, tmp_path / "out", overwrite=True), say=quiet)


def test_the_ensemble_predicts_the_mean_of_its_folds(crossed, phantoms):
    scan = read_case(read_cases(phantoms).cases[0]).scan
    each = [open_predictor(crossed / f"fold-{fold}").probability(scan) for fold in (0, 1)]
    assert np.abs(each[0] - each[1]).max() > 0.001
    together = open_predictor(crossed)
    np.testing.assert_allclose(together.probability(scan), (each[0] + each[1]) / 2, atol=1e-6)
    assert together.model.config.name == "out"
    assert together.model.digest not in {load_model(crossed / f"fold-{fold}").digest for fold in (0, 1)}


def test_an_evaluation_counts_the_training_patients_of_the_folds(crossed, phantoms):
    cases = read_cases(phantoms).cases
    assert evaluate(cases, open_predictor(crossed)).setting.patients_seen == len(cases)
    fold = open_predictor(crossed / "fold-0")
    unseen = read_splits(crossed / "splits.json").folds[0].validation
    assert evaluate(cases, fold).setting.patients_seen == len(cases) - len(unseen)
    assert not any(case.patient in json.dumps(fold.model.config.model_dump()) for case in cases)
    assert evaluate(select(read_cases(phantoms), unseen), fold).setting.patients_seen == 0


def test_folds_with_different_settings_raise(crossed, tmp_path):
    shutil.copytree(crossed, tmp_path / "out")
    folder = tmp_path / "out" / "fold-1" / "model"
    config = load_model(folder).config
    write_config(folder, config.model_copy(update={"postprocessing": Postprocessing(threshold=0.4)}))
    write_digests(folder)
    with pytest.raises(ModelError, match="differ from fold-0"):
        open_predictor(tmp_path / "out")


def test_exporting_an_ensemble_raises(crossed, tmp_path):
    with pytest.raises(ModelError, match="has 2 networks"):
        export_model(model_export.ExportOptions(crossed, tmp_path / "out"), say=quiet)


def test_each_fold_is_evaluated_with_the_choice_of_the_other_folds(crossed, phantoms, tmp_path):
    shutil.copytree(crossed, tmp_path / "out")
    lines = []
    tuned = options(phantoms, tmp_path / "out", resume=True, tune=True, cache=crossed.parent / "cache")
    evaluation = json.loads(crossvalidate(tuned, say=lines.append).read_text())
    assert any("chosen on all folds" in line for line in lines)
    assert len(evaluation["postprocessing_by_fold"]) == 2
    assert evaluation["setting"]["tuned"]
    assert open_predictor(tmp_path / "out").model.config.postprocessing == Postprocessing.model_validate(
        evaluation["postprocessing"]
    )
    for fold, postprocessing in enumerate(evaluation["postprocessing_by_fold"]):
        names = read_splits(crossed / "splits.json").folds[fold].validation
        predictor = open_predictor(crossed / f"fold-{fold}").with_postprocessing(
            Postprocessing.model_validate(postprocessing)
        )
        rows = {row["case"]: row["dice_volume"] for row in evaluation["patients"]}
        for row in evaluate(select(read_cases(phantoms), names), predictor).patients:
            assert row.dice_volume == rows[row.case]
    given = export_model(
        model_export.ExportOptions(crossed / "fold-0", tmp_path / "given", evaluation=tmp_path / "out"), say=quiet
    )
    assert load_model(given).config.postprocessing == Postprocessing.model_validate(evaluation["postprocessing"])


def test_a_finished_run_may_change_its_postprocessing_and_precision(crossed, phantoms, tmp_path):
    shutil.copytree(crossed / "fold-0", tmp_path / "run")
    before = options(phantoms, tmp_path).recipe
    recipe = before.with_settings(["postprocessing.threshold=0.4", "training.onnx_precision=int8"])
    again = TrainOptions(
        recipe, phantoms, tmp_path / "run", crossed / "splits.json", resume=True, cache=crossed.parent / "cache"
    )
    with pytest.raises(ConfigError, match="onnx_precision"):
        is_finished(again)
    train(again, say=quiet)
    assert load_model(tmp_path / "run").config.postprocessing.threshold == 0.4
    assert read_recipe(str(tmp_path / "run" / "config.toml")).training.onnx_precision == "int8"
    assert is_finished(again)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("change", [{"device": "cuda"}, {"start": "absent"}])
def test_a_wrong_device_or_start_leaves_no_folder(change, phantoms, tmp_path):
    recipe = read_recipe("unet_small")
    if "start" in change:
        recipe = recipe.with_settings([f"training.start_from={tmp_path / 'absent'}"])
    options = CrossValidateOptions(recipe, phantoms, tmp_path / "out", device=change.get("device", "cpu"))
    with pytest.raises((UsageError, ModelError)):
        crossvalidate(options, say=lambda _line: None)
    assert not (tmp_path / "out").exists()
