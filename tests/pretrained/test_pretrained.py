"""Models that ship are found by their names; what lies on the disk comes first."""

import json
import re
import shutil
from pathlib import Path

import pytest

from gliomaseg import pretrained
from gliomaseg.errors import ModelError, UsageError
from gliomaseg.model import load_model, write_digests, write_metrics
from gliomaseg.pretrained import find_model, find_models, list_models

LARGEST_BYTES = 12 * 2**20


@pytest.fixture
def shipped(bright, tmp_path, monkeypatch):
    """Ship two models, of which one is scored."""
    for name in ("first", "second"):
        shutil.copytree(bright, tmp_path / "home" / name)
    first = tmp_path / "home" / "first"
    write_metrics(first, {"summary": {"dice_volume": {"mean": 0.9, "median": 0.92, "ci95": [0.88, 0.92]}}})
    write_digests(first)
    monkeypatch.setattr(pretrained, "HOME", tmp_path / "home")
    monkeypatch.setattr(pretrained, "MODELS", ("first", "second"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_every_folder_beside_the_list_is_in_it_and_whole():
    folders = {entry.name for entry in pretrained.HOME.iterdir() if entry.is_dir() and entry.name != "__pycache__"}
    assert folders == set(pretrained.MODELS)
    for name in pretrained.MODELS:
        assert load_model(pretrained.HOME / name).onnx.is_file()
        assert (pretrained.HOME / name / "README.md").is_file()
    assert sum(file.stat().st_size for file in pretrained.HOME.rglob("*")) <= LARGEST_BYTES


def test_without_a_name_it_is_the_first(shipped):
    assert find_model(None) == shipped / "first"


def test_without_a_name_and_without_shipped_models_the_user_is_told(monkeypatch):
    monkeypatch.setattr(pretrained, "MODELS", ())
    with pytest.raises(UsageError, match="no bundled model"):
        find_model(None)


def test_a_shipped_model_is_found_by_its_name(shipped):
    assert find_model(Path("second")) == shipped / "second"


def test_what_lies_on_the_disk_comes_before_a_name(shipped, tmp_path):
    (tmp_path / "second").mkdir()
    assert find_model(Path("second")) == Path("second")


def test_without_a_name_all_are_there_to_choose_from(shipped):
    assert find_models(None) == [shipped / "first", shipped / "second"]
    assert find_models(Path("second")) == [shipped / "second"]


def test_what_is_neither_is_refused_with_the_names_at_hand(shipped):
    with pytest.raises(ModelError, match=r"neither a path.*bundled models are first, second"):
        find_model(Path("third"))


def test_the_list_has_size_and_headline_the_default_first(shipped):
    first, second = list_models()
    assert (first.model, first.default, second.default) == ("first", True, False)
    assert first.dice_volume == {"mean": 0.9, "median": 0.92, "ci95": [0.88, 0.92]}
    assert first.size_bytes == sum(file.stat().st_size for file in (shipped / "first").iterdir())
    assert second.dice_volume is None


def test_a_headline_that_is_null_is_none(shipped):
    (shipped / "second" / "metrics.json").write_text(json.dumps({"summary": {"dice_volume": {"mean": None}}}))
    assert list_models()[1].dice_volume is None


def test_what_ships_says_nothing_of_the_machine_that_made_it():
    for file in (file for name in pretrained.MODELS for file in (pretrained.HOME / name).iterdir()):
        # Words of a path, not a few bytes that weights may have by chance.
        assert not re.search(rb"/\w+\.py\b|site-packages|/(?:home|root|tmp)/", file.read_bytes()), file
