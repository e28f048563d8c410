"""The files that a finished run writes: model folder with scores, `curves.png` and `samples.png`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gliomaseg import overlays
from gliomaseg.data.batches import random_slices
from gliomaseg.data.case import LoadedCase, read_case, with_sequences
from gliomaseg.evaluation import EvaluationSetting
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.evaluation.measure import Measure
from gliomaseg.evaluation.measures import DICE, MEASURES
from gliomaseg.metrics import overlap
from gliomaseg.model import CARD, CONFIG, ONNX, ModelConfig, write_config, write_digests, write_metrics
from gliomaseg.model_card import model_card
from gliomaseg.networks import build_network
from gliomaseg.onnx_compression import quantize_int8
from gliomaseg.prediction import Predictor, open_predictor
from gliomaseg.prediction.image_features import is_skull_stripped
from gliomaseg.prediction.predictor import used_sequences
from gliomaseg.preprocessing import display_levels, prepare
from gliomaseg.scan import flair_channel
from gliomaseg.training.checkpoint import EpochRecord, load_network
from gliomaseg.training.onnx_export import export_network
from gliomaseg.training.run import Run
from gliomaseg.training.run_folder import MODEL, run_output
from gliomaseg.types import Pixels

SAMPLES = 4
STRIPPED_SHARE, STRIPPED_SAMPLE = 0.1, 40
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#CC79A7", "#009E73")  # of the Dice conventions


def write_artifacts(run: Run, setting: EvaluationSetting) -> None:
    """Export the model, evaluate it with ONNX Runtime as its users will run it, and draw the images.

    Raises:
        ResourceError: the disk is full. The checkpoint is complete: resume to finish.
        Interrupted: the user has interrupted the run. Resume to finish.
    """
    run.display.log("exporting the model and evaluating it with ONNX Runtime")
    # Without accelerate's autocast wrapper, so that the exported network computes in float32.
    network = run.accelerator.unwrap_model(run.eval_network, keep_fp32_wrapper=False)
    if run.recipe.training.exported_checkpoint == "best":
        network = build_network(run.recipe.network, run.recipe.preprocessing.inputs)
        load_network(run.best, network)
    with run_output(run.folder, is_run=True).new_folder(run.folder / MODEL, overwrite=True) as folder:
        patients = [case.patient for case in run.train]
        export_network(
            network,
            run.recipe,
            folder,
            name=run.folder.resolve().name,
            patients=patients,
            start=run.progress.start,
            skull_stripped=_has_stripped_heads(run),
        )
        if run.recipe.training.onnx_precision == "int8":
            _quantise(run, folder)
        write_digests(folder)
        predictor = open_predictor(folder)
        metrics = evaluate(
            run.validation, predictor, setting=setting, progress=lambda _line: run.raise_if_stopped("in the evaluation")
        )
        write_metrics(folder, metrics.document())
        card = model_card(run.recipe, metrics, patients=patients, start=run.progress.start)
        (folder / CARD).write_text(card, "utf-8")
        write_digests(folder)
        _draw_samples(run, predictor)
    with run_output(run.folder).new_file(run.folder / "curves.png") as temporary:
        draw_curves(run.progress.history, temporary, title=run.recipe.title or run.recipe.network.name)


def _quantise(run: Run, folder: Path) -> None:
    """Replace the ONNX file of the model by its int8 quantisation."""
    slices = random_slices(run.cache, run.train, run.recipe, torch.device("cpu"))
    calibration = [np.ascontiguousarray(batch.numpy()) for batch in slices]
    quantize_int8(folder / ONNX, folder / ONNX, calibration)
    config = ModelConfig.model_validate_json((folder / CONFIG).read_bytes())
    write_config(folder, config.model_copy(update={"onnx_precision": "int8"}))


def _has_stripped_heads(run: Run) -> bool:
    """Return whether the training slices of a tenth of the cases had no skull, in the data or by augmentation."""
    augmentation = run.recipe.augmentation
    if augmentation.preset == "strong" and augmentation.skull_strip >= STRIPPED_SHARE:
        return True
    if run.recipe.preprocessing.input == "grey":
        return False
    cases = run.train[:: max(1, len(run.train) // STRIPPED_SAMPLE)]
    channel = flair_channel(run.cache.images.shape[1])
    found = [is_skull_stripped(run.cache.images[run.cache.positions((case,)), channel]) for case in cases]
    return sum(stripped is True for stripped in found) >= STRIPPED_SHARE * len(cases)


def _draw_samples(run: Run, predictor: Predictor) -> None:
    """Draw input, reference and prediction: the largest tumour of a few cases, and one slice without tumour."""
    chosen = run.validation[:: max(1, len(run.validation) // SAMPLES)][:SAMPLES]
    rows, notes = [], []
    for number, case in enumerate(chosen):
        loaded = read_case(with_sequences(case, used_sequences(predictor)))
        sizes = loaded.scan.axial.turn(loaded.reference).sum(axis=(1, 2))
        tumour_free = np.flatnonzero(sizes == 0)
        shows_no_tumour = number == len(chosen) - 1 and len(tumour_free) > 0
        k = int(tumour_free[len(tumour_free) // 2]) if shows_no_tumour else int(sizes.argmax())
        row, value = _sample(loaded, k, predictor)
        rows.append(row)
        score = "both masks empty" if np.isnan(value) else f"Dice of this slice {value:.3f}"
        notes.append(f"{case.name}, slice {loaded.axial_number(k)}: {score}")
    headings = ("input MRI", "ground truth", "prediction")
    sheet = overlays.panel(rows, columns=headings, notes=notes, title="Tumour segmentation, validation cases")
    with run_output(run.folder).new_file(run.folder / "samples.png") as temporary:
        sheet.save(temporary, format="PNG")


def _sample(case: LoadedCase, k: int, predictor: Predictor) -> tuple[list[Pixels], float]:
    """Return input, reference and prediction of axial slice k as images, and its Dice."""
    turn = case.scan.axial.turn
    reference, mask = turn(case.reference)[k], turn(predictor.mask(case.scan))[k]
    if case.scan.spacing_mm is None:
        prepared = prepare(case.scan, predictor.model.config.preprocessing).slices[k]
        image = np.moveaxis(np.repeat(prepared, 3, axis=0) if len(prepared) == 1 else prepared, 0, -1)
    else:
        levels = display_levels(turn(case.scan.voxels)[k, ..., case.scan.flair_index])
        image = np.repeat(levels[..., None], 3, axis=2)
    row = [image, overlays.white(reference), overlays.white(mask)]
    if case.scan.spacing_mm is not None:
        row = [_padded(picture, case.scan.axial.turn_spacing(case.scan.spacing_mm)[1:]) for picture in row]
    return row, overlap.dice(reference=reference, predicted=mask)


def _padded(picture: Pixels, spacing_mm: tuple[float, ...]) -> Pixels:
    """Return an image with black on two sides, so that a square of it is a square in the patient: uint8 (y, x, 3)."""
    height_mm, width_mm = (count * mm for count, mm in zip(picture.shape[:2], spacing_mm, strict=True))
    side_mm = max(height_mm, width_mm)
    rows, columns = (round((side_mm - mm) / step) for mm, step in zip((height_mm, width_mm), spacing_mm, strict=True))
    pads = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
    return np.pad(picture, pads)


def draw_curves(history: Sequence[EpochRecord], path: Path, *, title: str) -> None:
    """Draw the losses and Dice values of each epoch into a PNG of 1100 x 440 pixels."""
    figure = Figure(figsize=(11, 4.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    losses, dice = figure.subplots(1, 2)
    epochs = [record.epoch for record in history]
    losses.plot(epochs, [record.train_loss for record in history], color=BLUE, marker="o", label="train loss")
    losses.plot(
        epochs, [record.validation_loss for record in history], color=ORANGE, marker="o", label="validation loss"
    )
    for measure, colour in zip(_dice_measures(), COLOURS, strict=True):
        scores = [record.scores.get(measure.name) for record in history]
        values = [float("nan") if score is None else score for score in scores]
        dice.plot(epochs, values, color=colour, marker="o", label=measure.label)
    losses.set(title="Loss", xlabel="epoch", ylabel="loss", ylim=(0, None))
    dice.set(title="Dice on the validation cases", xlabel="epoch", ylabel="Dice", ylim=(0, 1.02))
    for axes in (losses, dice):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, format="png")


def _dice_measures() -> list[Measure]:
    """Return the Dice conventions without the false positive rate, for which lower is better."""
    return [measure for measure in MEASURES if measure.group == DICE and measure.higher_is_better]
