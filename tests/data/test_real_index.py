"""The 88 patients that are at hand, indexed and audited: every number is the data set's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomaseg.data.audit import Audit, audit
from gliomaseg.data.layouts import read_cases

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def findings(real_data: Path) -> Audit:
    return audit(read_cases(real_data))


@pytest.mark.parametrize("folder", ["", "kaggle_3m", "lgg-mri-segmentation", "lgg-mri-segmentation/kaggle_3m"])
def test_archive_is_88_patients_of_3019_slices_whichever_folder_is_named(real_data: Path, folder: str) -> None:
    index = read_cases(real_data / folder)
    assert len({case.patient for case in index.cases}) == 88
    assert len(index.cases) == 88
    assert index.slice_count == 3019
    assert index.problems == ()
    assert index.strays == ("data.csv",)


def test_second_copy_is_seen_from_the_root(real_data: Path) -> None:
    assert read_cases(real_data).second_copies == (real_data / "lgg-mri-segmentation" / "kaggle_3m",)


def test_stacks_are_of_20_to_88_slices_without_a_gap(real_data: Path) -> None:
    for case in read_cases(real_data).cases:
        assert 20 <= len(case.slices) <= 88
        assert [entry.number for entry in case.slices] == list(range(1, len(case.slices) + 1))


def test_slices_and_tumours_are_counted(findings: Audit) -> None:
    assert (findings.patients, findings.slices, findings.tumour_slices) == (88, 3019, 1057)


def test_sites_are_counted(findings: Audit) -> None:
    assert findings.sites == {"CS": 12, "DU": 36, "EZ": 1, "FG": 11, "HT": 28}


def test_missing_sequences_are_found(findings: Audit) -> None:
    assert findings.missing_sequences == {"t1ce": 8, "t1": 5}


def test_data_set_is_safe(findings: Audit) -> None:
    assert (findings.duplicates, findings.problems, findings.safe) == ([], [], True)


def test_tumour_is_about_a_hundredth_of_all_pixels(findings: Audit) -> None:
    assert findings.tumour_pixel_share == pytest.approx(0.01, abs=0.001)
