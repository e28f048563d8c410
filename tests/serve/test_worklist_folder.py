"""The folder of a work list, without a server: what is stored, what is refused, and which case a row belongs to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from gliomaseg.choices import PhantomFormat
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import manifest, read_cases
from gliomaseg.data.tables import Row, read_rows
from gliomaseg.errors import DataError, OutputExistsError, ResourceError, UsageError
from gliomaseg.evaluation import evaluate_data
from gliomaseg.evaluation.mask_files import find_masks
from gliomaseg.inputs import Input, Kind, load_input
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.serve.sources import has_changed_source, write_source
from gliomaseg.serve.worklist.cases import WorkCase
from gliomaseg.serve.worklist.correction_folder import CorrectionFolder
from gliomaseg.serve.worklist.folders import WorkFolders, valid_reader
from gliomaseg.serve.worklist.tasks import store

SIDE = 32
ABOUT = {"reader": "anna", "corrected_at": "2026-11-29T08:00:00+00:00", "seconds": "1.0", "model": "m"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write two volumes, slices in a folder, and a TIFF of several pages."""
    data = tmp_path / "data"
    write_phantoms(data, patients=2, side_px=SIDE, kind=PhantomFormat.nifti)
    (data / "stack").mkdir()
    for number, image in enumerate(phantom_patient(3, side_px=SIDE, slices=3).image, start=7):
        tifffile.imwrite(data / "stack" / f"stack_{number}.tif", image, photometric="rgb")
    pages = phantom_patient(4, side_px=SIDE, slices=3).image[..., 1]
    tifffile.imwrite(data / "pages.tif", pages, photometric="minisblack")
    return data


def cases_of(data: Path, out: Path) -> dict[str, WorkCase]:
    return {case.name: case for case in WorkFolders.open(data, out, "anna").cases}


def job_of(case: WorkCase, folder: Path, mask: np.ndarray) -> Path:
    """Write the folder of a segmented job."""
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    write_source(folder, case.entry)
    (folder / "prediction.json").write_text(json.dumps({"number": 1, "series": None}))
    np.save(folder / "arrays" / "model.npy", mask)
    return folder


def mask_of(case: WorkCase, value: bool) -> np.ndarray:
    return np.full(load_input(case.entry, max_bytes=2**30).scan.voxels.shape[:3], value)


def stored(case: WorkCase, tmp_path: Path, out: Path, *, value: bool = True, **about: str) -> None:
    job = job_of(case, tmp_path / f"job-{case.name}", mask_of(case, value))
    store(job, out=str(out), case=case.name, version="model", about=ABOUT | about)


def rows_of(out: Path) -> list[Row]:
    return [entry.row for entry in read_rows(out / "manifest.csv")]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_invalid_manifest_leaves_mask_and_row(data, tmp_path):
    out = tmp_path / "out"
    cases = cases_of(data, out)
    volume, stack = cases["PHANTOM_AA_1000_20000101"], cases["stack"]
    stored(volume, tmp_path, out)
    stored(stack, tmp_path, out)
    file = out / "manifest.csv"
    good = file.read_text("utf-8")
    for old, new, fault in (
        (",7,", ",seven,", "slice in row 3 is seven, expected a whole number"),
        (",reader,", ",person,", "without case, reader or corrected_at"),
        (",mask,", ",masks,", "row 2 has no mask"),
        ("case,", "case,case,", "has the column case twice"),
        ("anna", '"anna', "is not a table of UTF-8 text"),
    ):
        file.write_text(good.replace(old, new, 1), "utf-8")
        before = contents(out)
        for case in (volume, stack):
            with pytest.raises((DataError, OutputExistsError), match=fault):
                stored(case, tmp_path, out, value=False)
        assert contents(out) == before, fault
    file.write_text(good, "utf-8")
    stored(volume, tmp_path, out, value=False, reader="bo")
    assert [row["reader"] for row in rows_of(out)] == ["bo", "anna", "anna", "anna"]


def test_a_row_that_cannot_be_written_leaves_the_mask(data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    cases = cases_of(data, out)
    volume, stack = cases["PHANTOM_AA_1000_20000101"], cases["stack"]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def refused(case: WorkCase) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("gliomaseg.serve.worklist.correction_folder.write_rows", full)
            with pytest.raises(ResourceError, match="the disk is full"):
                stored(case, tmp_path, out, value=False)

    for case in (volume, stack):
        refused(case)
        assert [name for name in contents(out) if name.startswith(f"{case.name}_mask")] == [], "the new mask has no row"
        stored(case, tmp_path, out)
        own = {name: content for name, content in contents(out).items() if name != ".gliomaseg-files"}
        refused(case)
        assert {name: content for name, content in contents(out).items() if name != ".gliomaseg-files"} == own
        assert not [path for path in out.iterdir() if "before" in path.name]
        stored(case, tmp_path, out, value=False)
    assert len(CorrectionFolder(out).rows()) == 2


def test_a_scan_that_was_moved_is_named(data, tmp_path):
    out = tmp_path / "out"
    for case in cases_of(data, out).values():
        stored(case, tmp_path, out)
    cases_of(data, out)
    volume = next(data.rglob("PHANTOM_AA*_flair.nii.gz"))
    for file in (volume, data / "pages.tif", data / "stack" / "stack_8.tif"):
        moved = file.rename(tmp_path / f"moved-{file.name}")
        with pytest.raises(DataError, match="does not exist; move it back, or remove the rows of the case") as fault:
            cases_of(data, out)
        assert (str(file) in str(fault.value), fault.value.exit_code) == (True, 3)
        moved.rename(file)
    cases_of(data, out)


def test_folders_of_scans_share_a_manifest(data, tmp_path):
    out = tmp_path / "out"
    stored(cases_of(data, out)["stack"], tmp_path, out)
    other = write_phantoms(tmp_path / "other", patients=1, side_px=SIDE, kind=PhantomFormat.nifti)
    (case,) = cases_of(other, out).values()
    stored(case, tmp_path, out)
    assert {row["case"] for row in rows_of(out)} == {"stack", case.name}
    with pytest.raises(DataError, match=f"scan of {case.name} is"):
        cases_of(data, out)


def write_studies(folder):
    """Write a study to `d6/dcm_b`, and return the FLAIR series of another one."""
    made = write_phantoms(folder / "made", patients=2, side_px=SIDE, kind=PhantomFormat.dicom)
    first, second = sorted(made.rglob("flair"))
    shutil.copytree(first, folder / "d6" / "dcm_b")
    return second


def test_a_dicom_study_keeps_its_name_beside_another(tmp_path):
    second = write_studies(tmp_path)
    data, out = tmp_path / "d6", tmp_path / "out"
    (alone,) = cases_of(data, out).values()
    assert alone.name == "d6"
    stored(alone, tmp_path, out)
    shutil.copytree(second, data / "dcm_c")
    both = cases_of(data, out)
    assert {name: case.entry.path.name for name, case in both.items()} == {"d6": "dcm_b", "dcm_c": "dcm_c"}
    stored(both["d6"], tmp_path, out)
    stored(both["dcm_c"], tmp_path, out)
    assert [row["case"] for row in rows_of(out)] == ["d6", "dcm_c"]
    assert set(cases_of(data / "dcm_c", out)) == {"dcm_c"}
    shutil.rmtree(data / "dcm_c")
    with pytest.raises(DataError, match="scan of dcm_c is"):
        cases_of(data, out)


def test_another_study_in_the_folder_of_a_stored_one_is_another_case(tmp_path):
    second = write_studies(tmp_path)
    data, out = tmp_path / "d6", tmp_path / "out"
    stored(cases_of(data, out)["d6"], tmp_path, out)
    shutil.rmtree(data / "dcm_b")
    shutil.copytree(second, data / "dcm_c")
    assert set(cases_of(data, out)) == {"d6_2"}


def test_a_study_beside_a_volume_is_stored_with_its_own_folder(tmp_path):
    second = write_studies(tmp_path)
    data, out = tmp_path / "d6", tmp_path / "out"
    stored(cases_of(data, out)["d6"], tmp_path, out)  # alone: the row has the folder above the study
    before = contents(out)
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.eye(4)), data / "pat2.nii")
    (data / "dcm_b").rename(tmp_path / "away")
    shutil.copytree(second, data / "dcm_c")
    assert set(cases_of(data, out)) == {"dcm_c", "pat2"}
    shutil.rmtree(data / "dcm_c")
    (tmp_path / "away").rename(data / "dcm_b")
    beside = cases_of(data, out)
    assert {name: case.entry.path.name for name, case in beside.items()} == {"d6": "dcm_b", "pat2": "pat2.nii"}
    assert contents(out) == before
    stored(beside["d6"], tmp_path, out)
    assert [row["flair"] for row in rows_of(out)] == ["../d6/dcm_b"]
    (data / "dcm_b").rename(tmp_path / "away")
    with pytest.raises(DataError, match="scan of d6 is"):
        cases_of(data, out)


def test_names_do_not_depend_on_the_folder_that_is_searched(tmp_path):
    data, out = tmp_path / "o8", tmp_path / "out"
    for name in ("data", "other"):
        write_phantoms(data / name, patients=1, side_px=SIDE, kind=PhantomFormat.nifti, seed=0)
    for path in [*data.rglob("PHANTOM*")][::-1]:
        path.rename(path.with_name(path.name.replace("PHANTOM_AA_1000_20000101", "scan")))
    (inner,) = cases_of(data / "data", out).values()
    stored(inner, tmp_path, out)
    outer = cases_of(data, out)
    assert outer[inner.name].entry.path == inner.entry.path
    assert len(outer) == 2
    for case in outer.values():
        stored(case, tmp_path, out)
    assert len({row["case"] for row in rows_of(out)}) == 2
    assert set(cases_of(data / "data", out)) == {inner.name}


@pytest.mark.parametrize("name", ["PHANTOM_AA_1000_20000101", "stack", "pages"])
def test_a_scan_that_changed_is_not_stored(data, tmp_path, name):
    out = data / "out"
    case = cases_of(data, out)[name]
    files = [case.entry, *(part for part in (case.entry.t1, case.entry.t1ce) if part)]
    job = job_of(case, tmp_path / "job", mask_of(case, True))
    store(job, out=str(out), case=name, version="model", about=ABOUT)
    before = contents(out)
    for file in (file for part in files for file in part.pictures):
        write_source(job, case.entry)
        file.write_bytes(file.read_bytes() + b"x")
        with pytest.raises(DataError, match=f"{name}: scan has changed since it was segmented; open it again"):
            store(job, out=str(out), case=name, version="model", about=ABOUT)
    assert contents(out) == before


def test_files_in_the_folder_of_a_series_count(tmp_path):
    folder, out = tmp_path / "series", tmp_path / "series" / "out"
    out.mkdir(parents=True)
    (folder / "1.dcm").write_bytes(b"1")
    write_source(tmp_path, Input(folder, Kind.SERIES), without=out)
    (out / "mask").write_bytes(b"mask")
    (folder / ".DS_Store").write_bytes(b"system")
    assert not has_changed_source(tmp_path)
    (folder / "2.dcm").write_bytes(b"2")
    assert has_changed_source(tmp_path)


def test_no_cell_is_a_formula(tmp_path):
    made = write_phantoms(tmp_path / "made", patients=1, side_px=SIDE, kind=PhantomFormat.nifti)
    data = tmp_path / "=data"
    data.mkdir()
    names = ("=1+1", "_=1+1", "+a", "-b", "@SUM(A1)", "plain")
    for name in names:
        shutil.copy(next(made.rglob("*_flair.nii.gz")), data / f"{name}.nii.gz")
    cases = cases_of(data, tmp_path)
    assert len({name.casefold() for name in cases}) == len(names)
    assert {"_+a", "_-b", "_@SUM(A1)", "plain"} < set(cases)
    for case in cases.values():
        stored(case, tmp_path, tmp_path)
    cells = [cell for row in rows_of(tmp_path) for cell in row.values()]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert "./=data/plain.nii.gz" in cells
    assert set(cases_of(data, tmp_path)) == set(cases)
    found = manifest.read(tmp_path / "manifest.csv", DataOptions())
    assert (len(found.cases), found.problems) == (len(names), ())


@pytest.mark.parametrize("reader", ["=1+1", "+a", "-b", " @c", "\t=d", "a\x00b", "a\nb", "a\x7fb"])
def test_a_reader_that_is_a_formula_is_refused(reader):
    with pytest.raises(UsageError, match="reader is"):
        valid_reader(reader)


def test_evaluate_takes_the_masks_of_slices_and_pages(data, tmp_path):
    out = tmp_path / "out"
    for name, case in cases_of(data, out).items():
        stored(case, tmp_path, out)
        stored(case, tmp_path, out)
        assert name == "pages" or not (out / f"{name}_slices").exists()
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"pages_mask", "pages_slices", "stack_mask"}
    cases = read_cases(out / "manifest.csv")
    evaluation = evaluate_data(out / "manifest.csv", find_masks(out, cases.cases))
    assert {case.case: case.measures.get("dice_volume") for case in evaluation.patients} == {
        case.name: 1.0 for case in cases.cases
    }
