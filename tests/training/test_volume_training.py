"""The workflow with volumes: split, train, cross-validate, evaluate, report and compare."""

import json

import numpy as np
import pytest
from PIL import Image

from gliomaseg.config import Split, read_recipe
from gliomaseg.data.cache import open_cache
from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.masks import MaskLabels
from gliomaseg.data.split import read_splits, split_data, write_splits
from gliomaseg.errors import ConfigError, DataError
from gliomaseg.evaluation import EvaluateOptions, evaluate_into
from gliomaseg.evaluation.comparison import compare_evaluations
from gliomaseg.prediction import open_predictor
from gliomaseg.preprocessing import prepare
from gliomaseg.report.html import write_report
from gliomaseg.training.crossvalidation import CrossValidateOptions, crossvalidate
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train
from volume_cases import write_volume_cases

SMALL = [
    "preprocessing.size_px=64",
    "preprocessing.input=t1_flair",
    "preprocessing.context_slices=1",
    "preprocessing.min_slice_spacing_mm=5",
    "network.base_features=8",
    "network.levels=3",
    "training.epochs=4",
    "training.learning_rate=0.01",
    "training.batch=8",
    "training.seed=2",
    "augmentation.preset=strong",
    "split.folds=2",
    "split.by=patient",
]


def quiet(_text):
    pass


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_volume_cases(tmp_path_factory.mktemp("volumes") / "data")


def recipe(*settings):
    return read_recipe("unet_small").with_settings([*SMALL, *settings])


@pytest.fixture(scope="module")
def crossed(volumes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crossed")
    options = CrossValidateOptions(recipe(), volumes, folder / "out", cache=folder / "cache", tune=True)
    crossvalidate(options, say=quiet)
    return folder / "out"


def test_the_cache_has_what_prediction_prepares(volumes, tmp_path):
    settings = recipe().preprocessing
    cases = read_cases(volumes)
    cache = open_cache(cases, settings, folder=tmp_path)
    for case, first, last in zip(cases.cases, *cache.case_limits, strict=True):
        np.testing.assert_array_equal(cache.images[first : last + 1], prepare(read_case(case).scan, settings).slices)


def test_thin_slices_are_merged_in_the_cache(volumes, tmp_path):
    cache = open_cache(read_cases(volumes), recipe().preprocessing, folder=tmp_path)
    first, last = cache.case_limits
    counts = dict(zip([case.name for case in read_cases(volumes).cases], last - first + 1, strict=True))
    # 16 slices of about 8.5 mm stay; 64 of about 2.1 mm become a slice of at least 5 mm each.
    assert counts["case-0"] == 16
    assert 20 < counts["case-3"] < 32


def test_a_flair_cache_ignores_a_damaged_t1(volumes, tmp_path):
    data = write_volume_cases(tmp_path / "data", count=2)
    (data / "case-0" / "t1.nii.gz").write_bytes(b"damaged")
    open_cache(read_cases(data), recipe("preprocessing.input=flair").preprocessing, folder=tmp_path / "cache")


def test_a_cross_validation_of_volumes_has_a_row_for_each_case_in_millimetres(crossed):
    evaluation = json.loads((crossed / "metrics.json").read_text())
    rows = {row["case"]: row for row in evaluation["patients"]}
    assert sorted(rows) == [f"case-{index}" for index in range(6)]
    assert all(row["error"] is None for row in rows.values())
    assert all(row["reference_ml"] > 0 and row["hausdorff_95_mm"] > 0 for row in rows.values())
    assert [rows[f"case-{index}"]["slices"] for index in range(6)] == [16, 16, 16, 64, 16, 16]
    assert evaluation["setting"]["tuned"]


def test_the_reference_volume_is_that_of_the_phantom(crossed, volumes):
    rows = {row["case"]: row for row in json.loads((crossed / "metrics.json").read_text())["patients"]}
    for case in read_cases(volumes).cases:
        loaded = read_case(case)
        voxel_ml = np.prod(loaded.scan.spacing_mm) / 1000
        assert rows[case.name]["reference_ml"] == pytest.approx(loaded.reference.sum() * voxel_ml)


def test_a_run_writes_its_artifacts(crossed):
    for name in ("samples.png", "curves.png", "model/README.md", "model/metrics.json", "splits.json"):
        assert (crossed / "fold-0" / name).is_file()
    with Image.open(crossed / "fold-0" / "samples.png") as samples:
        assert samples.width > 700


def test_a_report_has_the_spacings(crossed, tmp_path):
    page = write_report(crossed, tmp_path / "report.html").read_text("utf-8")
    assert "spacing unknown" not in page
    assert "by the affine of each scan" in page
    assert "reference, ml" in page


def test_the_models_of_two_folds_are_compared(crossed, volumes, tmp_path):
    for fold in (0, 1):
        evaluate_into(EvaluateOptions(volumes, tmp_path / str(fold)), open_predictor(crossed / f"fold-{fold}"))
    comparison = compare_evaluations(tmp_path / "0", tmp_path / "1")
    assert "hausdorff_95_mm" in comparison.measures
    assert len(comparison.patients) == 6


def test_a_split_of_volumes_by_slice_is_refused(volumes):
    with pytest.raises(DataError, match="split by patient or by site"):
        split_data(read_cases(volumes), Split(by="slice"))


def options_with(labels, data, out, **changes):
    chosen = DataOptions(labels=MaskLabels(labels and frozenset(labels)))
    return TrainOptions(
        recipe("training.epochs=1"), data, out, cache=out.parent / "cache", data_options=chosen, **changes
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Write volumes whose tumour is the value 4, and train on them with labels 1 and 4."""
    folder = tmp_path_factory.mktemp("labelled")
    data = write_volume_cases(folder / "data", count=4, tumour=4)
    train(options_with({1, 4}, data, folder / "run"), say=quiet)
    return data, folder / "run"


def test_a_run_keeps_its_labels(labelled):
    data, run = labelled
    assert read_splits(run / "splits.json").data.labels == (1, 4)
    assert "Tumour is the mask values 1, 4." in (run / "model" / "README.md").read_text("utf-8")
    assert train(options_with(None, data, run, resume=True), say=quiet) == run / "model"


def test_a_run_is_not_resumed_with_other_labels(labelled):
    data, run = labelled
    with pytest.raises(ConfigError, match=r"--labels is 1,4, expected 2 as in this command; omit --labels, or"):
        train(options_with({2}, data, run, resume=True), say=quiet)


def test_a_run_that_was_started_without_labels_is_not_resumed_with_labels(crossed, volumes):
    options = CrossValidateOptions(recipe(), volumes, crossed, cache=crossed.parent / "cache", resume=True)
    chosen = DataOptions(labels=MaskLabels(frozenset({1})))
    with pytest.raises(ConfigError, match="--labels is not set, expected 1 as in this command; omit --labels"):
        crossvalidate(CrossValidateOptions(**{**vars(options), "data_options": chosen}), say=quiet)


def test_a_splits_file_passes_its_labels_on(labelled, tmp_path):
    data, _ = labelled
    options = DataOptions("brats", MaskLabels(frozenset({4})))
    splits = split_data(read_cases(data, options), Split()).read_with(options)
    write_splits(splits, tmp_path / "splits.json")
    train(options_with(None, data, tmp_path / "run", splits=tmp_path / "splits.json"), say=quiet)
    assert read_splits(tmp_path / "run" / "splits.json").data == splits.data
    assert json.loads((tmp_path / "run" / "model" / "metrics.json").read_text())["setting"]["labels"] == [4]
