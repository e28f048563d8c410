"""Two cross-validations become one evaluation, each patient by both networks that have not seen it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.config import Split
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import split_data, write_splits
from gliomaseg.errors import UsageError
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.results import Evaluation

SCRIPT = Path(__file__).parents[2] / "studies" / "ensemble.py"


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def fold_model(script, folder, document, fold):
    return script.Crossed(folder, Evaluation.model_validate(document)).model(fold)


def test_a_folds_model_decides_and_expects_by_the_other_folds(script, crossed):
    document = json.loads((crossed[0] / "metrics.json").read_text())
    model = fold_model(script, crossed[0], document, 1)
    assert (model.config.name, model.config.postprocessing.threshold) == ("crossed", 0.6)
    for row in document["patients"]:
        row["dice_volume"] = row["dice_volume"] if row["fold"] == 0 else 0.0
    assert fold_model(script, crossed[0], document, 1).config.dice_estimator == model.config.dice_estimator
    assert fold_model(script, crossed[0], document, 0).config.dice_estimator != model.config.dice_estimator


def test_what_it_writes_is_an_evaluation_of_all_patients(script, crossed, phantoms, tmp_path):
    command = [sys.executable, SCRIPT, *crossed, "--data", phantoms, "--out", tmp_path / "both"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    rows = json.loads((tmp_path / "both" / "metrics.json").read_text())["patients"]
    splits = json.loads((crossed[0] / "splits.json").read_text())["folds"]
    folds = {name: number for number, fold in enumerate(splits) for name in fold["validation"]}
    assert {row["case"]: row["fold"] for row in rows} == folds
    assert {row["model"] for row in rows} == {"crossed-t1 + crossed", "crossed"}  # one phantom of twelve has no T1
    assert report["both"]["mean"] == pytest.approx(np.mean([row["dice_volume"] for row in rows]))
    written = read_evaluation(tmp_path / "both").patients
    assert report["predicted Dice"] == script.trust_of(written)
    cards = SCRIPT.with_name("card_tables.py")
    tables = subprocess.run([sys.executable, cards, tmp_path / "both"], capture_output=True, text=True, check=True)
    assert "| `dice_volume` | 0." in tables.stdout


def test_other_folds_are_refused(script, crossed, phantoms, tmp_path, monkeypatch, capsys):
    write_splits(split_data(read_cases(phantoms), Split(folds=3)), crossed[1] / "splits.json")
    command = ["ensemble.py", *crossed, "--data", phantoms, "--out", tmp_path / "both"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as left:
        script.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == f"{crossed[0]} and {crossed[1]}: have other folds\n"
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize("spoil", ["postprocessing_by_fold", "fold"])
def test_what_was_not_tuned_is_refused(script, crossed, spoil):
    document = json.loads((crossed[1] / "metrics.json").read_text())
    for part in (document, document["patients"][0]):
        part.pop(spoil, None)
    (crossed[1] / "metrics.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="crossed-t1: is not of `gliomaseg crossvalidate --tune`"):
        script.read_tuned(crossed[1])


def test_where_nothing_is_found_none_is_expected(script):
    values = [(0.0, None), (0.8, 0.9), (None, None)]
    rows = [{"patient": f"P{k}", "dice_volume": d, "predicted_dice": e} for k, (d, e) in enumerate(values)]
    trust = script.trust_of(Evaluation.model_validate({"patients": rows}).patients)
    assert (trust["failures"], trust["auroc"], trust["bias"]) == (1, 1.0, pytest.approx(0.05))
