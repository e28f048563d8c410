"""The notebook: its text source and the executed file are one, and the source still runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

jupytext = pytest.importorskip("jupytext")
pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[2] / "notebooks"
SOURCE = FOLDER / "brain_mri_tumor_segmentation.py"
EXECUTED = SOURCE.with_suffix(".ipynb")
SECONDS = 300
LARGEST_BYTES = 1_000_000

# In a process of its own: the warnings of Jupyter's parts are not ours.
EXECUTE = """
import sys
import jupytext
import nbclient
import nbformat
book = jupytext.read(sys.argv[1])
nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
nbformat.write(book, "executed.ipynb")
"""


def cells(file: Path) -> list[tuple[str, str]]:
    return [(cell["cell_type"], cell["source"].strip()) for cell in jupytext.read(file)["cells"]]


def outputs(file: Path) -> list[dict[str, Any]]:
    book = json.loads(file.read_text("utf-8"))
    return [output for cell in book["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


def pictures(file: Path) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(file))


def test_the_executed_notebook_is_made_from_the_source() -> None:
    assert cells(EXECUTED) == cells(SOURCE), "run `make notebook`"


def test_the_executed_notebook_keeps_its_outputs() -> None:
    book = json.loads(EXECUTED.read_text("utf-8"))
    numbers = [cell["execution_count"] for cell in book["cells"] if cell["cell_type"] == "code"]
    assert numbers == list(range(1, len(numbers) + 1)), "run from top to bottom"
    assert [output for output in outputs(EXECUTED) if output["output_type"] == "error"] == []
    assert pictures(EXECUTED) >= 4


def test_the_executed_notebook_is_small_and_names_no_folder_of_a_machine() -> None:
    text = EXECUTED.read_text("utf-8")
    assert len(text) < LARGEST_BYTES
    assert re.findall(r"(?<![\w+])/(?:work|root|home|tmp|Users)/", text) == []


def test_the_source_runs_as_it_stands(tmp_path: Path) -> None:
    variables = os.environ | {
        "GLIOMASEG_NOTEBOOK_FAST": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(SOURCE)],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    executed = tmp_path / "executed.ipynb"
    assert pictures(executed) >= 4
    said = "".join("".join(output.get("text", "")) for output in outputs(executed))
    assert "by patient   by slice" in said
