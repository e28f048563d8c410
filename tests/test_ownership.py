"""A command replaces only files that it wrote and that nobody changed since."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gliomaseg.errors import OutputExistsError
from gliomaseg.ownership import MANIFEST, OutputFolder

APPENDING = """
import sys
from pathlib import Path
from gliomaseg.ownership import OutputFolder
output = OutputFolder(Path(sys.argv[1]), "predict")
for number in range(50):
    output.write_text(Path(sys.argv[1]) / f"{sys.argv[2]}_{number}.txt", "text")
"""

KILLED = """
import os, sys
from pathlib import Path
from gliomaseg import atomic
from gliomaseg.ownership import OutputFolder
folder = Path(sys.argv[1])
if sys.argv[2] == "before":
    Path.replace = lambda *_: os._exit(9)
with OutputFolder(folder, "predict").new_file(folder / "a.txt") as temporary:
    temporary.write_text("second")
os._exit(9)
"""


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path / "out", "predict")


def fill(output: OutputFolder, name: str, texts: dict[str, str], *, overwrite: bool = False) -> Path:
    path = output.folder / name if name else output.folder
    with output.new_folder(path, overwrite=overwrite) as folder:
        for file, text in texts.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def refused(output: OutputFolder, *targets: Path, overwrite: bool = True) -> str:
    with pytest.raises(OutputExistsError) as caught:
        output.require_replaceable(*targets, overwrite=overwrite)
    return caught.value.line()


def test_a_line_has_path_checksum_and_command(output: OutputFolder) -> None:
    output.write_text(output.folder / "sub" / "a.txt", "abc")
    (line,) = (output.folder / MANIFEST).read_text().splitlines()
    # SHA-256 of "abc", from FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert json.loads(line) == {"path": "sub/a.txt", "sha256": digest, "command": "predict"}


def test_a_missing_target_and_an_empty_folder_are_free(output: OutputFolder) -> None:
    output.require_replaceable(output.folder, output.folder / "a.txt", overwrite=False)
    output.folder.mkdir()
    output.require_replaceable(output.folder, overwrite=False)


def test_an_own_file_needs_overwrite(output: OutputFolder) -> None:
    file = output.folder / "a.txt"
    output.write_text(file, "ours")
    assert refused(output, file, overwrite=False) == f"{file}: exists already; pass --overwrite, or another --out"
    output.require_replaceable(file, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_file_is_refused_and_overwrite_is_not_recommended(output: OutputFolder, *, overwrite: bool) -> None:
    output.folder.mkdir()
    file = output.folder / "a.txt"
    file.write_text("mine")
    line = refused(output, file, overwrite=overwrite)
    assert line == f"{file}: is not ours: predict did not write it; move it, or pass another --out"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_changed_file_is_refused_and_overwrite_is_not_recommended(output: OutputFolder, *, overwrite: bool) -> None:
    file = output.folder / "a.txt"
    output.write_text(file, "ours")
    file.write_text("corrected")
    line = refused(output, file, overwrite=overwrite)
    assert line == f"{file}: was changed since predict wrote it; move it, or pass another --out"


def test_a_file_of_another_command_is_foreign(output: OutputFolder) -> None:
    file = output.folder / "a.txt"
    OutputFolder(output.folder, "phantom").write_text(file, "reference")
    assert "predict did not write it" in refused(output, file)


def test_every_version_that_was_written_is_own(output: OutputFolder) -> None:
    file = output.folder / "a.txt"
    for text in ("first", "second"):
        output.write_text(file, text)
    file.write_text("first")  # as a backup brings it back
    output.require_replaceable(file, overwrite=True)


@pytest.mark.parametrize(("when", "text"), [("before", "first"), ("after", "second")])
def test_a_killed_process_leaves_own_files_only(output: OutputFolder, when: str, text: str) -> None:
    output.write_text(output.folder / "a.txt", "first")
    done = subprocess.run([sys.executable, "-c", KILLED, str(output.folder), when], check=False)
    assert done.returncode == 9
    assert (output.folder / "a.txt").read_text() == text
    output.require_replaceable(output.folder, overwrite=True)


def test_a_line_cut_by_a_power_failure_does_not_matter(output: OutputFolder) -> None:
    output.write_text(output.folder / "a.txt", "ours")
    with (output.folder / MANIFEST).open("ab") as manifest:
        manifest.write(b'{"path": "b.txt", "sha')
    output.write_text(output.folder / "c.txt", "ours")
    output.require_replaceable(output.folder / "a.txt", output.folder / "c.txt", overwrite=True)


def test_processes_that_share_a_folder_lose_no_line(output: OutputFolder) -> None:
    command = [sys.executable, "-c", APPENDING, str(output.folder)]
    for process in [subprocess.Popen([*command, name]) for name in "abc"]:
        assert process.wait() == 0
    output.require_replaceable(output.folder, overwrite=True)
    assert len((output.folder / MANIFEST).read_bytes().splitlines()) == 150


@pytest.mark.parametrize("name", ["b.txt", "sub/b.txt", "sub/deeper/b.txt"])
def test_a_foreign_file_at_any_depth_keeps_the_folder(output: OutputFolder, name: str) -> None:
    path = fill(output, "p1", {"a.txt": "ours", "sub/a.txt": "ours"})
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("mine")
    assert refused(output, path).startswith(f"{path / name}: is not ours")
    with pytest.raises(OutputExistsError):
        fill(output, "p1", {"a.txt": "new"}, overwrite=True)
    assert (path / name).read_text() == "mine"
    assert (path / "a.txt").read_text() == "ours"


def test_an_empty_foreign_folder_keeps_the_folder(output: OutputFolder) -> None:
    path = fill(output, "p1", {"a.txt": "ours"})
    (path / "plans").mkdir()
    assert refused(output, path).startswith(f"{path / 'plans'}: is not ours")


def test_the_first_foreign_files_are_named(output: OutputFolder) -> None:
    path = fill(output, "", {"a.txt": "ours"})
    (path / "a.txt").write_text("corrected")
    for name in "bcd":
        (path / name).touch()
    what = "has files that are not ours or were changed since predict wrote them: a.txt (changed), b, c and more"
    assert refused(output, path) == f"{path}: {what}; move them, or pass another --out"


@pytest.mark.parametrize("target", ["a.txt", "nowhere", "."])
def test_a_link_is_foreign(output: OutputFolder, tmp_path: Path, target: str) -> None:
    path = fill(output, "p1", {"a.txt": "ours"})
    (path / "link").symlink_to(target)
    assert refused(output, path).startswith(f"{path / 'link'}: is not ours")
    (output.folder / "p2").symlink_to(path)
    assert "p2: is not ours" in refused(output, output.folder / "p2")


def test_leavings_of_a_killed_process_and_of_the_system_are_no_obstacle(output: OutputFolder) -> None:
    path = fill(output, "p1", {"a.txt": "ours"})
    (path / ".gliomaseg-12345678-b").mkdir()
    for name in (".gliomaseg-12345678-b/half.txt", ".gliomaseg-12345678-c.png", ".DS_Store", "._a.txt", "Thumbs.db"):
        (path / name).touch()
    output.require_replaceable(path, overwrite=True)


def test_a_new_output_folder_gets_a_new_manifest(output: OutputFolder) -> None:
    fill(output, "", {"a.txt": "ours"})
    with output.new_folder(output.folder, overwrite=True) as folder:
        (folder / "b.txt").write_text("ours")
        (folder / MANIFEST).write_text('{"path": "stolen.txt", "sha256": "", "command": "predict"}\n')
    assert "stolen" not in (output.folder / MANIFEST).read_text()
    assert names(output.folder) == [MANIFEST, "b.txt"]
    assert output.owns(output.folder)


def test_a_folder_is_checked_again_before_it_is_replaced(output: OutputFolder) -> None:
    path = fill(output, "p1", {"a.txt": "ours"})

    def replace() -> None:
        with output.new_folder(path, overwrite=True) as folder:
            (folder / "a.txt").write_text("new")
            (path / "b.txt").write_text("mine")

    with pytest.raises(OutputExistsError, match=r"b\.txt"):
        replace()
    assert (path / "b.txt").read_text() == "mine"


def test_growing_files_are_own_in_exactly_their_place(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, "train", growing=("log.jsonl", "tensorboard/events.*"))
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "log.jsonl").touch()
    output.require_replaceable(tmp_path, overwrite=True)
    (tmp_path / "tensorboard" / "events.1").touch()
    output.require_replaceable(tmp_path, overwrite=True)
    (tmp_path / "tensorboard" / "sub").mkdir()
    (tmp_path / "tensorboard" / "sub" / "log.jsonl").touch()
    assert "log.jsonl: is not ours" in refused(output, tmp_path)


def test_an_empty_folder_is_own_if_growing_files_may_be_in_it(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, "train", growing=("wandb/run-*/tmp/*",))
    (tmp_path / "wandb" / "run-1" / "tmp").mkdir(parents=True)
    output.require_replaceable(tmp_path, overwrite=True)
    (tmp_path / "wandb" / "run-1" / "mine").mkdir()
    assert "mine: is not ours" in refused(output, tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    output = OutputFolder(tmp_path / "out", "predict")
    assert refused(output, tmp_path / "out" / "a.txt").startswith(f"{tmp_path / 'out'}: is a file, expected a folder")


def test_only_own_files_are_removed(output: OutputFolder) -> None:
    files = [output.folder / name for name in ("own.txt", "changed.txt", "foreign.txt", "missing.txt")]
    for file in files[:2]:
        output.write_text(file, "ours")
    for file in files[1:3]:
        file.write_text("mine")
    path = fill(output, "p1", {"a.txt": "ours"})
    output.remove_own([*files, path])
    assert names(output.folder) == [MANIFEST, "changed.txt", "foreign.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_another_users_manifest_does_not_stop_the_work(output: OutputFolder) -> None:
    output.write_text(output.folder / "a.txt", "ours")
    (output.folder / MANIFEST).chmod(0o400)
    output.write_text(output.folder / "b.txt", "ours")
    assert "b.txt: is not ours" in refused(output, output.folder / "b.txt")
