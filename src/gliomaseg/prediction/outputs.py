"""The files that `predict` writes for one input: masks, overlays and probabilities, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg import overlays
from gliomaseg.atomic import new_file, new_folder, require_free
from gliomaseg.choices import MaskFormat
from gliomaseg.errors import OutputExistsError
from gliomaseg.formats import write_pages, write_picture, write_volume
from gliomaseg.formats.dicom import write_segmentation
from gliomaseg.prediction.contact_sheet import draw_contact_sheet
from gliomaseg.prediction.inputs import OWN, Input, Kind
from gliomaseg.prediction.label_files import write_labels
from gliomaseg.prediction.load import LoadedScan
from gliomaseg.prediction.predictor import Prediction
from gliomaseg.types import Pixels


@dataclass(frozen=True)
class Result:
    """The prediction for one input, and the options of its files.

    Attributes:
        loaded: the input.
        prediction: mask, probability, and the models that made them.
        name: the input's name, as in the names of its files.
        volume_ml: the volume of the mask; None if the spacing is unknown.
        deidentify: whether a DICOM segmentation omits the patient's data.
    """

    loaded: LoadedScan
    prediction: Prediction
    name: str
    volume_ml: float | None = None
    deidentify: bool = False


def _require_masks_only(folder: Path) -> None:
    """Refuse to replace a folder that has other files than a prediction: they may be the patient's own slices."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not entry.is_file() or not entry.stem.endswith(OWN):
            what = "is not a predicted file and is not removed"
            raise OutputExistsError(what, where=entry, cure="pass another --out")


@dataclass(frozen=True)
class ImageFiles:
    """The files of one image.

    Attributes:
        masks: one for each mask format, 0 and 255.
        overlay: the image with the mask's outline.
        probability: 0 to 255; None if it is not wanted.
    """

    masks: tuple[Path, ...]
    overlay: Path
    probability: Path | None

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [*self.masks, self.overlay, *([self.probability] if self.probability else [])]


@dataclass(frozen=True)
class ImageTargets:
    """The output files of one image or of a stack of numbered images.

    Attributes:
        images: the files of each image.
        folder: the folder of a stack's files; None for a single image.
    """

    images: tuple[ImageFiles, ...]
    folder: Path | None

    @property
    def files(self) -> list[Path]:
        """All files, image by image."""
        return [file for image in self.images for file in image.files]

    def require_free(self, *, overwrite: bool) -> None:
        """Refuse to write over existing files, unless `overwrite` is set.

        Raises:
            OutputExistsError: an output exists, or a stack's folder has other files than a prediction.
        """
        for target in [self.folder] if self.folder else self.images[0].files:
            require_free(target, overwrite=overwrite)
        if self.folder:
            _require_masks_only(self.folder)

    def write(self, result: Result, *, overwrite: bool) -> None:
        """Write all files.

        Args:
            result: the prediction for the images.
            overwrite: whether an existing folder of a stack is replaced.

        Raises:
            ResourceError: the disk is full.
            OutputExistsError: the stack's folder exists, and `overwrite` is not set.
        """
        loaded, prediction = result.loaded, result.prediction
        with ExitStack() as stack:
            inside = stack.enter_context(new_folder(self.folder, overwrite=overwrite)) if self.folder else None

            def write(file: Path, pixels: Pixels, orientation: int = 1) -> None:
                path = inside / file.name if inside else stack.enter_context(new_file(file))
                write_picture(path, pixels, orientation=orientation)

            images = zip(self.images, loaded.images, loaded.orientations, strict=True)
            slices = zip(images, prediction.mask, prediction.probability, strict=True)
            for (target, image, orientation), mask, probability in slices:
                for file in target.masks:
                    write(file, _mask_levels(mask), orientation)
                write(target.overlay, overlays.overlay(image, predicted=mask))
                if target.probability:
                    write(target.probability, _probability_levels(probability))


@dataclass(frozen=True)
class VolumeTargets:
    """The output files of a volume, a DICOM series, or a TIFF with several pages.

    Attributes:
        masks: one for each mask format. NIfTI masks are 0 and 1, TIFF and PNG masks 0 and 255. A TIFF's pages are
            those of the input; for a volume they are its axial slices from below, with the patient's right on the
            left. A PNG mask is a folder of the same slices.
        overlay: a contact sheet of up to 12 axial slices.
        probability: NIfTI, 0.0 to 1.0, or TIFF, 0 to 255; None if it is not wanted.
    """

    masks: dict[MaskFormat, Path]
    overlay: Path
    probability: Path | None

    @property
    def files(self) -> list[Path]:
        """All files and folders."""
        return [*self.masks.values(), self.overlay, *([self.probability] if self.probability else [])]

    def require_free(self, *, overwrite: bool) -> None:
        """Refuse to write over existing files, unless `overwrite` is set.

        Raises:
            OutputExistsError: an output exists, or the folder of slices has other files than a prediction.
        """
        for target in self.files:
            require_free(target, overwrite=overwrite)
        if MaskFormat.png in self.masks:
            _require_masks_only(self.masks[MaskFormat.png])

    def write(self, result: Result, *, overwrite: bool) -> None:
        """Write all files; the first mask gets its name last.

        Args:
            result: the prediction for the volume.
            overwrite: whether an existing folder of slices is replaced.

        Raises:
            ResourceError: the disk is full.
            FormatError: the DICOM series lacks a value that a segmentation must refer to.
        """
        prediction = result.prediction
        sheet = draw_contact_sheet(result.loaded.scan, prediction.mask, volume_ml=result.volume_ml)
        if MaskFormat.nifti in self.masks:  # first: if the disk is full, there is then no mask without a row
            write_labels(self.masks[MaskFormat.nifti].parent, overwrite=overwrite)
        with ExitStack() as stack:
            for form, target in self.masks.items():
                is_folder = form == MaskFormat.png
                opened = new_folder(target, overwrite=overwrite) if is_folder else new_file(target)
                WRITERS[form](stack.enter_context(opened), result)
            write_picture(stack.enter_context(new_file(self.overlay)), np.asarray(sheet))
            if self.probability:
                _write_probability(stack.enter_context(new_file(self.probability)), result)


Targets = ImageTargets | VolumeTargets


def targets_of(entry: Input, out: Path, *, formats: Sequence[MaskFormat], probabilities: bool) -> Targets:
    """Return the output files of an input.

    Args:
        entry: the input.
        out: the folder of the output.
        formats: the mask formats, from `mask_formats`.
        probabilities: whether probabilities are written too.
    """
    if entry.kind in (Kind.PICTURE, Kind.STACK):
        folder = out / entry.name if entry.kind is Kind.STACK else None
        images = [_image_files(file, folder or out, formats, probabilities=probabilities) for file in entry.pictures]
        return ImageTargets(tuple(images), folder)
    suffixes = {MaskFormat.nifti: ".nii.gz", MaskFormat.dicom_seg: ".dcm", MaskFormat.tiff: ".tif", MaskFormat.png: ""}
    probability = out / f"{entry.name}_probability{'.nii.gz' if entry.has_affine else '.tif'}"
    return VolumeTargets(
        {form: out / f"{entry.name}_mask{suffixes[form]}" for form in formats},
        overlay=out / f"{entry.name}_overlay.png",
        probability=probability if probabilities else None,
    )


def _image_files(file: Path, folder: Path, formats: Sequence[MaskFormat], *, probabilities: bool) -> ImageFiles:
    suffix = file.suffix.lower()
    suffixes = {MaskFormat.png: ".png", MaskFormat.tiff: suffix if suffix in (".tif", ".tiff") else ".tif"}
    return ImageFiles(
        tuple(folder / f"{file.stem}_mask{suffixes[form]}" for form in formats),
        overlay=folder / f"{file.stem}_overlay.png",
        probability=folder / f"{file.stem}_probability.png" if probabilities else None,
    )


def _write_nifti(file: Path, result: Result) -> None:
    _write_on_grid(file, result.prediction.mask.view(np.uint8), result.loaded, description="mask")


def _write_on_grid(file: Path, array: Any, loaded: LoadedScan, *, description: str) -> None:
    if loaded.grid is None:
        raise TypeError("a scan without a grid cannot be written as a volume")
    write_volume(file, array, loaded.grid, description=description)


def _write_segmentation(file: Path, result: Result) -> None:
    prediction, series = result.prediction, result.loaded.series
    if series is None:
        raise TypeError("a DICOM segmentation needs a DICOM series")
    write_segmentation(
        file,
        mask=prediction.mask,
        volume=series,
        model_name=f"gliomaseg {prediction.model_name}",
        model_version=prediction.models[0].config.versions.get("gliomaseg", "unknown"),
        deidentify=result.deidentify,
    )


def _write_tiff(file: Path, result: Result) -> None:
    orientation = result.loaded.orientations[0] if result.loaded.orientations else 1
    write_pages(file, _mask_levels(result.loaded.scan.axial.turn(result.prediction.mask)), orientation=orientation)


def _write_slices(folder: Path, result: Result) -> None:
    for number, plane in enumerate(result.loaded.scan.axial.turn(result.prediction.mask), start=1):
        write_picture(folder / f"{result.name}_{number}_mask.png", _mask_levels(plane))


WRITERS: dict[MaskFormat, Callable[[Path, Result], None]] = {
    MaskFormat.nifti: _write_nifti,
    MaskFormat.dicom_seg: _write_segmentation,
    MaskFormat.tiff: _write_tiff,
    MaskFormat.png: _write_slices,
}
"""For each format, the function that writes a volume's mask to a file or folder."""


def _write_probability(file: Path, result: Result) -> None:
    if result.loaded.grid is None:
        write_pages(file, _probability_levels(result.prediction.probability))
    else:
        _write_on_grid(file, result.prediction.probability, result.loaded, description="probability")


def _mask_levels(mask: Any) -> Pixels:
    """Return a mask as 0 and 255."""
    levels: Pixels = mask.astype(np.uint8) * np.uint8(255)
    return levels


def _probability_levels(probability: Any) -> Pixels:
    """Return a probability as 0 to 255."""
    levels: Pixels = np.rint(probability * 255).astype(np.uint8)
    return levels
