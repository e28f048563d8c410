"""Two small cross-validations for the scripts of `studies`, and how to import such a script."""

import importlib.util
import json
import shutil
import sys

import numpy as np
import pytest

from gliomaseg.config import Split
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import split_data, write_splits
from gliomaseg.model import write_digests

DICE = np.linspace(0.3, 0.9, 24)


@pytest.fixture(scope="session")
def load_script():
    """Return what imports a script of `studies` by its path."""

    def load(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses look there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def crossed(bright, phantoms, tmp_path):
    """Two cross-validations of two folds, of FLAIR and of T1 and FLAIR, whose networks find what is bright."""
    splits = split_data(read_cases(phantoms), Split(folds=2))
    rows = [{"patient": f"P{k}", "fold": k % 2, "dice_volume": d, "soft_dice": d} for k, d in enumerate(DICE)]
    decisions = [{"threshold": 0.4}, {"threshold": 0.6}]
    for name, sequences in (("crossed", ["flair"]), ("crossed-t1", ["t1", "flair"])):
        for fold in range(2):
            model = tmp_path / name / f"fold-{fold}" / "model"
            shutil.copytree(bright, model)
            config = json.loads((model / "config.json").read_text()) | {"sequences": sequences}
            (model / "config.json").write_text(json.dumps(config))
            write_digests(model)
        write_splits(splits, tmp_path / name / "splits.json")
        document = {"patients": rows, "postprocessing_by_fold": decisions, "setting": {"data": "phantoms"}}
        document["summary"] = {"dice_volume": {"mean": 0.6}}
        (tmp_path / name / "metrics.json").write_text(json.dumps(document))
    return [tmp_path / "crossed", tmp_path / "crossed-t1"]
