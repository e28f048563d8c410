"""Inputs that went wrong for others, whole: the folders of `shared/field`, each with its right outcome.

The rule behind each outcome has its own tests, in the test file of its module.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from files import shared_path
from gliomaseg.cli import main
from gliomaseg.config import read_recipe

pytestmark = pytest.mark.real_data

DICOM_VOXELS, DICOM_ML = 1018, 60.92
NIFTI_VOXELS, NIFTI_ML = 1021, 61.10


@dataclass(frozen=True)
class Outcome:
    """The exit code of a command, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of `predict --json`."""
        rows: list[dict[str, Any]] = json.loads(self.out)
        return rows

    @property
    def warnings(self) -> str:
        """The warnings of the only row."""
        (row,) = self.rows
        return "\n".join(row["warnings"])


Enter = Callable[[str], Path]
Run = Callable[..., Outcome]


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Return `enter(case)`: it copies a folder of `shared/field` and makes the copy the working directory."""
    field = shared_path("field")
    monkeypatch.setenv("GLIOMASEG_CACHE", str(tmp_path / "cache"))

    def copy(case: str) -> Path:
        folder = tmp_path / case
        shutil.copytree(field / case, folder, symlinks=True)
        (folder / "EXPECT.txt").unlink()
        monkeypatch.chdir(folder)
        return folder

    return copy


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return `run(*arguments)`: it runs a command in this process."""

    def command(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["gliomaseg", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        code = stop.value.code
        return Outcome(int(code or 0), printed.out, printed.err)

    return command


def predict(run: Run, *inputs: str, out: str = "o", more: tuple[str, ...] = ()) -> Outcome:
    return run("predict", *inputs, "--out", out, "--json", *more)


def require_series(outcome: Outcome) -> None:
    (row,) = outcome.rows
    assert (row["tumour_voxels"], round(row["tumour_volume_ml"], 2)) == (DICOM_VOXELS, DICOM_ML)


# --- DICOM


@pytest.mark.parametrize("case", ["dicom-appledouble", "dicom-no-preamble", "dicom-no-preamble-last"])
def test_a_whole_series_is_read(enter: Enter, run: Run, case: str) -> None:
    enter(case)
    outcome = predict(run, "series")
    assert outcome.code == 0, outcome.err
    require_series(outcome)


def test_a_series_without_its_last_slice_is_refused_with_the_file(enter: Enter, run: Run) -> None:
    enter("dicom-empty-last-slice")
    outcome = predict(run, "series")
    assert outcome.code == 3
    assert "IM012" in outcome.err


def test_a_mask_and_a_segmentation_are_written_without_a_slice_thickness(enter: Enter, run: Run) -> None:
    enter("dicom-no-slicethickness")
    outcome = predict(run, "series")
    assert outcome.code == 0, outcome.err
    require_series(outcome)
    assert {Path(file).suffix for file in outcome.rows[0]["outputs"]} >= {".gz", ".dcm"}


def test_the_mask_is_written_without_a_frame_of_reference(enter: Enter, run: Run) -> None:
    enter("dicom-no-frame-of-reference")
    outcome = predict(run, "series")
    assert outcome.code in (0, 4)
    require_series(outcome)
    assert Path("o/series_mask.nii.gz").is_file()
    assert "FrameOfReferenceUID" in outcome.warnings


def test_a_dicomdir_is_named_as_an_index(enter: Enter, run: Run) -> None:
    enter("dicomdir-named")
    outcome = predict(run, "DICOMDIR")
    assert outcome.code == 3
    assert "index" in outcome.err


def test_a_zip_with_backslashes_is_read(enter: Enter, run: Run) -> None:
    enter("zip-backslash")
    outcome = predict(run, "export.zip")
    assert outcome.code == 0, outcome.err
    assert outcome.rows[0]["tumour_voxels"] == DICOM_VOXELS


# --- NIfTI


def test_only_flair_of_a_bids_folder_is_predicted(enter: Enter, run: Run) -> None:
    enter("nifti-bids-names")
    outcome = predict(run, "anat")
    assert [Path(row["input"]).name for row in outcome.rows] == ["sub-01_FLAIR.nii.gz"]
    assert "T1w" in outcome.err  # left out, and named


def test_the_volumes_of_a_bids_root_are_found(enter: Enter, run: Run) -> None:
    enter("nifti-bids-root")
    outcome = predict(run, ".")
    assert (outcome.code, len(outcome.rows)) == (0, 1), outcome.err


def test_a_link_to_nothing_is_a_failed_row(enter: Enter, run: Run) -> None:
    folder = enter("nifti-broken-link")
    (folder / "sub-02_FLAIR.nii.gz").symlink_to("../.git/annex/objects/q8/Zx/MD5E-s61--0.nii.gz")
    outcome = predict(run, ".")
    assert outcome.code == 4
    errors = {Path(row["input"]).name: row["error"] for row in outcome.rows}
    assert errors["sub-01_FLAIR.nii.gz"] is None
    assert "link" in (errors["sub-02_FLAIR.nii.gz"] or "")


def test_every_result_has_the_name_of_its_case(enter: Enter, run: Run) -> None:
    enter("nifti-case-number-in-name")
    predict(run, ".")
    assert {file.name for file in Path("o").glob("*_mask.nii.gz")} == {
        "1_T2_FLAIR_mask.nii.gz",
        "2_T2_FLAIR_mask.nii.gz",
    }


def test_a_case_in_a_deeper_folder_is_predicted(enter: Enter, run: Run) -> None:
    enter("nifti-nested-case")
    outcome = predict(run, ".")
    assert (outcome.code, len(outcome.rows)) == (0, 2), outcome.err


def test_a_mask_as_scan_is_warned_of(enter: Enter, run: Run) -> None:
    enter("nifti-mask-as-scan")
    assert "mask or label map" in predict(run, "labels.nii.gz").warnings


def test_a_valid_sform_decides_over_a_negative_pixdim(enter: Enter, run: Run) -> None:
    enter("nifti-negative-pixdim")
    (row,) = predict(run, "scan.nii.gz").rows
    assert (row["tumour_voxels"], round(row["tumour_volume_ml"], 2)) == (NIFTI_VOXELS, NIFTI_ML)


@pytest.mark.parametrize("named", ["scan.img", "scan.hdr", "."])
def test_a_pair_is_read_or_refused_as_a_pair(enter: Enter, run: Run, named: str) -> None:
    enter("nifti-pair")
    outcome = predict(run, named)
    if outcome.code == 0:
        assert [row["outputs"][0] for row in outcome.rows] == ["o/scan_mask.nii.gz"]
    else:
        assert (outcome.code, "pair" in outcome.err) == (3, True), outcome.err


def test_the_volume_of_a_sheared_scan_is_that_of_its_determinant(enter: Enter, run: Run) -> None:
    enter("nifti-sheared-affine")
    (row,) = predict(run, "scan_flair.nii.gz").rows
    assert (row["tumour_voxels"], round(row["tumour_volume_ml"], 2)) == (NIFTI_VOXELS, NIFTI_ML)


def test_a_t1_that_is_flair_is_warned_of(enter: Enter, run: Run) -> None:
    enter("t1-is-flair")
    outcome = predict(run, more=("--flair", "case_flair.nii.gz", "--t1", "case_t1.nii.gz"))
    assert "copy of FLAIR" in outcome.warnings


@pytest.mark.parametrize("command", [("audit", "."), ("evaluate", ".", "--out", "../o")])
def test_a_data_set_of_volumes_is_read_or_refused_for_this_reason(
    enter: Enter, run: Run, command: tuple[str, ...]
) -> None:
    enter("nifti-volume-and-seg")
    outcome = run(*command)
    assert outcome.code == 0 or "volumes" in outcome.err


# --- images


@pytest.mark.parametrize(("case", "named"), [("pictures-appledouble", "PatZ"), ("pictures-windows-numbers", "scan")])
def test_numbered_images_are_one_stack(enter: Enter, run: Run, case: str, named: str) -> None:
    enter(case)
    outcome = predict(run, named)
    assert (outcome.code, [row["tumour_voxels"] for row in outcome.rows]) == (0, [1020]), outcome.err
    assert (Path("o") / named).is_dir()


def test_lzw_is_read(enter: Enter, run: Run) -> None:
    enter("tiff-lzw")
    assert [row["tumour_voxels"] for row in predict(run, "slice.tif").rows] == [162]


def test_a_turned_image_is_predicted_upright_or_refused(enter: Enter, run: Run) -> None:
    from PIL import Image

    enter("tiff-orientation-tag")
    outcome = predict(run, "slice.tif")
    if outcome.code == 0:
        with Image.open("slice.tif") as image, Image.open("o/slice_mask.tif") as mask:
            assert mask.size == image.size
            assert mask.getexif().get(0x0112, 1) == image.getexif().get(0x0112, 1)
    else:
        assert "rientation" in outcome.err


# --- data sets


def test_masks_of_one_bit_are_masks(enter: Enter, run: Run) -> None:
    enter("data-1bit-masks")
    outcome = run("audit", ".")
    assert outcome.code == 0 or "8 bit" in outcome.err


@pytest.mark.parametrize(
    ("case", "code", "named"),
    [
        ("data-inverted-masks", 3, "b2"),
        ("data-no-tumour", 0, "no mask of 2 cases has a pixel of tumour"),
        ("data-renamed-folder", 3, "Patient B2"),
    ],
)
def test_an_implausible_data_set_is_named(enter: Enter, run: Run, case: str, code: int, named: str) -> None:
    enter(case)
    outcome = run("audit", ".")
    assert outcome.code == code
    assert named in outcome.out


def test_download_deletes_no_foreign_file(enter: Enter, run: Run) -> None:
    folder = enter("download-overwrite-deletes")
    before = {file: file.read_bytes() for file in (folder / "lgg").rglob("*") if file.is_file()}
    for more in ((), ("--overwrite",)):
        outcome = run("download", "--from", "archive.zip", "--to", "lgg", *more)
        assert outcome.code == 2
        assert "--overwrite" not in outcome.err
    assert {file: file.read_bytes() for file in (folder / "lgg").rglob("*") if file.is_file()} == before


def test_a_prediction_never_replaces_a_reference_mask(enter: Enter, run: Run) -> None:
    folder = enter("predict-overwrites-reference")
    before = (folder / "p6" / "p6_14_mask.tif").read_bytes()
    for more in ((), ("--overwrite",)):
        outcome = predict(run, "p6/p6_14.tif", out="p6", more=more)
        assert outcome.code in (2, 3)
        assert "--overwrite" not in outcome.err
    assert (folder / "p6" / "p6_14_mask.tif").read_bytes() == before


def test_a_downloaded_folder_is_a_data_set(enter: Enter, run: Run) -> None:
    enter("zip-top-folder")
    outcome = run("download", "--from", "archive.zip", "--to", "lgg")
    assert outcome.code == 0, outcome.err
    outcome = run("audit", "lgg")
    assert outcome.code == 0, outcome.err


def test_a_recipe_with_a_byte_order_mark_is_read(enter: Enter) -> None:
    folder = enter("recipe-bom")
    assert read_recipe(str(folder / "mine.toml")).network.name


# --- output


def test_an_output_that_is_a_file_is_refused_before_any_work(enter: Enter, run: Run) -> None:
    enter("out-is-a-file")
    outcome = predict(run, "scan.nii.gz", out="notes")
    assert outcome.code == 2
    assert "file" in outcome.err


def test_a_tilde_is_the_home_folder(enter: Enter, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = enter("out-tilde")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    outcome = predict(run, "scan.nii.gz", out="~/masks")
    assert outcome.code == 0, outcome.err
    assert (home / "masks" / "scan_mask.nii.gz").is_file()
    assert not (folder / "~").exists()
