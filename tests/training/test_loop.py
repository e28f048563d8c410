"""The training loop: a resumed run has the same bits, whether or not the loss is read one step late."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gliomaseg import losses
from gliomaseg.config import read_recipe
from gliomaseg.errors import ConfigError, Interrupted, ResourceError, TrainingError
from gliomaseg.networks.unet import UnetNetwork
from gliomaseg.training import loop
from gliomaseg.training.checkpoint import read_progress
from gliomaseg.training.progress import ProgressDisplay
from gliomaseg.training.run import Run
from gliomaseg.training.run_folder import LAST, TrainOptions
from gliomaseg.training.train import train

SMALL = ["preprocessing.size_px=64", "network.base_features=8", "network.levels=3", "training.epochs=2"]


def quiet(_text: str) -> None:
    pass


def logged_losses(run: Path) -> list[tuple[float, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["train_loss"], line["validation_loss"]) for line in lines]


# Everything with a state or random numbers: EMA, augmentation, oversampling, context slices.
LEARNING = [
    "preprocessing.size_px=32", "network.features=[4, 8, 8]",
    "training.epochs=2", "training.batch=8", "training.clip_norm=1", "training.tumour_oversampling=1.5",
    "augmentation.elastic=0.02", "augmentation.gamma=0.3", "augmentation.bias_field=0.2", "augmentation.blur_px=1",
    "augmentation.downsample_prob=0.2", "augmentation.channel_dropout=0.2",
]  # fmt: skip


@pytest.mark.parametrize("ahead", [False, True])
def test_a_resumed_run_with_ema_augmentation_and_context_slices_ends_with_the_same_bits(
    ahead, phantoms, tmp_path, monkeypatch
):
    recipe = read_recipe("residual_unet").with_settings(LEARNING)
    assert (recipe.training.ema, recipe.preprocessing.context_slices, recipe.augmentation.preset) == (
        0.995,
        2,
        "strong",
    )
    whole, broken = (
        TrainOptions(recipe, phantoms, tmp_path / name, cache=tmp_path / "cache") for name in ("whole", "broken")
    )
    train(whole, say=quiet)
    monkeypatch.setattr(loop, "defers_loss", lambda _accelerator: ahead)
    batches: list[None] = []
    show = ProgressDisplay.step

    def stop_in_the_second_epoch(*arguments, **keywords):
        batches.append(None)
        if len(batches) == 7:  # an epoch has 5 batches
            os.kill(os.getpid(), signal.SIGINT)
        return show(*arguments, **keywords)

    monkeypatch.setattr(ProgressDisplay, "step", stop_in_the_second_epoch)
    with pytest.raises(Interrupted, match="of epoch 2"):
        train(broken, say=quiet)
    train(replace(broken, resume=True), say=quiet)
    assert logged_losses(broken.out) == logged_losses(whole.out)
    for name in ("model/model.safetensors", "checkpoint/last.safetensors"):
        first, second = (load_file(options.out / name) for options in (whole, broken))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name


def test_the_average_is_exported_and_evaluated(phantoms, tmp_path):
    recipe = read_recipe("residual_unet").with_settings([*LEARNING, "training.epochs=1"])
    train(TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache"), say=quiet)
    state = load_file(tmp_path / "run" / "checkpoint" / "last.safetensors")
    exported = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(torch.equal(tensor, state[f"average.{name}"]) for name, tensor in exported.items())
    assert not torch.equal(state["average.head.weight"], state["network.head.weight"])
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    metrics = json.loads((tmp_path / "run" / "model" / "metrics.json").read_text())["summary"]
    assert metrics["patients"] == 1
    assert line["images"] > 32  # four patients of eight slices, some of them twice


@pytest.mark.parametrize("ahead", [False, True])
def test_a_loss_that_is_nan_stops_the_run_and_names_the_batch(ahead, phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "defers_loss", lambda _accelerator: ahead)
    options = TrainOptions(
        read_recipe("unet_small").with_settings(SMALL), phantoms, tmp_path / "run", cache=tmp_path / "cache"
    )
    real = losses.LOSSES["cross_entropy"]
    calls = []

    def spoiled(logits, masks):
        calls.append(None)
        loss = real(logits, masks)
        return loss * float("nan") if len(calls) == 9 else loss  # 4 training and 1 validation batch an epoch

    monkeypatch.setitem(losses.LOSSES, "cross_entropy", spoiled)
    with pytest.raises(TrainingError, match=r"loss is nan in batch \d of epoch 2 \(PHANTOM_.*last good weights"):
        train(options, say=quiet)
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.setitem(losses.LOSSES, "cross_entropy", real)
    train(replace(options, resume=True), say=quiet)
    assert (tmp_path / "run" / "model" / "model.onnx").is_file()


def test_a_checkpoint_has_only_counted_steps(phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "defers_loss", lambda _accelerator: True)
    monkeypatch.setattr("gliomaseg.training.train.write_artifacts", lambda *_arguments: None)
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.batch=8", "training.checkpoint_minutes=0"])
    whole, killed = (
        TrainOptions(recipe, phantoms, tmp_path / name, cache=tmp_path / "cache") for name in ("whole", "killed")
    )
    train(whole, say=quiet)
    save, saved = Run.save, []

    def die_after_a_few(run, path):
        save(run, path)
        saved.append(run.progress.step)
        if len(saved) == 3:
            raise RuntimeError("killed")

    monkeypatch.setattr(Run, "save", die_after_a_few)
    with pytest.raises(RuntimeError, match="killed"):
        train(killed, say=quiet)
    assert saved == [1, 2, 3]
    monkeypatch.setattr(Run, "save", save)
    train(replace(killed, resume=True), say=quiet)
    assert logged_losses(killed.out) == logged_losses(whole.out)


def without_memory_for(slices, monkeypatch):
    """Let the U-Net run out of memory with more than `slices` slices."""
    forward = UnetNetwork.forward

    def limited(network, batch):
        if network.training and len(batch) > slices:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(network, batch)

    monkeypatch.setattr(UnetNetwork, "forward", limited)


def test_out_of_memory_halves_the_slices_at_a_time_and_keeps_the_batch(phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr("gliomaseg.training.train.write_artifacts", lambda *_arguments: None)
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.batch=8"])
    without_memory_for(4, monkeypatch)
    options, lines = TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache"), []
    train(options, say=lines.append)
    warnings = [line for line in lines if "out of memory" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: out of memory on the device with 8 slices at a time; from now on")
    progress = read_progress(tmp_path / "run" / LAST)
    assert progress.batch_parts == 2  # a resumed run does the same
    assert [record.images for record in progress.history] == [32, 32]
    # 32 slices in batches of 8, two epochs: eight steps of the optimiser.
    assert load_file(tmp_path / "run" / LAST)["optimiser.0.step"] == 8


def test_halves_have_the_gradients_of_the_batch(phantoms, tmp_path, monkeypatch):
    """Without batch normalisation, cross-entropy of two halves gives the weights of the whole batch."""
    monkeypatch.setattr("gliomaseg.training.train.write_artifacts", lambda *_arguments: None)
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda _layer, values: values)
    recipe = read_recipe("unet_small").with_settings(
        [*SMALL, "training.batch=7", "training.loss=cross_entropy", "training.learning_rate=1e-5"]
    )
    states = []
    for name, slices in (("whole", 7), ("halved", 4)):
        without_memory_for(slices, monkeypatch)
        train(TrainOptions(recipe, phantoms, tmp_path / name, cache=tmp_path / "cache"), say=quiet)
        states.append(load_file(tmp_path / name / LAST))
    weights = [name for name in states[0] if name.startswith("network.") and name.endswith(".weight")]
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-5) for name in weights)


def test_too_little_memory_for_half_a_batch_raises_resource_error(phantoms, tmp_path, monkeypatch):
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.batch=8"])
    without_memory_for(3, monkeypatch)
    options = TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache")
    with pytest.raises(ResourceError, match="out of memory on the device with batches of 8 slices in two halves"):
        train(options, say=quiet)


def test_resuming_with_other_code_raises_with_both_versions(phantoms, tmp_path, monkeypatch):
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.schedule=constant", "training.epochs=1"])
    options = TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache")
    train(options, say=quiet)
    monkeypatch.setattr("gliomaseg.training.train.code_version", lambda: "gliomaseg 9.0")
    longer = replace(options, recipe=recipe.with_settings(["training.epochs=2"]), resume=True)
    with pytest.raises(
        ConfigError, match=r"code of the training is gliomaseg .* with torch .*, expected gliomaseg 9\.0"
    ):
        train(longer, say=quiet)
    train(replace(options, resume=True), say=quiet)  # all epochs are done: other code only writes the model
