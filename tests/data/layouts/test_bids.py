"""BIDS: which files are a case, and what is said of the others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.layouts import LAYOUTS, read_cases
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, GeometryError
from gliomaseg.phantoms import phantom_patient
from gliomaseg.types import Sequence
from volume_cases import SHAPE, noise, require_training_and_scores, save

MASKS = "derivatives/manual"
NO_SITE = "participants.tsv gives no site of sub-{} (1 in all)"
NO_COLUMN = "participants.tsv has no column participant_id: it gives no site"


def tumour() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 1:4, 2] = 1, 2, 4
    return mask


def write(root: Path, *files: str) -> Path:
    """Write an image or a mask for each relative path without a suffix; the order of the paths is the seed."""
    for seed, name in enumerate(files):
        is_mask = re.search("mask|roi|dseg|lesion", name, re.IGNORECASE) is not None
        save(root / f"{name}.nii.gz", tumour() if is_mask else noise(seed))
    return root


FLAIR, MASK = "sub-01/anat/sub-01_FLAIR", f"{MASKS}/sub-01/anat/sub-01_label-lesion_mask"


def problems(cases: CaseList) -> dict[str, str]:
    return {entry.where: entry.what for entry in cases.problems}


def skipped(cases: CaseList) -> dict[str, str]:
    return {entry.where.replace(".nii.gz", ""): entry.what for entry in cases.skipped}


def mask_of(root: Path) -> str:
    """Return the mask of the only case."""
    cases = read_cases(root)
    assert cases.problems == ()
    (case,) = cases.cases
    assert case.volumes is not None
    return case.volumes.mask.path.relative_to(root).as_posix().replace(".nii.gz", "")


def test_a_case_has_its_sequences_and_its_mask(tmp_path: Path) -> None:
    folder = "sub-01/anat/sub-01"
    write(tmp_path, FLAIR, f"{folder}_T1w", f"{folder}_ce-gadolinium_T1w", f"{folder}_T2w", MASK)
    cases = read_cases(tmp_path)
    assert (cases.layout, cases.problems, cases.skipped) == ("bids", (), ())
    (case,) = cases.cases
    assert (case.name, case.patient, case.site) == ("sub-01", "sub-01", "unknown")
    assert case.volumes is not None
    assert set(case.volumes.images) == set(Sequence)
    loaded = read_case(case)
    for channel, seed in enumerate((1, 0, 2)):  # T1, FLAIR, T1ce
        assert np.array_equal(loaded.scan.voxels[..., channel], noise(seed).T)
    assert np.array_equal(loaded.reference, tumour().T > 0)


@pytest.mark.parametrize(
    "name",
    [
        f"{MASKS}/sub-01/anat/sub-01_label-lesion_mask",
        f"{MASKS}/sub-01/anat/sub-01_label-tumor_dseg",
        f"{MASKS}/sub-01/anat/sub-01_space-orig_desc-tumour_mask",
        f"{MASKS}/sub-01/anat/sub-01_space-FLAIR_label-WT_mask",
        f"{MASKS}/sub-01/sub-01_FLAIR_desc-expert_mask",
        f"{MASKS}/sub-01/anat/lesion_mask",
        "derivatives/sub-01/anat/sub-01_dseg",
        "sub-01/anat/sub-01_FLAIR_roi",
        "sub-01/anat/sub-01_lesion_mask",
        "sub-01/anat/sub-01_desc-tumor_mask",
        "sub-01/anat/sub-01_lesion",
    ],
)
def test_masks_are_in_derivatives_or_beside_the_image(tmp_path: Path, name: str) -> None:
    assert mask_of(write(tmp_path, FLAIR, name)) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{MASKS}/sub-01/anat/sub-01_label-lesion_probseg", "is a map of probabilities"),
        (f"{MASKS}/sub-01/anat/sub-01_desc-brain_mask", "is a mask of another structure than the tumour"),
        (f"{MASKS}/sub-01/anat/sub-01_label-GM_mask", "is a mask of another structure than the tumour"),
        (f"{MASKS}/sub-01/anat/sub-01_label-ET_mask", "is a mask of et"),
        (f"{MASKS}/sub-01/anat/sub-01_space-MNI152_label-lesion_mask", "is a mask in the space mni152"),
        ("derivatives/fMRIPrep/sub-01/anat/sub-01_dseg", "is a mask by fMRIPrep, which does not outline tumours"),
        ("derivatives/gliomaseg/sub-01/sub-01_FLAIR_mask", "is a result of predict"),
        (f"{MASKS}/sub-01/anat/sub-01_FLAIR_mask", "is another mask beside sub-01_label-lesion_mask.nii.gz"),
        (f"{MASKS}/sub-01/anat/sub-01_T1w_lesion_mask", "is another mask beside sub-01_label-lesion_mask.nii.gz"),
        (f"{MASKS}/sub-01/anat/sub-01_desc-preproc_FLAIR", "is not a mask, and images are not read from derivatives"),
        ("sub-01/anat/sub-01_T2star", "is another sequence than T1, T2 and FLAIR"),
        ("sub-01/anat/sub-01_desc-defaced_FLAIR", "is a processed copy of another image"),
        ("sub-01/dwi/sub-01_dwi", "is not in an anat folder of a subject, nor in derivatives"),
        ("sub-02/anat/sub-02_FLAIR", "has no mask"),
        ("sub-02/anat/sub-02_T1w", "is of an examination without a mask"),
    ],
)
def test_other_files_are_skipped_with_a_reason(tmp_path: Path, name: str, reason: str) -> None:
    write(tmp_path, FLAIR, MASK, name)
    assert mask_of(tmp_path) == MASK
    assert skipped(read_cases(tmp_path)) == {name: reason}


def test_metadata_system_files_and_hidden_folders_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK)
    for name in ("dataset_description.json", "sub-01/anat/sub-01_FLAIR.json", "sub-01/anat/._sub-01_FLAIR.nii.gz"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / ".git").mkdir()
    assert set(skipped(read_cases(tmp_path))) == {
        "dataset_description.json",
        "sub-01/anat/sub-01_FLAIR.json",
        "sub-01/anat/._sub-01_FLAIR",
        ".git",
    }


def test_results_of_predict_are_no_masks(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK, "derivatives/ours/sub-01/sub-01_FLAIR_lesion_mask")
    line = {"path": "sub-01/sub-01_FLAIR_lesion_mask.nii.gz", "command": "predict", "sha256": ""}
    (tmp_path / "derivatives" / "ours" / ".gliomaseg-files").write_text(json.dumps(line) + "\n", "utf-8")
    assert mask_of(tmp_path) == MASK
    assert skipped(read_cases(tmp_path)) == {
        "derivatives/ours/sub-01/sub-01_FLAIR_lesion_mask": "is a result of predict"
    }


def test_the_sessions_of_a_subject_are_cases_of_one_patient(tmp_path: Path) -> None:
    for session in ("ses-1", "ses-2"):
        stem = f"sub-01/{session}/anat/sub-01_{session}"
        write(tmp_path, f"{stem}_FLAIR", f"{stem}_T1w", f"{MASKS}/{stem}_label-lesion_mask")
    cases = read_cases(tmp_path)
    assert [(case.name, case.patient) for case in cases.cases] == [
        ("sub-01_ses-1", "sub-01"),
        ("sub-01_ses-2", "sub-01"),
    ]
    for case in cases.cases:
        assert all(case.name in file.name for file in case.files)


def test_a_mask_without_a_session_belongs_to_the_only_session(tmp_path: Path) -> None:
    write(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_FLAIR", MASK)
    assert mask_of(tmp_path) == MASK


def test_each_run_with_its_own_mask_is_a_case(tmp_path: Path) -> None:
    stem = "sub-01/anat/sub-01"
    runs = [f"{stem}_acq-3D_run-{run}" for run in (1, 2, 3)]
    write(tmp_path, *(f"{run}_FLAIR" for run in runs), f"{stem}_run-1_T1w", f"{stem}_run-2_T1w")
    write(tmp_path, *(f"{MASKS}/{stem}_run-{run}_label-lesion_mask" for run in (1, 2)))
    cases = read_cases(tmp_path)
    assert cases.problems == ()
    assert [case.name for case in cases.cases] == ["sub-01_acq-3D_run-1", "sub-01_acq-3D_run-2"]
    assert [case.patient for case in cases.cases] == ["sub-01", "sub-01"]
    for run, case in enumerate(cases.cases, start=1):
        assert {f"run-{run}" in file.name for file in case.files} == {True}
    assert skipped(cases) == {f"{runs[2]}_FLAIR": "has no mask"}


def test_a_mask_that_fits_several_images_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "sub-01/anat/sub-01_run-1_FLAIR", "sub-01/anat/sub-01_run-2_FLAIR", MASK)
    write(tmp_path, "sub-02/anat/sub-02_FLAIR", "sub-02/anat/sub-02_lesion_mask")
    what = "fits several FLAIR images: sub-01_run-1_FLAIR.nii.gz, sub-01_run-2_FLAIR.nii.gz"
    assert problems(read_cases(tmp_path)) == {f"{MASK}.nii.gz": what}


def test_a_mask_with_the_entities_of_one_image_belongs_to_it(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, "sub-01/anat/sub-01_acq-2D_FLAIR", MASK)
    (case,) = read_cases(tmp_path).cases
    assert case.volumes is not None
    assert case.volumes.images[Sequence.FLAIR].path == tmp_path / f"{FLAIR}.nii.gz"


def test_several_masks_that_fit_are_a_problem_that_names_them(tmp_path: Path) -> None:
    other = "sub-01/anat/sub-01_desc-tumor_mask"
    write(tmp_path, FLAIR, MASK, other, "sub-02/anat/sub-02_FLAIR", "sub-02/anat/sub-02_lesion_mask")
    cases = read_cases(tmp_path)
    assert problems(cases) == {f"{FLAIR}.nii.gz": f"has several masks: {MASK}.nii.gz, {other}.nii.gz"}
    assert [case.name for case in cases.cases] == ["sub-02"]


def test_a_tumour_mask_without_flair_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK, "sub-02/anat/sub-02_T1w", "sub-02/anat/sub-02_lesion_mask", "sub-02/anat/sub-02_roi")
    cases = read_cases(tmp_path)
    assert problems(cases) == {"sub-02/anat/sub-02_lesion_mask.nii.gz": "is a mask without a FLAIR image"}
    assert skipped(cases) == {
        "sub-02/anat/sub-02_T1w": "is of an examination without a mask",
        "sub-02/anat/sub-02_roi": "belongs to no FLAIR image",
    }


@pytest.mark.parametrize("broken", [FLAIR, MASK])
def test_links_to_nothing_are_problems(tmp_path: Path, broken: str) -> None:
    write(tmp_path, FLAIR, MASK, "sub-02/anat/sub-02_FLAIR", "sub-02/anat/sub-02_lesion_mask")
    file = tmp_path / f"{broken}.nii.gz"
    file.unlink()
    file.symlink_to("../../.git/annex/objects/nothing.nii.gz")
    cases = read_cases(tmp_path)
    what = "is a link to a file that is not here (for DataLad, run `datalad get`)"
    assert problems(cases) == {f"{broken}.nii.gz": what}
    assert [case.name for case in cases.cases] == ["sub-02"]
    assert skipped(cases) == {}


def test_a_file_of_another_subject_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK, "sub-01/anat/sub-02_T1w")
    assert problems(read_cases(tmp_path)) == {"sub-01/anat/sub-02_T1w.nii.gz": "is of sub-02, in the folder of sub-01"}


def test_names_may_be_in_capital_or_small_letters(tmp_path: Path) -> None:
    write(tmp_path, "SUB-A1/SES-2/Anat/SUB-A1_SES-2_flair", "Derivatives/x/sub-a1/ses-2/sub-a1_ses-2_Label-Lesion_MASK")
    for file in tmp_path.rglob("*.nii.gz"):
        file.rename(file.with_name(file.name.replace(".nii.gz", ".NII.GZ")))
    (case,) = read_cases(tmp_path).cases
    assert (case.name, case.patient) == ("SUB-A1_SES-2", "SUB-A1")
    assert read_case(case).reference.sum() == 3


@pytest.mark.parametrize(
    ("table", "sites", "notes"),
    [
        ("participant_id\tage\tsite\nsub-01\t50\tBonn\nsub-02\t60\tKöln\n", ["Bonn", "Köln"], ()),
        ("Participant_ID\tcentre\r\n01\tBonn\r\nsub-02\tn/a\r\n", ["Bonn", "unknown"], (NO_SITE.format("02"),)),
        ("\ufeffparticipant_id\tsite_id\nsub-02\tA\textra\nsub-01\n", ["unknown", "A"], (NO_SITE.format("01"),)),
        ("participant_id\tage\nsub-01\t50\n", ["unknown", "unknown"], ()),
        ("subject\tsite\nsub-01\tBonn\n", ["unknown", "unknown"], (NO_COLUMN,)),
        ("", ["unknown", "unknown"], ()),
    ],
)
def test_participants_tsv_gives_the_sites(tmp_path: Path, table: str, sites: list[str], notes: tuple[str, ...]) -> None:
    write(tmp_path, FLAIR, MASK, "sub-02/anat/sub-02_FLAIR", "sub-02/anat/sub-02_roi")
    (tmp_path / "participants.tsv").write_text(table, "utf-8", newline="")
    cases = read_cases(tmp_path)
    assert (cases.problems, cases.skipped) == ((), ())
    assert [case.site for case in cases.cases] == sites
    assert cases.notes == notes


def test_participants_tsv_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK)
    (tmp_path / "participants.tsv").write_bytes(b"participant_id\tsite\nsub-01\t\xff\n")
    assert list(problems(read_cases(tmp_path))) == ["participants.tsv"]


def test_a_copy_on_the_grid_of_flair_is_preferred(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK, "sub-01/anat/sub-01_T1w", "sub-01/anat/sub-01_space-FLAIR_T1w")
    cases = read_cases(tmp_path)
    assert cases.cases[0].volumes is not None
    assert cases.cases[0].volumes.images[Sequence.T1].path.name == "sub-01_space-FLAIR_T1w.nii.gz"
    assert skipped(cases) == {"sub-01/anat/sub-01_T1w": "is a further t1 image"}


def test_chosen_labels_are_tumour_and_another_grid_is_refused(tmp_path: Path) -> None:
    write(tmp_path, FLAIR, MASK)
    (case,) = read_cases(tmp_path, DataOptions(labels=MaskLabels(frozenset({1, 4})))).cases
    assert read_case(case).reference.sum() == 2
    save(tmp_path / f"{MASK}.nii.gz", tumour(), np.diag([-1.0, -1.0, 2.0, 1.0]))
    with pytest.raises(GeometryError, match="grid is 6 x 5 x 4 voxels of 1 x 1 x 2 mm"):
        read_case(case)


def test_a_data_set_without_masks_is_refused(tmp_path: Path) -> None:
    write(tmp_path, FLAIR)
    message = r"has no case with FLAIR and a mask \(sub-01/anat/sub-01_FLAIR.nii.gz has no mask\)"
    with pytest.raises(DataError, match=message):
        read_cases(tmp_path)


def test_a_folder_of_another_layout_is_not_recognised(tmp_path: Path, phantoms: Path) -> None:
    assert not LAYOUTS["bids"].recognise(phantoms)
    write(tmp_path, "imagesTr/a_0000", "labelsTr/a")
    (tmp_path / "sub-01").mkdir()
    assert not LAYOUTS["bids"].recognise(tmp_path)
    assert not LAYOUTS["bids"].recognise(tmp_path / "imagesTr" / "a_0000.nii.gz")
    write(tmp_path, FLAIR)
    assert LAYOUTS["bids"].recognise(tmp_path)
    assert not LAYOUTS["nnunet"].recognise(tmp_path)


def write_phantoms(root: Path) -> Path:
    """Write four phantom patients of 64 x 64 pixels in 6 slices."""
    for index in range(4):
        patient = phantom_patient(index, side_px=64, slices=6)
        subject = f"sub-{index:02}"
        affine = np.diag([-patient.spacing_mm[2], -patient.spacing_mm[1], patient.spacing_mm[0], 1.0])
        for channel, suffix in enumerate(("T1w", "FLAIR", "ce-gd_T1w")):
            save(root / subject / "anat" / f"{subject}_{suffix}.nii.gz", patient.image[..., channel].T, affine)
        mask = root / MASKS / subject / "anat" / f"{subject}_label-lesion_mask.nii.gz"
        save(mask, patient.mask.T.astype(np.uint8), affine)
    return root


def test_a_data_set_trains_and_is_scored(tmp_path: Path) -> None:
    data = write_phantoms(tmp_path / "data")
    require_training_and_scores(data, tmp_path, cases=4)


@pytest.mark.real_data
def test_real_scans_are_equal_to_their_files(tmp_path: Path, external_scans: Path) -> None:
    patients = ("brats_2013_pat0003_1", "brats_2013_pat0006_1")
    for number, patient in enumerate(patients, start=1):
        subject = f"sub-{number:02}"
        (tmp_path / subject / "anat").mkdir(parents=True)
        (tmp_path / MASKS / subject / "anat").mkdir(parents=True)
        shutil.copy(external_scans / patient / "flair.nii.gz", tmp_path / subject / "anat" / f"{subject}_FLAIR.nii.gz")
        mask = tmp_path / MASKS / subject / "anat" / f"{subject}_space-orig_label-tumor_dseg.nii.gz"
        shutil.copy(external_scans / patient / "seg.nii.gz", mask)
    for patient, case in zip(patients, read_cases(tmp_path).cases, strict=True):
        flair = nibabel.load(external_scans / patient / "flair.nii.gz")
        loaded = read_case(case)
        assert np.array_equal(loaded.scan.voxels[..., 0], np.asanyarray(flair.dataobj).T.astype(np.float32))
        values = np.asanyarray(nibabel.load(external_scans / patient / "seg.nii.gz").dataobj).T
        assert np.array_equal(loaded.reference, values > 0)
        assert loaded.reference.any()
        assert np.allclose(loaded.scan.affine, flair.affine)
