"""Curves, model card, signals, determinism, precision and progress lines."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gliomaseg.config import read_recipe
from gliomaseg.errors import UsageError
from gliomaseg.evaluation.results import Evaluation
from gliomaseg.model_card import model_card
from gliomaseg.training.accelerator import deterministic, handle_signals, open_accelerator
from gliomaseg.training.artifacts import draw_curves
from gliomaseg.training.checkpoint import EpochRecord
from gliomaseg.training.progress import ProgressDisplay

SCORES = {"dice_volume": None, "dice_tumour_slices": 0.1, "dice_slices_empty_one": 0.6, "dice_batch": 0.5}
RECORD = EpochRecord(1, 0.4, 0.5, SCORES, images=8, train_seconds=2.0, validation_seconds=1.0, images_per_s=4.0)


def metrics(*, warning=None):
    entry = {"mean": 0.75, "median": 0.8, "ci95": [0.7, 0.81]}
    document = {
        "setting": {"model": "run", "split": "patient", "seed": 0, "warning": warning, "patients_seen": 1},
        "summary": {"dice_volume": entry, "dice_batch": {"mean": None}, "patients": 2, "slices": 10},
        "definitions": {"dice_volume": "over the whole stack"},
    }
    return Evaluation.model_validate(document)


def test_curves_are_drawn_if_a_score_is_undefined(tmp_path):
    second = replace(RECORD, epoch=2, scores={**SCORES, "dice_volume": 0.3})
    draw_curves([RECORD, second], tmp_path / "curves.png", title="a run")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1100, 440)
        assert np.asarray(picture.convert("L")).std() > 5


def test_a_card_has_the_licence_of_the_training_data():
    recipe = read_recipe("fcn_resnet50")
    assert "CC BY-NC-SA 4.0" in model_card(recipe, metrics(), patients=["TCGA_CS_4941_19960909"])
    assert "phantoms" in model_card(recipe, metrics(), patients=["PHANTOM_AA_1000_20000101"])
    assert "user's own" in model_card(recipe, metrics(), patients=["anna"])


def test_a_card_has_scores_definitions_and_the_disclaimer():
    card = model_card(read_recipe("fcn_resnet50"), metrics(warning="slices leak"), patients=["x"])
    assert "| `dice_volume` | 0.750 | 0.800 | 0.700 to 0.810 |" in card
    assert "over the whole stack" in card
    assert "not a medical device" in card
    assert "**Warning**: slices leak." in card
    assert "**Warning**: the network was trained on 1 of these patients." in card


def test_the_first_interrupt_sets_the_flag_and_the_second_interrupts():
    with handle_signals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_deterministic_algorithms_end_with_the_block():
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_raises():
    with pytest.raises(UsageError, match="finds no GPU"):
        open_accelerator("cuda", "auto")


@pytest.mark.parametrize("device", ["tpu", "CUDA", "cuda:1", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(UsageError, match=f"device is '{device}', expected one of auto, cpu, cuda"):
        open_accelerator(device, "fp32")


@pytest.mark.parametrize(("precision", "mixed"), [("fp32", "no"), ("bf16", "bf16")])
def test_each_run_gets_its_own_precision(precision, mixed):
    assert open_accelerator("cpu", precision).mixed_precision == mixed


def test_a_line_of_the_log_has_the_scores_beside_the_losses_and_is_read_back():
    line = RECORD.document()
    assert list(line) == [
        "epoch", "train_loss", "validation_loss", "dice_volume", "dice_tumour_slices", "dice_slices_empty_one",
        "dice_batch", "images", "train_seconds", "validation_seconds", "images_per_s",
    ]  # fmt: skip
    assert EpochRecord.from_document(line) == RECORD


def test_without_a_terminal_a_line_is_printed_every_minute(monkeypatch):
    lines: list[str] = []
    times = iter([0.0, 10.0, 61.0, 61.0, 62.0])
    monkeypatch.setattr("gliomaseg.training.progress.time.monotonic", lambda: next(times))
    display = ProgressDisplay(lines.append, None)
    display.step("epoch 1/3", 1, 9, loss=0.5, images_per_s=2.0)
    display.step("epoch 1/3", 2, 9, loss=0.4, images_per_s=2.0)
    display.step("epoch 1/3", 3, 9, loss=0.3, images_per_s=2.0)
    assert lines == ["epoch 1/3: batch 2 of 9, loss 0.4000, 2.0 images/s"]
