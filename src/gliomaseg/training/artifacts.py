"""What a run leaves behind: the model folder, its scores through ONNX Runtime, curves and samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gliomaseg import overlays
from gliomaseg.atomic import new_file, new_folder
from gliomaseg.data.batches import batches, load_batch
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.metrics import overlap
from gliomaseg.model import CARD, CONFIG, ONNX, ModelConfig, write_config, write_digests, write_metrics
from gliomaseg.networks import build_network
from gliomaseg.onnx_compression import quantize_int8
from gliomaseg.prediction import Predictor, open_predictor
from gliomaseg.preprocessing import prepare
from gliomaseg.training.checkpoint import load_network
from gliomaseg.training.curves import draw_curves
from gliomaseg.training.loop import Run
from gliomaseg.training.model_card import model_card
from gliomaseg.training.onnx_export import export_network
from gliomaseg.types import Batch, Pixels

SAMPLES = 4
EXAMPLES, EXAMPLES_AT_ONCE = 240, 16


def write_artifacts(run: Run, setting: Mapping[str, Any]) -> None:
    """Export the model, score it as its users will run it, and draw the pictures.

    Raises:
        ResourceError: the disk is full; the checkpoint is whole, resume to finish.
        Interrupted: the user asked to stop; the same holds.
    """
    run.display.say("exporting the model and scoring it through ONNX Runtime")
    # Without accelerate's autocast wrapper: what is exported computes in float32.
    network = run.accelerator.unwrap_model(run.eval_network, keep_fp32_wrapper=False)
    if run.recipe.training.exported_checkpoint == "best":
        network = build_network(run.recipe.network, run.recipe.preprocessing.inputs)
        load_network(run.best, network)
    with new_folder(run.folder / "model", overwrite=True) as folder:
        patients = [case.patient for case in run.train]
        export_network(network, run.recipe, folder, name=run.folder.resolve().name, patients=patients)
        if run.recipe.training.onnx_precision == "int8":
            _quantise(run, folder)
        write_digests(folder)
        predictor = open_predictor(folder)
        metrics = evaluate(
            run.validation, predictor, setting=setting, progress=lambda _line: run.raise_if_stopped("scoring")
        )
        write_metrics(folder, metrics.document())
        card = model_card(run.recipe, metrics, patients=[case.name for case in run.train])
        (folder / CARD).write_text(card, "utf-8")
        write_digests(folder)
        _draw_samples(run, predictor)
    with new_file(run.folder / "curves.png") as temporary:
        draw_curves(run.progress.history, temporary, title=run.recipe.title or run.recipe.network.name)


def _quantise(run: Run, folder: Path) -> None:
    """Put a network of integers in the place of the model's."""
    quantize_int8(folder / ONNX, folder / ONNX, _examples(run))
    config = ModelConfig.model_validate_json((folder / CONFIG).read_bytes())
    write_config(folder, config.model_copy(update={"onnx_precision": "int8"}))


def _examples(run: Run) -> list[Batch]:
    """Return slices of the training side, drawn evenly, as the network takes them."""
    positions = run.cache.positions(run.train)
    generator = np.random.default_rng(run.recipe.training.seed)
    chosen = generator.permutation(positions)[:EXAMPLES]
    processor = torch.device("cpu")
    loaded = (
        load_batch(run.cache, some, run.recipe.preprocessing, processor)[0]
        for some in batches(chosen, EXAMPLES_AT_ONCE)
    )
    return [np.ascontiguousarray(images.numpy()) for images in loaded]


def _draw_samples(run: Run, predictor: Predictor) -> None:
    """Draw input, ground truth and prediction: the largest tumour of a few patients, and a slice without any."""
    chosen = run.validation[:: max(1, len(run.validation) // SAMPLES)][:SAMPLES]
    rows, notes = [], []
    for number, case in enumerate(chosen):
        examination = read_case(case)
        sizes = examination.reference.sum(axis=(1, 2))
        empty = np.flatnonzero(sizes == 0)
        plain = number == len(chosen) - 1 and len(empty) > 0
        k = int(empty[len(empty) // 2]) if plain else int(sizes.argmax())
        row, value = _sample(examination, k, predictor)
        rows.append(row)
        score = "both masks empty" if np.isnan(value) else f"Dice of this slice {value:.3f}"
        notes.append(f"{case.name}, slice {case.slices[k].number}: {score}")
    headings = ("input MRI", "ground truth", "prediction")
    sheet = overlays.panel(rows, columns=headings, notes=notes, title="Tumour segmentation, validation side")
    with new_file(run.folder / "samples.png") as temporary:
        sheet.save(temporary, format="PNG")


def _sample(examination: LoadedCase, k: int, predictor: Predictor) -> tuple[list[Pixels], float]:
    mask = predictor.mask(examination.scan)[k]
    seen = prepare(examination.scan, predictor.model.config.preprocessing).slices[k]
    image = np.repeat(seen, 3, axis=0) if len(seen) == 1 else seen
    reference = examination.reference[k]
    row = [np.moveaxis(image, 0, -1), overlays.white(reference), overlays.white(mask)]
    return row, overlap.dice(reference=reference, predicted=mask)
