"""The pages of the documentation, and what runs their commands as they stand.

A page is run top to bottom in a folder of its own, with real processes. Three tiny patients in the layout of
kagglehub's cache stand in for the data set, so that `gliomaseg download` works as it does for users, without
a network. A line that ends with another exit code than 0 says so: `# exits 3`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gliomaseg.cli import app
from gliomaseg.phantoms import phantom_patient
from warm_commands import run_warm

ROOT = Path(__file__).parents[1]
API_PAGE = ROOT / "docs" / "guide" / "rest-api.md"  # has no commands; tests/serve/test_guide.py runs its client
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs" / "guide").glob("*.md")) - {API_PAGE})]
TEXTS = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
PATIENTS = ("TCGA_CS_4941_19960909", "TCGA_CS_4942_19970222", "TCGA_DU_5851_19950428")
SIDE_PX = 64
SLICES = 6  # of which two are written: the one without tumour, and the one with the most
SECONDS = 300
SHELL = {"cd", "cp", "mkdir", "rm", "sha256sum", "torchrun", "touch"}
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}

BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXITS = re.compile(r"\s+# exits (\d+)$")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def crossvalidates(page: Path) -> bool:
    """Return whether a page cross-validates: these pages are in test_documented_crossvalidation.py."""
    return re.search("^gliomaseg crossvalidate ", page.read_text("utf-8"), re.MULTILINE) is not None


def trains(page: Path) -> bool:
    """Return whether a page trains: these pages take minutes and are in files of their own."""
    command = "^(?:gliomaseg train|torchrun) "
    return crossvalidates(page) or re.search(command, page.read_text("utf-8"), re.MULTILINE) is not None


@dataclass(frozen=True)
class Line:
    """One command of a page and the exit code that the page promises."""

    text: str
    exits: int

    @property
    def program(self) -> str:
        return self.text.split()[0]


def lines_of(text: str) -> Iterator[Line]:
    for language, body in BLOCK.findall(text):
        if language != "bash":
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if not line.strip():
                continue
            found = _EXITS.search(line)
            yield Line(_EXITS.sub("", line).strip(), int(found[1]) if found else 0)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three tiny patients of two slices as Kaggle's archive holds them: twice."""
    root = tmp_path_factory.mktemp("archive")
    for index, name in enumerate(PATIENTS):
        patient = phantom_patient(index, side_px=SIDE_PX, slices=SLICES)
        sizes = patient.mask.sum(axis=(1, 2))
        folder = root / "kaggle_3m" / name
        folder.mkdir(parents=True)
        for number, k in enumerate((int(sizes.argmin()), int(sizes.argmax())), start=1):
            tifffile.imwrite(folder / f"{name}_{number}.tif", patient.image[k], photometric="rgb")
            levels = patient.mask[k].astype(np.uint8) * 255
            tifffile.imwrite(folder / f"{name}_{number}_mask.tif", levels, photometric="minisblack")
    shutil.copytree(root / "kaggle_3m", root / "lgg-mri-segmentation" / "kaggle_3m")
    return root


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a user with empty caches of their own and no network."""
    kept = {name: value for name, value in os.environ.items() if not re.search("KAGGLE|PROXY|^TBE_", name.upper())}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "TORCH_HOME": str(home / "torch"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "KAGGLEHUB_CACHE": str(folder / "kagglehub"),
        "GLIOMASEG_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one line in the folder's `here`."""
    here = folder / "here"
    program, *words = shlex.split(line, comments=True)
    if program == "gliomaseg" and not re.search("[|&;<>$*?~`]", line):
        return run_warm(words, folder=here, env=environment(folder), timeout_s=SECONDS)
    command = ["bash", "-c", line]
    return subprocess.run(
        command, cwd=here, env=environment(folder), capture_output=True, text=True, timeout=SECONDS, check=False
    )


def serve_once(line: str, folder: Path) -> None:
    """Start the server of a line on a free port, and end it as soon as it listens; no browser is opened."""
    command = ["bash", "-c", f"exec {line} --port 0"]
    browser = environment(folder) | {"BROWSER": "true"}
    with subprocess.Popen(command, cwd=folder / "here", env=browser, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
        assert "the page is at http://127.0.0.1:" in said


def furnish(folder: Path, archive: Path, *, without: str = "") -> Path:
    """Give a folder kagglehub's cache with the archive in it, as a finished download leaves it."""
    (folder / "here").mkdir()
    versions = folder / "kagglehub" / "datasets" / "mateuszbuda" / "lgg-mri-segmentation"
    ignored = shutil.ignore_patterns(*without.split())
    shutil.copytree(archive, versions / "versions" / "2", ignore=ignored)
    (versions / "2.complete").touch()
    return folder / "here"


@pytest.fixture(scope="session")
def ran(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run for the pages that begin with one, and return the folder that holds it."""
    folder = tmp_path_factory.mktemp("run")
    here = furnish(folder, archive)
    shutil.copytree(archive, here / "lgg")
    small = (
        "--set preprocessing.size_px=64 --set network.base_features=4 --set network.levels=2 --set training.epochs=1"
    )
    done = shell(f"gliomaseg train unet_small --data lgg --out run {small}", folder)
    assert done.returncode == 0, done.stderr
    return here / "run"


def prepare(page: Path, here: Path, archive: Path, request: pytest.FixtureRequest) -> None:
    """Put into `here` what the page takes as given: data, a run, and the files whose content it shows."""
    text = page.read_text("utf-8")
    if "download --to lgg\n" not in text:
        shutil.copytree(archive, here / "lgg")
    if "--from archive.zip" in text:
        shutil.make_archive(str(here / "archive"), "zip", archive)
        shutil.copytree(archive, here / "unpacked")
    if "--model run" in text and "--out run" not in text:
        shutil.copytree(request.getfixturevalue("ran"), here / "run")
    if "--splits splits.json" in text and "--out splits.json" not in text:
        done = shell("gliomaseg split lgg --out splits.json", here.parent)
        assert done.returncode == 0, done.stderr
    recipes = [body for language, body in BLOCK.findall(text) if language == "toml"]
    for body in recipes[:1]:
        (here / "own.toml").write_text(body, "utf-8")


def run_page(page: Path, archive: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Run the commands of a page, then its Python blocks."""
    # The reference recipe takes seconds for each image: there, one slice a patient is enough.
    few = "train fcn_resnet50" in page.read_text("utf-8")
    here = furnish(tmp_path, archive, without="*_1.tif *_1_mask.tif" if few else "")
    prepare(page, here, archive, request)
    lines = list(lines_of(page.read_text("utf-8")))
    assert lines, "the page shows no command"
    for line in lines:
        if line.program in ("make", "pip", "tensorboard"):
            check_only(line)
            continue
        if line.text.startswith("gliomaseg serve"):
            serve_once(line.text, tmp_path)
            continue
        assert line.program in {"gliomaseg", *SHELL}, f"nothing here runs or checks `{line.text}`"
        done = shell(line.text, tmp_path)
        assert done.returncode == line.exits, f"`{line.text}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, f"`{line.text}`:\n{done.stderr}"
    run_python(page, tmp_path)


def run_python(page: Path, folder: Path) -> None:
    """Run the Python blocks of a page as one script, after its commands."""
    blocks = [body for language, body in BLOCK.findall(page.read_text("utf-8")) if language == "python"]
    if not blocks:
        return
    script = folder / "page.py"
    script.write_text("\n".join(blocks), "utf-8")
    done = shell(f"MPLBACKEND=Agg python {script}", folder)
    assert done.returncode == 0, f"the Python blocks of {page.name}:\n{done.stdout}{done.stderr}"


def check_only(line: Line) -> None:
    """Check what takes too long or changes the environment: its target, extras, files or program exist."""
    words = line.text.split()
    if line.program == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif line.program == "pip":
        assert words[1] == "install"
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        for word, following in zip(words[2:], [*words[3:], ""], strict=True):
            if word in ("-c", "-r"):
                assert (ROOT / following).is_file(), line.text
            if extras := re.search(r"\[(.+)\]", word):
                assert set(extras[1].split(",")) <= set(project["optional-dependencies"]), line.text
    else:
        assert line.program in entry_points(group="console_scripts").names, line.text
