"""Bundled models are found by their names; an existing path takes precedence."""

import json
import re
import shutil
from pathlib import Path

import pytest

from gliomaseg import pretrained
from gliomaseg.errors import ModelError, UsageError
from gliomaseg.model import load_model, write_digests, write_metrics
from gliomaseg.pretrained import DiceSummary, find_model, find_models, list_models

LARGEST_BYTES = 25_000_000


@pytest.fixture
def bundled(bright, tmp_path, monkeypatch):
    """Write two bundled models; only the first has scores."""
    for name in ("first", "second"):
        shutil.copytree(bright, tmp_path / "home" / name)
    first = tmp_path / "home" / "first"
    write_metrics(first, {"summary": {"dice_volume": {"mean": 0.9, "median": 0.92, "ci95": [0.88, 0.92]}}})
    write_digests(first)
    monkeypatch.setattr(pretrained, "HOME", tmp_path / "home")
    monkeypatch.setattr(pretrained, "MODELS", ("first", "second"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_every_bundled_folder_is_listed_and_complete():
    folders = {entry.name for entry in pretrained.HOME.iterdir() if entry.is_dir() and entry.name != "__pycache__"}
    assert folders == set(pretrained.MODELS)
    for name in pretrained.MODELS:
        assert load_model(pretrained.HOME / name).onnx.is_file()
        assert (pretrained.HOME / name / "README.md").is_file()
    assert sum(file.stat().st_size for file in pretrained.HOME.rglob("*")) <= LARGEST_BYTES


def test_without_a_name_the_model_is_the_first(bundled):
    assert find_model(None) == bundled / "first"


def test_without_a_name_and_without_bundled_models_an_error_is_raised(monkeypatch):
    monkeypatch.setattr(pretrained, "MODELS", ())
    with pytest.raises(UsageError, match="no bundled model"):
        find_model(None)


def test_a_bundled_model_is_found_by_its_name(bundled):
    assert find_model(Path("second")) == bundled / "second"


def test_a_path_takes_precedence_over_a_name(bundled, tmp_path):
    (tmp_path / "second").mkdir()
    assert find_model(Path("second")) == Path("second")


def test_without_a_name_all_bundled_models_are_found(bundled):
    assert find_models(None) == [bundled / "first", bundled / "second"]
    assert find_models(Path("second")) == [bundled / "second"]


def test_neither_path_nor_name_raises_with_the_known_names(bundled):
    with pytest.raises(ModelError, match=r"neither a path.*bundled models are first, second"):
        find_model(Path("third"))


def test_the_list_has_size_and_dice_with_the_default_first(bundled):
    first, second = list_models()
    assert (first.model, first.default, second.default) == ("first", True, False)
    assert first.dice_volume == DiceSummary(mean=0.9, median=0.92, ci95=(0.88, 0.92))
    assert first.size_bytes == sum(file.stat().st_size for file in (bundled / "first").iterdir())
    assert second.dice_volume is None


def test_a_null_dice_is_none(bundled):
    (bundled / "second" / "metrics.json").write_text(json.dumps({"summary": {"dice_volume": {"mean": None}}}))
    assert list_models()[1].dice_volume is None


def test_the_dice_of_a_model_for_scans_without_skull_is_that_of_the_copies_without_skull(bundled):
    copies = {"by": "changed copies", "name": "without skull", "dice_volume": {"mean": 0.7, "median": 0.8}}
    file = bundled / "second" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"skull_stripped": True}))
    write_metrics(bundled / "second", {"summary": {"dice_volume": {"mean": 0.9}}, "subgroups": [copies]})
    write_digests(bundled / "second")
    second = list_models()[1]
    assert second.skull_stripped
    assert second.dice_volume == DiceSummary(mean=0.7, median=0.8, ci95=None)


def test_bundled_models_have_no_paths_of_the_machine():
    for file in (file for name in pretrained.MODELS for file in (pretrained.HOME / name).iterdir()):
        # Words of a path, not a few bytes that weights may have by chance.
        assert not re.search(rb"/\w+\.py\b|site-packages|/(?:home|root|tmp)/", file.read_bytes()), file
