"""Tests of every layout in the table: the same phantoms give the same cases, arrays and scores, and are recognised.

A new layout needs an entry in `WRITERS` below: a function that writes phantoms in it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.choices import PhantomFormat
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.layouts import LAYOUTS, read_cases
from gliomaseg.data.layouts.manifest import write_manifest
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import UsageError
from gliomaseg.evaluation.scoring import ScoreGrid, score_case
from gliomaseg.formats import write_picture
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.types import Sequence

PATIENTS, SIDE_PX = 8, 64
# nnU-Net and BIDS have names of other forms: `sub-PHANTOMAA1000_ses-20000101`.
OPTIONS = DataOptions(patient_pattern=r"PHANTOM_?[A-Z]{2}_?\d{4}")


def write_as(kind: PhantomFormat, folder: Path) -> Path:
    return write_phantoms(folder, patients=PATIENTS, side_px=SIDE_PX, kind=kind)


def write_pairs(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for index in range(PATIENTS):
        patient = phantom_patient(index, side_px=SIDE_PX)
        for number, (image, mask) in enumerate(zip(patient.image, patient.mask, strict=True), start=1):
            name = f"{patient.name}_{number}.png"
            write_picture(folder / "images" / name, image)
            write_picture(folder / "masks" / name, mask.astype(np.uint8) * 255)
    return folder


def write_table(folder: Path) -> Path:
    cases = read_cases(write_as(PhantomFormat.brats, folder / "data"))
    write_manifest(cases, folder / "cases.csv")
    return folder / "cases.csv"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "manifest": write_table,
    "kaggle": partial(write_as, PhantomFormat.tiff),
    "brats": partial(write_as, PhantomFormat.brats),
    "pairs": write_pairs,
    "nnunet": partial(write_as, PhantomFormat.nnunet),
    "bids": partial(write_as, PhantomFormat.bids),
    "dicom": partial(write_as, PhantomFormat.dicom),
}
FOLDER_LAYOUTS = [name for name in LAYOUTS if name != "manifest"]  # a manifest names each file: none is looked for


@dataclass(frozen=True)
class Written:
    """The phantoms in one layout, as they were read."""

    layout: str
    data: Path
    cases: CaseList


@pytest.fixture(scope="module")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes the phantoms in a layout at the first call."""

    @cache
    def data_set(layout: str) -> Path:
        assert layout in WRITERS, f"add a writer of phantoms for {layout} to WRITERS"
        return WRITERS[layout](tmp_path_factory.mktemp(layout) / "set")

    return data_set


@pytest.fixture(scope="module", params=LAYOUTS)
def written(request: pytest.FixtureRequest, data_of: Callable[[str], Path]) -> Written:
    return Written(request.param, data_of(request.param), read_cases(data_of(request.param), OPTIONS))


def examination(name: str) -> str:
    """Return the letters and digits of a name, without the prefixes of BIDS."""
    return re.sub(r"sub-|ses-|[^A-Za-z0-9]", "", name)


def flair_of(loaded: LoadedCase) -> np.ndarray:
    """Return FLAIR as 8 bits; the phantoms have values of 0 to 255 in every layout."""
    voxels = loaded.scan.voxels[..., loaded.scan.flair_index]
    assert voxels.min() >= 0
    assert voxels.max() <= 255
    return voxels.astype(np.uint8)


def loaded_cases(cases: CaseList) -> list[LoadedCase]:
    return [read_case(case) for case in sorted(cases.cases, key=lambda case: examination(case.name))]


@cache
def phantoms_by_name() -> list[tuple[str, np.ndarray, np.ndarray, tuple[str, ...]]]:
    """Return the name, FLAIR, mask and missing sequences of the phantoms, sorted by name."""
    patients = [phantom_patient(index, side_px=SIDE_PX) for index in range(PATIENTS)]
    return sorted(((p.name, p.image[..., 1], p.mask, p.missing) for p in patients), key=lambda entry: entry[0])


def test_cases_and_patients_are_those_of_the_phantoms(written: Written) -> None:
    names = [name for name, *_ in phantoms_by_name()]
    assert sorted(examination(case.name) for case in written.cases.cases) == [examination(name) for name in names]
    patients = sorted(re.sub("[^A-Za-z0-9]", "", case.patient) for case in written.cases.cases)
    assert patients == [examination(name)[:-8] for name in names]  # without the date
    assert written.cases.layout == written.layout
    assert [case.name for case in written.cases.cases] == sorted(case.name for case in written.cases.cases)


def test_sites_are_those_of_the_phantoms(written: Written) -> None:
    sites = {examination(case.name)[:-8]: case.site for case in written.cases.cases}
    assert sites == {examination(name)[:-8]: name.split("_")[1] for name, *_ in phantoms_by_name()}


def test_no_file_is_a_problem_or_unused(written: Written) -> None:
    assert written.cases.problems == ()
    descriptions = {"dataset.json", "dataset_description.json"}
    assert not [where for where in written.cases.strays if Path(where).name not in descriptions]


def test_arrays_are_those_of_the_phantoms(written: Written) -> None:
    loaded = loaded_cases(written.cases)
    for (name, flair, mask, _), one in zip(phantoms_by_name(), loaded, strict=True):
        assert np.array_equal(flair_of(one), flair), name
        assert np.array_equal(one.reference, mask), name
        assert one.numbers == tuple(range(1, len(mask) + 1))


def test_missing_sequences_are_those_of_the_phantoms(written: Written) -> None:
    for (name, _, _, missing), one in zip(phantoms_by_name(), loaded_cases(written.cases), strict=True):
        if written.layout == "nnunet" and missing:  # every channel is mandatory: it is a copy of FLAIR
            continue
        assert one.scan.available == {Sequence.T1, Sequence.FLAIR, Sequence.T1CE} - set(missing), name


def test_scores_of_a_mask_do_not_depend_on_the_layout(written: Written) -> None:
    for (name, _, mask, _), one in zip(phantoms_by_name(), loaded_cases(written.cases), strict=True):
        predicted = np.roll(mask, 2, axis=2)  # two pixels to the side
        overlap = 2 * (predicted & mask).sum() / (predicted.sum() + mask.sum())
        scored = score_case(one, probability=predicted.astype(np.float32), predicted=predicted, grid=ScoreGrid())
        assert scored.scores.measures["dice_volume"] == pytest.approx(overlap), name
        exact = score_case(one, probability=mask.astype(np.float32), predicted=mask, grid=ScoreGrid())
        assert exact.scores.measures["dice_volume"] == 1


def test_only_the_own_layout_recognises_the_data(written: Written) -> None:
    assert [name for name, layout in LAYOUTS.items() if layout.recognise(written.data)] == [written.layout]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json"])
def test_a_manifest_gives_equal_cases(written: Written, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cases{suffix}"
    write_manifest(written.cases, path)
    again = read_cases(path)
    assert again.cases == written.cases.cases
    assert again.problems == ()
    assert [case.files for case in again.cases] == [case.files for case in written.cases.cases]


def test_labels_are_those_of_the_options(written: Written, tmp_path: Path) -> None:
    labels = MaskLabels(frozenset({1, 4}))
    cases = read_cases(written.data, replace(OPTIONS, labels=labels))
    assert {case.labels for case in cases.cases} == {labels}
    write_manifest(cases, tmp_path / "cases.csv")
    assert read_cases(tmp_path / "cases.csv").cases == cases.cases


@pytest.fixture(scope="module", params=FOLDER_LAYOUTS)
def with_other_files(
    request: pytest.FixtureRequest, data_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Written:
    """Return a copy of one layout with files that belong to no case."""
    data = shutil.copytree(data_of(request.param), tmp_path_factory.mktemp(request.param) / "set")
    (first_folder(data) / "readme.txt").write_bytes(b"text")
    (data / "__MACOSX").mkdir()
    for name in ("notes of Müller.txt", ".DS_Store", "__MACOSX/._x"):
        (data / name).write_bytes(b"text")
    return Written(request.param, data, read_cases(data, OPTIONS))


def first_folder(data: Path) -> Path:
    return next(file for file in sorted(data.rglob("[!_]*")) if file.is_dir())


def test_unused_files_are_listed_with_a_reason(with_other_files: Written) -> None:
    data, cases = with_other_files.data, with_other_files.cases
    skipped = {entry.where: entry.what for entry in cases.skipped}
    in_folder = (first_folder(data) / "readme.txt").relative_to(data).as_posix()
    for name in ("notes of Müller.txt", ".DS_Store", in_folder):
        assert skipped[name]
    assert any(name.startswith("__MACOSX") for name in skipped)
    assert cases.problems == ()
    assert len(cases.cases) == PATIENTS


PAIRS_OF_LAYOUTS = list(combinations(FOLDER_LAYOUTS, 2))


@pytest.mark.parametrize("layouts", PAIRS_OF_LAYOUTS, ids="-".join)
def test_two_layouts_in_one_folder_are_an_error_that_names_both(
    data_of: Callable[[str], Path], tmp_path: Path, layouts: tuple[str, str]
) -> None:
    for layout in layouts:
        shutil.copytree(data_of(layout), tmp_path / "both", dirs_exist_ok=True)
    with pytest.raises(UsageError, match=f"fits the layouts {layouts[0]} and {layouts[1]}; choose one: --layout"):
        read_cases(tmp_path / "both")


@pytest.mark.parametrize("layouts", PAIRS_OF_LAYOUTS, ids="-".join)
def test_the_chosen_layout_decides(data_of: Callable[[str], Path], tmp_path: Path, layouts: tuple[str, str]) -> None:
    for layout in layouts:
        shutil.copytree(data_of(layout), tmp_path / "both", dirs_exist_ok=True)
    cases = read_cases(tmp_path / "both", DataOptions(layout=layouts[0]))
    assert (cases.layout, len(cases.cases)) == (layouts[0], PATIENTS)


def test_a_pattern_that_is_no_expression_is_refused(written: Written) -> None:
    with pytest.raises(UsageError, match="is not a regular expression") as caught:
        read_cases(written.data, DataOptions(patient_pattern="("))
    assert caught.value.where == "--patient-pattern"


def test_a_name_that_the_pattern_does_not_match_is_a_problem(written: Written) -> None:
    cases = read_cases(written.data, DataOptions(patient_pattern=r"BB_?\d{4}"))
    # Patients 1, 4 and 7 are of site BB: the other five do not match.
    assert len({entry.where.split("/")[-1].rsplit("_", 1)[0] for entry in cases.problems}) >= 5
    assert all("does not match --patient-pattern" in entry.what for entry in cases.problems)
