from pathlib import Path

import pytest

from gliomaseg.evaluation.documents import read_evaluation

SCRIPT = Path(__file__).parents[2] / "studies" / "architectures.py"
TINY = (("network.features=[4,4]", "network.pixel_unshuffle=4"), 1)


@pytest.fixture
def script(load_script, monkeypatch, tmp_path):
    monkeypatch.setenv("GLIOMASEG_CACHE", str(tmp_path / "cache"))
    return load_script(SCRIPT)


def test_all_networks_share_all_but_the_network_and_the_length(script):
    recipes = [script.recipe_of(name) for name in script.NETWORKS]
    assert len({recipe.network.name for recipe in recipes}) == 4
    alike = [recipe.model_dump() for recipe in recipes]
    for one in alike:
        del one["network"], one["training"]["epochs"]
    assert all(one == alike[0] for one in alike)


def test_a_network_is_trained_measured_and_timed(script, phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "NETWORKS", {"tiny": TINY, "never trained": TINY})
    monkeypatch.setattr(script, "FOLDS", 2)
    for fold in (0, 1):
        script.train_one("tiny", fold, phantoms, tmp_path / "out")
    model = tmp_path / "out" / "tiny" / "fold-1" / "model" / "model.onnx"
    before = model.stat().st_mtime_ns
    script.train_one("tiny", 1, phantoms, tmp_path / "out")
    assert model.stat().st_mtime_ns == before  # a finished one is kept
    assert script.measured("never trained", phantoms, tmp_path / "out") is None
    row = script.measured("tiny", phantoms, tmp_path / "out")
    assert row["folds"] == [0, 1]
    assert 0 < row["parameters"] < 5000
    scored = read_evaluation(tmp_path / "out" / "tiny")  # what `compare` and `report` read
    assert {patient.fold for patient in scored.patients} == {0, 1}
    speed = script.speeds([row], tmp_path / "out")["tiny"]
    assert speed > 0
    text = script.table([{**row, "slices_per_s": speed}])
    assert text.splitlines()[2].startswith("| tiny | 0.0 M |")
