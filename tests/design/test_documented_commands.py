"""Every command that the documentation shows is run as it stands, and every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from documented_pages import BLOCK, COMMANDS, HEADING, LINK, PAGES, ROOT, TEXTS, archive, ran, run_page, trains
from gliomaseg.evaluation import summarise
from gliomaseg.evaluation.measures import DICE, MEASURES

__all__ = ["archive", "ran"]  # fixtures


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(plain)}


@pytest.mark.parametrize("page", [page for page in PAGES if not trains(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says(
    page: Path, archive: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run_page(page, archive, tmp_path, request)


def test_every_block_of_a_page_names_its_language() -> None:
    for page in PAGES:
        languages = {language for language, _ in BLOCK.findall(page.read_text("utf-8"))}
        assert languages <= {"bash", "text", "json", "toml", "python"}, page.name
        unmarked = [
            line
            for language, body in BLOCK.findall(page.read_text("utf-8"))
            if language != "bash"
            for line in body.splitlines()
            if re.match(r"(gliomaseg|pip|make) ", line)
        ]
        assert unmarked == [], f"{page.name} shows commands in a block that is not run"


def test_no_page_is_left_unfinished() -> None:
    for text in TEXTS:
        assert not re.search(r"TODO|FIXME|XXX|^[A-Z]+_[A-Z]+$", text.read_text("utf-8"), re.MULTILINE), text.name


def test_every_command_is_in_the_guide() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES[1:])
    assert {command for command in COMMANDS if not re.search(rf"\bgliomaseg {command}\b", text)} == set()


def test_the_guide_names_no_command_that_is_not_there() -> None:
    for page in TEXTS:
        code = " ".join(re.findall(r"`([^`\n]+)`", page.read_text("utf-8")))
        assert set(re.findall(r"\bgliomaseg ([a-z]+)\b", code)) <= COMMANDS, page.name


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{link}: no such heading"


def test_the_worked_example_of_the_guide_is_right() -> None:
    counts = {"A": [[0, 0, 0], [60, 100, 80], [0, 20, 0], [0, 0, 10]], "B": [[0, 0, 0]] * 4}
    summary = summarise({name: np.array(rows, np.int64) for name, rows in counts.items()})
    text = (ROOT / "docs" / "guide" / "evaluate.md").read_text("utf-8")
    shown = dict(re.findall(r"^\| `(\w+)` \| .+ \| (\d\.\d{3}) \|$", text, re.MULTILINE))
    conventions = {measure.name for measure in MEASURES if measure.group == DICE}
    computed = {name: f"{entry.mean:.3f}" for name, entry in summary.measures.items() if name in conventions}
    assert shown == computed, "correct the tables of the worked example in docs/guide/evaluate.md"


def test_no_file_names_a_folder_of_some_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    places = re.compile(rb"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+|tmp/\w+)/")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        file = ROOT / name
        content = file.read_bytes() if file.is_file() else b""
        if b"\0" not in content:
            found += [f"{name}: {place.decode()}" for place in places.findall(content)]
    assert found == []
