"""The patient in the name of an examination."""

from __future__ import annotations

import pytest

from gliomaseg.data.patients import is_examination_only, parse_examination, patient_finder, patient_of
from gliomaseg.errors import UsageError


@pytest.mark.parametrize(
    ("name", "patient", "site", "date"),
    [
        ("TCGA_CS_4941_19960909", "TCGA_CS_4941", "CS", "19960909"),
        ("BraTS-GLI-00001-000", "BraTS-GLI-00001", "unknown", None),
        ("BraTS-GoAT-00000", "BraTS-GoAT-00000", "unknown", None),
        ("BraTS2021_00001", "BraTS2021_00001", "unknown", None),
        ("BraTS20_Training_001", "BraTS20_Training_001", "unknown", None),
        ("Brats18_TCIA01_131_1", "Brats18_TCIA01_131", "unknown", None),
        ("P1_2001-02-03", "P1", "unknown", "2001-02-03"),
        ("P1_20010203", "P1", "unknown", "20010203"),
        ("P1_30010203", "P1_30010203", "unknown", None),
        ("anna follow-up 2", "anna", "unknown", None),
        ("ms_p01_study2", "ms_p01", "unknown", None),
        ("P1_T2", "P1_T2", "unknown", None),
        ("Sunday", "Sunday", "unknown", None),
        ("", "", "unknown", None),
    ],
)
def test_a_name_contains_patient_site_and_date(name: str, patient: str, site: str, date: str | None) -> None:
    known = parse_examination(name)
    assert (known.patient, known.site, known.date) == (patient, site, date)


@pytest.mark.parametrize(
    ("name", "is_only"),
    [("ses-2", True), ("visit 1", True), ("20010203", True), ("baseline", True), ("P1", False), ("0001", False)],
)
def test_a_folder_of_an_examination_needs_the_patient_above(name: str, *, is_only: bool) -> None:
    assert is_examination_only(name) is is_only


@pytest.mark.parametrize(
    ("pattern", "patient"), [(r"P\d+", "P12"), (r"P(\d+)", "12"), (r"(x)?P\d+", "P12"), (r"(?P<any>P1)2", "P1")]
)
def test_the_patient_is_the_first_group_or_the_match(pattern: str, patient: str) -> None:
    match = patient_finder(pattern)("a_P12_b")
    assert match
    assert patient_of(match) == patient


def test_an_invalid_pattern_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a regular expression"):
        patient_finder("(")
