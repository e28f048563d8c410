"""The study of kills finds each fault that it checks for, and kills what carries its mark only."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

STUDIES = Path(__file__).parents[2] / "studies"
NAMES = ["case_0000_flair", "case_0001_flair", "case_0002_flair"]


@pytest.fixture
def script(load_script):
    return load_script(STUDIES / "kill_bulk.py")


@pytest.fixture
def archive(load_script, tmp_path):
    """Three small cases, and results as `bulk` writes them; the masks are any bytes."""
    load_script(STUDIES / "bulk_archive.py").write_archive(tmp_path / "archive", cases=3, slices=2, side_px=32)
    (tmp_path / "out").mkdir()
    for name in NAMES:
        (tmp_path / "out" / f"{name}_mask.nii.gz").write_bytes(name.encode())
    return tmp_path


def write_results(script, folder, names=NAMES, **changes):
    rows = []
    for name in names:
        scan, mask = folder / "archive" / f"{name}.nii.gz", folder / "out" / f"{name}_mask.nii.gz"
        row = {"case": name, "input": str(scan), "error": None}
        rows.append(row | {"input_sha256": script.digest(scan), "mask_sha256": script.digest(mask)} | changes)
    pq.write_table(pa.Table.from_pylist(rows), folder / "out" / "results.parquet")
    return script.list_faults(folder / "archive", folder / "out")


def test_no_two_cases_of_the_archive_have_one_digest(script, archive):
    assert len({script.digest(file) for file in (archive / "archive").iterdir()}) == 3


def test_complete_results_have_no_fault(script, archive):
    assert write_results(script, archive) == []


@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, NAMES[0]], NAMES[::-1]])
def test_a_case_that_is_missing_or_there_twice_is_a_fault(names, script, archive):
    assert "the cases are not those of the archive, each once" in write_results(script, archive, names)


@pytest.mark.parametrize("change", [{"mask_sha256": "0"}, {"input_sha256": "0"}, {"error": "is broken"}])
def test_a_row_of_another_file_or_with_an_error_is_a_fault(change, script, archive):
    assert len(write_results(script, archive, **change)) == 3


def test_all_processes_with_the_mark_are_killed_and_no_other(script):
    mark = secrets.token_hex(16)
    command = [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"]
    parent, other = (
        subprocess.Popen(
            command, env={**os.environ, script.MARK: text}, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for text in (mark, "another")
    )
    try:
        while len(script.marked(mark)) < 2:
            assert parent.poll() is None
        assert script.kill_marked(mark) == 2
        assert other.poll() is None
    finally:
        for process in (parent, other):
            process.kill()
            process.communicate()
