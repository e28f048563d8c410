import getpass
import json
import platform
import sys

import pytest

from gliomaseg.bench import hardware
from gliomaseg.bench.hardware import peak_mb, run
from gliomaseg.errors import GliomasegError


def test_a_machine_is_told_without_whose_it_is():
    text = json.dumps(hardware.describe_machine())
    assert "/" not in text.replace("r/s", "")
    assert platform.node() not in text
    assert getpass.getuser() not in json.loads(text).values()


def test_flags_versions_and_threads_are_told():
    told = hardware.describe_machine()
    assert set(told["flags"]) <= set(hardware.FLAGS)
    assert told["versions"].keys() >= {"gliomaseg", "python", "numpy", "onnxruntime"}
    assert 1 <= told["threads"] <= told["processors"]


def test_a_file_that_is_not_there_tells_nothing(tmp_path):
    assert hardware._read(tmp_path / "none") == {}


def test_the_first_value_of_a_name_counts(tmp_path):
    (tmp_path / "info").write_text("model name\t: A\nflags : avx2\n\nmodel name\t: B\n")
    assert hardware._read(tmp_path / "info") == {"model name": "A", "flags": "avx2"}


def test_a_process_gives_what_it_printed_and_its_seconds(tmp_path):
    printed, seconds = run(sys.executable, "-c", "import os; print(os.listdir())", folder=tmp_path)
    assert printed == "[]\n"
    assert seconds > 0


def test_a_process_that_fails_says_its_last_line(tmp_path):
    with pytest.raises(GliomasegError, match="no such luck"):
        run(sys.executable, "-c", "raise SystemExit('first\\nno such luck')", folder=tmp_path)


def test_memory_is_of_this_process_alone(tmp_path):
    held = bytearray(200_000_000)
    code = "from gliomaseg.bench.hardware import peak_mb; print(peak_mb())"
    printed, _ = run(sys.executable, "-c", code, folder=tmp_path)
    assert 1 < float(printed) < peak_mb()
    del held
