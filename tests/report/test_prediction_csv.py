"""The table of predictions."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from gliomaseg.errors import OutputExistsError, UsageError
from gliomaseg.prediction import PredictRow
from gliomaseg.report.prediction_csv import COLUMNS, read_csv, require_table, write_csv

ROW = PredictRow(
    "Übung/a.nii",
    ["o/a_mask.nii.gz", "o/a_overlay.png"],
    tumour_voxels=12,
    tumour_volume_ml=1.5,
    bounding_box={"x": [1, 2], "y": [3, 4], "z": [5, 6]},
    extent_mm={"x": 2.0, "y": 4.0, "z": 6.0},
    warnings=["one", 'two, "quoted"'],
    skipped=["b.txt: is not an image"],
)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_each_scan_is_a_row_with_all_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [ROW, PredictRow("b.nii", error="b.nii: is damaged")])
    first, second = read(tmp_path / "a.csv")
    assert tuple(first) == COLUMNS
    assert (first["input"], first["mask"], first["tumour_voxels"]) == ("Übung/a.nii", "o/a_mask.nii.gz", "12")
    assert (first["bounding_box_y_last"], first["extent_z_mm"], first["error"]) == ("4", "6.0", "")
    assert first["warnings"] == 'one; two, "quoted"'
    assert (second["tumour_voxels"], second["error"]) == ("", "b.nii: is damaged")


def test_lines_end_as_in_rfc_4180_without_a_byte_order_mark(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [ROW])
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"input,")
    assert data.count(b"\r\n") == data.count(b"\n") == 2


def test_a_text_that_begins_as_a_formula_is_marked_as_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [PredictRow(name) for name in ("=1+1", "+a", "-a", "@a", "a=1")])
    assert [row["input"] for row in read(tmp_path / "a.csv")] == ["'=1+1", "'+a", "'-a", "'@a", "a=1"]


def test_no_scans_give_the_header_only(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [])
    assert read(tmp_path / "a.csv") == []


def test_rows_of_scans_that_were_predicted_before_are_kept(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [ROW, PredictRow("b.nii", error="b.nii: is damaged")])
    rows = [PredictRow(ROW.input), PredictRow("b.nii", tumour_voxels=3)]
    write_csv(tmp_path / "a.csv", rows, earlier=read_csv(tmp_path / "a.csv"))
    assert [row["tumour_voxels"] for row in read(tmp_path / "a.csv")] == ["12", "3"]


def test_a_file_that_is_another_table_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,age\n", "utf-8")
    with pytest.raises(OutputExistsError, match="is not a table of predict"):
        read_csv(tmp_path / "a.csv")
    assert read_csv(tmp_path / "absent.csv") == {}


def test_rows_of_scans_that_are_not_predicted_again_are_kept(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [ROW, replace(ROW, input="b.nii", tumour_voxels=7)])
    write_csv(tmp_path / "a.csv", [replace(ROW, tumour_voxels=9)], earlier=read_csv(tmp_path / "a.csv"))
    assert [(row["input"], row["tumour_voxels"]) for row in read(tmp_path / "a.csv")] == [
        ("b.nii", "7"),
        (ROW.input, "9"),
    ]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["scan.nii.gz", "mask.tif", ".gliomaseg-files", "table"])
def test_a_table_never_takes_the_place_of_a_scan_or_a_mask(tmp_path: Path, name: str, *, overwrite: bool) -> None:
    with pytest.raises(UsageError, match=r"expected \.csv"):
        require_table(tmp_path / name, overwrite=overwrite)


def test_a_foreign_table_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("my,table\n")
    with pytest.raises(OutputExistsError, match="is not a table of predict"):
        require_table(tmp_path / "a.csv", overwrite=True)
    write_csv(tmp_path / "b.csv", [ROW])
    require_table(tmp_path / "b.csv", overwrite=True)
    with pytest.raises(OutputExistsError):
        require_table(tmp_path / "b.csv", overwrite=False)
