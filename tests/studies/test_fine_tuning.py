"""The folds of the study of fine-tuning: no patient of the site trains the base, and none is on both sides."""

from pathlib import Path

import pytest

from gliomaseg.data.layouts import read_cases

SCRIPT = Path(__file__).parents[2] / "studies" / "fine_tuning.py"
INSIDE = [f"TCGA_DU_{number}_20000101" for number in range(5000, 5009)]
OUTSIDE = ["TCGA_CS_4000_20000101", "TCGA_HT_7000_20000101"]


@pytest.fixture
def study(load_script, monkeypatch):
    module = load_script(SCRIPT)
    monkeypatch.setattr(module, "SIZES", (2, 4))
    return module


@pytest.fixture
def folds(study, kaggle_tree, tmp_path):
    root = kaggle_tree(tmp_path, dict.fromkeys([*INSIDE, *OUTSIDE], 2))
    return study.split_site(read_cases(root)).folds


def test_the_base_is_trained_on_the_other_sites_and_measured_on_the_site(folds):
    assert folds[0].train == tuple(OUTSIDE)
    assert folds[0].validation == tuple(INSIDE)


def test_every_patient_of_the_site_is_measured_once_for_each_number(folds):
    for first in (1, 4):
        measured = sorted(name for fold in folds[first : first + 3] for name in fold.validation)
        assert measured == INSIDE


def test_no_patient_is_on_both_sides_and_the_numbers_are_those_of_the_table(folds):
    assert [len(fold.train) for fold in folds[1:]] == [2, 2, 2, 4, 4, 4]
    assert not any(set(fold.train) & set(fold.validation) for fold in folds)


def test_the_smaller_training_set_is_a_part_of_the_larger_one(folds):
    for small, large in zip(folds[1:4], folds[4:7], strict=True):
        assert set(small.train) < set(large.train)


def test_runs_of_a_start_have_about_as_many_steps(study, tmp_path):
    # 600 steps of 16 slices are 9,600 slices.
    assert study.recipe_of("scratch", 960, tmp_path).training.epochs == 10
    tuned = study.recipe_of("fine_tuned", 960, tmp_path).training
    assert (tuned.epochs, tuned.start_from, tuned.learning_rate) == (5, str(tmp_path / "base"), 1e-4)
