"""The verb: one input in, its files and its row out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gliomaseg.atomic import require_free
from gliomaseg.errors import GliomasegError, ResourceError, UsageError
from gliomaseg.prediction.contact_sheet import draw_contact_sheet
from gliomaseg.prediction.inputs import Input, Kind
from gliomaseg.prediction.label_files import write_labels
from gliomaseg.prediction.load import LoadedScan, load_input
from gliomaseg.prediction.mask_statistics import MaskStatistics, measure_mask
from gliomaseg.prediction.outputs import (
    MaskFormat,
    Result,
    mask_formats,
    picture_targets,
    require_masks_only,
    volume_targets,
    write_pictures,
    write_volume,
)
from gliomaseg.prediction.predictor import ScanPredictor

MAX_BYTES = 4 * 2**30
NOT_FLAIR = "is not FLAIR by its DICOM header"


@dataclass(frozen=True)
class PredictOptions:
    """What is asked of a prediction besides its input.

    Attributes:
        to: what masks are written as; empty takes what the input suggests.
        probabilities: whether probabilities are written too.
        overwrite: whether results that are there are replaced.
        max_bytes: inputs that need more memory are refused.
        series: UID or number of the DICOM series; None chooses.
        deidentify: whether DICOM segmentations leave the patient's name, id and dates out.
    """

    to: tuple[MaskFormat, ...] = ()
    probabilities: bool = False
    overwrite: bool = False
    max_bytes: int = MAX_BYTES
    series: str | None = None
    deidentify: bool = False


@dataclass(frozen=True)
class PredictRow:
    """What became of one input; `error` is None where it went well. See `MaskStatistics` and `Prediction` for the rest.

    `series` is the UID of the DICOM series that was taken, `model` the names of the models.
    """

    input: str
    outputs: list[str] = field(default_factory=list)
    tumour_voxels: int | None = None
    tumour_volume_ml: float | None = None
    largest_area_mm2: float | None = None
    tumour_slices: int | None = None
    bounding_box: dict[str, list[int]] | None = None
    components: int | None = None
    extent_mm: dict[str, float] | None = None
    orientation: str | None = None
    series: str | None = None
    model: str | None = None
    predicted_dice: float | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None
    fault: GliomasegError | None = field(default=None, repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """Return the row as JSON has it: all but the fault itself."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "fault"}


def require_options(entries: Sequence[Input], wish: PredictOptions) -> None:
    """Refuse wishes that no input could fulfil, before any work is done.

    Raises:
        UsageError: an input cannot be written as is wished, or a series is named and none is DICOM.
    """
    for entry in entries:
        mask_formats(entry, wish.to)
    if wish.series is not None and not wish.series.strip():
        raise UsageError("is empty", where="--series", cure="give the number or the UID of a series")
    if wish.series is not None and not any(entry.kind is Kind.SERIES for entry in entries):
        raise UsageError("no input is DICOM", where="--series", cure="leave it out")


def predict(entry: Input, out: Path, predictor: ScanPredictor, wish: PredictOptions | None = None) -> PredictRow:
    """Write the mask and an overlay of one input, and return its row.

    Masks of pictures are 0 and 255 in the input's format and size; overlays are PNG with the mask's outline.
    Those of a picture go into `out`, those of a stack into `out/<name>`, all of them or none. The mask of
    a volume is NIfTI, 0 and 1 on exactly the input's grid; its overlay is one sheet of the slices that matter.
    A DICOM series gets a DICOM segmentation too. What the user can cause does not raise: it is in the row's `error`.

    Args:
        entry: of `list_inputs`.
        out: a folder; made if missing.
        predictor: the model, or several that are asked together.
        wish: what else is asked for.

    Raises:
        ResourceError: the disk is full: there is no use in going on.
    """
    start = time.perf_counter()
    wish = wish or PredictOptions()
    try:
        targets = _free_targets(entry, out, wish)
        loaded = load_input(entry, series=wish.series, max_bytes=wish.max_bytes)
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    try:
        found, trust = _find(entry, loaded, predictor, targets, wish)
    except ResourceError:
        raise
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    except MemoryError:
        too_large = ResourceError("there is not enough memory for it", where=entry.path, cure="crop or downsample it")
        return _failed(entry, too_large, start)
    return PredictRow(
        str(entry.path),
        [str(target) for target in _flat(targets)],
        **asdict(found),
        **trust,
        orientation=loaded.scan.orientation,
        series=None if loaded.series is None else loaded.series.series_uid,
        seconds=round(time.perf_counter() - start, 3),
    )


def _failed(entry: Input, fault: GliomasegError, start: float) -> PredictRow:
    return replace(failed_row(entry, fault), seconds=round(time.perf_counter() - start, 3))


def failed_row(entry: Input, fault: GliomasegError) -> PredictRow:
    """Return the row of an input of which nothing became."""
    return PredictRow(str(entry.path), error=fault.line(), fault=fault)


_Targets = dict[str, Path] | list[tuple[Path, ...]]


def _flat(targets: _Targets) -> list[Path]:
    return [*targets.values()] if isinstance(targets, dict) else [file for files in targets for file in files]


def _free_targets(entry: Input, out: Path, wish: PredictOptions) -> _Targets:
    """Return where results go: the files of each picture, or those of the volume."""
    formats = mask_formats(entry, wish.to)
    if entry.kind not in (Kind.PICTURE, Kind.STACK):
        files = volume_targets(entry, out, formats=formats, probabilities=wish.probabilities)
        for target in files.values():
            require_free(target, overwrite=wish.overwrite)
        if "png" in files:
            require_masks_only(files["png"])
        return files
    targets = [
        picture_targets(entry, out, file, formats=formats, probabilities=wish.probabilities) for file in entry.pictures
    ]
    if entry.kind is Kind.STACK:
        require_free(out / entry.name, overwrite=wish.overwrite)
        require_masks_only(out / entry.name)
    else:
        for target in targets[0]:
            require_free(target, overwrite=wish.overwrite)
    return targets


def _find(
    entry: Input, loaded: LoadedScan, predictor: ScanPredictor, targets: _Targets, wish: PredictOptions
) -> tuple[MaskStatistics, dict[str, Any]]:
    """Predict, write and measure; the dict is what the row says of the model and how far to trust it."""
    prediction = predictor.predict(loaded.scan)
    mask = prediction.mask
    found = measure_mask(mask, loaded.scan)
    result = Result(loaded, prediction, deidentify=wish.deidentify)
    if isinstance(targets, dict):
        preview = draw_contact_sheet(loaded.scan, mask, volume_ml=found.tumour_volume_ml)
        if "nifti" in targets:  # first: a disk that is full then has no mask without a row
            write_labels(targets["nifti"].parent, overwrite=wish.overwrite)
        write_volume(targets, replace(result, preview=preview), overwrite=wish.overwrite)
    else:
        folder = targets[0][0].parent if entry.kind is Kind.STACK else None
        write_pictures(targets, result, folder=folder, overwrite=wish.overwrite)
    trust = {"model": prediction.model_name, **prediction.quality_report()}
    if entry.gaps:
        before, after = entry.gaps[0]
        trust["warnings"].insert(0, f"its numbers jump from {before} to {after}: slices may be missing")
    if loaded.series is not None and not loaded.series.series.is_flair:
        trust["warnings"].insert(0, NOT_FLAIR)
    return found, trust
