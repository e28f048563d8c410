"""Synthetic patients: reproducible, in the layout of the archive, and written completely or not at all."""

from __future__ import annotations

import errno
import json
import re
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from gliomaseg import phantoms
from gliomaseg.choices import PhantomFormat
from gliomaseg.errors import ConfigError, GliomasegError, OutputExistsError, ResourceError
from gliomaseg.phantoms import PhantomPatient, phantom_patient, write_phantoms

SIDE_PX = 96
NAME = re.compile(r"PHANTOM_(AA|BB|CC)_\d{4}_\d{8}")


@pytest.fixture(scope="module")
def patients() -> list[PhantomPatient]:
    return [phantom_patient(index, side_px=SIDE_PX) for index in range(16)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), patients=4, side_px=SIDE_PX)


def names_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def file_contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.tif")}


def test_patient_is_reproducible(patients: list[PhantomPatient]) -> None:
    again = phantom_patient(3, side_px=SIDE_PX)
    assert again.name == patients[3].name
    assert again.image.tobytes() == patients[3].image.tobytes()
    assert again.mask.tobytes() == patients[3].mask.tobytes()


def test_patient_does_not_depend_on_the_set(written: Path) -> None:
    alone = phantom_patient(3, side_px=SIDE_PX)
    folder = written / alone.name
    for z, picture in enumerate(alone.image, start=1):
        assert np.array_equal(tifffile.imread(folder / f"{alone.name}_{z}.tif"), picture)


def test_smaller_set_has_the_first_patients_of_a_larger_set(written: Path, tmp_path: Path) -> None:
    fewer = file_contents(write_phantoms(tmp_path, patients=2, side_px=SIDE_PX))
    more = file_contents(written)
    assert fewer
    assert fewer == {name: more[name] for name in fewer}


def test_another_seed_gives_another_patient(patients: list[PhantomPatient]) -> None:
    other = phantom_patient(3, seed=1, side_px=SIDE_PX, slices=len(patients[3].image))
    assert other.name != patients[3].name
    assert not np.array_equal(other.image, patients[3].image)


def test_names_are_unique_and_have_the_form_of_the_data_set(patients: list[PhantomPatient]) -> None:
    names = [patient.name for patient in patients]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for name in names)


def test_arrays_have_the_documented_shapes_and_types(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        slices = len(patient.image)
        assert 18 <= slices <= 26
        assert patient.image.shape == (slices, SIDE_PX, SIDE_PX, 3)
        assert patient.image.dtype == np.uint8
        assert patient.mask.shape == (slices, SIDE_PX, SIDE_PX)
        assert patient.mask.dtype == np.bool_


@pytest.mark.parametrize("side_px", [33, 64, 97])
def test_side_and_number_of_slices_are_those_requested(side_px: int) -> None:
    patient = phantom_patient(0, side_px=side_px, slices=5)
    assert patient.image.shape == (5, side_px, side_px, 3)
    assert patient.mask.any()


def test_every_patient_has_a_tumour(patients: list[PhantomPatient]) -> None:
    assert all(patient.mask.any() for patient in patients)


def test_about_a_third_of_the_slices_show_tumour(patients: list[PhantomPatient]) -> None:
    has_tumour = np.concatenate([patient.mask.any(axis=(1, 2)) for patient in patients[:12]])
    assert 0.2 < has_tumour.mean() < 0.5


def test_tumour_is_brighter_in_flair_than_the_rest_of_the_brain(patients: list[PhantomPatient]) -> None:
    # Half of the pixels of a head in the middle slice are brain: their median is the brain's.
    for patient in patients:
        flair = patient.image[..., 1]
        middle = flair[len(flair) // 2]
        assert np.median(flair[patient.mask]) > 1.1 * np.median(middle[middle > 20])


def test_best_flair_threshold_has_a_dice_below_one_half(patients: list[PhantomPatient]) -> None:
    best_dice = []
    for patient in patients:
        flair, mask = patient.image[..., 1], patient.mask
        thresholded = [flair > level for level in range(40, 250, 10)]
        best_dice.append(max(2 * (bright & mask).sum() / (bright.sum() + mask.sum()) for bright in thresholded))
    assert np.mean(best_dice) < 0.5


def test_tumour_lies_in_one_half_of_the_head(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        right = patient.mask[..., SIDE_PX // 2 :].sum() / patient.mask.sum()
        assert max(right, 1 - right) > 0.8


def test_adjacent_slices_are_correlated(patients: list[PhantomPatient]) -> None:
    def correlation(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])

    for patient in patients:
        stack = patient.image[3:-4, ..., 1].astype(np.float64)
        adjacent = [correlation(a, b) for a, b in pairwise(stack)]
        distant = [correlation(a, b) for a, b in zip(stack, stack[8:], strict=False)]
        assert min(adjacent) > 0.6
        assert np.mean(adjacent) > np.mean(distant)


def test_tumour_overlaps_in_adjacent_slices(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        areas = patient.mask.sum(axis=(1, 2))
        widest = int(areas.argmax())
        adjacent_masks = patient.mask[max(widest - 1, 0)] | patient.mask[widest + 1]
        assert (patient.mask[widest] & adjacent_masks).sum() > 0.5 * areas[widest]


def test_background_is_dark_and_brain_mid_grey(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        middle = patient.image[len(patient.image) // 2, ..., 1]
        assert np.median(middle[:8, :8]) < 8
        assert 40 < np.median(middle[middle > 20]) < 130


def test_only_missing_sequences_are_copies_of_flair(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        t1, flair, t1ce = np.moveaxis(patient.image, -1, 0)
        assert np.array_equal(t1, flair) == ("t1" in patient.missing)
        assert np.array_equal(t1ce, flair) == ("t1ce" in patient.missing)


def test_two_of_sixteen_patients_lack_t1ce_and_one_lacks_t1(patients: list[PhantomPatient]) -> None:
    missing = [patient.missing for patient in patients]
    assert missing.count(("t1ce",)) == 2
    assert missing.count(("t1",)) == 1
    assert missing.count(()) == 13


def test_files_have_the_layout_of_the_archive(written: Path, patients: list[PhantomPatient]) -> None:
    assert written.name == "kaggle_3m"
    assert {path.name for path in written.iterdir()} == {patient.name for patient in patients[:4]}
    for patient in patients[:4]:
        numbers = range(1, len(patient.image) + 1)
        expected = {f"{patient.name}_{n}{tail}.tif" for n in numbers for tail in ("", "_mask")}
        assert {path.name for path in (written / patient.name).iterdir()} == expected


def test_slices_are_uncompressed_rgb_and_masks_are_binary(written: Path, patients: list[PhantomPatient]) -> None:
    name, slices = patients[0].name, len(patients[0].image)
    for n in range(1, slices + 1):
        with tifffile.TiffFile(written / name / f"{name}_{n}.tif") as file:
            page = file.pages[0]
            assert (page.shape, page.dtype) == ((SIDE_PX, SIDE_PX, 3), np.uint8)
            assert page.photometric == tifffile.PHOTOMETRIC.RGB
            assert page.compression == tifffile.COMPRESSION.NONE
        with tifffile.TiffFile(written / name / f"{name}_{n}_mask.tif") as file:
            page = file.pages[0]
            assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
            mask = page.asarray()
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255}
        assert np.array_equal(mask == 255, patients[0].mask[n - 1])


def test_progress_gets_the_name_of_every_patient(tmp_path: Path, patients: list[PhantomPatient]) -> None:
    names: list[str] = []
    write_phantoms(tmp_path, patients=2, side_px=SIDE_PX, progress=names.append)
    assert names == [patient.name for patient in patients[:2]]


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    for kind in PhantomFormat:
        root = write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, kind=kind)
        files = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
        with pytest.raises(OutputExistsError, match="exists already; pass --overwrite"):
            write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, kind=kind)
        assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == files


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_patients_is_kept(tmp_path: Path, *, overwrite: bool) -> None:
    kept = tmp_path / "kaggle_3m" / "TCGA_XX_0001_19990101"
    kept.mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="phantom did not write it; move it, or pass another folder"):
        write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, overwrite=overwrite)
    assert kept.is_dir()


@pytest.mark.parametrize("name", ["notes.txt", "sub/notes.txt"])
def test_overwrite_keeps_a_foreign_file_in_a_patients_folder(tmp_path: Path, name: str) -> None:
    patient = next(write_phantoms(tmp_path, patients=1, side_px=SIDE_PX).iterdir())
    (patient / name).parent.mkdir(exist_ok=True)
    (patient / name).write_text("mine")
    with pytest.raises(OutputExistsError, match=r"notes\.txt: is not ours"):
        write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, overwrite=True)
    assert (patient / name).read_text() == "mine"


def test_overwrite_keeps_a_mask_that_was_corrected(tmp_path: Path) -> None:
    patient = next(write_phantoms(tmp_path, patients=1, side_px=SIDE_PX).iterdir())
    (patient / f"{patient.name}_1_mask.tif").write_bytes(b"corrected")
    with pytest.raises(OutputExistsError, match=r"_1_mask\.tif: was changed since phantom wrote it"):
        write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, overwrite=True)
    assert (patient / f"{patient.name}_1_mask.tif").read_bytes() == b"corrected"


@pytest.mark.parametrize("kind", PhantomFormat)
def test_overwrite_replaces_older_phantoms(tmp_path: Path, patients: list[PhantomPatient], kind: PhantomFormat) -> None:
    write_phantoms(tmp_path, patients=2, seed=7, side_px=SIDE_PX, kind=kind)
    root = write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, overwrite=True, kind=kind)
    expected = write_phantoms(tmp_path / "new", patients=1, side_px=SIDE_PX, kind=kind)
    assert names_below(root) == names_below(expected)


def test_empty_folder_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "kaggle_3m").mkdir()
    root = write_phantoms(tmp_path, patients=1, side_px=SIDE_PX)
    assert len(list(root.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [(errno.ENOSPC, ResourceError, "disk is full"), (errno.EACCES, GliomasegError, "cannot be written")],
)
def test_failed_write_leaves_no_patient_of_the_new_set(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patients: list[PhantomPatient],
    number: int,
    kind: type[GliomasegError],
    words: str,
) -> None:
    files_per_patient = len(patients[0].image) * 2
    calls = 0
    imwrite = tifffile.imwrite

    def fail_later(*arguments: object, **settings: object) -> None:
        nonlocal calls
        calls += 1
        if calls > files_per_patient + 5:
            raise OSError(number, "simulated")
        imwrite(*arguments, **settings)

    before = names_below(write_phantoms(tmp_path / "old", patients=1, seed=7, side_px=SIDE_PX))
    monkeypatch.setattr(phantoms.writers.tifffile, "imwrite", fail_later)
    for folder in ("new", "old"):
        calls = 0
        with pytest.raises(kind, match=words) as caught:
            write_phantoms(tmp_path / folder, patients=2, side_px=SIDE_PX, overwrite=True)
        assert type(caught.value) is kind
    assert list((tmp_path / "new").iterdir()) == []
    assert names_below(tmp_path / "old" / "kaggle_3m") == before


def test_file_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kaggle_3m").write_text("a file")
    with pytest.raises(GliomasegError, match="kaggle_3m"):
        write_phantoms(tmp_path, patients=1, side_px=SIDE_PX)


@pytest.mark.parametrize("patients", [0, -1])
def test_fewer_than_one_patient_is_refused(tmp_path: Path, patients: int) -> None:
    with pytest.raises(ConfigError, match="patients"):
        write_phantoms(tmp_path, patients=patients)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"index": -1}, {"seed": -1}, {"side_px": 8}, {"slices": 0}])
def test_too_small_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        phantom_patient(**{"index": 0, **wrong})


# --- as NIfTI


def test_nifti_volumes_have_the_slices_the_mask_and_the_spacing(tmp_path: Path, patients: list[PhantomPatient]) -> None:
    root = write_phantoms(tmp_path, patients=3, side_px=SIDE_PX, kind="nifti")
    assert root == tmp_path / "nifti"
    for patient in patients[:3]:
        folder = root / patient.name
        written_kinds = {"flair", "seg"} | ({"t1", "t1ce"} - set(patient.missing))
        assert {path.name for path in folder.iterdir()} == {f"{patient.name}_{kind}.nii.gz" for kind in written_kinds}
        flair = nibabel.load(folder / f"{patient.name}_flair.nii.gz")
        seg = nibabel.load(folder / f"{patient.name}_seg.nii.gz")
        assert np.array_equal(np.asarray(flair.dataobj).T, patient.image[..., 1])
        assert np.array_equal(np.asarray(seg.dataobj).T > 0, patient.mask)
        assert nibabel.aff2axcodes(flair.affine) == ("L", "P", "S")
        assert np.allclose(flair.header.get_zooms(), patient.spacing_mm[::-1])
        assert np.array_equal(flair.affine, seg.affine)


# --- as data sets of other layouts


def test_brats_files_have_the_names_of_2023(tmp_path: Path, patients: list[PhantomPatient]) -> None:
    root = write_phantoms(tmp_path, patients=3, side_px=SIDE_PX, kind="brats")
    endings = {"t1": "t1n", "flair": "t2f", "t1ce": "t1c"}
    for patient in patients[:3]:
        kinds = {"seg"} | {ending for sequence, ending in endings.items() if sequence not in patient.missing}
        expected = {f"{patient.name}-{kind}.nii.gz" for kind in kinds}
        assert {path.name for path in (root / patient.name).iterdir()} == expected
        flair = nibabel.load(root / patient.name / f"{patient.name}-t2f.nii.gz")
        assert np.array_equal(np.asarray(flair.dataobj).T, patient.image[..., 1])


def test_nnunet_has_every_channel_and_a_description(tmp_path: Path, patients: list[PhantomPatient]) -> None:
    root = write_phantoms(tmp_path, patients=2, side_px=SIDE_PX, kind="nnunet")
    description = json.loads((root / "dataset.json").read_text())
    assert description["numTraining"] == 2
    assert description["channel_names"] == {"0": "T1", "1": "FLAIR", "2": "T1ce"}
    for patient in patients[:2]:
        for channel in range(3):
            image = nibabel.load(root / "imagesTr" / f"{patient.name}_{channel:04d}.nii.gz")
            assert np.array_equal(np.asarray(image.dataobj).T, patient.image[..., channel])
        mask = nibabel.load(root / "labelsTr" / f"{patient.name}.nii.gz")
        assert np.array_equal(np.asarray(mask.dataobj).T > 0, patient.mask)


def test_bids_names_have_subject_and_session(tmp_path: Path) -> None:
    # Patient 0 is PHANTOM_AA_1000_20000101 and has all sequences.
    root = write_phantoms(tmp_path, patients=1, side_px=SIDE_PX, kind="bids")
    stem, place = "sub-PHANTOMAA1000_ses-20000101", "sub-PHANTOMAA1000/ses-20000101/anat"
    assert names_below(root) == {
        "dataset_description.json",
        "participants.tsv",
        "derivatives/masks/dataset_description.json",
        f"derivatives/masks/{place}/{stem}_label-tumour_mask.nii.gz",
        *(f"{place}/{stem}_{ending}.nii.gz" for ending in ("FLAIR", "T1w", "ce-gadolinium_T1w")),
    }


def test_spacing_is_plausible_for_a_head(patients: list[PhantomPatient]) -> None:
    for patient in patients:
        slice_mm, row_mm, column_mm = patient.spacing_mm
        assert 4 < slice_mm < 9
        assert row_mm == column_mm
        assert 190 < SIDE_PX * row_mm < 220
