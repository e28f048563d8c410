"""Compare the mask of a job with a reference mask of the client: work of the worker process on a job's folder.

The mask's files lie in `reference/` while they are decoded. `out/reference.u8` is the mask on the grid of the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.atomic import new_file
from gliomaseg.data.case import VolumeFile, stack_slices
from gliomaseg.data.masks import (
    MAX_BYTES,
    MaskLabels,
    is_dicom_volume,
    labels_of_pixels,
    mask_of_labels,
    read_mask_image,
    read_tumour,
    require_same_grid,
)
from gliomaseg.errors import DataError, GeometryError
from gliomaseg.evaluation.measure import CaseMasks, number
from gliomaseg.evaluation.measures import measure_named
from gliomaseg.evaluation.scoring import ScoreGrid
from gliomaseg.formats import FileKind, count_pages, kind_of, read_pages, read_volume
from gliomaseg.geometry import axis_codes, orientation_to
from gliomaseg.inputs import load_input, with_series
from gliomaseg.metrics import overlap
from gliomaseg.prediction import predict
from gliomaseg.scan import Scan, require_same_space
from gliomaseg.serve.scans import chosen_scan
from gliomaseg.serve.view import View
from gliomaseg.types import Mask

FOLDER, FILE = "reference", "reference.u8"
TOLERANCE_MM = ScoreGrid().tolerance
COUNTS = ("dice_volume", "reference_voxels", "predicted_voxels")
LENGTHS = ("reference_ml", "predicted_ml", "hausdorff_95_mm", "average_surface_distance_mm", "surface_dice")
"""Measures of `evaluate`; they are undefined if the spacing is unknown."""


def compare_reference(
    folder: Path, *, is_corrected: bool, files: Sequence[str] = (), labels: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return how the mask of a job agrees with its reference.

    Args:
        folder: of the job.
        is_corrected: whether the corrected mask is compared, or the model's.
        files: names in `reference/` of a new reference: one file; or one image for each slice, in order, whose names
            end with an underscore and the number of the slice. Without files, the stored reference is compared.
        labels: values of the new reference that are tumour; None for all above 0.

    Returns:
        `COUNTS` and `LENGTHS` by name, None where undefined, and `slices`: `slice` (from 1), `dice`, `reference_voxels`
        and `predicted_voxels` of each axial slice with a voxel in either mask.

    Raises:
        GliomasegError: a file is not a mask, it is on another grid than the scan, or it has none of the labels.
    """
    view, out = View.from_json((folder / "view.json").read_text("utf-8")), folder / "out"
    if files:
        tumour = MaskLabels(None if labels is None else frozenset(labels))
        mask = _read_for_scan(folder, [folder / FOLDER / name for name in files], tumour)
        if labels is not None and not mask.any():
            what = f"no voxel has one of the labels {', '.join(map(str, labels))}"
            raise DataError(what, where=folder / FOLDER / files[0], cure="correct the field labels")
        with new_file(out / FILE) as temporary:
            temporary.write_bytes(view.to_bytes(mask))
    names = (FILE, f"{'corrected' if is_corrected else 'model'}-mask.u8")
    reference, predicted = (
        np.frombuffer((out / name).read_bytes(), np.uint8).reshape(view.shape).astype(bool) for name in names
    )
    return measure(reference=reference, predicted=predicted, view=view)


def measure(*, reference: Mask, predicted: Mask, view: View) -> dict[str, Any]:
    """Return the document of `compare_reference` for two masks on the grid of the page, bool, shape (z, y, x)."""
    affine = None if view.spacing_mm is None else view.affine
    masks = CaseMasks(reference, predicted, None, tolerance=TOLERANCE_MM, affine=affine)
    values = {name: _value(name, masks) for name in COUNTS + LENGTHS}
    dice = overlap.dice_slices_empty_one(masks.counts).tolist()
    slices = [
        {"slice": k, "dice": dice[k - 1], "reference_voxels": outlined, "predicted_voxels": found}
        for k, (_, outlined, found) in enumerate(masks.counts.tolist(), start=1)
        if outlined or found
    ]
    return {**values, "slices": slices}


def _value(name: str, masks: CaseMasks) -> float | int | None:
    found = measure_named(name)
    if found is None or found.compute is None:
        raise ValueError(f"measure is {name}, expected one of a case")
    return None if name in LENGTHS and masks.unit != "mm" else number(found.compute(masks))


def _read_for_scan(folder: Path, files: Sequence[Path], labels: MaskLabels) -> Mask:
    document = json.loads((folder / "prediction.json").read_text("utf-8"))
    entry = replace(chosen_scan(folder, document["number"]), t1=None, t1ce=None)
    if len(files) > 1 and entry.numbers:
        numbers = tuple(int(file.stem.rpartition("_")[2]) for file in files)
        if numbers != entry.numbers:
            what = f"{_shown(numbers)}, expected {_shown(entry.numbers)} as of the images"
            raise DataError(what, cure="send one mask for each image, with its number")
    scan = load_input(with_series(entry, document["series"]), max_bytes=predict.MAX_BYTES).scan
    return read_reference(files, replace(scan, source=document["input"]), labels)


def _shown(numbers: Sequence[int]) -> str:
    return f"{len(numbers)} masks of the slices {numbers[0]} to {numbers[-1]}"


def read_reference(files: Sequence[Path], scan: Scan, labels: MaskLabels) -> Mask:
    """Return the tumour of a reference on the grid of its scan: bool, shape (z, y, x).

    Args:
        files: a volume, a DICOM segmentation or structure set, an image of one or more pages, or an image for each
            slice, in order.
        scan: FLAIR.
        labels: which values are tumour.

    Raises:
        FormatError: a file cannot be read, or is not a mask.
        GeometryError: the mask is on another grid than the scan.
    """
    first = files[0]
    if kind_of(first) is FileKind.IMAGE:
        image = _read_images(files)
        require_same_grid(image, scan)
        return mask_of_labels(image.voxels[..., 0], labels, where=first)
    if len(files) > 1:
        what = f"mask has {len(files)} files, expected one"
        raise GeometryError(what, where=first, cure="send a volume, or an image for each slice")
    if is_dicom_volume(VolumeFile(first)):
        # A tool may name any series of the study as its source: only the grid decides.
        return read_tumour(VolumeFile(first), scan, labels, image=None)
    volume = read_volume(first, max_bytes=MAX_BYTES, is_mask=True).scan
    return mask_of_labels(_turned_to(volume, scan).voxels[..., 0], labels, where=first)


def _read_images(files: Sequence[Path]) -> Scan:
    """Return label values of images as slices, shape (z, y, x, 1)."""
    if len(files) == 1 and count_pages(files[0]) > 1:
        pages = read_pages(files[0], max_bytes=MAX_BYTES)
        return Scan(np.stack([labels_of_pixels(page) for page in pages])[..., None], str(files[0]))
    return stack_slices([read_mask_image(file)[..., None] for file in files], files)


def _turned_to(volume: Scan, scan: Scan) -> Scan:
    """Return a volume with the axes of its scan: they are swapped and reversed, nothing is resampled.

    Raises:
        GeometryError: it is on another grid, whatever its axes.
    """
    try:
        require_same_grid(volume, scan)
    except GeometryError:
        if volume.affine is None or scan.affine is None or volume.orientation_assumed or scan.orientation_assumed:
            raise
        require_same_space(volume, scan)
        orientation = orientation_to(volume.affine, axis_codes(scan.affine)[::-1])
        affine = orientation.turn_affine(volume.affine, volume.voxels.shape)
        turned = replace(volume, voxels=orientation.turn(volume.voxels), affine=affine)
        if not _is_same_grid(turned, scan):
            raise
        return turned
    return volume


def _is_same_grid(volume: Scan, scan: Scan) -> bool:
    try:
        require_same_grid(volume, scan)
    except GeometryError:
        return False
    return True
