"""A disk that is really full: each command ends with exit code 5 and one line, and the old results stay as they are."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gliomaseg.choices import PhantomFormat
from gliomaseg.ownership import MANIFEST
from gliomaseg.phantoms import write_phantoms

# A disk of 64 MB in memory that nobody else sees: with the old results, and a file that leaves some kilobytes free.
ON_FULL_DISK = """
mount -t tmpfs -o size=64m none "$1" && cp -a "$2" "$1/out" || exit 99
dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null
truncate -s -"$3"k "$1/filler"
disk="$1"; shift 3; "$@"; code=$?
cd "$disk" && find out -type f -exec sha256sum {} + && ls -A && exit $code
"""
COMMANDS = {
    "phantom": ("phantom", "{out}", "--patients", "1"),
    "split": ("split", "{phantoms}", "--out", "{out}/splits.json"),
    "audit": ("audit", "{phantoms}", "--manifest", "{out}/cases.csv"),
    "audit page": ("audit", "{phantoms}", "--html", "{out}/audit.html"),
    "evaluate": ("evaluate", "{phantoms}", "--model", "{bright}", "--out", "{out}"),
    "report": ("report", "{evaluation}", "--out", "{out}/report.html"),
    "export": ("export", "{bright}", "--to", "onnx", "--out", "{out}/model"),
    "predict slices": ("predict", "{patient}", "--model", "{bright}", "--out", "{out}"),
    "predict NIfTI": ("predict", "{nifti}", "--model", "{bright}", "--out", "{out}", "--to", "nifti"),
    "predict DICOM": ("predict", "{dicom}", "--model", "{bright}", "--out", "{out}", "--to", "dicom-seg"),
}


def gliomaseg(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gliomaseg", *arguments]


@pytest.fixture(scope="module")
def paths(phantoms, bright, tmp_path_factory):
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this user may not mount a disk in a name space of its own (unshare -rm)")
    folder = tmp_path_factory.mktemp("full-disk")
    found = {"phantoms": phantoms, "bright": bright, "patient": min(phantoms.iterdir())}
    for kind in ("nifti", "dicom"):
        root = write_phantoms(folder, patients=1, side_px=64, kind=PhantomFormat(kind))
        found[kind] = next(root.glob("*/*flair*"))
    found["evaluation"] = folder / "evaluation"
    arguments = gliomaseg("evaluate", str(phantoms), "--model", str(bright), "--out", str(found["evaluation"]))
    subprocess.run(arguments, check=True, capture_output=True)
    return {name: str(path) for name, path in found.items()}


@pytest.mark.parametrize(
    ("command", "free_kb"), [*((name, 0) for name in COMMANDS), ("phantom", 12), ("evaluate", 12), ("export", 12)]
)
def test_a_full_disk_keeps_the_old_results(command, free_kb, paths, tmp_path):
    old, disk = tmp_path / "old", tmp_path / "disk"
    old.mkdir()
    disk.mkdir()
    before = gliomaseg(*(part.format(**paths, out=old) for part in COMMANDS[command]))
    subprocess.run(before, check=True, capture_output=True)
    again = gliomaseg(*(part.format(**paths, out=disk / "out") for part in COMMANDS[command]), "--overwrite")
    started = ["unshare", "-rm", "sh", "-c", ON_FULL_DISK, "sh", str(disk), str(old), str(free_kb), *again]
    done = subprocess.run(started, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 5, done.stdout + done.stderr
    assert [line for line in done.stderr.splitlines() if "error" in line][-1].count("the disk is full") == 1
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["filler", "out"]
    left = dict(reversed(line.split("  ", 1)) for line in lines if "  out/" in line)
    # The manifest of the files may have got lines about files that never appeared.
    left.pop(f"out/{MANIFEST}", None)
    assert left == checksums(old)


def checksums(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file() and file != folder / MANIFEST]
    return {f"out/{file.relative_to(folder)}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
