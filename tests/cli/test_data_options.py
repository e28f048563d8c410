"""The options --layout, --labels and --patient-pattern: recorded by `split`, used by `train` and `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gliomaseg.cli.data import split
from gliomaseg.cli.evaluate import evaluate
from gliomaseg.cli.train import crossvalidate, train
from gliomaseg.errors import ConfigError, UsageError
from volume_cases import write_volume_cases

SMALL = [
    "preprocessing.size_px=32",
    "network.base_features=4",
    "network.levels=2",
    "training.epochs=1",
    "training.precision=fp32",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_volume_cases(tmp_path_factory.mktemp("data") / "data", count=4, slices=6, tumour=4)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLIOMASEG_CACHE", str(tmp_path / "cache"))


def labels_of(evaluation: Path) -> list[int] | None:
    return json.loads((evaluation / "metrics.json").read_text())["setting"].get("labels")


def test_labels_go_from_split_to_train_and_evaluate(data: Path, bright: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits.json"
    split(data, splits, labels="4,5", layout="brats")
    assert json.loads(splits.read_text())["data"] == {"layout": "brats", "labels": [4, 5], "patient_pattern": None}
    train("unet_small", data, tmp_path / "run", splits=splits, settings=SMALL)
    assert labels_of(tmp_path / "run" / "model") == [4, 5]
    evaluate(data, tmp_path / "out", model=bright, splits=tmp_path / "run" / "splits.json")
    assert labels_of(tmp_path / "out") == [4, 5]
    evaluate(data, tmp_path / "other", model=bright, splits=splits, labels="4")
    assert labels_of(tmp_path / "other") == [4]


def test_a_splits_file_without_options_does_not_mention_them(data: Path, tmp_path: Path) -> None:
    split(data, tmp_path / "splits.json")
    assert "data" not in json.loads((tmp_path / "splits.json").read_text())


def test_a_cross_validation_resumes_with_its_labels_only(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crossvalidate("unet_small", data, out, folds=2, settings=SMALL, labels="4")
    crossvalidate("unet_small", data, out, folds=2, settings=SMALL, resume=True)
    assert labels_of(out) == [4]
    with pytest.raises(ConfigError, match="--labels is 4, expected 3 as in this command"):
        crossvalidate("unet_small", data, out, folds=2, settings=SMALL, labels="3", resume=True)


def test_a_wrong_option_is_refused_before_any_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout is 'brains'"):
        split(data, tmp_path / "splits.json", layout="brains")
    with pytest.raises(UsageError, match="labels are 'tumour'"):
        train("unet_small", data, tmp_path / "run", labels="tumour")
    assert not (tmp_path / "run").exists()
