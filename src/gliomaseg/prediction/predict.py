"""Predict one input: read it, find the tumour, write its files, and return its row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import GliomasegError, ResourceError, UsageError
from gliomaseg.prediction.inputs import Input, Kind, mask_formats
from gliomaseg.prediction.load import LoadedScan, load_input
from gliomaseg.prediction.mask_statistics import MaskStatistics, measure_mask
from gliomaseg.prediction.outputs import Result, Targets, targets_of
from gliomaseg.prediction.predictor import ScanPredictor

MAX_BYTES = 4 * 2**30
NOT_FLAIR = "is not FLAIR by its DICOM header"


@dataclass(frozen=True)
class PredictOptions:
    """The options of a prediction.

    Attributes:
        to: formats of the masks; empty takes the defaults of the input's format.
        probabilities: whether probabilities are written too.
        overwrite: whether existing results are replaced.
        max_bytes: limit of the memory for an input; a larger input is refused.
        series: UID or number of the DICOM series; None chooses the FLAIR series.
        deidentify: whether DICOM segmentations omit the patient's name, id and dates.
    """

    to: tuple[MaskFormat, ...] = ()
    probabilities: bool = False
    overwrite: bool = False
    max_bytes: int = MAX_BYTES
    series: str | None = None
    deidentify: bool = False


@dataclass(frozen=True)
class PredictRow:
    """The result of one input; `error` is None if it succeeded. `MaskStatistics` and `Prediction` describe the rest.

    `series` is the UID of the chosen DICOM series, `model` the names of the models.
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
        """Return the row for JSON: all fields but the exception."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "fault"}


def require_options(entries: Sequence[Input], options: PredictOptions) -> None:
    """Refuse options that cannot apply to the inputs, before any work is done.

    Raises:
        UsageError: a mask format does not suit an input, or a series is given and no input is DICOM.
    """
    for entry in entries:
        mask_formats(entry, options.to)
    if options.series is not None and not options.series.strip():
        raise UsageError("is empty", where="series", cure="give the number or the UID of a series")
    if options.series is not None and not any(entry.kind is Kind.SERIES for entry in entries):
        raise UsageError("no input is a DICOM series", where="series", cure="omit it")


def predict(entry: Input, out: Path, predictor: ScanPredictor, options: PredictOptions | None = None) -> PredictRow:
    """Write the mask and an overlay of one input, and return its row.

    Masks of images are 0 and 255 in the input's format and size; overlays are PNG with the mask's outline. The files
    of an image are written to `out`, those of a stack to `out/<name>`, all of them or none. The mask of a volume is
    NIfTI, 0 and 1 on exactly the input's grid; its overlay is one contact sheet of the slices with tumour. A DICOM
    series gets a DICOM segmentation too. An error that the user can cause is not raised: the row has it in `error`.

    Args:
        entry: from `list_inputs`.
        out: a folder; made if missing.
        predictor: the model, or an ensemble.
        options: default options if None.

    Raises:
        ResourceError: the disk is full, so further inputs would fail too.
    """
    start = time.perf_counter()
    options = options or PredictOptions()
    try:
        targets = _free_targets(entry, out, options)
        loaded = load_input(entry, series=options.series, max_bytes=options.max_bytes)
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    try:
        found, trust = _find(entry, loaded, predictor, targets, options)
    except ResourceError:
        raise
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    except MemoryError:
        return _failed(entry, ResourceError("memory is exhausted", where=entry.path, cure="crop it"), start)
    return PredictRow(
        str(entry.path),
        [str(file) for file in targets.files],
        **asdict(found),
        **trust,
        orientation=loaded.scan.orientation,
        series=None if loaded.series is None else loaded.series.series_uid,
        seconds=round(time.perf_counter() - start, 3),
    )


def _free_targets(entry: Input, out: Path, options: PredictOptions) -> Targets:
    formats = mask_formats(entry, options.to)
    targets = targets_of(entry, out, formats=formats, probabilities=options.probabilities)
    targets.require_free(overwrite=options.overwrite)
    return targets


def _failed(entry: Input, fault: GliomasegError, start: float) -> PredictRow:
    return replace(failed_row(entry, fault), seconds=round(time.perf_counter() - start, 3))


def failed_row(entry: Input, fault: GliomasegError) -> PredictRow:
    """Return the row of an input that failed."""
    return PredictRow(str(entry.path), error=fault.line(), fault=fault)


def _find(
    entry: Input, loaded: LoadedScan, predictor: ScanPredictor, targets: Targets, options: PredictOptions
) -> tuple[MaskStatistics, dict[str, Any]]:
    """Predict, measure and write; return the mask's numbers, and the row's fields on the model and its confidence."""
    prediction = predictor.predict(loaded.scan)
    found = measure_mask(prediction.mask, loaded.scan)
    result = Result(loaded, prediction, entry.name, found.tumour_volume_ml, options.deidentify)
    targets.write(result, overwrite=options.overwrite)
    trust = {"model": prediction.model_name, **prediction.quality_report()}
    if entry.gaps:
        before, after = entry.gaps[0]
        trust["warnings"].insert(0, f"its numbers jump from {before} to {after}: slices may be missing")
    if loaded.series is not None and not loaded.series.series.is_flair:
        trust["warnings"].insert(0, NOT_FLAIR)
    return found, trust
