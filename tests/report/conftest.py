"""A synthetic evaluation as `gliomaseg evaluate` writes it: 88 patients, five sites, gaps, a failure, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gliomaseg.evaluation.measures import conventions, definitions
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.overlays import overlay
from gliomaseg.phantoms import phantom_patient

SITES = ["DU"] * 45 + ["HT"] * 22 + ["CS"] * 12 + ["FG"] * 8 + ["EZ"]
FAILED, EMPTY = 30, 61
MEASURED = (
    "dice_volume", "dice_tumour_slices", "dice_slices_empty_one", "empty_slice_false_positive_rate", "iou", "precision",
    "sensitivity", "specificity", "hausdorff_95_px", "average_surface_distance_px", "surface_dice", "volume_error",
    "lesion_precision", "lesion_sensitivity", "lesion_f1", "expected_calibration_error", "brier_score",
)  # fmt: skip


def patient(index: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return a row whose numbers fit each other; rows FAILED and EMPTY have gaps."""
    site = SITES[index]
    row: dict[str, Any] = {
        "patient": f"TCGA_{site}_{4900 + 37 * index}_19{70 + index % 30}0{1 + index % 9}12",
        "site": site,
    }
    if index == FAILED:
        keys = (
            "slices",
            "tumour_slices",
            "reference_voxels",
            "predicted_voxels",
            *MEASURED,
            "lesions",
            "lesions_found",
        )
        return (
            row | dict.fromkeys(keys) | {"error": f"{row['patient']}_7.tif: is not a readable TIFF", "fold": index % 5}
        )
    reference = 0 if index == EMPTY else int(np.exp(rng.normal(9.3, 1.2)))
    sensitivity, precision = (float(rng.beta(a, 1.6)) * min(1, 0.6 + reference / 5000) for a in (14, 18))
    if index % 11 == 5:
        sensitivity *= float(rng.uniform(0.05, 0.7))  # the model misses most of some tumours
    both = int(reference * sensitivity)
    predicted = int(both / max(precision, 0.05))
    total, slices = reference + predicted, int(rng.integers(20, 60))
    dice = 2 * both / total if total else None
    tumour = min(slices - 2, 2 + int(reference**0.3)) if reference else 0
    found = index % 7 != 3
    return row | {
        "slices": slices,
        "tumour_slices": tumour,
        "reference_voxels": reference,
        "predicted_voxels": predicted,
        "overlap_voxels": both,
        "dice_volume": dice,
        "dice_tumour_slices": None if dice is None else dice * 0.95,
        "dice_slices_empty_one": 1.0 if dice is None else (dice * tumour + slices - tumour) / slices,
        "empty_slice_false_positive_rate": float(rng.beta(0.5, 8)),
        "iou": None if dice is None else dice / (2 - dice),
        "precision": None if dice is None else precision,
        "sensitivity": None if dice is None else sensitivity,
        "specificity": 1 - float(rng.beta(1, 900)),
        "hausdorff_95_px": None if dice is None else float(rng.gamma(2, 4)),
        "average_surface_distance_px": None if dice is None else float(rng.gamma(2, 0.9)),
        "surface_dice": None if dice is None else dice * 0.9,
        "volume_error": None if not reference else (predicted - reference) / reference,
        "lesion_precision": None if dice is None else float(found),
        "lesion_sensitivity": None if dice is None else float(found),
        "lesion_f1": None if dice is None else float(found),
        "lesions": int(bool(reference)),
        "lesions_found": int(bool(reference) and found),
        "smallest_lesion_found_voxels": reference if reference and found else None,
        "expected_calibration_error": float(rng.beta(1, 300)),
        "brier_score": float(rng.beta(1, 200)),
        "error": None,
        "fold": index % 5,
    }  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name in MEASURED:
        values = [np.array([row[name]]) for row in rows if row[name] is not None]
        low, high = bootstrap_interval(values)
        flat = np.concatenate(values)
        entries[name] = {
            "mean": float(flat.mean()), "median": float(np.median(flat)), "ci95": [low, high], "n": len(flat),
            "undefined": len(rows) - 1 - len(flat),
        }  # fmt: skip
    entries["dice_batch"] = {"mean": 0.861}
    counts = {
        "slices": sum(row["slices"] or 0 for row in rows),
        "tumour_slices": sum(row["tumour_slices"] or 0 for row in rows),
    }
    return entries | {"patients": len(rows), "failed": 1} | counts


def calibration() -> dict[str, Any]:
    middles = (np.arange(15) + 0.5) / 15
    pixels = [int(4e6 * np.exp(-9 * m) + 9000 * m**4) for m in middles]
    share = [float(np.clip(m + 0.1 * np.sin(3 * m) * (m - 0.9), 0, 1)) for m in middles]
    pixels[9] = 0
    return {
        "edges": [k / 15 for k in range(16)],
        "pixels": pixels,
        "mean_probability": [float(m) if n else None for m, n in zip(middles, pixels, strict=True)],
        "tumour_share": [s if n else None for s, n in zip(share, pixels, strict=True)],
    }


def learning(rng: np.random.Generator) -> list[dict[str, Any]]:
    def line(epoch: int) -> dict[str, Any]:
        fit = 1 - np.exp(-epoch / 6)
        noise = float(rng.normal(0, 0.01))
        return {
            "epoch": epoch, "train_loss": 0.9 - 0.78 * fit + noise / 3,
            "validation_loss": 0.95 - 0.74 * fit + 0.002 * epoch + noise,
            "dice_volume": float(np.clip(0.87 * fit + noise, 0, 1)),
            "dice_tumour_slices": float(np.clip(0.82 * fit + noise, 0, 1)),
            "images_per_s": 41.5,
        }  # fmt: skip

    return [{"fold": fold, "lines": [line(epoch) for epoch in range(1, 31)]} for fold in range(5)]


def draw_pictures(folder: Path) -> list[dict[str, Any]]:
    """Write three phantom slices with two outlines, and return their entries; nothing of them is a person."""
    folder.mkdir(parents=True)
    examples = []
    for index, (kind, shift, dice) in enumerate((("best", 1, 0.957), ("median", 4, 0.884), ("worst", 13, 0.412))):
        phantom = phantom_patient(index, slices=7)
        z = int(phantom.mask.sum(axis=(1, 2)).argmax())
        image, mask = (a.repeat(2, axis=0).repeat(2, axis=1) for a in (phantom.image[z], phantom.mask[z]))
        pixels = overlay(image, reference=mask, predicted=np.roll(mask, (shift, 2 * shift), (0, 1)))
        Image.fromarray(pixels).save(folder / f"{kind}.png")
        examples.append(
            {
                "kind": kind, "patient": phantom.name, "slice": z + 1, "dice_volume": dice,
                "file": f"{folder.name}/{kind}.png", "orientation": "unknown",
            }
        )  # fmt: skip
    return examples


@pytest.fixture(scope="session")
def evaluation() -> dict[str, Any]:
    """Return what `metrics.json` holds, but for the pictures."""
    rng = np.random.default_rng(7)
    rows = [patient(index, rng) for index in range(len(SITES))]
    words = {
        name: f"What {name.replace('_', ' ')} means, in a sentence of some length that fits no line."
        for name in MEASURED
    }
    dice = {name: text for name, text in definitions(unit="px", tolerance=2).items() if name in conventions()}
    return {
        "patients": rows,
        "summary": summary(rows),
        "definitions": words | dice,
        "interval": "95 %, percentile bootstrap over patients, 10000 draws, seed 0",
        "setting": {
            "data": "kaggle_3m", "split": "patient", "seed": 0, "subset": "validation", "fold": "0 to 4",
            "warning": None, "model": "unet_flair3", "threshold": 0.5, "model_digest": "9f2c" * 16,
            "splits_digest": "04ab" * 16,
            "spacing_mm": None, "orientation": "unknown",
        },
        "versions": {"gliomaseg": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.32.0"},
        "seconds": 312.4,
        "command": "gliomaseg evaluate lgg --model run --splits run/splits.json --out evaluation",
        "calibration": calibration(),
        "learning": learning(rng),
    }  # fmt: skip


@pytest.fixture(scope="session")
def folder(evaluation: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the evaluation with its pictures, and return its folder; leave it as it is."""
    root = tmp_path_factory.mktemp("evaluation")
    examples = draw_pictures(root / "examples")
    (root / "metrics.json").write_text(json.dumps(evaluation | {"examples": examples}), "utf-8")
    return root
