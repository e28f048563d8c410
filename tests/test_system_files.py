"""Which files an operating system left behind."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from gliomaseg.system_files import is_system_file


@pytest.mark.parametrize(
    "path",
    [
        "._PatZ_8.tif",
        "scan/._0001.dcm",
        "._0001",
        ".DS_Store",
        "a/b/.DS_Store",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "Desktop.ini",
        "__MACOSX",
        "__MACOSX/scan/0001.dcm",
        "export/__MACOSX/scan/._0001.dcm",
        "__MACOSX\\scan\\0001.dcm",
        "scan\\Thumbs.db",
        "$RECYCLE.BIN/S-1/a.dcm",
        "System Volume Information/a.nii.gz",
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
    ],
)
def test_system_files_are_recognised_as_text_and_as_path(path: str) -> None:
    assert is_system_file(path)
    assert is_system_file(Path(path))


@pytest.mark.parametrize("path", ["scan.tif", "_scan.tif", "a._b.nii", ".hidden.nii", "IM.0001", "MACOSX/a.dcm", ""])
def test_other_files_are_not_system_files(path: str) -> None:
    assert not is_system_file(path)


def test_windows_paths_are_split() -> None:
    assert is_system_file(PureWindowsPath(r"C:\scan\__MACOSX\a.dcm"))
