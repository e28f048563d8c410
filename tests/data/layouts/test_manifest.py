"""Manifests: tables that people edit, in the formats of their programs, with one line for each fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gliomaseg.data.case import Case, Slice, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions, require_outside
from gliomaseg.data.layouts import manifest, read_cases
from gliomaseg.data.layouts.manifest import write_manifest
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, UsageError
from gliomaseg.types import Sequence

HEAD = "case,patient,flair,mask"
LINES = [HEAD, "P1_a,P1,P1 a/flair.nii.gz,P1 a/seg.nii.gz", "P2_a,P2,P2 Ä/flair.nii.gz,P2 Ä/seg.nii.gz"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of two cases; a manifest needs their names only."""
    for place in ("P1 a", "P2 Ä"):
        (tmp_path / place).mkdir()
        for name in ("flair", "t1", "t1ce", "t2", "seg"):
            (tmp_path / place / f"{name}.nii.gz").write_bytes(b"")
    return tmp_path


def write(folder: Path, *lines: str, name: str = "cases.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def case(folder: Path, name: str = "P1_a", **changes: object) -> Case:
    """Return the case of the first line of LINES, with changes."""
    patient, place = name.split("_", maxsplit=1)[0], {"P1_a": "P1 a", "P2_a": "P2 Ä"}[name]
    images = {Sequence.FLAIR: VolumeFile(folder / place / "flair.nii.gz")}
    plain = Case(name, patient, volumes=Volumes(images, VolumeFile(folder / place / "seg.nii.gz")))
    return replace(plain, **changes)  # type: ignore[arg-type]


def problems(cases: CaseList) -> list[str]:
    return [f"{entry.where}: {entry.what}" for entry in cases.problems]


def test_a_row_is_a_case(folder: Path) -> None:
    cases = read_cases(write(folder, *LINES))
    assert cases.cases == (case(folder), case(folder, "P2_a"))
    assert (cases.root, cases.layout, cases.problems, cases.notes) == (folder, "manifest", (), ())


def test_optional_columns_are_read(folder: Path) -> None:
    head = "Case, Patient ,FLAIR,t1,t1ce,t2,mask,site,date,labels"
    row = ",".join(["P1_a", "P1", *(f"P1 a/{name}.nii.gz" for name in ("flair", "t1", "t1ce", "t2", "seg"))])
    only = read_cases(write(folder, head, f"{row},AA,2001-02-03,1 2 4")).cases[0]
    assert (only.site, only.date, only.labels) == ("AA", "2001-02-03", MaskLabels(frozenset({1, 2, 4})))
    assert only.volumes
    assert {key.value: volume.path.name for key, volume in only.volumes.images.items()} == {
        name: f"{name}.nii.gz" for name in ("flair", "t1", "t1ce", "t2")
    }


@pytest.mark.parametrize(
    ("lines", "name", "encoding"),
    [
        (LINES, "cases.csv", "utf-8"),
        (LINES, "cases.csv", "utf-8-sig"),  # Excel, "CSV UTF-8"
        (LINES, "CASES.CSV", "utf-16"),
        ([line.replace(",", ";") for line in LINES], "cases.csv", "utf-8-sig"),  # Excel with a decimal comma
        (["sep=;", *(line.replace(",", ";") for line in LINES)], "cases.csv", "utf-8"),
        ([line.replace(",", "\t") for line in LINES], "cases.tsv", "utf-8"),
        ([line.replace(",", "\t") for line in LINES], "cases.tsv", "utf-16"),  # Excel, "Unicode text"
        ([f"{line}\r" for line in LINES], "cases.csv", "utf-8"),
        ([LINES[0], "", LINES[1], ",,,", LINES[2], ""], "cases.csv", "utf-8"),
        ([f"{line},,," for line in LINES], "cases.csv", "utf-8"),  # columns that were emptied
        ([LINES[0], *(line.replace("/", "\\") for line in LINES[1:])], "cases.csv", "utf-8"),  # Windows
        ([LINES[0], *('"' + line.replace(",", '","') + '"' for line in LINES[1:])], "cases.csv", "utf-8"),
        ([f" {line.replace(',', ' , ')} " for line in LINES], "cases.csv", "utf-8"),
    ],
    ids=["plain", "utf-8 mark", "utf-16", "semicolon", "sep", "tab", "unicode text", "cr", "blank", "empty columns",
         "backslash", "quotes", "spaces"],
)  # fmt: skip
def test_files_of_spreadsheets_are_read(folder: Path, lines: list[str], name: str, encoding: str) -> None:
    cases = read_cases(write(folder, *lines, name=name, encoding=encoding))
    assert cases.cases == (case(folder), case(folder, "P2_a"))
    assert cases.problems == ()


def test_json_is_a_list_of_rows(folder: Path) -> None:
    rows = [{"case": "P1_a", "patient": 7, "flair": "P1 a/flair.nii.gz", "mask": "P1 a/seg.nii.gz", "labels": [1, 4]}]
    cases = read_cases(write(folder, json.dumps(rows), name="cases.json"))
    assert cases.cases == (case(folder, patient="7", labels=MaskLabels(frozenset({1, 4}))),)


def test_slices_have_a_row_each(folder: Path) -> None:
    lines = [f"P1_a,P1,{number},P1 a/t1.nii.gz,P1 a/t2.nii.gz" for number in (10, 9)]
    cases = read_cases(write(folder, "case,patient,slice,image,mask", *lines))
    files = (folder / "P1 a" / "t1.nii.gz", folder / "P1 a" / "t2.nii.gz")
    assert cases.cases == (Case("P1_a", "P1", slices=(Slice(9, *files), Slice(10, *files))),)


def test_every_field_of_a_case_is_written_and_read(folder: Path) -> None:
    file = folder / "P1 a" / "flair.nii.gz"
    images = {Sequence.FLAIR: VolumeFile(file, 3), Sequence.T1: VolumeFile(folder / "P1 a", series="1.2.840.1")}
    volumes = Volumes(images, VolumeFile(folder / "P2 Ä" / "seg.nii.gz"))
    labels = MaskLabels(frozenset({4, 1}))
    written = Case('P, 1;\t"x"', "=1+1", "AA", volumes=volumes, date="20010203", labels=labels)
    slices = Case("s", "P2", slices=(Slice(2, file, volumes.mask.path), Slice(11, file, volumes.mask.path)))
    for suffix in (".csv", ".tsv", ".json"):
        path = folder / f"cases{suffix}"
        write_manifest(CaseList(folder, (written, slices)), path)
        assert read_cases(path).cases == (written, slices)
        assert read_cases(path).problems == ()


def test_paths_are_relative_to_the_manifest(folder: Path) -> None:
    path = folder / "lists" / "deep" / "cases.csv"
    path.parent.mkdir(parents=True)
    write_manifest(CaseList(folder, (case(folder),)), path)
    assert path.read_text("utf-8").splitlines() == [
        "case,patient,site,date,flair,mask",
        "P1_a,P1,,,../../P1 a/flair.nii.gz,../../P1 a/seg.nii.gz",
    ]
    assert read_cases(path).cases == (case(folder),)


def test_a_manifest_that_moves_with_its_files_stays_valid(folder: Path) -> None:
    write_manifest(CaseList(folder, (case(folder),)), folder / "cases.csv")
    moved = folder.with_name("moved")
    folder.rename(moved)
    assert read_cases(moved / "cases.csv").cases == (case(moved),)


def test_an_absolute_path_is_read_and_noted(folder: Path) -> None:
    cases = read_cases(write(folder, HEAD, f"P1_a,P1,{folder}/P1 a/flair.nii.gz,P1 a/seg.nii.gz"))
    assert cases.cases == (case(folder),)
    assert cases.notes == ("1 paths are absolute: they are wrong on another computer",)


def test_unknown_columns_are_noted(folder: Path) -> None:
    cases = read_cases(write(folder, f"{HEAD},age,grade", f"{LINES[1]},40,2"))
    assert cases.notes == ("columns that are not read: age, grade",)


def test_chosen_labels_replace_the_column(folder: Path) -> None:
    path = write(folder, f"{HEAD},labels", f"{LINES[1]},1 2")
    chosen = MaskLabels(frozenset({3}))
    assert read_cases(path, DataOptions(labels=chosen)).cases[0].labels == chosen


def test_a_pattern_replaces_the_column_of_patients(folder: Path) -> None:
    path = write(folder, "case,flair,mask", "P1_a,P1 a/flair.nii.gz,P1 a/seg.nii.gz")
    assert read_cases(path, DataOptions(patient_pattern=r"P\d")).cases == (case(folder),)


FILES = "P1 a/flair.nii.gz,P1 a/seg.nii.gz"
FAULTS = {
    "missing file": (HEAD, "x,x,gone.nii,P1 a/seg.nii.gz", "flair gone.nii does not exist"),
    "missing mask": (HEAD, "x,x,P1 a/flair.nii.gz,gone.nii", "mask gone.nii does not exist"),
    "drive": (HEAD, "x,x,C:\\data\\flair.nii,P1 a/seg.nii.gz", "flair C:\\data\\flair.nii does not exist"),
    "long name": (HEAD, f"x,x,{'n' * 5000},P1 a/seg.nii.gz", f"flair {'n' * 5000} does not exist"),
    "empty flair": (HEAD, "x,x,,P1 a/seg.nii.gz", "flair is empty, expected a file"),
    "empty mask": (HEAD, "x,x,P1 a/flair.nii.gz,", "mask is empty, expected a file"),
    "short row": (HEAD, "x,x,P1 a/flair.nii.gz", "mask is empty, expected a file"),
    "empty case": (HEAD, f",x,{FILES}", "case is empty, expected a name"),
    "empty patient": (HEAD, f"x,,{FILES}", "patient is empty, expected a name"),
    "same case": (HEAD, f"P1_a,P9,{FILES}", "case is P1_a, as in row 2"),
    "same letters": (HEAD, f"p1_A,P9,{FILES}", "case is p1_A, as in row 2"),
    "mask is flair": (HEAD, "x,x,P1 a/flair.nii.gz,P1 a/flair.nii.gz", "mask is the file of an image"),
    "labels": (f"{HEAD},labels", f"x,x,{FILES},edema", "labels is edema, expected whole numbers such as 1 2 4"),
    "channel": (f"{HEAD},flair_channel", f"x,x,{FILES},one", "flair_channel is one, expected a whole number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_row_is_a_problem_and_the_others_are_read(folder: Path, fault: str) -> None:
    head, row, what = FAULTS[fault]
    cases = read_cases(write(folder, head, LINES[1], row))
    assert problems(cases) == [f"cases.csv, row 3: {what}"]
    assert cases.cases == (case(folder),)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (f"s,P1,1,{FILES}", "is slice 1 of its case, as is row 2"),
        (f"s,P1,,{FILES}", "slice is empty, expected a whole number"),
        (f"s,P1,-1,{FILES}", "slice is -1, expected a whole number"),
        (f"s,P1,{'9' * 5000},{FILES}", f"slice is {'9' * 5000}, expected a whole number"),
        ("s,P1,2,gone.png,P1 a/seg.nii.gz", "image gone.png does not exist"),
        ("s,P1,2,P1 a/t1.nii.gz,P1 a/t1.nii.gz", "mask is the file of an image"),
        (f"s,P2,2,{FILES}", "patient is P2, expected P1 as in row 2"),
        (f"S,P1,2,{FILES}", "case is S, expected s as in row 2"),
    ],
    ids=["same", "empty", "negative", "huge", "missing", "mask is image", "patient", "same letters"],
)
def test_a_faulty_slice_is_a_problem(folder: Path, row: str, what: str) -> None:
    cases = read_cases(write(folder, "case,patient,slice,image,mask", f"s,P1,1,{FILES}", row))
    assert problems(cases) == [f"cases.csv, row 3: {what}"]
    assert [entry.number for entry in cases.cases[0].slices] == [1]


@pytest.mark.parametrize(
    ("lines", "name", "what"),
    [
        (["case,flair,mask", "a,b,c"], "a.csv", "has no values in column patient"),
        (["name,age", "a,3"], "a.csv", r"column case, patient, mask, flair \(or slice and image\)"),
        ([f"{HEAD},mask", LINES[1]], "a.csv", "has the column mask twice"),
        ([HEAD, f"{LINES[1]},more"], "a.csv", "row 2 has 5 cells, expected 4"),
        ([HEAD, '"open'], "a.csv", "is not a table of UTF-8 text"),
        ([HEAD], "a.csv", "has no case that can be read: it has no row"),
        ([HEAD, "x,x,gone,gone"], "a.csv", "has no case that can be read: flair gone does not exist"),
        ([], "a.csv", "has no case that can be read"),
        ([], "a.json", "is not JSON"),
        (["{}"], "a.json", "is not a list of rows"),
        (["[3]"], "a.json", "row 1 is not an object"),
        (["[" * 100_000], "a.json", "is not"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_in_one_line(
    folder: Path, lines: list[str], name: str, what: str
) -> None:
    path = write(folder, *lines, name=name)
    with pytest.raises(DataError, match=what) as caught:
        read_cases(path)
    assert caught.value.where == str(path)
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"case,patient\n\xe4,\xf6", b"\x89PNG\r\n\x1a\n\0\0", b"\0" * 100]
)
def test_bytes_that_are_no_text_are_refused(folder: Path, content: bytes) -> None:
    (folder / "a.csv").write_bytes(content)
    with pytest.raises(DataError):
        read_cases(folder / "a.csv")


def test_a_folder_and_another_suffix_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="is a folder, expected a CSV, TSV or JSON file"):
        read_cases(folder, DataOptions(layout="manifest"))
    with pytest.raises(DataError, match=r"suffix is \.txt, expected \.csv, \.tsv, \.json"):
        write_manifest(CaseList(folder, ()), folder / "a.txt")
    assert not manifest.recognise(folder)


def test_results_may_lie_beside_the_manifest_but_not_among_its_files(folder: Path) -> None:
    cases = read_cases(write(folder, *LINES))
    require_outside(cases, folder / "run")
    for inside in (folder / "P1 a", folder / "P1 a" / "run"):
        with pytest.raises(UsageError, match="lies inside the data set"):
            require_outside(cases, inside)
