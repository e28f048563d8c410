"""Cache: equals the result of `prepare`, and is rebuilt if it is damaged or the data changed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gliomaseg.config import Preprocessing
from gliomaseg.data.cache import Cache, default_cache_folder, open_cache
from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.growing_array import RESERVE_BYTES
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import DataError, FormatError, GliomasegError, ResourceError, UsageError
from gliomaseg.preprocessing import prepare, prepare_mask

FIRST, SECOND = "TCGA_CS_0001_20000101", "TCGA_DU_0002_20010101"
SMALL = Preprocessing(size_px=32)

# Both processes find no cache, and wait for each other before they build one.
BUILD = """
import sys, time
from pathlib import Path
from gliomaseg.config import Preprocessing
from gliomaseg.data.cache import open_cache
from gliomaseg.data.layouts import read_cases
data, folder, own_flag, other_flag = map(Path, sys.argv[1:])
def wait_for_other(_):
    own_flag.touch()
    while not other_flag.exists():
        time.sleep(0.002)
opened = open_cache(read_cases(data), Preprocessing(size_px=32), folder=folder, progress=wait_for_other)
print(opened.images.sum(), opened.masks.sum(), len(opened.names))
"""
# Waits after the first case until it is killed.
KILLED = """
import sys, time
from pathlib import Path
from gliomaseg.config import Preprocessing
from gliomaseg.data import cache
from gliomaseg.data.layouts import read_cases
prepare_mask, prepared_cases = cache.prepare_mask, []
def pause(*arguments):
    if prepared_cases:
        print("half", flush=True)
        time.sleep(60)
    prepared_cases.append(1)
    return prepare_mask(*arguments)
cache.prepare_mask = pause
cache.open_cache(read_cases(Path(sys.argv[1])), Preprocessing(size_px=32), folder=Path(sys.argv[2]))
"""


@pytest.fixture
def data(tmp_path: Path, kaggle_tree: Callable[..., Path]) -> Path:
    return kaggle_tree(tmp_path / "data", {FIRST: 2, SECOND: 3}, side=24)


@pytest.fixture
def index(data: Path) -> CaseList:
    return read_cases(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "caches"


def entry_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def assert_cache_matches_data(cache: Cache, index: CaseList, preprocessing: Preprocessing = SMALL) -> None:
    cases = [read_case(case) for case in index.cases]
    prepared = [prepare(case.scan, preprocessing) for case in cases]
    masks = [prepare_mask(case.reference, slices) for case, slices in zip(cases, prepared, strict=True)]
    assert np.array_equal(cache.images, np.concatenate([slices.slices for slices in prepared]))
    assert np.array_equal(cache.masks, np.concatenate(masks))


# --- content


@pytest.mark.parametrize("channels", ["grey", "flair", "t1_flair", "t1_flair_t1ce"])
def test_cache_equals_the_result_of_prepare(index: CaseList, folder: Path, channels: str) -> None:
    preprocessing = Preprocessing(size_px=32, input=channels)  # type: ignore[arg-type]
    opened = open_cache(index, preprocessing, folder=folder)
    assert (opened.images.dtype, opened.masks.dtype) == (np.uint8, np.bool_)
    assert opened.masks.any()
    assert_cache_matches_data(opened, index, preprocessing)


def test_names_are_case_and_slice_number_in_the_order_of_the_index(index: CaseList, folder: Path) -> None:
    opened = open_cache(index, SMALL, folder=folder)
    assert opened.names == (f"{FIRST}/1", f"{FIRST}/2", f"{SECOND}/1", f"{SECOND}/2", f"{SECOND}/3")


def test_positions_follow_the_order_of_the_given_cases(index: CaseList, folder: Path) -> None:
    opened = open_cache(index, SMALL, folder=folder)
    assert opened.positions(index.cases[1:]).tolist() == [2, 3, 4]
    assert opened.positions(index.cases[::-1]).tolist() == [2, 3, 4, 0, 1]
    assert opened.positions(()).tolist() == []


def test_case_numbers_and_limits_match_the_cases(index: CaseList, folder: Path) -> None:
    opened = open_cache(index, SMALL, folder=folder)
    assert opened.case_numbers.tolist() == [0, 0, 1, 1, 1]
    assert [limits.tolist() for limits in opened.case_limits] == [[0, 2], [1, 4]]


def test_level_histograms_count_the_pixels_of_each_case(index: CaseList, folder: Path) -> None:
    opened = open_cache(index, SMALL, folder=folder)
    assert opened.level_histograms.shape == (2, 1, 256)
    assert opened.level_histograms.sum(axis=(1, 2)).tolist() == [2 * 32 * 32, 3 * 32 * 32]
    assert opened.level_histograms[1, 0, 0] == (opened.images[2:] == 0).sum()


def test_has_tumour_is_true_if_a_mask_has_a_tumour_pixel(index: CaseList, folder: Path) -> None:
    opened = open_cache(index, SMALL, folder=folder)
    assert opened.has_tumour.tolist() == [bool(mask.any()) for mask in opened.masks]


def test_context_slices_and_normalisation_share_one_cache(index: CaseList, folder: Path) -> None:
    plain = open_cache(index, SMALL, folder=folder)
    builds: list[str] = []
    other = SMALL.model_copy(update={"context_slices": 2, "normalisation": "zscore"})
    assert open_cache(index, other, folder=folder, progress=builds.append).digest == plain.digest
    assert builds == []


def test_cache_arrays_are_read_only(index: CaseList, folder: Path) -> None:
    opened = open_cache(index, SMALL, folder=folder)
    with pytest.raises(ValueError, match="read-only"):
        opened.images[0] = 0


# --- one build for each content


def test_second_run_opens_the_cache_of_the_first(index: CaseList, folder: Path) -> None:
    builds: list[str] = []
    first = open_cache(index, SMALL, folder=folder, progress=builds.append)
    second = open_cache(index, SMALL, folder=folder, progress=builds.append)
    assert len(builds) == 1
    assert first.digest == second.digest
    assert entry_names(folder) == [first.digest]
    assert_cache_matches_data(second, index)


def test_copy_of_the_data_set_opens_the_same_cache(index: CaseList, data: Path, folder: Path) -> None:
    builds: list[str] = []
    open_cache(index, SMALL, folder=folder, progress=builds.append)
    moved = shutil.copytree(data, data.with_name("moved"))
    open_cache(read_cases(moved), SMALL, folder=folder, progress=builds.append)
    assert len(builds) == 1


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_changed_pixel_gives_another_cache_despite_same_file_size_and_time(
    index: CaseList, folder: Path, kind: str
) -> None:
    first = open_cache(index, SMALL, folder=folder)
    file: Path = getattr(index.cases[1].slices[2], kind)
    before = file.stat()
    pixels = tifffile.memmap(file, mode="r+")
    pixels[3, 3] = 255 - pixels[3, 3]
    pixels.flush()
    del pixels
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    second = open_cache(index, SMALL, folder=folder)
    assert second.digest != first.digest
    assert_cache_matches_data(second, index)


def test_swapped_files_give_another_cache(index: CaseList, data: Path, folder: Path) -> None:
    first = open_cache(index, SMALL, folder=folder)
    one, two = (data / FIRST / f"{FIRST}_{n}.tif" for n in (1, 2))
    one.rename(data / "aside")
    two.rename(one)
    (data / "aside").rename(two)
    second = open_cache(read_cases(data), SMALL, folder=folder)
    assert second.digest != first.digest
    assert np.array_equal(second.images[0], first.images[1])


def test_part_of_a_data_set_has_its_own_cache(index: CaseList, folder: Path) -> None:
    whole = open_cache(index, SMALL, folder=folder)
    part = open_cache(CaseList(index.root, index.cases[:1]), SMALL, folder=folder)
    assert part.digest != whole.digest
    assert len(part.images) == 2


@pytest.mark.parametrize("other", [Preprocessing(size_px=48), Preprocessing(size_px=32, input="flair")])
def test_other_size_or_channels_give_another_cache(index: CaseList, folder: Path, other: Preprocessing) -> None:
    first = open_cache(index, SMALL, folder=folder)
    second = open_cache(index, other, folder=folder)
    assert first.digest != second.digest
    assert_cache_matches_data(second, index, other)


def test_other_normalisation_mean_opens_the_same_cache(index: CaseList, folder: Path) -> None:
    first = open_cache(index, SMALL, folder=folder)
    assert open_cache(index, Preprocessing(size_px=32, mean=0.2), folder=folder).digest == first.digest


# --- damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_last_bit(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def damage_manifest(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / "manifest.json").write_text(text)

    return write


def swap_arrays(path: Path) -> None:
    shutil.copy(path / "masks.npy", path / "images.npy")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "images cut short": lambda path: cut(path / "images.npy"),
    "masks cut short": lambda path: cut(path / "masks.npy"),
    "images with another bit": lambda path: flip_last_bit(path / "images.npy"),
    "masks with another bit": lambda path: flip_last_bit(path / "masks.npy"),
    "images empty": lambda path: (path / "images.npy").write_bytes(b""),
    "images of other bytes": lambda path: (path / "images.npy").write_bytes(b"x" * 1000),
    "images cut in the header": lambda path: (path / "images.npy").write_bytes((path / "images.npy").read_bytes()[:20]),
    "images gone": lambda path: (path / "images.npy").unlink(),
    "masks gone": lambda path: (path / "masks.npy").unlink(),
    "images of another shape": swap_arrays,
    "images of fewer slices": lambda path: np.save(path / "images.npy", np.zeros((4, 1, 32, 32), np.uint8)),
    "images of another size": lambda path: np.save(path / "images.npy", np.zeros((5, 1, 16, 16), np.uint8)),
    "masks of another type": lambda path: np.save(path / "masks.npy", np.zeros((5, 32, 32), np.uint8)),
    "manifest gone": lambda path: (path / "manifest.json").unlink(),
    "manifest cut short": lambda path: cut(path / "manifest.json"),
    "manifest empty": damage_manifest(""),
    "manifest a list": damage_manifest("[]"),
    "manifest null": damage_manifest("null"),
    "manifest without names": damage_manifest("{}"),
    "manifest of other names": damage_manifest('{"names": ["a", "b", "c", "d", "e"]}'),
    "manifest of no names": damage_manifest('{"names": 5}'),
    "everything gone": lambda path: [entry.unlink() for entry in path.iterdir()] and None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_is_rebuilt(index: CaseList, folder: Path, damage: str) -> None:
    digest = open_cache(index, SMALL, folder=folder).digest
    DAMAGES[damage](folder / digest)
    builds: list[str] = []
    again = open_cache(index, SMALL, folder=folder, progress=builds.append)
    assert builds[0] == f"note: the cache {folder / digest} is damaged or has no hashes, and is built again"
    assert len(builds) == 2  # and `preparing`
    assert again.digest == digest
    assert_cache_matches_data(again, index)
    assert entry_names(folder) == [digest]


def test_a_damaged_brain_is_found_again(index: CaseList, folder: Path) -> None:
    first = open_cache(index, SMALL, folder=folder, brain=True)
    brain = np.array(first.brain)
    flip_last_bit(folder / first.digest / "brain-1.npy")
    lines: list[str] = []
    again = open_cache(index, SMALL, folder=folder, brain=True, progress=lines.append)
    assert np.array_equal(again.brain, brain)
    assert len(lines) == 1
    assert lines[0].startswith("finding the brain")
    lines.clear()
    open_cache(index, SMALL, folder=folder, brain=True, progress=lines.append)
    assert lines == []


def test_file_with_the_name_of_the_cache_is_replaced(index: CaseList, folder: Path) -> None:
    digest = open_cache(index, SMALL, folder=folder).digest
    shutil.rmtree(folder / digest)
    (folder / digest).write_text("a file")
    assert_cache_matches_data(open_cache(index, SMALL, folder=folder), index)
    assert entry_names(folder) == [digest]


def test_manifest_records_preprocessing_and_data_folder(index: CaseList, folder: Path) -> None:
    digest = open_cache(index, SMALL, folder=folder).digest
    manifest = json.loads((folder / digest / "manifest.json").read_text())
    assert manifest["preprocessing"] == SMALL.model_dump()
    assert manifest["root"] == str(index.root)


# --- concurrent and killed builds


def run(*arguments: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_that_build_at_once_leave_one_cache(
    data: Path, index: CaseList, folder: Path, tmp_path: Path, *, damaged: bool
) -> None:
    if damaged:
        cut(folder / open_cache(index, SMALL, folder=folder).digest / "images.npy")
    flags = tmp_path / "a", tmp_path / "b"
    processes = [run(BUILD, data, folder, *flags), run(BUILD, data, folder, *flags[::-1])]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    builds: list[str] = []
    opened = open_cache(index, SMALL, folder=folder, progress=builds.append)
    assert builds == []
    assert outputs == [f"{opened.images.sum()} {opened.masks.sum()} 5\n"] * 2
    assert entry_names(folder) == [opened.digest]
    assert_cache_matches_data(opened, index)


def test_cache_finished_first_by_another_run_is_opened(index: CaseList, folder: Path) -> None:
    def other_run(_: str) -> None:
        open_cache(index, SMALL, folder=folder)

    opened = open_cache(index, SMALL, folder=folder, progress=other_run)
    assert_cache_matches_data(opened, index)
    assert entry_names(folder) == [opened.digest]


def test_killed_build_leaves_no_cache(data: Path, index: CaseList, folder: Path) -> None:
    process = run(KILLED, data, folder)
    assert process.stdout
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [name for name in entry_names(folder) if not name.startswith(".")] == []
    builds: list[str] = []
    assert_cache_matches_data(open_cache(index, SMALL, folder=folder, progress=builds.append), index)
    assert len(builds) == 1


def test_unreadable_file_during_a_build_leaves_an_empty_folder(index: CaseList, folder: Path) -> None:
    index.cases[1].slices[0].image.write_bytes(b"not a TIFF")
    with pytest.raises(FormatError, match=f"{SECOND}_1.tif"):
        open_cache(index, SMALL, folder=folder)
    assert entry_names(folder) == []


# --- errors


def test_index_with_problems_is_refused(data: Path, folder: Path) -> None:
    (data / FIRST / f"{FIRST}_1_mask.tif").unlink()
    with pytest.raises(DataError, match="has no mask"):
        open_cache(read_cases(data), SMALL, folder=folder)
    assert not folder.exists()


def test_error_gives_the_missing_file(index: CaseList, folder: Path) -> None:
    index.cases[0].slices[0].image.unlink()
    with pytest.raises(DataError, match=rf"{FIRST}_1\.tif: cannot be read \(No such file"):
        open_cache(index, SMALL, folder=folder)


def test_too_little_disk_space_is_refused_before_writing(
    index: CaseList, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 5 slices of 32 x 32, one byte a pixel for image and mask, plus the reserve, minus one byte.
    free = 5 * 32 * 32 * 2 + RESERVE_BYTES - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free))  # type: ignore[attr-defined]
    with pytest.raises(
        ResourceError, match=r"MB are free, expected 200 MB: 0 MB for the cache and 200 MB in reserve; free some space"
    ):
        open_cache(index, SMALL, folder=folder)
    assert not folder.exists() or entry_names(folder) == []


def test_a_read_only_disk_is_named_as_the_reason(
    index: CaseList, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 4_000_000))  # type: ignore[attr-defined]
    with pytest.raises(
        GliomasegError, match=r"cache folder cannot be written \(Read-only file system\); name a folder"
    ):
        open_cache(index, SMALL, folder=folder)


def test_a_cache_on_a_read_only_disk_is_still_read(
    index: CaseList, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_cache(index, SMALL, folder=folder)
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    assert open_cache(index, SMALL, folder=folder).digest == first.digest


def test_full_disk_during_a_build_leaves_an_empty_folder(
    index: CaseList, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceError, match="the disk is full"):
        open_cache(index, SMALL, folder=folder)
    assert entry_names(folder) == []


def test_file_instead_of_the_cache_folder_is_refused(index: CaseList, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(GliomasegError, match="cannot be written"):
        open_cache(index, SMALL, folder=folder)


# --- cache folder


def test_default_folder_is_the_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLIOMASEG_CACHE", str(tmp_path / "own_flag"))
    assert default_cache_folder() == tmp_path / "own_flag"


def test_a_tilde_in_the_environment_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GLIOMASEG_CACHE", "~/cache")
    assert default_cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GLIOMASEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/xdg")
    assert default_cache_folder() == tmp_path / "xdg" / "gliomaseg"


def test_default_folder_is_in_xdg_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GLIOMASEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "gliomaseg"


def test_default_folder_without_variables_is_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GLIOMASEG_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / ".cache" / "gliomaseg"


def test_open_cache_uses_the_environment_variable(
    index: CaseList, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIOMASEG_CACHE", str(folder))
    opened = open_cache(index, SMALL)
    assert entry_names(folder) == [opened.digest]


def test_unknown_home_folder_without_variables_is_refused(monkeypatch):
    def raise_runtime_error():
        raise RuntimeError("Could not determine home directory.")

    for name in ("GLIOMASEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", raise_runtime_error)
    with pytest.raises(UsageError, match="set GLIOMASEG_CACHE"):
        default_cache_folder()
