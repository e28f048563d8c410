"""A folder belongs to one run: foreign files, other cases, another model are refused with the difference."""

from dataclasses import replace
from pathlib import Path

import pytest

from gliomaseg.bulk.entries import BulkCase
from gliomaseg.bulk.run_folder import RAY_PREFIX, RunFolder, RunIdentity, write_list
from gliomaseg.errors import DataError, OutputExistsError, UsageError

IDENTITY = RunIdentity(archive="a", cases=2, model="m", models="bright", version="1", out="/out")


@pytest.fixture
def listed(tmp_path):
    write_list([BulkCase("x", "x", "{}")], tmp_path / "list")
    return tmp_path / "list"


def begin(out, listed, identity=IDENTITY, *, overwrite=False):
    out.mkdir(exist_ok=True)
    copy = listed.with_name("copy")
    copy.write_bytes(listed.read_bytes())
    return RunFolder(out).open(identity, copy, overwrite=overwrite)


def test_the_same_run_is_continued(tmp_path, listed):
    assert begin(tmp_path / "out", listed) is False
    assert begin(tmp_path / "out", listed) is True


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"cases": 3, "archive": "b"}, "the number of cases is 3, was 2"),
        ({"archive": "b"}, "the names, paths or order of the cases differ"),
        ({"out": "/copy"}, "the folder is /copy, was /out"),
        ({"models": "other", "model": "n"}, "the model is other, was bright"),
        ({"model": "n"}, "the model bright has other weights or another configuration"),
        ({"version": "2"}, "gliomaseg is 2, was 1"),
    ],
)
def test_another_run_is_refused_with_the_difference(change, difference, tmp_path, listed):
    begin(tmp_path / "out", listed)
    with pytest.raises(UsageError, match=difference) as error:
        begin(tmp_path / "out", listed, replace(IDENTITY, **change))
    assert error.value.exit_code == 2


def test_overwrite_removes_the_old_run_with_its_results(tmp_path, listed):
    out = tmp_path / "out"
    begin(out, listed)
    folder = RunFolder(out)
    folder.output.write_text(out / "x_mask.txt", "old")
    (folder.rows / "row").touch()
    assert begin(out, listed, replace(IDENTITY, archive="b"), overwrite=True) is False
    assert not (out / "x_mask.txt").exists()
    assert list(folder.rows.iterdir()) == []


@pytest.mark.parametrize("part", ["", "part-0000"])
def test_overwrite_keeps_a_folder_with_a_changed_file(part, tmp_path, listed):
    out = tmp_path / "out"
    begin(out, listed)
    RunFolder(out).output.write_text(out / "results.parquet", "table")
    RunFolder(out / part).output.write_text(out / part / "x_mask.txt", "old")
    (out / part / "x_mask.txt").write_text("changed")
    with pytest.raises(OutputExistsError, match="was changed since"):
        begin(out, listed, overwrite=True)
    assert (out / "results.parquet").exists()


def test_a_folder_of_masks_that_is_named_like_a_part_is_removed_too(tmp_path, listed):
    out = tmp_path / "out"
    begin(out, listed)
    RunFolder(out).output.write_text(out / "part-one" / "x_mask.png", "old")
    assert begin(out, listed, overwrite=True) is False
    assert not (out / "part-one").exists()


def test_a_link_to_the_state_of_another_run_is_refused(tmp_path, listed):
    begin(tmp_path / "other", listed)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gliomaseg-bulk").symlink_to(tmp_path / "other" / ".gliomaseg-bulk")
    with pytest.raises(OutputExistsError, match="is a link"):
        begin(tmp_path / "out", listed)


def test_a_damaged_identity_is_an_error(tmp_path, listed):
    begin(tmp_path / "out", listed)
    (tmp_path / "out" / ".gliomaseg-bulk" / "run.json").write_text("[" * 200_000)
    with pytest.raises(DataError, match="cannot be read"):
        begin(tmp_path / "out", listed)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused(overwrite, tmp_path, listed):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(OutputExistsError, match=r"it has thesis\.txt"):
        begin(tmp_path / "out", listed, overwrite=overwrite)


def test_the_digest_of_a_list_depends_on_the_order_and_on_each_path(tmp_path):
    cases = [BulkCase("x", "x", "{}"), BulkCase("y", "y", "{}")]
    lists = [cases, cases[::-1], [cases[0], replace(cases[1], text='{"a": 1}')]]
    found = {write_list(entries, tmp_path / "list") for entries in lists}
    assert len(found) == 3
    assert {count for _, count in found} == {2}


def test_only_a_folder_of_ray_is_removed(tmp_path, listed, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    begin(tmp_path / "out", listed)
    folder = RunFolder(tmp_path / "out")
    for name, is_kept in ((f"{RAY_PREFIX}x", False), ("thesis", True), (f"thesis/{RAY_PREFIX}x", True)):
        (tmp_path / name).mkdir(parents=True)
        folder.note_ray(tmp_path / name)
        folder.remove_old_ray()
        assert Path(tmp_path / name).exists() is is_kept
    folder.remove_old_ray()
