"""Rows: their columns, which of them a rerun keeps, and the table at the end."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gliomaseg.bulk.rows import ATTEMPT, CaseRow, columns, count_rows, find_rows, next_ids, to_table, write_results
from gliomaseg.errors import DataError
from gliomaseg.prediction import PredictRow

FAULT = DataError("is broken", where="scan")


def write_rows(folder, name, *rows):
    folder.mkdir(exist_ok=True)
    pq.write_table(to_table(rows), folder / f"{name}.parquet")


def row(number, *, attempt=0, fault=None, outputs=()):
    result = PredictRow(f"scan {number}", outputs=list(outputs), error=fault and fault.line(), fault=fault)
    return CaseRow(ATTEMPT * attempt + number, f"case {number}", result, "in", "mask")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "checkpoint").mkdir()
    return tmp_path


def commit(out, *ids):
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), out / "checkpoint" / "c.parquet")


def ids_of(out, cases=3):
    return next_ids(find_rows(out / "rows", cases), cases=cases, checkpoint=out / "checkpoint", out=out).tolist()


def test_the_columns_are_the_case_the_keys_of_predict_and_the_digests():
    assert columns().names == ["case", *PredictRow("x").document(), "input_sha256", "mask_sha256"]


def test_all_values_of_a_row_survive():
    box = {"x": [1, 2], "y": [3, 4], "z": [5, 6]}
    full = PredictRow(
        "scan", ["a", "b"], 3, 0.5, 1.5, [9.0, 4.0], 2, box, 1, {"x": 1.0, "y": 2.0, "z": 3.0}, "LPS", "1.2", "m", 0.75,
        ["w"], ["s"], ["l"], 1.25,
    )  # fmt: skip
    (read,) = to_table([CaseRow(7, "c", full, "in", "mask")]).select(columns().names).to_pylist()
    assert read == {"case": "c", **full.document(), "input_sha256": "in", "mask_sha256": "mask"}


def test_a_name_that_is_not_text_is_escaped():
    assert to_table([CaseRow(0, "c", PredictRow("a\udcffb"))])["input"].to_pylist() == ["a\\udcffb"]


def test_without_rows_every_case_is_new(out):
    assert ids_of(out) == [0, 1, 2]


def test_a_case_that_succeeded_keeps_its_id_and_the_others_get_new_ones_if_they_were_committed(out):
    (out / "mask").touch()
    write_rows(out / "rows", "a", row(0, outputs=["mask"]), row(1, fault=FAULT))
    commit(out, 0, 1)
    assert ids_of(out) == [0, ATTEMPT + 1, 2]


def test_a_row_that_is_lost_is_predicted_again_though_it_was_committed(out):
    commit(out, 0, ATTEMPT + 2)
    assert ids_of(out) == [ATTEMPT, 1, 2 * ATTEMPT + 2]


def test_a_case_whose_mask_was_removed_is_predicted_again(out):
    write_rows(out / "rows", "a", row(0, outputs=["mask"]))
    commit(out, 0)
    assert ids_of(out) == [ATTEMPT, 1, 2]


@pytest.mark.parametrize("folder", ["rows", "checkpoint"])
@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(pa.array([77], pa.int64()), id="another case"),
        pytest.param(pa.array([-1], pa.int64()), id="negative"),
        pytest.param(pa.array([None], pa.int64()), id="null"),
        pytest.param(pa.array(["0"]), id="text"),
        pytest.param(None, id="no ids"),
    ],
)
def test_foreign_tables_are_not_read(folder, ids, out):
    columns = {"exit_code": pa.array([0], pa.int64())} | ({} if ids is None else {"id": ids})
    pq.write_table(pa.table(columns), out / folder / "foreign.parquet")
    os.mkfifo(out / folder / "pipe.parquet")
    write_rows(out / "rows", "a", row(0))
    assert ids_of(out) == [0, 1, 2]
    assert count_rows(out / "rows", {}) == 1 + (folder == "rows")


def test_the_newest_row_of_a_case_counts_and_a_half_written_file_does_not(out):
    write_rows(out / "rows", "b", row(1, fault=FAULT), row(0))
    write_rows(out / "rows", "a", row(1, attempt=1), row(0))
    (out / "rows" / "c.parquet").write_bytes((out / "rows" / "b.parquet").read_bytes()[:-9])
    found = find_rows(out / "rows", 2)
    assert found.ids.tolist() == [0, ATTEMPT + 1]
    assert found.failed == 0


def test_the_table_is_sorted_as_the_archive_and_has_each_case_once(out, monkeypatch):
    monkeypatch.setattr("gliomaseg.bulk.rows._TABLE_ROWS", 4)
    order = np.random.default_rng(0).permutation(10)
    for number in order:
        write_rows(out / "rows", f"f{number % 3}-{number}", row(int(number)), row(int(number)))
    write_results(find_rows(out / "rows", 10), out / "results.parquet")
    table = pq.read_table(out / "results.parquet")
    assert table["case"].to_pylist() == [f"case {number}" for number in range(10)]
    assert table.schema.names == columns().names


def test_rows_are_counted_while_files_appear(out):
    counts = {}
    write_rows(out / "rows", "a", row(0), row(1))
    (out / "rows" / "b.parquet").write_bytes(b"PAR1")
    assert count_rows(out / "rows", counts) == 2
    write_rows(out / "rows", "b", row(2))
    assert count_rows(out / "rows", counts) == 3
