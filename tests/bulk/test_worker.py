"""A worker returns one row for each case, whatever happens in it."""

import hashlib
from dataclasses import replace

import pyarrow as pa
import pytest

from gliomaseg.bulk.entries import text_of_files
from gliomaseg.bulk.worker import MOST_STARTS, CaseWorker, WorkerSettings, note_start
from gliomaseg.errors import ModelError, ResourceError
from gliomaseg.inputs import list_inputs
from gliomaseg.prediction import open_predictor, predict
from gliomaseg.prediction.predictor import settings_digest


@pytest.fixture
def settings(bright, tmp_path):
    (tmp_path / "started").mkdir()
    digest = settings_digest(open_predictor(bright))
    return WorkerSettings(str(bright), digest, str(tmp_path / "out"), str(tmp_path / "started"), "call")


@pytest.fixture
def work(settings, volumes, monkeypatch):
    """Return `work(names)`: it predicts volumes in one block and returns their rows."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def work(*names, ids=None, settings=settings):
        rows = [
            {
                "id": k,
                "case": name,
                "name": name,
                "text": text_of_files({"flair": volumes / f"{name}_flair.nii.gz"}, series={}),
            }
            for k, name in zip(ids or range(len(names)), names, strict=True)
        ]
        return CaseWorker(settings)(pa.Table.from_pylist(rows)).to_pylist()

    return work


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_row_has_what_predict_returns_and_the_digests_of_both_files(work, volumes, bright, tmp_path):
    (row,) = work("a")
    (entry,) = list_inputs([volumes / "a_flair.nii.gz"])
    single = predict.predict(entry, tmp_path / "single", open_predictor(bright)).document()
    assert row["tumour_voxels"] == single["tumour_voxels"] > 0
    assert {name for name in single if row[name] != single[name]} - {"seconds"} == {"outputs"}
    assert row["input_sha256"] == sha256(volumes / "a_flair.nii.gz")
    assert row["mask_sha256"] == sha256(tmp_path / "out" / "a_mask.nii.gz")
    assert sha256(tmp_path / "single" / "a_flair_mask.nii.gz") == row["mask_sha256"]


def test_a_case_that_fails_does_not_end_its_block(work):
    rows = work("a", "absent", "b")
    assert [row["exit_code"] for row in rows] == [0, 3, 0]
    assert "no such file" in rows[1]["error"]
    assert rows[1]["mask_sha256"] is None


def test_a_fault_of_ours_is_a_row(work, monkeypatch):
    def fail(*_arguments):
        raise ValueError("oops")

    monkeypatch.setattr("gliomaseg.bulk.worker.predict_input", fail)
    (row,) = work("a")
    assert "internal error (ValueError: oops)" in row["error"]
    assert row["exit_code"] == 1


def test_a_mask_that_cannot_be_read_again_is_a_row(work, monkeypatch):
    def fail(*_arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("gliomaseg.bulk.worker.mask_digest", fail)
    rows = work("a", "b")
    assert [row["exit_code"] for row in rows] == [1, 1]
    assert "its mask cannot be read (Input/output error)" in rows[0]["error"]


def test_a_path_that_is_too_long_is_a_row(work):
    rows = work("a" * 300, "a")
    assert [row["exit_code"] for row in rows] == [3, 0]
    assert "cannot be read (File name too long)" in rows[0]["error"]


def test_a_full_disk_ends_the_run(work, monkeypatch):
    def fail(*_arguments):
        raise ResourceError("the disk is full")

    monkeypatch.setattr("gliomaseg.bulk.worker.predict_input", fail)
    with pytest.raises(ResourceError, match="the disk is full"):
        work("a")


def test_a_case_in_which_the_process_ended_three_times_is_a_row(work, settings, tmp_path):
    for _ in range(MOST_STARTS):
        note_start(tmp_path / "started" / "0", settings.call)
    rows = work("a", "b")
    assert [row["exit_code"] for row in rows] == [5, 0]
    assert "ended 3 times" in rows[0]["error"]


def test_starts_of_an_earlier_call_do_not_count(tmp_path):
    assert [note_start(tmp_path / "x", call) for call in ("one", "one", "two")] == [1, 2, 1]


def test_nothing_is_left_of_a_finished_case(work, tmp_path):
    work("a")
    assert list((tmp_path / "started").iterdir()) == []


def test_the_files_of_a_large_archive_are_in_folders(work, settings, tmp_path):
    rows = work("a", "b", ids=(1, 2), settings=replace(settings, cases_per_folder=2))
    masks = [tmp_path / "out" / f"part-000{k}" / f"{name}_mask.nii.gz" for k, name in enumerate("ab")]
    assert [row["outputs"][0] for row in rows] == list(map(str, masks))


def test_another_model_on_the_machine_of_a_worker_is_refused(settings):
    with pytest.raises(ModelError, match="another model on a worker"):
        CaseWorker(replace(settings, digest="0"))


def test_the_mask_of_an_interrupted_call_is_replaced_and_a_changed_one_is_not(work, tmp_path):
    first = work("a", "b")
    (tmp_path / "out" / "b_mask.nii.gz").write_bytes(b"changed")
    rows = work("a", "b")
    assert [row["exit_code"] for row in rows] == [0, 2]
    assert rows[0]["mask_sha256"] == first[0]["mask_sha256"]
    assert "was changed since predict wrote it" in rows[1]["error"]
