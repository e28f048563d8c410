"""The files that `predict` writes for one input: masks, overlays and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg import overlays
from gliomaseg.choices import MaskFormat
from gliomaseg.errors import GliomasegError, ResourceError
from gliomaseg.formats import write_pages, write_picture, write_volume
from gliomaseg.formats.dicom import write_segmentation
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.inputs.load import LoadedScan
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.ownership import OutputFolder
from gliomaseg.prediction.contact_sheet import SheetText, draw_contact_sheet
from gliomaseg.prediction.label_files import write_labels
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


# Writes a file or folder and returns warnings, if there are any.
Writer = Callable[[Path, Result], tuple[str, ...] | None]


@dataclass
class Written:
    """The files that were written for one input.

    Attributes:
        files: the files and folders.
        warnings: the reason for each file that was not written, and the values that were replaced.
        is_complete: whether all files were written.
    """

    files: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_complete: bool = True


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
        output: the files that `predict` wrote to the output folder.
        other_files: further names of results of a single image, for other options.
    """

    images: tuple[ImageFiles, ...]
    folder: Path | None
    output: OutputFolder
    other_files: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files, image by image."""
        return [file for image in self.images for file in image.files]

    def require_free(self, *, overwrite: bool) -> None:
        """Refuse to write over existing files, unless `overwrite` is set.

        Raises:
            OutputExistsError: an output exists, or with `overwrite`, `predict` did not write it or it was changed.
        """
        targets = [self.folder] if self.folder else self.images[0].files
        self.output.require_replaceable(*targets, overwrite=overwrite)

    def write(self, result: Result, *, overwrite: bool) -> Written:
        """Write all files, or none.

        Args:
            result: the prediction for the images.
            overwrite: whether an existing folder of a stack is replaced.

        Raises:
            ResourceError: the disk is full.
            OutputExistsError: the stack's folder exists, and `overwrite` is not set.
        """
        loaded, prediction = result.loaded, result.prediction
        with ExitStack() as stack:
            opened = self.output.new_folder(self.folder, overwrite=overwrite) if self.folder else None
            inside = stack.enter_context(opened) if opened else None

            def write(file: Path, pixels: Pixels, orientation: int = 1) -> None:
                path = inside / file.name if inside else stack.enter_context(self.output.new_file(file))
                write_picture(path, pixels, orientation=orientation)

            images = zip(self.images, loaded.images, loaded.orientations, strict=True)
            slices = zip(images, prediction.mask, prediction.probability, strict=True)
            for (target, image, orientation), mask, probability in slices:
                for file in target.masks:
                    write(file, _mask_levels(mask), orientation)
                write(target.overlay, overlays.overlay(image, predicted=mask))
                if target.probability:
                    write(target.probability, _probability_levels(probability))
        if overwrite:
            self.output.remove_own(self.other_files)
        return Written(self.files)


@dataclass(frozen=True)
class VolumeTargets:
    """The output files of a volume, a DICOM series, or a TIFF with several pages.

    Attributes:
        masks: one for each mask format. NIfTI masks are 0 and 1, TIFF and PNG masks 0 and 255. A TIFF's pages are
            those of the input; for a volume they are its axial slices from below, with the patient's right on the
            left. A PNG mask is a folder of the same slices.
        overlay: a contact sheet of up to 12 axial slices.
        probability: NIfTI, 0.0 to 1.0, or TIFF, 0 to 255; None if it is not wanted.
        output: the files that `predict` wrote to the output folder.
        other_files: further names of results of this input, for other options.
    """

    masks: dict[MaskFormat, Path]
    overlay: Path
    probability: Path | None
    output: OutputFolder
    other_files: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files and folders."""
        return [*self.masks.values(), self.overlay, *([self.probability] if self.probability else [])]

    def require_free(self, *, overwrite: bool) -> None:
        """Refuse to write over existing files, unless `overwrite` is set.

        Raises:
            OutputExistsError: an output exists, or with `overwrite`, `predict` did not write it or it was changed.
        """
        self.output.require_replaceable(*self.files, overwrite=overwrite)

    def write(self, result: Result, *, overwrite: bool) -> Written:
        """Write every file that can be written; the first mask gets its name last.

        Args:
            result: the prediction for the volume.
            overwrite: whether an existing folder of slices is replaced.

        Raises:
            ResourceError: the disk is full; then no file is written.
            GliomasegError: no file can be written.
        """
        prediction = result.prediction
        text = SheetText(
            result.name, result.volume_ml, prediction.model_name, prediction.predicted_dice, prediction.warnings
        )
        sheet = draw_contact_sheet(result.loaded.scan, prediction.mask, text)
        if MaskFormat.nifti in self.masks:  # first: if the disk is full, there is then no mask without a row
            write_labels(self.output, overwrite=overwrite)
        written = Written()
        faults: list[GliomasegError] = []
        with ExitStack() as stack:

            def write(name: str, target: Path, writer: Writer, *, is_folder: bool = False) -> None:
                opened = (
                    self.output.new_folder(target, overwrite=overwrite) if is_folder else self.output.new_file(target)
                )
                try:
                    with ExitStack() as own:
                        notes = writer(own.enter_context(opened), result)
                        stack.push(own.pop_all())
                except ResourceError:
                    raise
                except GliomasegError as fault:
                    faults.append(fault)
                    reason = f"{fault.what}; {fault.cure}" if fault.cure else fault.what
                    written.warnings.append(f"{name} not written: {reason}")
                    return
                written.files.append(target)
                written.warnings.extend(notes or ())

            for form, target in self.masks.items():
                write(_NAMES[form], target, WRITERS[form], is_folder=form == MaskFormat.png)
            write("overlay", self.overlay, lambda file, _: write_picture(file, np.asarray(sheet)))
            if self.probability:
                write("probability", self.probability, _write_probability)
            if faults and not written.files:
                raise faults[0]
        if overwrite:
            self.output.remove_own(self.other_files)
        written.is_complete = not faults
        return written


Targets = ImageTargets | VolumeTargets

_IMAGE_FORMATS = (MaskFormat.tiff, MaskFormat.png)
_SUFFIXES = {MaskFormat.nifti: ".nii.gz", MaskFormat.dicom_seg: ".dcm", MaskFormat.tiff: ".tif", MaskFormat.png: ""}


def targets_of(entry: Input, out: Path, *, formats: Sequence[MaskFormat], probabilities: bool) -> Targets:
    """Return the output files of an input.

    Args:
        entry: the input.
        out: the folder of the output.
        formats: the mask formats, from `mask_formats`.
        probabilities: whether probabilities are written too.
    """
    output = OutputFolder(out, "predict")
    if entry.kind in (Kind.PICTURE, Kind.STACK):
        folder = out / entry.name if entry.kind is Kind.STACK else None
        names = [portable_name(file.stem) for file in entry.pictures] if folder else [entry.name]
        images = [
            _image_files(file, (folder or out) / name, formats, probabilities=probabilities)
            for file, name in zip(entry.pictures, names, strict=True)
        ]
        every = [] if folder else _image_files(entry.path, out / entry.name, _IMAGE_FORMATS, probabilities=True).files
        return ImageTargets(tuple(images), folder, output, _without(every, images[0].files))
    masks = {form: out / f"{entry.name}_mask{suffix}" for form, suffix in _SUFFIXES.items()}
    probability = out / f"{entry.name}_probability{'.nii.gz' if entry.has_affine else '.tif'}"
    targets = VolumeTargets(
        {form: masks[form] for form in formats},
        overlay=out / f"{entry.name}_overlay.png",
        probability=probability if probabilities else None,
        output=output,
    )
    return replace(targets, other_files=_without([*masks.values(), probability], targets.files))


def _without(files: Sequence[Path], others: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(file for file in files if file not in others)


def _image_files(file: Path, target: Path, formats: Sequence[MaskFormat], *, probabilities: bool) -> ImageFiles:
    suffix = file.suffix.lower()
    suffixes = {MaskFormat.png: ".png", MaskFormat.tiff: suffix if suffix in (".tif", ".tiff") else ".tif"}
    return ImageFiles(
        tuple(target.with_name(f"{target.name}_mask{suffixes[form]}") for form in formats),
        overlay=target.with_name(f"{target.name}_overlay.png"),
        probability=target.with_name(f"{target.name}_probability.png") if probabilities else None,
    )


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
    write_pages(file, _mask_levels(result.loaded.scan.axial.turn(result.prediction.mask)), orientation=orientation)


def _write_slices(folder: Path, result: Result) -> None:
    for number, plane in enumerate(result.loaded.scan.axial.turn(result.prediction.mask), start=1):
        write_picture(folder / f"{result.name}_{number}_mask.png", _mask_levels(plane))


WRITERS: dict[MaskFormat, Writer] = {
    MaskFormat.nifti: _write_nifti,
    MaskFormat.dicom_seg: _write_segmentation,
    MaskFormat.tiff: _write_tiff,
    MaskFormat.png: _write_slices,
}
"""For each format, the function that writes a volume's mask to a file or folder."""

_NAMES = {
    MaskFormat.nifti: "NIfTI mask",
    MaskFormat.dicom_seg: "DICOM segmentation",
    MaskFormat.tiff: "TIFF mask",
    MaskFormat.png: "PNG mask",
}


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
