"""The job files of the guide, with stand-ins for Slurm and Snakemake: each input is predicted once."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from documented_pages import BLOCK, ROOT
from gliomaseg.choices import PhantomFormat
from gliomaseg.phantoms import write_phantoms

PAGE = (ROOT / "docs" / "guide" / "archives.md").read_text("utf-8")
PARTS = 2


def block(start: str) -> str:
    return next(body for _, body in BLOCK.findall(PAGE) if body.startswith(start))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    write_phantoms(folder / "archive", patients=3, side_px=64, kind=PhantomFormat.nifti)
    return folder


@pytest.fixture
def environment(tmp_path):
    """An environment with `gliomaseg` of this checkout, and an `srun` that starts its command."""
    programs = {"srun": 'exec "$@"', "gliomaseg": f'exec "{sys.executable}" -m gliomaseg "$@"'}
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def masks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*_mask.nii.gz"))


def expected_masks(folder: Path) -> list[str]:
    return sorted(f"{path.name}_mask.nii.gz" for path in (folder / "archive" / "nifti").iterdir())


def test_the_slurm_array_predicts_each_input_once(archive, environment):
    script = block("#!/bin/bash")
    assert "--array=1-" in script
    for task in range(1, PARTS + 1):
        slurm = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(PARTS)}
        subprocess.run(["bash", "-e"], input=script, cwd=archive, env=environment | slurm, text=True, check=True)
    assert [re.sub("_flair", "", name) for name in masks(archive / "masks")] == expected_masks(archive)
    assert sorted(path.name for path in (archive / "rows").iterdir()) == ["1.csv", "2.csv"]


def test_the_snakemake_rule_predicts_each_input_once(archive, environment):
    rule = block("PARTS =")
    shell = re.search(r'shell: "(.*)"', rule)[1]
    for task in range(1, PARTS + 1):
        output = SimpleNamespace(csv=f"smk/{task}.csv", masks=f"smk/{task}")
        wildcards, params = SimpleNamespace(part=task), SimpleNamespace(count=PARTS)
        line = shell.format(input="archive/nifti", output=output, wildcards=wildcards, params=params)
        subprocess.run(["bash", "-c", line], cwd=archive, env=environment, check=True)
    assert [re.sub("_flair", "", name) for name in masks(archive / "smk")] == expected_masks(archive)
