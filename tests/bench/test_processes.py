import sys

import pytest

from gliomaseg.bench.processes import peak_mb, run
from gliomaseg.errors import GliomasegError


def test_a_process_gives_what_it_printed_and_its_seconds(tmp_path):
    printed, seconds = run(sys.executable, "-c", "import os; print(os.listdir())", folder=tmp_path)
    assert printed == "[]\n"
    assert seconds > 0


def test_a_process_that_fails_says_its_last_line(tmp_path):
    with pytest.raises(GliomasegError, match="no such luck"):
        run(sys.executable, "-c", "raise SystemExit('first\\nno such luck')", folder=tmp_path)


def test_memory_is_of_this_process_alone(tmp_path):
    held = bytearray(200_000_000)
    code = "from gliomaseg.bench.processes import peak_mb; print(peak_mb())"
    printed, _ = run(sys.executable, "-c", code, folder=tmp_path)
    assert 1 < float(printed) < peak_mb()
    del held
