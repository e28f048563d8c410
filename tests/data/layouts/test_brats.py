"""The layout of BraTS: names of all years, one case a folder, and every other file with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from files import touch
from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.findings import BROKEN_LINK, NO_VOLUME
from gliomaseg.data.layouts import brats, read_cases
from gliomaseg.errors import DataError, UsageError
from gliomaseg.formats import Grid, write_volume
from gliomaseg.ownership import OutputFolder
from gliomaseg.types import Sequence

T1, T1CE, T2, FLAIR = Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR


def read(root: Path) -> CaseList:
    return read_cases(root, DataOptions(layout="brats"))


def files_of(cases: CaseList) -> dict[str, dict[str, str]]:
    """Return the files of each case by sequence, relative to the data set."""
    result = {}
    for case in cases.cases:
        assert case.volumes
        named = {key.value: volume.path for key, volume in case.volumes.images.items()}
        result[case.name] = {
            key: path.relative_to(cases.root).as_posix()
            for key, path in {**named, "mask": case.volumes.mask.path}.items()
        }
    return result


def lines(problems: object) -> dict[str, str]:
    return {entry.where: entry.what for entry in problems}  # type: ignore[attr-defined]


YEARS = {
    "2012": ("BRATS_HG0001", "BRATS_HG0001/BRATS_HG0001_{}.mha", ("T1", "T1C", "T2", "FLAIR", "truth")),
    "2017": ("Brats17_TCIA_201_1", "HGG/Brats17_TCIA_201_1/Brats17_TCIA_201_1_{}.nii.gz", None),
    "2018": ("Brats18_TCIA01_131_1", "LGG/Brats18_TCIA01_131_1/Brats18_TCIA01_131_1_{}.nii.gz", None),
    "2020": ("BraTS20_Training_001", "a/b/c/BraTS20_Training_001/BraTS20_Training_001_{}.nii", None),
    "2021": ("BraTS2021_00000", "BraTS2021_00000/BraTS2021_00000_{}.nii.gz", None),
    "2023": (
        "BraTS-GLI-00001-000",
        "BraTS-GLI-00001-000/BraTS-GLI-00001-000-{}.nii.gz",
        ("t1n", "t1c", "t2w", "t2f", "seg"),
    ),
    "upper case": ("P1", "P1/P1_{}.NII.GZ", ("T1", "T1CE", "T2", "FLAIR", "SEG")),
    "by folder": ("Ögmundur 7", "Ögmundur 7/{}.nii.gz", None),
    "without folder": ("P1", "P1_{}.nii.gz", None),
}


@pytest.mark.parametrize("year", YEARS)
def test_names_of_every_year_are_read(tmp_path: Path, year: str) -> None:
    case, form, endings = YEARS[year]
    names = [form.format(ending) for ending in endings or ("t1", "t1ce", "t2", "flair", "seg")]
    cases = read_cases(touch(tmp_path, *names))
    assert cases.layout == "brats"
    assert files_of(cases) == {case: dict(zip(("t1", "t1ce", "t2", "flair", "mask"), names, strict=True))}
    assert (cases.problems, cases.skipped, cases.notes) == ((), (), ())


def test_the_files_of_2013_and_2015_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    def files(folder: str, first: int) -> list[str]:
        stems = [f"VSD.Brain.XX.O.MR_{name}" for name in ("Flair", "T1", "T1c", "T2")] + ["VSD.Brain_3more.XX.O.OT"]
        return [f"{folder}/{stem}/{stem}.{first + k}.mha" for k, stem in enumerate(stems)]

    places = ("HG/0001", "LG/0001", "HGG/brats_2013_pat0001_1")
    root = touch(tmp_path, *(name for k, place in enumerate(places) for name in files(place, 684 + 10 * k)))
    cases = read_cases(root)
    assert [case.name for case in cases.cases] == ["HG_0001", "LG_0001", "brats_2013_pat0001_1"]
    # The numbers of HG and LG both begin with 1: they are two patients.
    assert [case.patient for case in cases.cases] == ["HG_0001", "LG_0001", "brats_2013_pat0001"]
    expected = dict(zip(("flair", "t1", "t1ce", "t2", "mask"), files("LG/0001", 694), strict=True))
    assert files_of(cases)["LG_0001"] == expected
    assert (cases.problems, cases.skipped) == ((), ())


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("BraTS-GLI-00001-000", "BraTS-GLI-00001"),
        ("BraTS-GLI-00001-001", "BraTS-GLI-00001"),
        ("BraTS2021_00001", "BraTS2021_00001"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("Brats18_TCIA01_131_1", "Brats18_TCIA01_131"),
        ("brats_tcia_pat165_0001", "brats_tcia_pat165"),
        ("UPENN-GBM-00001_21", "UPENN-GBM-00001"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003"),
        ("P1_20190131", "P1"),
        ("P1/ses-2", "P1"),
        ("P7/2019-01-31", "P7"),
        ("P7/visit2", "P7"),
    ],
)
def test_examinations_of_one_patient_have_one_patient(tmp_path: Path, name: str, patient: str) -> None:
    cases = read(touch(tmp_path, f"{name}/flair.nii.gz", f"{name}/seg.nii.gz")).cases
    assert cases[0].patient == patient


@pytest.mark.parametrize(("first", "second"), [("20190101", "20200101"), ("visit1", "visit2")])
def test_files_with_the_name_of_their_examination_belong_to_the_patient_of_the_folder(
    tmp_path: Path, first: str, second: str
) -> None:
    names = [f"{patient}/{name}/{name}" for patient in ("P1", "P2") for name in (first, second)]
    cases = read(touch(tmp_path, *(f"{name}_{ending}.nii.gz" for name in names for ending in ("flair", "seg")))).cases
    assert [case.patient for case in cases] == ["P1", "P1", "P2", "P2"]
    assert [case.name for case in cases] == [
        f"{patient}_{name}" for patient in ("P1", "P2") for name in (first, second)
    ]


def test_case_355_of_2020_has_a_mask_with_a_foreign_name(tmp_path: Path) -> None:
    case = "BraTS20_Training_355"
    cases = read(touch(tmp_path, f"{case}/{case}_flair.nii", f"{case}/W39_1998.09.19_Segm.nii"))
    assert files_of(cases) == {case: {"flair": f"{case}/{case}_flair.nii", "mask": f"{case}/W39_1998.09.19_Segm.nii"}}


def test_a_folder_may_contain_several_cases(tmp_path: Path) -> None:
    names = [f"P{k}_{ending}.nii.gz" for k in (1, 2, 10) for ending in ("flair", "seg")]
    assert [case.name for case in read(touch(tmp_path, *names)).cases] == ["P1", "P10", "P2"]


def test_a_case_without_a_mask_is_skipped_and_counted(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, "P1/flair.nii", "P1/seg.nii", "P2/flair.nii", "P2/t1.nii"))
    assert lines(cases.skipped) == {"P2/flair.nii": "has no mask beside it", "P2/t1.nii": "its case has no mask"}
    assert cases.notes == ("cases without a mask are skipped: 1",)
    assert cases.problems == ()


def test_a_mask_without_flair_is_a_problem(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, "P1/flair.nii", "P1/seg.nii", "P2/t1.nii", "P2/seg.nii"))
    assert lines(cases.problems) == {"P2/seg.nii": "is a mask without FLAIR"}
    assert lines(cases.skipped) == {"P2/t1.nii": brats.NO_FLAIR}


def test_two_files_of_one_sequence_are_a_problem(tmp_path: Path) -> None:
    names = ("P1/flair.nii", "P1/flair.nii.gz", "P1/seg.nii", "P1/P1_mask.nii.gz")
    cases = read(touch(tmp_path, *names))
    assert lines(cases.problems) == {
        "P1/flair.nii.gz": "is flair of the same case as P1/flair.nii",
        "P1/seg.nii": "is mask of the same case as P1/P1_mask.nii.gz",
    }


def test_files_of_one_case_in_two_places_are_a_problem(tmp_path: Path) -> None:
    names = [f"{place}/P1/P1_{ending}.nii.gz" for place in ("a", "b") for ending in ("flair", "seg")]
    cases = read(touch(tmp_path, *names))
    assert len(cases.cases) == 1
    assert lines(cases.problems) == {"b/P1/P1_flair.nii.gz": "is FLAIR of case P1, as is a/P1/P1_flair.nii.gz"}


def test_other_images_are_skipped_with_a_reason(tmp_path: Path) -> None:
    others = {
        "P1/P1_adc.nii.gz": brats.OTHER_SEQUENCE,
        "P1/P1_FLAIR_bias.nii.gz": brats.COPY,
        "P1/P1_brain_segmentation.nii.gz": brats.OTHER_MASK,
        "P1/P1_x.nii.gz": brats.NO_ROLE,
        "P1/P1.txt": NO_VOLUME,
        "P1/P1_FLAIR_overlay.nii.gz": "is a result of predict by its name",
        "P1/P1_FLAIR_probability.nii.gz": "is a result of predict by its name",
        "P1/P1_FLAIR_mask.nii.gz": "is a result of predict by its name",
        "__MACOSX": "was written by an operating system",
        "P1/._P1_FLAIR.nii.gz": "was written by an operating system",
        ".git": "is hidden",
    }
    names = [name for name in others if name not in ("__MACOSX", ".git")]
    own = ("P1/P1_FLAIR.nii.gz", "P1/P1_tumor_segmentation.nii.gz")
    root = touch(tmp_path, *own, *names, "__MACOSX/P1/._P1_FLAIR.nii.gz", ".git/P1_flair.nii")
    cases = read_cases(root)
    assert files_of(cases) == {"P1": {"flair": own[0], "mask": own[1]}}
    assert lines(cases.skipped) == others
    assert cases.problems == ()


def test_a_corrected_mask_comes_before_an_automatic_one(tmp_path: Path) -> None:
    names = [f"P1/P1_{ending}.nii.gz" for ending in ("flair", "GlistrBoost", "GlistrBoost_ManuallyCorrected")]
    assert files_of(read(touch(tmp_path, *names)))["P1"]["mask"] == names[2]


def test_results_that_predict_recorded_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii", "P1/seg.nii")
    output = OutputFolder(tmp_path / "out", "predict")
    with output.new_file(tmp_path / "out" / "P1_flair_mask.nii.gz") as temporary:
        temporary.write_bytes(b"")
    cases = read(tmp_path)
    assert lines(cases.skipped) == {"out/P1_flair_mask.nii.gz": "is a result of predict"}
    assert cases.problems == ()


def test_a_link_to_nothing_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path, "P1/flair.nii", "P1/seg.nii")
    (tmp_path / "P1" / "t1.nii").symlink_to(tmp_path / "gone.nii")
    assert lines(read(tmp_path).problems) == {"P1/t1.nii": BROKEN_LINK}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "P1/flair.nii", "P1/seg.nii")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cases").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set", target_is_directory=True)
    cases = read(tmp_path / "set")
    assert files_of(cases) == {"P1": {"flair": "cases/P1/flair.nii", "mask": "cases/P1/seg.nii"}}


def test_the_voxels_of_a_nifti_pair_are_no_second_file(tmp_path: Path) -> None:
    names = [f"P1/{stem}.{suffix}" for stem in ("flair", "seg") for suffix in ("hdr", "img")]
    cases = read(touch(tmp_path, *names))
    assert files_of(cases) == {"P1": {"flair": "P1/flair.hdr", "mask": "P1/seg.hdr"}}
    assert (cases.problems, cases.skipped) == ((), ())


@pytest.mark.parametrize(
    "names",
    [
        ("sub-01/anat/sub-01_FLAIR.nii.gz",),
        ("imagesTr/flair_0000.nii.gz", "labelsTr/flair.nii.gz"),
        ("images/P1_flair.nii.gz", "masks/P1_seg.nii.gz"),
        ("derivatives/P1_flair.nii.gz",),
        ("P1/t1.nii.gz", "P1/seg.nii.gz"),
        ("P1/flair.png",),
        (),
    ],
)
def test_folders_of_other_layouts_are_not_recognised(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert not brats.recognise(touch(tmp_path, *names))


def test_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a file, expected a folder"):
        read(touch(tmp_path, "a.nii") / "a.nii")


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no case with FLAIR and a mask \(P1/flair\.nii has no mask"):
        read_cases(touch(tmp_path, "P1/flair.nii"))


def test_the_arrays_are_those_of_the_files(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    grid = Grid((2, 3, 4), np.diag([1.0, 1.0, 5.0, 1.0]))
    (tmp_path / "P1").mkdir()
    write_volume(tmp_path / "P1" / "flair.mha", voxels, grid, description="image")
    write_volume(tmp_path / "P1" / "seg.nii.gz", (voxels > 20).astype(np.uint8), grid, description="mask")
    loaded = read_case(read_cases(tmp_path).cases[0])
    assert np.array_equal(loaded.scan.voxels[..., 0], voxels)
    assert np.array_equal(loaded.reference, voxels > 20)


@pytest.mark.real_data
def test_real_cases_have_masks_and_others_are_skipped(external_scans: Path) -> None:
    cases = read(external_scans)
    assert [case.name for case in cases.cases] == [f"brats_2013_pat000{k}_1" for k in range(1, 7)]
    assert cases.problems == ()
    skipped = lines(cases.skipped)
    for name in ("ms_p01_study2", "ms_p09_study2", "ms_p12_study2", "ms_p20_study2"):
        assert skipped[f"{name}/flair.nii.gz"] == "has no mask beside it"
    loaded = read_case(cases.cases[0])
    assert loaded.reference.shape == loaded.scan.voxels.shape[:3] == (155, 240, 240)
    assert loaded.reference.any()


@pytest.mark.real_data
def test_the_real_folder_has_two_layouts(external_scans: Path) -> None:
    with pytest.raises(UsageError, match="fits the layouts brats and pairs"):
        read_cases(external_scans)
