from pathlib import Path

import pytest

from gliomaseg.bench import startup
from gliomaseg.errors import GliomasegError


@pytest.fixture
def commands(monkeypatch):
    """The commands of the section, which are recorded but not run: gliomaseg takes 0.5 s, the script 1.5 s."""
    recorded = []

    def record(*command, folder):
        recorded.append(command)
        return "", 0.5 if "gliomaseg" in command else 1.5

    monkeypatch.setattr(startup, "run_process", record)
    return recorded


@pytest.fixture
def start_fixtures(fixtures):
    yield fixtures
    (fixtures.folder / "start").rmdir()


def test_gliomaseg_and_script_start_in_turns(start_fixtures, commands):
    rows = startup.measure_startup(start_fixtures)
    assert [row.ratio for row in rows] == [3.0, 3.0]  # 1.5 s / 0.5 s
    assert [row.figure for row in rows] == ["--help", "6 slices, a volume to the mask on disk"]
    ours, baseline = commands[-2:]
    assert ours[3:5] == ("predict", str(start_fixtures.volume))
    assert Path(baseline[1]).name == "script.py"
    assert Path(baseline[1]).is_file()


@pytest.mark.usefixtures("commands")
def test_without_torch_only_gliomaseg_is_measured(start_fixtures, monkeypatch):
    monkeypatch.setattr(startup, "find_spec", lambda _name: None)
    for row in startup.measure_startup(start_fixtures):
        assert (row.status, row.baseline, row.ours.values) == ("left out", None, (0.5,))


def test_failed_process_is_a_failed_row(start_fixtures, monkeypatch):
    def fail(*_command, folder):
        raise GliomasegError("no such luck")

    monkeypatch.setattr(startup, "run_process", fail)
    assert {row.status for row in startup.measure_startup(start_fixtures)} == {"failed"}
