"""Damaged files of all formats: 5,000 of `make fuzz`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_damaged_files_give_errors_of_gliomaseg_within_2_s_and_512_mib() -> None:
    command = [sys.executable, str(Path(__file__).parents[1] / "fuzz" / "run.py"), "5000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("5,000 files, seed 0: ")
