"""A command that is killed leaves the old results or the new ones; a fault would be reported."""

from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "kill_commands.py"


@pytest.fixture
def script(load_script):
    return load_script(SCRIPT)


def test_phantoms_are_replaced_as_a_whole(script, tmp_path):
    outcome = script.kill_command("phantom", tmp_path, tmp_path / "phantom", kills=3)
    assert outcome.kills > 0
    assert outcome.faults == ()


def test_missing_and_half_written_files_are_faults(script):
    old, new = {"a": "1", "b": "1", "c": "1"}, {"a": "2", "b": "2", "d": "2"}
    assert script.list_faults({"a": "2", "b": "1", "d": "2"}, old, new) == []
    assert script.list_faults({"a": "half", "c": "1"}, old, new) == ["b is missing", "a is half-written"]
