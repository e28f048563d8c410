"""The files that `predict` writes for one input: masks, overlays and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gliomaseg import overlays
from gliomaseg.choices import MaskFormat
from gliomaseg.errors import GliomasegError, ResourceError
from gliomaseg.formats import write_picture
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.inputs.load import LoadedScan
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.ownership import OutputFolder
from gliomaseg.prediction.contact_sheet import SheetText, draw_contact_sheet
from gliomaseg.prediction.label_files import write_labels
from gliomaseg.prediction.mask_writers import (
    MASK_NAMES,
    WRITERS,
    Writer,
    mask_levels,
    probability_levels,
    write_probability,
)
from gliomaseg.prediction.prediction import Prediction
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
                    write(file, mask_levels(mask), orientation)
                write(target.overlay, overlays.overlay(image, predicted=mask))
                if target.probability:
                    write(target.probability, probability_levels(probability))
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
                write(MASK_NAMES[form], target, WRITERS[form], is_folder=form == MaskFormat.png)
            write("overlay", self.overlay, lambda file, _: write_picture(file, np.asarray(sheet)))
            if self.probability:
                write("probability", self.probability, write_probability)
            if faults and not written.files:
                raise faults[0]
        if overwrite:
            self.output.remove_own(self.other_files)
        written.is_complete = not faults
        return written


Targets = ImageTargets | VolumeTargets

_IMAGE_FORMATS = (MaskFormat.tiff, MaskFormat.png)
_SUFFIXES = {MaskFormat.nifti: ".nii.gz", MaskFormat.dicom_seg: ".dcm", MaskFormat.tiff: ".tif", MaskFormat.png: ""}


def targets_of(
    entry: Input, out: Path, *, formats: Sequence[MaskFormat], probabilities: bool, source: str = ""
) -> Targets:
    """Return the output files of an input.

    Args:
        entry: the input.
        out: the folder of the output.
        formats: the mask formats, from `mask_formats`.
        probabilities: whether probabilities are written too.
        source: a digest of the scan and the model, which is recorded beside the files.
    """
    output = OutputFolder(out, "predict", source=source)
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
