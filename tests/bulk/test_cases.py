"""An archive gives the same cases as a folder, as a table of text and as Parquet; names are safe and unique."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gliomaseg.bulk.cases import read_archive
from gliomaseg.bulk.entries import BulkCase, input_of, text_of_input
from gliomaseg.errors import DataError
from gliomaseg.inputs import list_inputs
from gliomaseg.inputs.input import Kind


def write_table(file, rows):
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    else:
        separator = "\t" if file.suffix == ".tsv" else ","
        lines = [list(rows[0]), *(row.values() for row in rows)]
        file.write_text("".join(separator.join(map(str, line)) + "\n" for line in lines))
    return file


def cases_of(source, out="out"):
    return list(read_archive(source, without=source.parent / out))


def names_of(source):
    return [case.name for case in cases_of(source)]


def test_a_folder_has_the_cases_and_names_of_predict(volumes):
    assert names_of(volumes) == [entry.name for entry in list_inputs([volumes])] == ["a_flair", "b_flair"]


def test_the_folder_of_the_results_is_not_searched(volumes):
    (volumes / "out").mkdir()
    (volumes / "a_flair.nii.gz").rename(volumes / "out" / "a_flair.nii.gz")
    assert [case.name for case in read_archive(volumes, without=volumes / "out")] == ["b_flair"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".parquet"])
def test_a_table_names_the_cases_and_its_paths_are_relative_to_it(suffix, volumes):
    rows = [{"case": name, "patient": name, "flair": f"scans/{name}_flair.nii.gz", "mask": ""} for name in "ba"]
    cases = cases_of(write_table(volumes.parent / f"cases{suffix}", rows))
    assert [case.name for case in cases] == ["b", "a"]
    entry = input_of(cases[0])
    assert (entry.path, entry.name, entry.kind, entry.series) == (volumes / "b_flair.nii.gz", "b", Kind.VOLUME, None)


def test_t1_and_t1ce_of_a_table_belong_to_the_case(volumes):
    row = {"case": "x", "flair": "scans/a_flair.nii.gz", "t1": "scans/b_flair.nii.gz", "t1ce": "scans/b_flair.nii.gz"}
    (case,) = cases_of(write_table(volumes.parent / "cases.parquet", [row]))
    entry = input_of(case)
    assert entry.t1.path == entry.t1ce.path == volumes / "b_flair.nii.gz"


def test_a_parquet_table_without_t1_in_one_row_leaves_it_out(volumes):
    rows = [{"case": "x", "flair": "scans/a_flair.nii.gz", "t1": None}]
    (case,) = cases_of(write_table(volumes.parent / "cases.parquet", rows))
    assert input_of(case).t1 is None


def test_slices_of_a_manifest_are_one_case_in_the_order_of_their_numbers(tmp_path):
    names = ["p_2.png", "p_10.png", "p_1.png"]
    for name in names:
        (tmp_path / name).touch()
    rows = [{"case": "p", "slice": name[2:-4], "image": name} for name in names]
    (case,) = cases_of(write_table(tmp_path / "cases.csv", rows))
    entry = input_of(case)
    assert entry.kind is Kind.STACK
    assert [file.name for file in entry.pictures] == ["p_1.png", "p_2.png", "p_10.png"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"case": "x", "flair": "absent.nii.gz"}, "no such file"),
        ({"case": "x", "flair": "", "t1": "a.nii"}, "flair is empty"),
        ({"case": "x", "flair": "a.nii", "flair_channel": "1"}, "flair_channel is 1"),
        ({"case": "x", "slice": "one", "image": "a.png", "flair": ""}, "slice is one"),
        ({"case": "x", "slice": "1", "image": "absent.png", "flair": ""}, "no such file"),
        ({"case": "x", "slice": "1", "image": "a" * 300, "flair": ""}, "no such file"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_case_with_its_reason(row, reason, tmp_path):
    other = dict.fromkeys(row, "") | {"case": "other", "flair": "a.nii"}
    case, _ = cases_of(write_table(tmp_path / "cases.csv", [row, other]))
    assert reason in input_of(case).fault.line()


@pytest.mark.parametrize("names", [("x", "x"), ("Case", "case"), ("a/b", "a_b")])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_cases_with_one_name_are_refused(names, suffix, tmp_path):
    rows = [{"case": name, "flair": "a.nii"} for name in names]
    with pytest.raises(DataError, match="has the name of another case"):
        cases_of(write_table(tmp_path / f"cases{suffix}", rows))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../x", "_.._.._x"),
        ("/etc/x", "_etc_x"),
        (".lock", "_.lock"),
        ("..", "_"),
        ("results.parquet", "_results.parquet"),
        ("Glioma_labels.txt", "_Glioma_labels.txt"),
        ("part-0001", "_part-0001"),
        ("a_mask.nii.gz", "_a_mask.nii.gz"),
        ("a_mask", "a_mask"),
    ],
)
def test_names_of_files_stay_in_the_folder(name, expected, tmp_path):
    (case,) = cases_of(write_table(tmp_path / "cases.json", [{"case": name, "flair": "a.nii"}]))
    assert (case.name, case.result_name) == (name, expected)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("cases.csv", b"case,flair\n,a.nii\n", "case in row 2 is empty"),
        ("cases.csv", b"case,flair\n", "has no case"),
        ("cases.parquet", b"PAR1", "is not a Parquet table"),
        ("cases.json", b"{", "is not JSON"),
        ("cases.json", b"[" * 100_000, "nested too deeply"),
        ("cases.json", b'[{"case": "\\ud800", "flair": "a.nii"}]', "is not a table of UTF-8 text"),
        ("cases.csv", b"case,t1\nx,a.nii\n", "no row has a file in the column flair"),
        ("cases.txt", b"case,flair\nx,a.nii\n", "is not a table of cases"),
    ],
)
def test_a_table_that_is_none_is_refused(file, content, message, tmp_path):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        cases_of(tmp_path / file)


def test_a_parquet_table_without_a_column_of_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="lacks the column case or flair"):
        cases_of(write_table(tmp_path / "cases.parquet", [{"case": "x", "t1": "a.nii"}]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"case": ["x"], "flair": [b"a.nii"]}, "the column flair is binary, expected text"),
        ({"case": ["x"], "flair": [["a.nii"]]}, "the column flair is list"),
        ({"case": ["x"], "CASE": ["y"], "flair": ["a.nii"]}, "has the column case twice"),
    ],
)
def test_a_parquet_table_with_columns_that_are_no_text_is_refused_at_once(columns, message, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "cases.parquet")
    with pytest.raises(DataError, match=message):
        cases_of(tmp_path / "cases.parquet")


def test_numbers_of_slices_may_be_floats_as_pandas_writes_them(tmp_path):
    (tmp_path / "a.png").touch()
    rows = [{"case": "x", "slice": 1.0, "image": "a.png"}, {"case": "y", "slice": None, "flair": "b.nii"}]
    first, _ = cases_of(write_table(tmp_path / "cases.parquet", rows))
    assert input_of(first).numbers == (1,)


def test_an_input_is_the_same_after_it_was_text(volumes, tmp_path):
    for name in ("s_1.png", "s_3.png"):
        (tmp_path / "stack" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "stack" / name).touch()
    (tmp_path / "scans" / "broken_flair.nii.gz").symlink_to("absent")
    for entry in list_inputs([tmp_path]):
        again = input_of(BulkCase(entry.name, entry.name, text_of_input(entry)))
        assert again == entry
        assert (again.fault and again.fault.line()) == (entry.fault and entry.fault.line())


def test_a_table_names_the_series_of_each_sequence(tmp_path):
    (tmp_path / "study").mkdir()
    for name in "ab":
        (tmp_path / "study" / f"{name}.dcm").write_bytes(bytes(128) + b"DICM")
    row = {"case": "x", "flair": "study", "t1": "study", "flair_series": "1.1", "t1_series": "1.2"}
    entry = input_of(*cases_of(write_table(tmp_path / "cases.csv", [row])))
    assert (entry.kind, entry.series, entry.t1.series, entry.t1ce) == (Kind.SERIES, "1.1", "1.2", None)
