"""The tree of faults: what a shell sees, and that every fault is one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomaseg import errors
from gliomaseg.errors import GliomasegError, Interrupted

EXIT_CODES = {
    "GliomasegError": 1,
    "DownloadError": 1,
    "TrainingError": 1,
    "MissingExtraError": 1,
    "UsageError": 2,
    "ConfigError": 2,
    "OutputExistsError": 2,
    "InputError": 3,
    "FormatError": 3,
    "GeometryError": 3,
    "DataError": 3,
    "ModelError": 3,
    "FolderInUseError": 3,
    "PartlyDoneError": 4,
    "ResourceError": 5,
    "Interrupted": 130,
}
PARENTS = {
    "ConfigError": "UsageError",
    "OutputExistsError": "UsageError",
    "FormatError": "InputError",
    "GeometryError": "InputError",
    "DataError": "InputError",
    "ModelError": "InputError",
    "DownloadError": "GliomasegError",
    "TrainingError": "GliomasegError",
    "MissingExtraError": "GliomasegError",
    "UsageError": "GliomasegError",
    "InputError": "GliomasegError",
    "FolderInUseError": "GliomasegError",
    "PartlyDoneError": "GliomasegError",
    "ResourceError": "GliomasegError",
}


def defined() -> dict[str, type[Exception]]:
    found = vars(errors).items()
    return {name: kind for name, kind in found if isinstance(kind, type) and issubclass(kind, Exception)}


def test_every_fault_has_its_documented_exit_code() -> None:
    assert {name: kind.exit_code for name, kind in defined().items()} == EXIT_CODES


@pytest.mark.parametrize(("child", "parent"), PARENTS.items())
def test_fault_stands_where_the_tree_says(child: str, parent: str) -> None:
    assert defined()[child].__base__ is defined()[parent]


def test_drawn_tree_names_every_fault() -> None:
    assert errors.__doc__
    assert [name for name in defined() if name not in errors.__doc__] == []


def test_interruption_is_no_fault() -> None:
    assert not issubclass(Interrupted, GliomasegError)


def test_line_joins_place_fault_and_cure() -> None:
    fault = GliomasegError("is empty", where=Path("a/b.tif"), cure="copy it again")
    assert fault.line() == "a/b.tif: is empty; copy it again"


def test_line_without_place_and_cure_is_the_fault_alone() -> None:
    assert GliomasegError("is empty").line() == "is empty"


def test_text_of_a_fault_is_its_line() -> None:
    assert str(GliomasegError("is empty", where="a")) == "a: is empty"


def test_place_is_kept_as_text() -> None:
    assert GliomasegError("is empty", where=Path("a")).where == "a"


@settings(max_examples=50, derandomize=True, database=None, deadline=None)
@given(st.text(), st.text(), st.text())
def test_line_is_one_line_whatever_the_parts_hold(what: str, where: str, cure: str) -> None:
    assert len(GliomasegError(what, where=where, cure=cure).line().splitlines()) <= 1


def test_fault_survives_the_way_between_processes() -> None:
    fault = pickle.loads(pickle.dumps(errors.FormatError("is empty", where="a", cure="copy it")))
    assert (fault.line(), fault.where, fault.exit_code) == ("a: is empty; copy it", "a", 3)
