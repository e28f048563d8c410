from pathlib import Path

import pytest

from gliomaseg.bench import startup
from gliomaseg.errors import GliomasegError


@pytest.fixture
def commands(monkeypatch):
    """Keep the commands in place of running them."""
    kept = []

    def record(*command, folder):
        kept.append(command)
        return "", 0.5 if "gliomaseg" in command else 1.5

    monkeypatch.setattr(startup, "run", record)
    return kept


@pytest.fixture
def place(material):
    yield material
    (material.folder / "start").rmdir()


def test_both_start_from_the_shell_in_turns(place, commands):
    rows = startup.measure(place)
    assert [row.ratio for row in rows] == [3.0, 3.0]
    assert [row.figure for row in rows] == ["--help", "6 slices, a volume to the mask on disk"]
    ours, peer = commands[-2:]
    assert ours[3:5] == ("predict", str(place.volume))
    assert Path(peer[1]).name == "script.py"
    assert Path(peer[1]).is_file()


@pytest.mark.usefixtures("commands")
def test_without_torch_ours_stands_alone(place, monkeypatch):
    monkeypatch.setattr(startup, "find_spec", lambda _name: None)
    for row in startup.measure(place):
        assert (row.status, row.peer, row.ours.values) == ("left out", None, (0.5,))


def test_a_process_that_fails_is_a_row(place, monkeypatch):
    def fail(*_command, folder):
        raise GliomasegError("no such luck")

    monkeypatch.setattr(startup, "run", fail)
    assert {row.status for row in startup.measure(place)} == {"failed"}
