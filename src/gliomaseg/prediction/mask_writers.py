"""Write the mask and the probability of a volume: one function for each format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gliomaseg.choices import MaskFormat
from gliomaseg.formats import write_pages, write_picture, write_volume
from gliomaseg.formats.dicom import write_segmentation
from gliomaseg.inputs.load import LoadedScan
from gliomaseg.types import Pixels

if TYPE_CHECKING:
    from gliomaseg.prediction.outputs import Result

# Writes a file or folder and returns warnings, if there are any.
Writer = Callable[[Path, "Result"], tuple[str, ...] | None]


def _write_nifti(file: Path, result: Result) -> None:
    _write_on_grid(file, result.prediction.mask.view(np.uint8), result.loaded, description="mask")


def _write_on_grid(file: Path, array: Any, loaded: LoadedScan, *, description: str) -> None:
    if loaded.grid is None:
        raise TypeError("a scan without a grid cannot be written as a volume")
    write_volume(file, array, loaded.grid, description=description)


def _write_segmentation(file: Path, result: Result) -> tuple[str, ...]:
    prediction, series = result.prediction, result.loaded.series
    if series is None:
        raise TypeError("a DICOM segmentation needs a DICOM series")
    return write_segmentation(
        file,
        mask=prediction.mask,
        volume=series,
        model_name=f"gliomaseg {prediction.model_name}",
        model_version=prediction.models[0].config.versions.get("gliomaseg", "unknown"),
        deidentify=result.deidentify,
    )


def _write_tiff(file: Path, result: Result) -> None:
    orientation = result.loaded.orientations[0] if result.loaded.orientations else 1
    write_pages(file, mask_levels(result.loaded.scan.axial.turn(result.prediction.mask)), orientation=orientation)


def _write_slices(folder: Path, result: Result) -> None:
    for number, plane in enumerate(result.loaded.scan.axial.turn(result.prediction.mask), start=1):
        write_picture(folder / f"{result.name}_{number}_mask.png", mask_levels(plane))


WRITERS: dict[MaskFormat, Writer] = {
    MaskFormat.nifti: _write_nifti,
    MaskFormat.dicom_seg: _write_segmentation,
    MaskFormat.tiff: _write_tiff,
    MaskFormat.png: _write_slices,
}
"""For each format, the function that writes a volume's mask to a file or folder."""

MASK_NAMES = {
    MaskFormat.nifti: "NIfTI mask",
    MaskFormat.dicom_seg: "DICOM segmentation",
    MaskFormat.tiff: "TIFF mask",
    MaskFormat.png: "PNG mask",
}
"""The name of each mask in messages."""


def write_probability(file: Path, result: Result) -> None:
    """Write the probability of a volume, 0.0 to 1.0, or of pages without an affine, 0 to 255."""
    if result.loaded.grid is None:
        write_pages(file, probability_levels(result.prediction.probability))
    else:
        _write_on_grid(file, result.prediction.probability, result.loaded, description="probability")


def mask_levels(mask: Any) -> Pixels:
    """Return a mask as 0 and 255."""
    levels: Pixels = mask.astype(np.uint8) * np.uint8(255)
    return levels


def probability_levels(probability: Any) -> Pixels:
    """Return a probability as 0 to 255."""
    levels: Pixels = np.empty(probability.shape, np.uint8)
    for plane, level in zip(probability, levels, strict=True):  # arrays of a large scan are slower than its slices
        level[...] = np.rint(plane * 255)
    return levels
