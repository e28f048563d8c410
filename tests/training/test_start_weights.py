"""Training from the weights of an earlier model: a run, a model folder, or a bundled model with folded norms."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gliomaseg.config import Recipe, read_recipe
from gliomaseg.data.cache import open_cache
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import choose_fold, read_splits, select
from gliomaseg.errors import ConfigError, ModelError
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.model import StartModel, hashed_patient_ids, load_model
from gliomaseg.model_export import ExportOptions, export_model
from gliomaseg.networks import build_network
from gliomaseg.prediction import engine_of
from gliomaseg.pretrained import find_model
from gliomaseg.report.summary_text import warnings
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.start_weights import StartWeights, different_settings, load_start, read_start
from gliomaseg.training.train import train

TRAINED = ["preprocessing.size_px=64", "network.levels=3"]  # of the fixture `trained`
# Steps of this size change no float32 weight: the run ends with the weights that it started from.
NO_CHANGE = ["training.epochs=1", "training.learning_rate=1e-30", "training.ema=0", "augmentation.preset=none"]


def recipe_from(start: Path | str, *settings: str, name: str = "unet_small") -> Recipe:
    return read_recipe(name).with_settings([f'training.start_from="{start}"', *settings])


def random_batches(inputs: int, count: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, inputs, 64, 64, generator=generator) for _ in range(count)]


def start_of(recipe: Recipe) -> StartWeights:
    start = read_start(recipe)
    assert start is not None
    return start


@pytest.fixture(scope="module")
def continued(trained, phantoms, tmp_path_factory):
    """Return a run that started from `trained` and changed no weight, and what it said."""
    folder, lines = tmp_path_factory.mktemp("continued"), []
    options = TrainOptions(recipe_from(trained, *TRAINED, *NO_CHANGE), phantoms, folder / "run", cache=folder / "cache")
    train(options, say=lines.append)
    return options.out, lines


def test_a_recipe_without_a_start_has_none():
    assert read_start(read_recipe("residual_unet")) is None


def test_a_run_starts_with_the_weights_of_another_run(trained, continued):
    before, after = (start_of(recipe_from(run)).tensors for run in (trained, continued[0]))
    learned = [name for name in before if "running_" not in name and "num_batches" not in name]
    assert learned
    assert all(torch.equal(before[name], after[name]) for name in learned)


def test_the_log_names_the_start(trained, continued):
    assert f"starting from the weights of {trained.name}" in continued[1]


def test_the_model_records_its_start(trained, continued):
    start = load_model(continued[0]).config.start
    assert start.name == trained.name
    assert start.digest == load_model(trained).digest
    assert start.not_loaded == ()


def test_the_card_names_the_start_and_its_terms(trained, continued):
    card = (continued[0] / "model" / "README.md").read_text()
    assert f"- initial weights: {trained.name} (SHA-256 {load_model(trained).digest})" in card
    assert f"started from the weights of {trained.name}, whose terms apply too" in card


def test_the_training_patients_of_the_start_are_among_those_of_the_model(trained, continued, phantoms):
    fold = choose_fold(read_splits(continued[0] / "splits.json"), 0)
    own = hashed_patient_ids(case.patient for case in select(read_cases(phantoms), fold.train))
    trained_on = load_model(continued[0]).config.trained_on
    assert set(trained_on) == {*own, *load_model(trained).config.trained_on}


def test_weights_in_16_bits_start_a_training_in_32(trained, tmp_path):
    export_model(ExportOptions(trained, tmp_path / "given", keep_weights=True), say=lambda _line: None)
    recipe = recipe_from(tmp_path / "given", *TRAINED)
    network = build_network(recipe.network)
    assert load_start(network, start_of(recipe), []).not_loaded == ()
    assert all(weight.dtype == torch.float32 for weight in network.parameters())


def test_unknown_patients_of_the_start_leave_those_of_the_model_unknown(trained, tmp_path):
    from gliomaseg.training.onnx_export import export_network

    recipe = recipe_from(trained, *TRAINED)
    start = load_start(build_network(recipe.network), start_of(recipe), []).model_copy(update={"trained_on": ()})
    export_network(build_network(recipe.network), recipe, tmp_path, name="x", patients=["A"], start=start)
    assert json.loads((tmp_path / "config.json").read_text())["trained_on"] == []


def test_validation_patients_that_trained_the_start_are_named_and_counted(continued):
    # `trained` has the same five phantom patients; its validation patient trained it not.
    seen = load_model(continued[0]).config.start.trained_on
    fold = choose_fold(read_splits(continued[0] / "splits.json"), 0)
    patients = hashed_patient_ids(name.rpartition("_")[0] for name in fold.validation)
    count = len(set(patients) & set(seen))
    evaluation = read_evaluation(continued[0] / "model")
    assert evaluation.setting.patients_seen == count
    assert any("so the scores are too high" in line for line in continued[1]) == (count > 0)
    assert any(heading == "Seen in training" for heading, _ in warnings(evaluation)) == (count > 0)


def test_a_resumed_run_does_not_need_the_start(trained, phantoms, tmp_path):
    start = shutil.copytree(trained, tmp_path / "start")
    recipe = recipe_from(start, *TRAINED, *NO_CHANGE)
    options = TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache", resume=True)
    train(options, say=lambda _line: None)
    shutil.rmtree(start)
    (tmp_path / "run" / "curves.png").unlink()  # a run writes it last
    train(options, say=lambda _line: None)
    assert load_model(tmp_path / "run").config.start.name == trained.name


@pytest.fixture
def started(trained, phantoms, tmp_path, monkeypatch):
    """Return the options of a finished run whose start has a relative path; the working directory is another now."""
    shutil.copytree(trained, tmp_path / "start")
    monkeypatch.chdir(tmp_path)
    options = TrainOptions(
        recipe_from("start", *TRAINED, *NO_CHANGE), phantoms, tmp_path / "run", cache=tmp_path / "cache", resume=True
    )
    train(options, say=lambda _line: None)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return options


def test_a_run_that_started_from_a_relative_path_resumes_in_another_folder(started):
    recipe = read_recipe(str(started.out / "config.toml"))
    assert recipe.training.start_from == str(started.out.with_name("start").resolve())
    train(replace(started, recipe=recipe), say=lambda _line: None)


def test_a_start_is_the_same_if_its_checksum_is(started):
    first, second = started.out.with_name("start").resolve(), Path("start").resolve()
    shutil.copytree(find_model(Path("glioma-flair")), second)
    digest, other = (load_model(folder).digest[:12] for folder in (first, second))
    with pytest.raises(ConfigError) as caught:
        train(started, say=lambda _line: None)
    assert caught.value.line() == (
        f"{started.out}/config.toml: training.start_from is {first} (SHA-256 {digest}), expected {second} (SHA-256 "
        f"{other}) as in this command; pass --set training.start_from={first}, or name another --out"
    )
    shutil.rmtree(second)
    shutil.copytree(first, second)
    train(started, say=lambda _line: None)


def test_many_random_tensors_are_counted():
    start = StartModel(name="a", digest="0", not_loaded=("b", "c", "d"))
    assert start.random_text == "; 3 tensors random: b, c, d"
    more = start.model_copy(update={"not_loaded": ("b", "c", "d", "e")})
    assert more.random_text == "; 4 tensors random: b, c, d, ..."


@pytest.mark.parametrize("name", ["unet_small", "residual_unet_quick", "fcn_resnet50"])
def test_folded_norms_are_restored_for_every_network(name, tmp_path):
    recipe = read_recipe(name).with_settings(["preprocessing.size_px=64"])
    torch.manual_seed(0)
    network = build_network(recipe.network, recipe.preprocessing.inputs)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    from gliomaseg.training.onnx_export import export_network

    export_network(network, recipe, tmp_path, name="x")
    exported = read_recipe(name).with_settings([f'training.start_from="{onnx_only(tmp_path)}"'])
    other = build_network(recipe.network, recipe.preprocessing.inputs)
    inputs = random_batches(recipe.preprocessing.inputs)
    assert load_start(other, start_of(exported), inputs).not_loaded == ()
    with torch.no_grad():
        # float32 rounding: 7 digits, over up to 50 layers
        assert torch.allclose(network.eval()(inputs[0]), other.eval()(inputs[0]), atol=1e-4, rtol=1e-4)


def onnx_only(folder: Path) -> Path:
    from gliomaseg.model import write_digests

    (folder / "model.safetensors").unlink()
    write_digests(folder)
    return folder


def test_folded_norms_of_tensors_that_do_not_fit_start_at_random():
    # The first level of glioma-flair has 16 features, the others fit.
    recipe = read_recipe("residual_unet").with_settings(
        ["training.start_from=glioma-flair", "network.features=[12, 32, 64, 128, 192, 256]"]
    )
    network = build_network(recipe.network, recipe.preprocessing.inputs)
    start = load_start(network, start_of(recipe), random_batches(recipe.preprocessing.inputs, count=1))
    own = network.state_dict()
    first = {name for name, tensor in own.items() if tensor.ndim and 12 in tensor.shape[:2]}
    assert first <= {line.partition(" ")[0] for line in start.not_loaded}
    assert len(start.not_loaded) < len(own) / 2


def test_restored_norms_compute_nearly_the_same_in_training_mode(tmp_path, trained):
    export_model(ExportOptions(trained, tmp_path / "exported", "onnx"), say=lambda _line: None)
    recipe = recipe_from(tmp_path / "exported", *TRAINED)
    network, inputs = build_network(recipe.network), random_batches(3)
    load_start(network, start_of(recipe), inputs)
    with torch.no_grad():
        trained_mode, evaluated = (network.train(mode)(inputs[0]).softmax(1) for mode in (True, False))
    # Without the restored deviations they differ by 0.5 and more.
    assert (trained_mode - evaluated).abs().mean() < 0.02


@pytest.mark.parametrize("name", ["glioma-flair", "glioma-t1-flair"])
def test_a_bundled_model_starts_with_what_it_computes(name, phantoms, tmp_path):
    recipe = read_recipe("residual_unet" if name == "glioma-flair" else "residual_unet_t1")
    recipe = recipe.with_settings([f"training.start_from={name}"])
    cache = open_cache(read_cases(phantoms), recipe.preprocessing, folder=tmp_path, progress=lambda _line: None)
    from gliomaseg.data.batches import random_slices

    slices = list(random_slices(cache, read_cases(phantoms).cases, recipe, torch.device("cpu")))
    network = build_network(recipe.network, recipe.preprocessing.inputs)
    assert load_start(network, start_of(recipe), slices).not_loaded == ()
    engine = engine_of(load_model(find_model(Path(name))))
    expected = engine.probabilities(np.ascontiguousarray(slices[0].numpy()))
    with torch.no_grad():
        found = network.eval()(slices[0]).softmax(1)[:, 1].numpy()
    # ONNX Runtime rounds features to 8 bits, torch does not.
    assert np.abs(found - expected).mean() < 0.005


def test_tensors_of_another_shape_start_at_random_and_are_named(trained):
    # One FLAIR slice is repeated to three channels; two context slices on each side make five.
    recipe = recipe_from(trained, *TRAINED, "preprocessing.context_slices=2")
    network = build_network(recipe.network, recipe.preprocessing.inputs)
    start = load_start(network, start_of(recipe), [])
    assert [line for line in start.not_loaded if "down.0.0.weight" in line] == list(start.not_loaded)
    assert "x 3 x 3 x 3, expected 12 x 5 x 3 x 3" in start.not_loaded[0]


def test_different_preprocessing_is_named(trained):
    changes = ("context_slices=1", "normalisation=zscore", "max_zscore=3", "p99_5_level=200")
    recipe = recipe_from(trained, *TRAINED, *(f"preprocessing.{change}" for change in changes))
    assert different_settings(start_of(recipe), recipe) == [
        f"{trained.name} has preprocessing.context_slices = 0, here it is 1",
        f"{trained.name} has preprocessing.normalisation = fixed, here it is zscore",
        f"{trained.name} has preprocessing.max_zscore = not set, here it is 3.0",
        f"{trained.name} has preprocessing.p99_5_level = 157.0, here it is 200.0",
    ]


def test_no_fitting_tensor_is_refused(trained):
    recipe = recipe_from(trained, *TRAINED)
    start = start_of(recipe)
    with pytest.raises(ConfigError, match="no weight of run has the shape"):
        load_start(torch.nn.Linear(2, 2), start, [])


def test_another_network_is_refused_before_anything_is_written(trained, phantoms, tmp_path):
    options = TrainOptions(recipe_from(trained, name="residual_unet_quick"), phantoms, tmp_path / "run")
    with pytest.raises(ConfigError, match="network is unet, expected residual_unet, which the recipe has") as caught:
        train(options, say=lambda _line: None)
    # Those settings of the network that are not its defaults; the recipe unet_small has 12 features.
    assert caught.value.cure.startswith(
        "pass --set network.name=unet --set network.base_features=12 --set network.levels=3,"
    )
    assert not (tmp_path / "run").exists()


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not a model: neither a path nor a bundled model"):
        read_start(recipe_from(tmp_path / "absent"))


def test_damaged_weights_are_refused(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "model" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="checksum differs"):
        read_start(recipe_from(run))


def test_pretrained_weights_and_a_start_are_refused():
    with pytest.raises(ConfigError, match=r"network\.weights is 'imagenet', expected 'none' with training\.start_from"):
        read_recipe("fcn_resnet50").with_settings(["network.weights=imagenet", "training.start_from=somewhere"])


def test_the_recipe_for_fine_tuning_fits_the_bundled_model():
    recipe = read_recipe("fine_tuning")
    config = load_model(find_model(Path(recipe.training.start_from))).config
    assert recipe.network == config.network
    assert recipe.preprocessing == config.preprocessing
