"""Export of a model folder: the same network, one kind of weights, new checksums."""

import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import DataError, MissingExtraError, ModelError, OutputExistsError, UsageError
from gliomaseg.model import load_model, write_digests
from gliomaseg.model_export import ExportOptions, export_model
from gliomaseg.ownership import MANIFEST, file_digest
from gliomaseg.prediction import open_predictor

DICE = [0.5, 0.6, 0.9, 0.92, 0.88, 0.95, 0.4, 0.85, 0.93, 0.9]


def hush(_text):
    pass


def names_in(folder):
    return sorted(file.name for file in folder.iterdir() if file.name != MANIFEST)


@pytest.fixture
def evaluation(tmp_path):
    """Write a cross-validation of ten patients whose soft Dice is their Dice."""
    rows = [{"patient": f"P{k}", "fold": k % 2, "dice_volume": d, "soft_dice": d} for k, d in enumerate(DICE)]
    summary = {"dice_volume": {"mean": 0.783, "median": 0.89, "ci95": [0.65, 0.9]}, "patients": 10}
    tree = {"patients": rows, "summary": summary, "setting": {"data": "d", "model_digests": ["a", "b"]}}
    place = tmp_path / "crossed"
    place.mkdir()
    (place / "metrics.json").write_text(json.dumps(tree))
    return place


def test_an_onnx_export_omits_the_torch_weights_and_is_complete(trained, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out", name="mine"), say=hush)
    assert names_in(out) == ["README.md", "SHA256SUMS", "config.json", "metrics.json", "model.onnx"]
    assert load_model(out).config.name == "mine"
    assert "safetensors" not in (out / "SHA256SUMS").read_text()


def test_an_export_has_the_network_scores_and_card_of_the_run(trained, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out"), say=hush)
    assert file_digest(out / "model.onnx") == file_digest(trained / "model" / "model.onnx")
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["setting"]["model_digest"] == file_digest(out / "model.onnx")
    assert (out / "README.md").read_text() == (trained / "model" / "README.md").read_text()


def test_the_card_of_an_export_has_its_name_as_heading_and_one_table(trained, tmp_path, write_metrics):
    entry = {"mean": 0.123, "median": 0.1, "ci95": [0.1, 0.2]}
    scores = write_metrics({"patients": [], "summary": {"dice_volume": entry, "patients": 1}, "setting": {"data": "d"}})
    first = export_model(ExportOptions(trained, tmp_path / "first", name="first", evaluation=scores), say=hush)
    again = export_model(ExportOptions(first, tmp_path / "again", name="again", evaluation=scores), say=hush)
    card = (again / "README.md").read_text()
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# again",
        "## Data and licence",
        "## Scores",
        "## Training",
    ]
    assert "Evaluated on d: 1 patient.\n" in card
    # A table has two lines above its rows; the evaluation has one measure.
    assert [line for line in card.splitlines() if line.startswith("|")][2:] == [
        "| `dice_volume` | 0.123 | 0.100 | 0.100 to 0.200 |"
    ]


def test_an_export_without_weights_for_torch_runs_on_onnx_runtime_only(trained, phantoms, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out"), say=hush)
    scan = read_case(read_cases(phantoms).cases[0]).scan
    assert np.array_equal(open_predictor(out).probability(scan), open_predictor(trained).probability(scan))
    with pytest.raises(ModelError, match=r"model\.safetensors is missing, which the engine torch needs"):
        open_predictor(out, engine="torch")


def test_an_export_to_safetensors_runs_on_torch_only(trained, phantoms, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out", "safetensors"), say=hush)
    assert "model.onnx" not in names_in(out)
    scan = read_case(read_cases(phantoms).cases[0]).scan
    expected = open_predictor(trained).probability(scan)
    np.testing.assert_allclose(open_predictor(out, engine="torch").probability(scan), expected, atol=1e-4)
    with pytest.raises(ModelError, match=r"model\.onnx is missing, which ONNX Runtime needs"):
        open_predictor(out)
    with pytest.raises(ModelError, match=r"model\.onnx is missing"):
        export_model(ExportOptions(out, tmp_path / "back"), say=hush)


def test_kept_weights_have_16_bits_and_a_training_can_start_from_them(trained, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out", keep_weights=True), say=hush)
    assert names_in(out) == [
        "README.md",
        "SHA256SUMS",
        "config.json",
        "metrics.json",
        "model.onnx",
        "model.safetensors",
    ]
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (out, trained / "model")]
    assert sizes[0] / sizes[1] == pytest.approx(0.5, abs=0.05)  # the names of the tensors take a part
    start, exact = (load_file(folder / "model.safetensors") for folder in (out, trained / "model"))
    # float16 has 11 bits of precision.
    assert all(np.allclose(start[name], exact[name], rtol=2**-11, atol=1e-7) for name in exact)


def test_weights_that_are_missing_cannot_be_kept(trained, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out"), say=hush)
    missing = r"model\.safetensors is missing, expected for --keep-weights; omit --keep-weights, or name the run"
    with pytest.raises(ModelError, match=missing):
        export_model(ExportOptions(out, tmp_path / "again", keep_weights=True), say=hush)
    assert not (tmp_path / "again").exists()


def test_the_scores_of_masks_are_not_those_of_a_model(trained, tmp_path, write_metrics):
    scores = write_metrics({"patients": [{"patient": "P1", "dice_volume": 1.0}], "setting": {"predictions": "masks"}})
    with pytest.raises(ModelError, match=r"has the scores of masks \(masks\), expected those of a model"):
        export_model(ExportOptions(trained, tmp_path / "out", evaluation=scores), say=hush)


def test_a_cross_validation_of_another_network_is_refused(trained, evaluation, bright, tmp_path):
    shutil.copytree(bright, evaluation / "fold-0" / "model")
    with pytest.raises(ModelError, match=r"is a cross-validation of networks with other settings \(network\)"):
        export_model(ExportOptions(trained, tmp_path / "out", evaluation=evaluation), say=hush)
    assert not (tmp_path / "out").exists()


def test_missing_openvino_raises_missing_extra_and_writes_nothing(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="openvino"):
        export_model(ExportOptions(trained, tmp_path / "out", "openvino"), say=hush)
    assert names_in(tmp_path) == []


def test_scores_of_another_network_raise(trained, tmp_path):
    folder = shutil.copytree(trained / "model", tmp_path / "model")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["setting"]["model_digest"] = "0" * 64
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_digests(folder)
    with pytest.raises(ModelError, match="of another network"):
        export_model(ExportOptions(folder, tmp_path / "out"), say=hush)


def test_a_cross_validation_gives_its_scores_and_fits_the_dice_estimator(trained, evaluation, tmp_path):
    lines = []
    out = export_model(ExportOptions(trained, tmp_path / "out", evaluation=evaluation), say=lines.append)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["summary"]["dice_volume"]["mean"] == 0.783
    assert metrics["dice_estimator"]["quality"]["failures"] == 3
    assert metrics["dice_estimator"]["quality"]["auroc"] == 1.0
    dice_estimator = load_model(out).config.dice_estimator
    assert dice_estimator.predicted_dice({"soft_dice": 0.9}) > dice_estimator.predicted_dice({"soft_dice": 0.5})
    card = (out / "README.md").read_text()
    assert "| `dice_volume` | 0.783 | 0.890 | 0.650 to 0.900 |" in card
    assert "this network has no scores of its own" in card
    assert "no scores of its own" in lines[0]
    assert "fitted on 10 patients" in lines[1]


def test_without_cross_validation_no_dice_estimator_is_fitted(trained, tmp_path, write_metrics):
    place = write_metrics({"patients": [], "summary": {}, "setting": {}})
    lines = []
    out = export_model(ExportOptions(trained, tmp_path / "out", evaluation=place), say=lines.append)
    assert load_model(out).config.dice_estimator is None
    assert "not a cross-validation" in lines[0]


def test_a_given_card_replaces_the_model_card(trained, tmp_path):
    (tmp_path / "card.md").write_text("# My card\n")
    out = export_model(ExportOptions(trained, tmp_path / "out", card=tmp_path / "card.md"), say=hush)
    assert (out / "README.md").read_text() == "# My card\n"
    with pytest.raises(DataError, match="cannot be read as text"):
        export_model(ExportOptions(trained, tmp_path / "other", card=tmp_path / "absent.md"), say=hush)


def test_only_a_model_folder_is_replaced_and_only_with_overwrite(trained, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out"), say=hush)
    with pytest.raises(OutputExistsError):
        export_model(ExportOptions(trained, out), say=hush)
    export_model(ExportOptions(trained, out, name="second", overwrite=True), say=hush)
    assert load_model(out).config.name == "second"
    (out / "notes").mkdir()
    (out / "notes" / "thesis.txt").touch()
    with pytest.raises(OutputExistsError, match=r"thesis\.txt: is not ours"):
        export_model(ExportOptions(trained, out, overwrite=True), say=hush)
    assert load_model(out).config.name == "second"


def test_a_card_that_was_edited_is_not_overwritten(trained, tmp_path):
    out = export_model(ExportOptions(trained, tmp_path / "out"), say=hush)
    (out / "README.md").write_text("# My words\n")
    with pytest.raises(OutputExistsError, match=r"README\.md: was changed since export wrote it"):
        export_model(ExportOptions(trained, out, overwrite=True), say=hush)
    assert (out / "README.md").read_text() == "# My words\n"


def test_the_model_of_a_run_is_not_overwritten_by_export(trained, tmp_path):
    own = shutil.copytree(trained / "model", tmp_path / "run" / "model")
    with pytest.raises(OutputExistsError, match="not ours"):
        export_model(ExportOptions(trained, own, overwrite=True), say=hush)


@pytest.mark.parametrize("change", [{"name": "../up"}, {"name": ""}, {"to": "tflite"}])
def test_an_invalid_name_or_kind_raises(change, trained, tmp_path):
    with pytest.raises(UsageError):
        export_model(ExportOptions(trained, tmp_path / "out", **change), say=hush)


def test_exporting_a_model_into_itself_raises(trained, tmp_path):
    own = shutil.copytree(load_model(trained).folder, tmp_path / "run" / "model")
    for out in (own, own.parent):
        with pytest.raises((UsageError, OutputExistsError)):
            export_model(ExportOptions(own, out, overwrite=True), say=hush)
    assert (own / "model.onnx").is_file()
