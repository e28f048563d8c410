"""Which series is FLAIR, and what a list says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, Sequence

from gliomaseg.errors import DataError
from gliomaseg.formats.dicom import Series, choose_series, list_series
from gliomaseg.formats.dicom.sequences import looks_like_flair, sequence_of
from gliomaseg.types import Sequence as MriSequence


def header(**values: Any) -> Dataset:
    data = Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


@pytest.mark.parametrize(
    "values",
    [
        {"SeriesDescription": "Ax T2 FLAIR"},
        {"SeriesDescription": "t2_tirm_tra_dark-fluid"},
        {"SeriesDescription": "T2 Dark Fluid"},
        {"ProtocolName": "3D_F.L.A.I.R."},
        {"SeriesDescription": "FLAIR", "InversionTime": 2500, "EchoTime": 120},
        {"SeriesDescription": "FLAIR", "InversionTime": 0, "EchoTime": 0},
        {"SeriesDescription": "T2W_IR", "InversionTime": 2800, "EchoTime": 125},
        {"InversionTime": 1800, "EchoTime": 71},
        {"InversionTime": 1300, "EchoTime": 70},
        {"SeriesDescription": "t2_tse_da-fl_tra"},
        {"SeriesDescription": "t2_tse_da-fl_tra", "InversionTime": 1350, "EchoTime": 90},
        {"SeriesDescription": "T2_FL", "InversionTime": 1650, "EchoTime": 393},
        {"SeriesDescription": "FLAIR", "ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    ],
)
def test_flair_is_detected_by_name_or_by_parameters(values: dict[str, Any]) -> None:
    assert looks_like_flair(header(**values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"SeriesDescription": "t1_mprage"},
        {"SeriesDescription": "T1 FLAIR", "InversionTime": 860, "EchoTime": 20},
        {"SeriesDescription": "T1 FLAIR", "EchoTime": 20},
        {"SeriesDescription": "mprage", "InversionTime": 1000, "EchoTime": 3},
        {"SeriesDescription": "STIR", "InversionTime": 150, "EchoTime": 80},
        {"SeriesDescription": "T2", "EchoTime": 110},
        {"SeriesDescription": "T2_FL", "EchoTime": 110},
        {"InversionTime": 1299, "EchoTime": 110},
        {"InversionTime": 2500, "EchoTime": 69},
        {"SeriesDescription": "FLAIR", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesDescription": "FLAIR", "ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]},
    ],
)
def test_other_series_are_not_flair(values: dict[str, Any]) -> None:
    assert not looks_like_flair(header(**values))


def test_parameters_of_an_enhanced_file_count() -> None:
    shared = header(
        MRModifierSequence=Sequence([header(InversionRecovery="YES", InversionTimes=[2200.0])]),
        MREchoSequence=Sequence([header(EffectiveEchoTime=140.0)]),
    )
    assert looks_like_flair(header(SharedFunctionalGroupsSequence=Sequence([shared])))


def test_parameters_of_the_first_frame_count() -> None:
    frame = header(
        MRModifierSequence=Sequence([header(InversionTimes=[2200.0])]),
        MREchoSequence=Sequence([header(EffectiveEchoTime=140.0)]),
    )
    assert looks_like_flair(header(PerFrameFunctionalGroupsSequence=Sequence([frame])))


def series(uid: str, *, number: int | None = 1, is_flair: bool = False) -> Series:
    sequence = MriSequence.FLAIR if is_flair else None
    return Series(uid, number, "MR", 20, 20, 256, 192, "1.9", sequence, description=f"series {uid}")


def test_the_only_series_is_chosen() -> None:
    assert choose_series([series("1.2")], wanted=None, where="x").uid == "1.2"


def test_only_flair_is_taken() -> None:
    assert choose_series([series("1"), series("2", is_flair=True)], wanted=None, where="x").uid == "2"


@pytest.mark.parametrize(
    ("flair", "words"), [(False, "0 of them look like FLAIR"), (True, "2 of them look like FLAIR")]
)
def test_series_are_listed_unless_exactly_one_is_flair(flair: bool, words: str) -> None:
    with pytest.raises(DataError) as caught:
        choose_series([series("1.2", is_flair=flair), series("1.3", is_flair=flair)], wanted=None, where="scans")
    line = caught.value.line()
    assert line.startswith(f"scans: has 2 series, and {words}: [1.2] number 1, 'series 1.2', ")
    assert "20 slices of 192 x 256" in line
    assert line.endswith("choose one (--series, in Python series)")


def test_number_of_two_series_is_ambiguous() -> None:
    found = [series("1.2"), series("1.3")]
    with pytest.raises(DataError, match="has 2 series 1"):
        choose_series(found, wanted="1", where="x")
    assert choose_series(found, wanted="1.3", where="x").uid == "1.3"


def test_long_list_is_cut() -> None:
    with pytest.raises(DataError, match="and 10 more; choose one"):
        choose_series([series(f"1.{k}") for k in range(30)], wanted=None, where="x")


def test_series_of_a_folder_are_listed_by_number(make: Any, tmp_path: Path) -> None:
    make.series(tmp_path / "a", number=12, description="second")
    make.series(tmp_path / "b", number=3, description="first", inversion_ms=None)
    make.enhanced(make.series(tmp_path / "c", number=40), tmp_path / "enhanced.dcm")
    for file in (tmp_path / "c").iterdir():
        file.unlink()
    found = list_series(tmp_path)
    assert [one.number for one in found] == [3, 12, 40]
    assert [one.slices for one in found] == [5, 5, 5]
    assert [one.is_flair for one in found] == [False, True, True]
    assert [one.description for one in found] == ["first", "second", "FLAIR phantom"]
    assert {(one.modality, one.rows, one.columns) for one in found} == {("MR", 40, 36)}


@pytest.mark.parametrize(
    ("values", "sequence"),
    [
        ({"SeriesDescription": "t1_se_tra"}, "t1"),
        ({"SeriesDescription": "t1_se_tra", "ContrastBolusAgent": "Gadovist"}, "t1ce"),
        ({"SeriesDescription": "t1_se_tra", "ContrastBolusAgentSequence": Sequence([header()])}, "t1ce"),
        ({"SeriesDescription": "t1_se_tra", "ContrastBolusAgent": "NO"}, "t1"),
        ({"SeriesDescription": "t1_se_tra", "ProtocolName": "t1_se_tra_KM"}, "t1ce"),
        ({"SeriesDescription": "t2_tse", "ProtocolName": "t1_km"}, "t2"),
        ({"ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 10}, "t1"),
        ({"SeriesDescription": "T1 FLAIR", "InversionTime": 860, "EchoTime": 9}, "t1"),
        ({"SeriesDescription": "localizer"}, None),
    ],
)
def test_a_contrast_agent_makes_t1_contrast_enhanced(values: dict[str, Any], sequence: str | None) -> None:
    assert sequence_of(header(**values)) == sequence
