"""A data set with T1 on another grid than FLAIR: read, audited, cached and evaluated, always with a note."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.config import Preprocessing
from gliomaseg.data.audit import audit
from gliomaseg.data.cache import open_cache
from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.evaluation import evaluate_data
from gliomaseg.prediction import open_predictor
from gliomaseg.types import Sequence
from volume_cases import AFFINE, save, taking_t1

NOTE = "T1 was resampled to the grid of FLAIR, from 8 x 8 x 6 voxels of 1 x 1 x 3 mm"
CURE = "give a sequence of the same examination and region, or omit it"
REFUSED = "covers 50 % of the head in FLAIR, expected at least 90 %"
DAMAGED = "compressed data are cut short"


def head(seed: int) -> np.ndarray:
    """Return int16 voxels (x, y, z) of 8 x 8 x 6, with a head of 4 x 4 columns."""
    voxels = np.zeros((8, 8, 6), np.int16)
    voxels[2:6, 2:6] = np.random.default_rng(seed).integers(500, 900, (4, 4, 6))
    return voxels


def cases_with_t1(folder: Path, shift_px: tuple[int, int, int]) -> CaseList:
    """Write a case whose T1 begins at other indices (x, y, z) of the grid of FLAIR."""
    affine = AFFINE.copy()
    affine[:3, 3] = AFFINE[:3, :3] @ shift_px
    mask = np.zeros((8, 8, 6), np.uint8)
    mask[3, 3, 2] = 1
    for name, voxels, own in (("flair", head(0), AFFINE), ("t1", head(1), affine), ("seg", mask, AFFINE)):
        save(folder / "set" / "P1" / f"P1_{name}.nii.gz", voxels, own)
    return read_cases(folder / "set")


def test_a_case_and_its_audit_have_the_note(tmp_path: Path) -> None:
    cases = cases_with_t1(tmp_path, (1, 0, 0))
    scan = read_case(cases.cases[0]).scan
    assert scan.notes == (NOTE,)
    # T1 begins at index 1 of the grid of FLAIR.
    assert np.array_equal(scan.voxels[..., 1:, 0], head(1).T[..., :-1])
    found = audit(cases)
    assert [(entry.where, entry.what) for entry in found.warnings if "T1" in entry.what] == [("P1", NOTE)]
    assert found.problems == []


def test_the_cache_names_how_many_cases_were_resampled(tmp_path: Path) -> None:
    lines: list[str] = []
    cases = cases_with_t1(tmp_path, (1, 0, 0))
    settings = Preprocessing(size_px=32, input="t1_flair")
    open_cache(cases, settings, folder=tmp_path / "cache", progress=lines.append)
    assert lines[-1] == "note: sequences were resampled to the grid of FLAIR in 1 of 1 cases, first in P1"


def test_a_cache_without_t1_has_no_note(tmp_path: Path) -> None:
    lines: list[str] = []
    cases = cases_with_t1(tmp_path, (1, 0, 0))
    open_cache(
        cases, Preprocessing(size_px=32, input="flair"), folder=tmp_path / "cache", progress=lines.append
    )  # fmt: skip
    assert not any("T1" in line for line in lines)


def test_t1_on_another_grid_in_the_space_of_a_template_is_refused(tmp_path: Path) -> None:
    cases = cases_with_t1(tmp_path, (1, 0, 0))
    file = tmp_path / "set" / "P1" / "P1_t1.nii.gz"
    image = nibabel.load(file)
    image.set_sform(image.affine, code="talairach")
    nibabel.save(image, file)
    with pytest.raises(
        GeometryError, match=r"P1_t1\.nii\.gz: world space is Talairach, expected the scanner as P1_flair"
    ):
        read_case(cases.cases[0])


def test_t1_that_covers_half_of_the_head_is_a_problem_in_training(tmp_path: Path) -> None:
    cases = cases_with_t1(tmp_path, (0, 0, 3))
    with pytest.raises(GeometryError, match=rf"P1_t1\.nii\.gz: {REFUSED}; give a sequence"):
        read_case(cases.cases[0])
    assert [(entry.where, entry.what) for entry in audit(cases).problems] == [("P1/P1_t1.nii.gz", f"{REFUSED}; {CURE}")]


def test_t1_that_covers_half_of_the_head_is_left_out_of_an_evaluation(bright: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    cases = cases_with_t1(tmp_path, (0, 0, 3))
    assert read_case(cases.cases[0], partial=True).scan.available == {Sequence.FLAIR}
    (row,) = evaluate_data(tmp_path / "set", taking_t1(open_predictor(bright)), progress=lines.append).patients
    assert row.error is None
    assert row.notes == [f"T1 was not used: it {REFUSED}"]
    assert lines[0] == f"note: P1: T1 was not used: it {REFUSED}"


def test_a_damaged_t1_is_a_fault_only_where_it_is_needed(bright: Path, tmp_path: Path) -> None:
    cases = cases_with_t1(tmp_path, (0, 0, 0))
    t1 = tmp_path / "set" / "P1" / "P1_t1.nii.gz"
    t1.write_bytes(t1.read_bytes()[:100])
    predictor = open_predictor(bright)
    (row,) = evaluate_data(tmp_path / "set", predictor).patients
    assert (row.error, row.notes) == (None, [])
    open_cache(cases, Preprocessing(size_px=32, input="flair"), folder=tmp_path / "cache")
    (row,) = evaluate_data(tmp_path / "set", taking_t1(predictor)).patients
    with pytest.raises(FormatError) as fault:
        open_cache(cases, Preprocessing(size_px=32, input="t1_flair"), folder=tmp_path / "cache")
    assert row.error == fault.value.line() == f"{t1}: {DAMAGED}; copy or export it again"


def test_a_case_with_a_damaged_t1_stays_in_all_tables_of_the_audit(tmp_path: Path) -> None:
    cases = cases_with_t1(tmp_path, (0, 0, 0))
    t1 = tmp_path / "set" / "P1" / "P1_t1.nii.gz"
    t1.write_bytes(t1.read_bytes()[:100])
    found = audit(cases)
    assert [(entry.where, entry.what) for entry in found.problems] == [
        ("P1/P1_t1.nii.gz", f"{DAMAGED}; copy or export it again")
    ]
    assert (found.slices, found.tumour_slices, found.labels) == (6, 1, {"0": 383, "1": 1})  # 8 x 8 x 6 voxels
    assert list(found.intensities) == ["flair"]
