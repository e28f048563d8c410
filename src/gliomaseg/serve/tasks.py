"""Work of the worker process on a job's folder: segment a scan, write its masks, and compute one from strokes.

A job's folder has `upload/` with the files, `arrays/` with voxels and masks on the scan's own grid, and `out/` with the
files that clients fetch. Every function reads what it needs from the folder, so a new process can go on.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import new_file, write_text
from gliomaseg.choices import MaskFormat
from gliomaseg.errors import UsageError
from gliomaseg.inputs import Input, Kind, load_input, with_series
from gliomaseg.inputs.load import LoadedScan
from gliomaseg.ownership import file_digest
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.contact_sheet import draw_contact_sheet
from gliomaseg.prediction.mask_statistics import measure_mask
from gliomaseg.prediction.mask_writers import WRITERS, probability_levels
from gliomaseg.prediction.outputs import Result
from gliomaseg.prediction.postprocessing import smallest_component_voxels
from gliomaseg.prediction.predict import (
    MAX_BYTES,
    input_warnings_of,
    skipped_lines,
    t1_advice,
    without_unused_sequences,
)
from gliomaseg.prediction.prediction import Prediction
from gliomaseg.serve.report_text import report_text
from gliomaseg.serve.scans import ScanChoice, chosen_scan
from gliomaseg.serve.sources import read_source
from gliomaseg.serve.view import View, view_of, write_view
from gliomaseg.types import Mask

Progress = Callable[[float], None]
CORRECTED = "arrays/corrected.npy"
"""The corrected mask in the folder of a job."""
FILES = {"mask.nii.gz": MaskFormat.nifti, "mask.tif": MaskFormat.tiff, "seg.dcm": MaskFormat.dicom_seg}


def segment(
    folder: Path, *, chosen: dict[str, Any], name: str, predictor: ScanPredictor, progress: Progress
) -> dict[str, Any]:
    """Segment one scan of an upload, write its files, and return the result.

    Args:
        folder: of the job.
        chosen: the fields of a `ScanChoice`.
        name: of the upload, for people.
        predictor: the models.
        progress: called with the per cent that is done.

    Raises:
        GliomasegError: the scan cannot be read or segmented.
    """
    start = time.perf_counter()
    choice = ScanChoice(**chosen)
    entry = with_series(chosen_scan(folder, choice.number), choice.series, t1=choice.t1, t1ce=choice.t1ce)
    entry = without_unused_sequences(entry, predictor)
    loaded = load_input(entry, max_bytes=MAX_BYTES)
    progress(10)
    found = predictor.predict(loaded.scan, progress=lambda share: progress(10 + 70 * share))
    arrays = folder / "arrays"
    arrays.mkdir(exist_ok=True)
    flair = np.ascontiguousarray(loaded.scan.voxels[..., loaded.scan.flair_index])
    _save(arrays / "flair.npy", flair)
    _save(arrays / "probability.npy", found.probability)
    _save(arrays / "model.npy", found.mask)
    view = view_of(loaded.scan)
    write_text(folder / "view.json", view.to_json())
    write_view(folder / "out" / "flair.nii.gz", flair, view)
    write_view(folder / "out" / "probability.nii.gz", probability_levels(found.probability), view)
    _save_bytes(folder / "out" / "model-mask.u8", view.to_bytes(found.mask))
    # A work list stores FLAIR alone, so it has no field for T1.
    advice = t1_advice(entry, loaded, predictor) if not choice.by_person and read_source(folder) is None else []
    document = _described_result(entry, loaded, found, view, advice)
    document |= {"input": name, "seconds": round(time.perf_counter() - start, 3)}
    digest = file_digest(folder / "out" / "model-mask.u8")
    write_text(folder / "prediction.json", json.dumps(document | {"number": choice.number, "series": choice.series}))
    statistics = _write_files(folder / "out", "model-", Result(loaded, found, name), document)
    return document | statistics | {"mask_sha256": digest, "corrected": False, "changes": None}


def _described_result(
    entry: Input, loaded: LoadedScan, found: Prediction, view: View, advice: list[str]
) -> dict[str, Any]:
    scan = loaded.scan
    return {
        "orientation": scan.orientation,
        "model": found.model_name,
        "models": [model.config.name for model in found.models],
        "threshold": round(found.threshold, 4),
        "predicted_dice": None if found.predicted_dice is None else round(found.predicted_dice, 3),
        "mirror_disagreement_voxels": _whole_voxels(found.mirror_disagreement_px),
        "warnings": [*input_warnings_of(entry, loaded), *advice, *scan.notes, *found.warnings],
        "skipped": [*skipped_lines(entry), *(() if loaded.series is None else loaded.series.skipped)],
        "left_out": list(found.left_out),
        "shape_xyz": list(view.shape_xyz),
        "spacing_mm": None if view.spacing_mm is None else list(view.spacing_mm),
        "orientation_known": scan.affine is not None,
        "formats": [form.value for form in _formats(entry)],
        "smallest_component_voxels": smallest_component_voxels(
            found.models[0].config.postprocessing, len(scan.voxels), voxel_ml=scan.voxel_ml
        ),
        "card": _card(found.models[0].folder),
    }


def _whole_voxels(areas_px: NDArray[np.float64] | None) -> list[int] | None:
    return None if areas_px is None else [round(area) for area in areas_px.tolist()]


def _card(folder: Path) -> str:
    """Return the limitations in a model card as plain text; empty if the card has none."""
    file = folder / "README.md"
    text = file.read_text("utf-8") if file.is_file() else ""
    _, _, after = text.partition("\n## Limitations\n")
    return re.sub(r"[`*]|\]\([^)]*\)|\[", "", after.split("\n## ")[0]).strip()


def _formats(entry: Input) -> list[MaskFormat]:
    if entry.kind is Kind.SERIES:
        return [MaskFormat.nifti, MaskFormat.dicom_seg, MaskFormat.tiff]
    return [MaskFormat.nifti, MaskFormat.tiff] if entry.has_affine else [MaskFormat.tiff]


def write_correction(folder: Path, *, predictor: ScanPredictor, correction: str = "") -> dict[str, Any]:
    """Write the files of a corrected mask of a job, and return the result.

    Args:
        folder: of the job.
        correction: the folder in it that has the mask, and gets the files; empty for the folder of the job itself.
        predictor: the models; those of the result are named in the DICOM segmentation.

    Raises:
        GliomasegError: a file cannot be written.
    """
    document: dict[str, Any] = json.loads((folder / "prediction.json").read_text("utf-8"))
    number, series = document.pop("number"), document.pop("series")
    loaded = load_input(with_series(chosen_scan(folder, number), series), max_bytes=MAX_BYTES)
    model_mask, mask = np.load(folder / "arrays" / "model.npy"), np.load(folder / correction / CORRECTED)
    models = tuple(model for model in predictor.models if model.config.name in document["models"])
    probability = np.load(folder / "arrays" / "probability.npy", mmap_mode="r")
    prediction = Prediction(probability, mask, {}, document["predicted_dice"], (), models)
    result = Result(loaded, prediction, document["input"])
    changes = _changes(model_mask, mask, loaded.scan.voxel_ml)
    digest = file_digest(folder / correction / "out" / "corrected-mask.u8")
    statistics = _write_files(folder / correction / "out", "corrected-", result, document, changes)
    return document | statistics | {"mask_sha256": digest, "corrected": True, "changes": changes}


def _write_files(
    out: Path, prefix: str, result: Result, document: dict[str, Any], changes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write a mask in all formats of its scan and its report, and return its statistics."""
    scan, mask = result.loaded.scan, result.prediction.mask
    statistics = measure_mask(mask, scan)
    for file, form in FILES.items():
        if form.value in document["formats"]:
            with new_file(out / (prefix + file)) as temporary:
                WRITERS[form](temporary, result)
    with new_file(out / f"{prefix}preview.png") as temporary:
        text = report_text(result.name, document, statistics, changes)
        draw_contact_sheet(scan, mask, text).save(temporary, format="PNG")
    return asdict(statistics)


def _changes(model_mask: Mask, mask: Mask, voxel_ml: float | None) -> dict[str, Any]:
    from gliomaseg.correction import correction_summary

    return asdict(correction_summary(model_mask, mask, voxel_ml=voxel_ml))


def store_correction(folder: Path, content: bytes, *, correction: str = "") -> None:
    """Keep a corrected mask that the page sent, on the scan's own grid.

    Args:
        folder: of the job.
        content: the mask as the page sends it.
        correction: the folder in it that gets the mask, with parts named as those of the job.

    Raises:
        UsageError: it has another size, or other values than 0 and 1.
    """
    view = _view(folder)
    values = view.from_bytes(content)
    if values.max(initial=0) > 1:
        raise UsageError(f"a value of the mask is {values.max()}, expected 0 or 1", cure="send 0 and 1")
    _save(folder / correction / CORRECTED, values.astype(bool))
    _save_bytes(folder / correction / "out" / "corrected-mask.u8", content)


def apply_strokes(folder: Path) -> None:
    """Compute the mask again from `strokes.u8`, and write it to `out/strokes.u8`, as the page sends and reads them.

    Raises:
        UsageError: the file has another size, or other values than 0, 1 and 2.
        GliomasegError: the strokes cover too large a box.
    """
    view = _view(folder)
    content = (folder / "strokes.u8").read_bytes()
    count = math.prod(view.shape)
    if len(content) != 2 * count:
        what = f"body has {len(content):,} bytes, expected {2 * count:,}"
        raise UsageError(what, cure="send one for each voxel of the strokes, then one for each voxel of the mask")
    strokes, before = view.from_bytes(content[:count]), view.from_bytes(content[count:])
    if strokes.max(initial=0) > 2 or before.max(initial=0) > 1:
        what = f"the largest stroke is {strokes.max()} and the largest value of the mask {before.max()}"
        raise UsageError(f"{what}, expected at most 2 and 1", cure="send 0, 1 and 2, then 0 and 1")
    from gliomaseg.correction import graph_cut

    arrays = folder / "arrays"
    flair, probability = (np.load(arrays / f"{name}.npy", mmap_mode="r") for name in ("flair", "probability"))
    mask = graph_cut(
        flair,
        probability,
        tumour_strokes=strokes == 1,
        other_strokes=strokes == 2,
        previous_mask=before.astype(bool),
        spacing_mm=view.scan_spacing_mm,
    )
    _save_bytes(folder / "out" / "strokes.u8", view.to_bytes(mask))


def _view(folder: Path) -> View:
    return View.from_json((folder / "view.json").read_text("utf-8"))


def _save(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with new_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def _save_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with new_file(path) as temporary:
        temporary.write_bytes(content)
