"""The command with a real Ray: killed with all its processes, run again, and each case is there once.

The tests build on each other: starting Ray takes some seconds, so there is one archive and one folder of results.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bright_volumes import write_volume
from gliomaseg.atomic import locked

CASES = 40
SECONDS = 120
MARK = "GLIOMASEG_TEST_BULK"
# In a worker, opening this file ends the process, as a crash in a library does.
CRASH = """
import os, signal, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("crash_flair.nii.gz") and "CRASH_IN_WORKERS" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")


class Archive:
    """An archive with a missing file and one that ends its process, and the runs of bulk on it."""

    def __init__(self, folder, model):
        self.folder, self.model, self.out = folder, model, folder / "out"
        self.hook = folder / "hook"
        self.hook.mkdir()
        (self.hook / "sitecustomize.py").write_text(CRASH)
        self.names = [*(f"case_{k:02d}" for k in range(CASES - 2)), "crash", "missing"]
        for seed, name in enumerate(self.names[:-1]):
            write_volume(folder / "scans" / f"{name}_flair.nii.gz", seed=seed)
        lines = [f"{name},scans/{name}_flair.nii.gz" for name in self.names]
        (folder / "cases.csv").write_text("\n".join(["case,flair", *lines]))

    def start(self, *options, out="out", crash=False, mark="", before=()):
        command = [*before, sys.executable, "-m", "gliomaseg", "bulk", "cases.csv", "--out", out]
        defaults = {"--workers": "2", "--model": str(self.model)}
        unnamed = [word for name, value in defaults.items() if name not in options for word in (name, value)]
        paths = os.pathsep.join(filter(None, (str(self.hook), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": paths, MARK: mark} | ({"CRASH_IN_WORKERS": "1"} if crash else {})
        return subprocess.Popen(
            [*command, *unnamed, "--json", *options],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finish(self, process):
        output, messages = process.communicate(timeout=SECONDS)
        assert "Traceback" not in messages
        return process.returncode, json.loads(output) if output else None, messages

    def run(self, *options, out="out", crash=False):
        return self.finish(self.start(*options, out=out, crash=crash))

    def rows(self):
        return pq.read_table(self.out / "results.parquet").to_pylist()


@pytest.fixture(scope="module")
def archive(tmp_path_factory, bright):
    # Ray would take such names of folders for a column, or for parts of an address.
    folder = tmp_path_factory.mktemp("archive") / "case=1" / "a%20b#c"
    folder.mkdir(parents=True)
    return Archive(folder, bright)


def marked(mark):
    """Return the processes that inherited the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill(mark):
    killed = set()
    while pids := marked(mark):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(pid)
        time.sleep(0.01)
    return len(killed)


def wait_until(condition, process):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_end(mark):
    deadline = time.monotonic() + SECONDS
    while marked(mark):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def committed(archive):
    return [file for file in (archive.out / ".gliomaseg-bulk").glob("checkpoint/*") if ".pending." not in file.name]


def listening(pids):
    """Return the local addresses, as the kernel writes them, on which processes accept connections."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
            except OSError:
                continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {line[1].rpartition(":")[0] for line in lines if line[3] == "0A" and line[9] in sockets}


def test_everything_is_killed_in_the_middle_of_a_run(archive):
    mark = secrets.token_hex(16)
    process = archive.start(crash=True, mark=mark)
    wait_until(lambda: committed(archive), process)
    addresses = listening(marked(mark))
    assert kill(mark) > 4
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (archive.out / "results.parquet").exists()
    # 127.0.0.1, and the same as an IPv6 address
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_sigterm_while_ray_starts_interrupts_and_leaves_no_process_and_no_folder(archive):
    mark = secrets.token_hex(16)
    process = archive.start(out="stopped", mark=mark)
    note = archive.folder / "stopped" / ".gliomaseg-bulk" / "ray"
    wait_until(note.exists, process)
    time.sleep(0.3)  # Ray has its own handler now
    process.send_signal(signal.SIGTERM)
    code, _, messages = archive.finish(process)
    assert code == 130
    assert "the same command continues the run" in messages
    assert not Path(note.read_text()).exists()
    wait_for_end(mark)


def test_the_rerun_predicts_the_rest_and_each_case_is_there_once(archive):
    done = [number for file in committed(archive) for number in pq.read_table(file)["id"].to_pylist()]
    masks = [archive.out / f"{archive.names[number]}_mask.nii.gz" for number in done]
    written_ns = [mask.stat().st_mtime_ns for mask in masks]
    code, summary, messages = archive.run(crash=True)
    assert code == 4, messages
    assert 0 < len(done) < CASES
    assert f"continued: {CASES - len(done)} of {CASES} cases left" in messages
    assert (summary["cases"], summary["predicted"], summary["failed"]) == (CASES, CASES - len(done), 2)
    assert [mask.stat().st_mtime_ns for mask in masks] == written_ns
    rows = archive.rows()
    assert [row["case"] for row in rows] == archive.names
    for row in rows[:-2]:
        mask = archive.out / f"{row['case']}_mask.nii.gz"
        assert hashlib.sha256(mask.read_bytes()).hexdigest() == row["mask_sha256"]
        assert row["error"] is None


def test_a_crash_of_a_library_in_one_case_and_a_missing_file_are_rows(archive):
    crash, missing = archive.rows()[-2:]
    assert "the process of its worker ended 3 times" in crash["error"]
    assert "no such file" in missing["error"]
    assert crash["outputs"] == missing["outputs"] == []


def test_another_run_in_the_folder_is_refused_at_once(archive):
    with locked(archive.out):
        code, summary, messages = archive.run()
    assert (code, summary) == (3, None)
    assert "another run is at work here" in messages


def test_another_model_in_the_folder_is_refused(archive):
    code, _, messages = archive.run("--model", "glioma-flair")
    assert code == 2
    assert "the model is glioma-flair, was bright" in messages


def test_the_failed_cases_alone_are_tried_again(archive):
    write_volume(archive.folder / "scans" / "missing_flair.nii.gz", seed=CASES)
    before = archive.rows()
    code, summary, messages = archive.run()
    assert code == 0, messages
    assert (summary["predicted"], summary["failed"]) == (2, 0)
    rows = archive.rows()
    assert rows[:-2] == before[:-2]
    assert [row["case"] for row in rows] == archive.names
    assert [row["error"] for row in rows] == [None] * CASES


def test_a_finished_run_is_not_repeated_and_leaves_nothing_behind(archive):
    table = (archive.out / "results.parquet").stat().st_mtime_ns
    code, summary, _ = archive.run()
    assert (code, summary["predicted"], summary["workers"]) == (0, 0, 0)
    assert (archive.out / "results.parquet").stat().st_mtime_ns == table
    hidden = {path.name for path in archive.out.iterdir() if path.name.startswith(".")}
    assert hidden == {".gliomaseg-bulk", ".gliomaseg-files"}


def test_a_full_disk_ends_the_run_with_its_exit_code(archive):
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this user may not mount a disk in a name space of its own (unshare -rm)")
    (archive.folder / "disk").mkdir()
    script = 'mount -t tmpfs -o size=300k none disk && exec "$@"'
    process = archive.start(out="disk/out", before=("unshare", "-rm", "sh", "-c", script, "sh"))
    code, _, messages = archive.finish(process)
    assert code == 5, messages
    assert "the disk is full" in messages


@pytest.mark.parametrize("name", ["a?b", "a\nb"])
def test_a_folder_that_ray_cannot_read_is_refused_at_once(name, archive):
    code, _, messages = archive.run(out=name)
    assert code == 2
    assert "which Ray does not read" in messages
    assert not (archive.folder / name).exists()


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("127.0.0.1:9", 1, "the cluster does not answer"),
        ("127.0.0.1:port", 1, "the cluster does not answer"),
        ("ray://127.0.0.1:9", 2, "expected HOST:PORT or auto"),
        ("", 2, "the value of --address is empty"),
    ],
)
def test_an_address_without_a_cluster_is_an_error_at_once(address, code, message, archive):
    done, _, messages = archive.run("--address", address, out="elsewhere")
    assert done == code
    assert message in messages
