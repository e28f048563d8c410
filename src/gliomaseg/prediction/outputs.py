"""What `predict` writes: masks and overlays, all of an input's or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gliomaseg import overlays
from gliomaseg.atomic import new_file, new_folder
from gliomaseg.errors import OutputExistsError, UsageError
from gliomaseg.formats import write_pages, write_picture
from gliomaseg.geometry import Orientation, orientation_to
from gliomaseg.prediction.inputs import OWN, Input, Kind
from gliomaseg.prediction.load import LoadedScan
from gliomaseg.prediction.predictor import Prediction
from gliomaseg.types import Mask, Pixels

MaskFormat = Literal["nifti", "dicom-seg", "tiff", "png"]
_DEFAULTS: dict[Kind, tuple[MaskFormat, ...]] = {
    Kind.VOLUME: ("nifti",),
    Kind.SERIES: ("nifti", "dicom-seg"),
    Kind.PAGES: ("tiff",),
}
_SUFFIXES: dict[MaskFormat, str] = {"nifti": ".nii.gz", "dicom-seg": ".dcm", "tiff": ".tif"}


@dataclass(frozen=True)
class Result:
    """What was found in an input, and what its files say besides.

    Attributes:
        loaded: the input.
        prediction: what was found, and by which models.
        preview: of all but pictures, the overlay.
        deidentify: whether a DICOM segmentation leaves the patient out.
    """

    loaded: LoadedScan
    prediction: Prediction
    preview: Image.Image | None = None
    deidentify: bool = False


def mask_formats(entry: Input, wanted: Sequence[MaskFormat]) -> tuple[MaskFormat, ...]:
    """Return what an input's masks are written as: what is wanted, or what its kind suggests.

    Raises:
        UsageError: such an input cannot be written so.
    """
    if not wanted:
        own: MaskFormat = "png" if entry.pictures[0].suffix.lower() == ".png" else "tiff"
        return _DEFAULTS.get(entry.kind, (own,))
    for form in wanted:
        if form == "dicom-seg" and entry.kind is not Kind.SERIES:
            raise UsageError(
                "is no DICOM series to which a segmentation could refer", where=entry.path, cure="--to nifti"
            )
        if form == "nifti" and not entry.has_place:
            what = "does not say where its pixels lie, which a NIfTI file must"
            raise UsageError(what, where=entry.path, cure="--to tiff or png")
    return tuple(dict.fromkeys(wanted))


def require_masks_only(folder: Path) -> None:
    """Refuse to replace a folder that holds more than a prediction: it may be the patient's own slices."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not entry.is_file() or not entry.stem.endswith(OWN):
            raise OutputExistsError("is no prediction and is not removed", where=entry, cure="name another --out")


def picture_targets(
    entry: Input, out: Path, file: Path, *, formats: Sequence[MaskFormat], probabilities: bool
) -> tuple[Path, ...]:
    """Return where the masks, the overlay and the probability of one of an input's pictures go."""
    folder = out / entry.name if entry.kind is Kind.STACK else out
    suffix = file.suffix.lower()
    suffixes = {"png": ".png", "tiff": suffix if suffix in (".tif", ".tiff") else ".tif"}
    names = [f"{file.stem}_mask{suffixes[form]}" for form in formats]
    names += [f"{file.stem}_overlay.png", f"{file.stem}_probability.png"][: 2 if probabilities else 1]
    return tuple(folder / name for name in names)


def volume_targets(entry: Input, out: Path, *, formats: Sequence[MaskFormat], probabilities: bool) -> dict[str, Path]:
    """Return where the masks, the overlay and the probability of a volume or of pages go, each by what it is.

    Masks as PNG are a folder of slices.
    """
    found: dict[str, Path] = {form: out / f"{entry.name}_mask{_SUFFIXES.get(form, '')}" for form in formats}
    found["overlay"] = out / f"{entry.name}_overlay.png"
    if probabilities:
        found["probability"] = out / f"{entry.name}_probability{'.nii.gz' if entry.has_place else '.tif'}"
    return found


def write_pictures(
    targets: Sequence[tuple[Path, ...]], result: Result, *, folder: Path | None, overwrite: bool
) -> None:
    """Write the masks, 0 and 255, overlays and probabilities, 0 to 255, of pictures.

    Args:
        targets: for each picture, in the order of `picture_targets`.
        result: of its images.
        folder: of a stack, which appears whole or not at all; None for a single picture.
        overwrite: whether a folder that is there is replaced.

    Raises:
        ResourceError: the disk is full.
        OutputExistsError: the stack's folder is there, and `overwrite` is not set.
    """
    with ExitStack() as stack:
        inside = stack.enter_context(new_folder(folder, overwrite=overwrite)) if folder else None
        slices = zip(targets, result.loaded.images, result.prediction.mask, result.prediction.probability, strict=True)
        for files, image, mask, likely in slices:
            for file in files:
                pixels = _drawn(file, image, mask, likely)
                write_picture(inside / file.name if inside else stack.enter_context(new_file(file)), pixels)


def _drawn(file: Path, image: Any, mask: Any, likely: Any) -> Pixels:
    if file.stem.endswith("_overlay"):
        return overlays.overlay(image, predicted=mask)
    return np.rint(likely * 255).astype(np.uint8) if file.stem.endswith("_probability") else _levels(mask)


def write_volume(targets: Mapping[str, Path], result: Result, *, overwrite: bool) -> None:
    """Write the masks, overlay and probability of a volume or of pages; the first mask gets its name last.

    NIfTI masks are 0 and 1, TIFF and PNG 0 and 255. A TIFF's pages are those of the input; of a volume they are
    its axial slices from below, as a PNG's are, with the patient's right on the left.

    Args:
        targets: of `volume_targets`.
        result: with its preview.
        overwrite: whether a folder of slices that is there is replaced.

    Raises:
        ResourceError: the disk is full.
        FormatError: the DICOM series lacks what a segmentation must refer to.
    """
    with ExitStack() as stack:
        for role, target in targets.items():
            if role == "png":
                folder = stack.enter_context(new_folder(target, overwrite=overwrite))
                _write_slices(folder, target.name.removesuffix("_mask"), result)
            else:
                _write(role, stack.enter_context(new_file(target)), result)


def _write(role: str, file: Path, result: Result) -> None:
    from gliomaseg.formats import nifti

    loaded = result.loaded
    if role == "overlay" and result.preview is not None:
        write_picture(file, np.asarray(result.preview))
    elif role == "dicom-seg":
        _write_segmentation(file, result)
    elif role == "nifti":
        nifti.write(file, result.prediction.mask.view(np.uint8), loaded.header, description="mask")
    elif role == "tiff":
        write_pages(file, _levels(_axial(result.prediction.mask, loaded)))
    elif loaded.header is not None:
        nifti.write(file, result.prediction.probability, loaded.header, description="probability")
    else:
        write_pages(file, np.rint(result.prediction.probability * 255).astype(np.uint8))


def _write_segmentation(file: Path, result: Result) -> None:
    from gliomaseg.formats.dicom import write_segmentation

    prediction = result.prediction
    write_segmentation(
        file,
        mask=prediction.mask,
        volume=result.loaded.series,
        model_name=f"gliomaseg {prediction.model_name}",
        model_version=prediction.models[0].config.versions.get("gliomaseg", "unknown"),
        deidentify=result.deidentify,
    )


def _write_slices(folder: Path, name: str, result: Result) -> None:
    for number, plane in enumerate(_axial(result.prediction.mask, result.loaded), start=1):
        write_picture(folder / f"{name}_{number}_mask.png", _levels(plane))


def _axial(mask: Mask, loaded: LoadedScan) -> Mask:
    affine = loaded.scan.affine
    turned: Mask = (Orientation() if affine is None else orientation_to(affine)).turn(mask)
    return turned


def _levels(mask: Any) -> Pixels:
    levels: Pixels = mask.astype(np.uint8) * np.uint8(255)
    return levels
