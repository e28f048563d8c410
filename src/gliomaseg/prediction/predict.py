"""Predict one input: read it, find the tumour, write its files, and return its row."""

from __future__ import annotations

import hashlib
import os
import time
from collections import abc
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import GliomasegError, PartlyDoneError, ResourceError, UsageError
from gliomaseg.inputs import with_series
from gliomaseg.inputs.case_selection import sequence_warnings, without_t1_advice
from gliomaseg.inputs.input import Input, Kind, mask_formats
from gliomaseg.inputs.load import LoadedScan, load_input
from gliomaseg.prediction.mask_statistics import MaskStatistics, measure_mask
from gliomaseg.prediction.outputs import Result, Targets, Written, targets_of
from gliomaseg.prediction.prediction import Prediction
from gliomaseg.prediction.predictor import ScanPredictor, settings_digest, unused_lines, used_sequences
from gliomaseg.prediction.reference_masks import require_outside_data_set
from gliomaseg.types import Sequence

MAX_BYTES = 4 * 2**30
_EXISTS = "{}: exists, so the scan was not predicted again"
T1_SERIES = "series {0} looks like T1 (before contrast) and was not used; add --t1-series {0} to use it"
NOT_FLAIR = "is not FLAIR by its DICOM header"


@dataclass(frozen=True)
class PredictOptions:
    """The options of a prediction.

    Attributes:
        to: formats of the masks; empty takes the defaults of the input's format.
        probabilities: whether probabilities are written too.
        overwrite: whether unchanged results of an earlier call are replaced.
        max_bytes: limit of the memory for an input; a larger input is refused.
        series: UID or number of the DICOM series; None chooses the FLAIR series.
        t1_series: UID or number of another series of the same DICOM input, T1 before contrast; None without.
        t1ce_series: UID or number of another series of the same DICOM input, T1 after contrast; None without.
        skip_existing: whether an input whose results are all as an earlier call wrote them is not predicted.
        deidentify: whether DICOM segmentations omit the patient's name, id and dates.
    """

    to: tuple[MaskFormat, ...] = ()
    probabilities: bool = False
    overwrite: bool = False
    max_bytes: int = MAX_BYTES
    series: str | None = None
    t1_series: str | None = None
    t1ce_series: str | None = None
    deidentify: bool = False
    skip_existing: bool = False


@dataclass(frozen=True)
class PredictRow:
    """The result of one input; `error` is None if it succeeded. `MaskStatistics` and `Prediction` describe the rest.

    `series` is the UID of the chosen DICOM series, `model` the names of the models. `skipped` has `<name>: <reason>`
    for each file of the input that was not used, `left_out` a sentence on each model that did not run. If an output
    could not be written, `warnings` has the reason, and `fault` is a `PartlyDoneError`.
    """

    input: str
    outputs: list[str] = field(default_factory=list)
    tumour_voxels: int | None = None
    tumour_volume_ml: float | None = None
    largest_area_mm2: float | None = None
    diameters_mm: list[float] | None = None
    tumour_slices: int | None = None
    bounding_box: dict[str, list[int]] | None = None
    components: int | None = None
    extent_mm: dict[str, float] | None = None
    orientation: str | None = None
    series: str | None = None
    model: str | None = None
    predicted_dice: float | None = None
    warnings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None
    fault: GliomasegError | None = field(default=None, repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """Return the row for JSON: all fields but the exception."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "fault"}


def require_options(entries: abc.Sequence[Input], options: PredictOptions) -> None:
    """Refuse options that cannot apply to the inputs, before any work is done.

    Raises:
        UsageError: a mask format does not suit an input, a series is given and no input is DICOM, one series is T1
            and T1ce, or existing results are to be both kept and replaced.
    """
    for entry in entries:
        mask_formats(entry, options.to)
    if options.skip_existing and options.overwrite:
        raise UsageError("cannot be used with --overwrite", where="--skip-existing", cure="omit one of them")
    is_dicom = any(entry.kind is Kind.SERIES for entry in entries)
    for name in ("series", "t1_series", "t1ce_series"):
        value = getattr(options, name)
        if value is not None and not value.strip():
            raise UsageError("is empty", where=name, cure="give the number or the UID of a series")
        if value is not None and not is_dicom:
            raise UsageError("no input is a DICOM series", where=name, cure="omit it")
    for name, other in (("t1", options.t1_series), ("t1ce", options.t1ce_series)):
        if other is not None and any(getattr(entry, name) is not None for entry in entries):
            raise UsageError(f"cannot be used with {name}", where=f"{name}_series", cure="omit one of them")
    if options.t1_series is not None and options.t1_series == options.t1ce_series:
        raise UsageError(f"is {options.t1_series}, as t1_series", where="t1ce_series", cure="name another series")


def predict(entry: Input, out: Path, predictor: ScanPredictor, options: PredictOptions | None = None) -> PredictRow:
    """Write the mask and an overlay of one input, and return its row.

    Masks of images are 0 and 255 in the input's format and size; overlays are PNG with the mask's outline. The files
    of an image are written to `out`, those of a stack to `out/<name>`, all of them or none. The mask of a volume is
    NIfTI, 0 and 1 on exactly the input's grid; its overlay is one contact sheet of the slices with tumour. A DICOM
    series gets a DICOM segmentation too. If one file of a volume or series cannot be written, the others are, and the
    row has the reason as a warning. An error that the user can cause is not raised: the row has it in `error`.

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
        if entry.fault is not None:
            raise entry.fault
        entry = with_series(entry, options.series, t1=options.t1_series, t1ce=options.t1ce_series)
        targets = _targets(entry, out, options, _source(entry, out, predictor))
        if options.skip_existing and _are_written(targets):
            return PredictRow(
                str(entry.path), [str(file) for file in targets.files], skipped=[_EXISTS.format(targets.files[0].name)]
            )
        # An incomplete result of an earlier call is completed: only unchanged files of `predict` are replaced.
        options = replace(options, overwrite=options.overwrite or options.skip_existing)
        targets.require_free(overwrite=options.overwrite)
        entry = without_unused_sequences(entry, predictor)
        loaded = load_input(entry, max_bytes=options.max_bytes)
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    try:
        prediction, statistics, written = _predict_and_write(entry, loaded, predictor, targets, options)
    except ResourceError:
        raise
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    except MemoryError:
        return _failed(entry, ResourceError("memory is exhausted", where=entry.path, cure="crop it"), start)
    return PredictRow(
        str(entry.path),
        [str(file) for file in written.files],
        **asdict(statistics),
        orientation=loaded.scan.orientation,
        series=None if loaded.series is None else loaded.series.series_uid,
        model=prediction.model_name,
        predicted_dice=None if prediction.predicted_dice is None else round(prediction.predicted_dice, 3),
        warnings=[*_lines_on_input(entry, loaded, predictor), *prediction.warnings, *written.warnings],
        skipped=[*skipped_lines(entry), *(() if loaded.series is None else loaded.series.skipped)],
        left_out=list(prediction.left_out),
        seconds=round(time.perf_counter() - start, 3),
        fault=None if written.is_complete else _unwritten(entry, targets, written),
    )


def without_unused_sequences(entry: Input, predictor: ScanPredictor) -> Input:
    """Return an input without the sequences that no model takes; they are not read, and its warnings name them."""
    used = used_sequences(predictor)
    given = {name: other for name, other in ((Sequence.T1, entry.t1), (Sequence.T1CE, entry.t1ce)) if other is not None}
    kept = {name: other for name, other in given.items() if name in used}
    advised = entry.warnings if Sequence.T1 in used else without_t1_advice(entry.warnings)
    warnings = (*advised, *unused_lines(predictor, given))
    return replace(entry, t1=kept.get(Sequence.T1), t1ce=kept.get(Sequence.T1CE), warnings=warnings)


def _unwritten(entry: Input, targets: Targets, written: Written) -> PartlyDoneError:
    what = f"{len(written.files)} of {len(targets.files)} outputs are written"
    return PartlyDoneError(what, where=entry.path, cure="see the warnings")


def _are_written(targets: Targets) -> bool:
    """Return whether all files are as `predict` wrote them: a foreign, changed or empty file is not a result.

    Raises:
        OutputExistsError: a file was made from another scan, by another model or with other settings of it.
    """
    targets.output.require_same_source(*targets.files)
    return all(targets.output.owns(file) for file in targets.files)


def _source(entry: Input, out: Path, predictor: ScanPredictor) -> str:
    """Return a digest of the scan, the models and their settings.

    It is empty for a file that cannot be read, which `load_input` reports.
    """
    parts = {"series": entry, "t1": entry.t1, "t1ce": entry.t1ce}
    named = [f"{name}={part.series}" for name, part in parts.items() if part is not None and part.series is not None]
    try:
        text = " ".join([entry.content_digest(without=out), settings_digest(predictor), *named])
        return hashlib.sha256(text.encode()).hexdigest()
    except OSError:
        return ""


def _targets(entry: Input, out: Path, options: PredictOptions, source: str) -> Targets:
    formats = mask_formats(entry, options.to)
    targets = targets_of(entry, out, formats=formats, probabilities=options.probabilities, source=source)
    require_outside_data_set(entry, targets)
    return targets


def _failed(entry: Input, fault: GliomasegError, start: float) -> PredictRow:
    return replace(failed_row(entry, fault), seconds=round(time.perf_counter() - start, 3))


def failed_row(entry: Input, fault: GliomasegError) -> PredictRow:
    """Return the row of an input that failed."""
    return PredictRow(str(entry.path), skipped=skipped_lines(entry), error=fault.line(), fault=fault)


def skipped_lines(entry: Input) -> list[str]:
    """Return `<name>: <reason>` for each file of an input's case that is not used; names are relative to its folder."""
    folder = entry.path if entry.kind is Kind.STACK and entry.path.is_dir() else entry.path.parent
    return [f"{Path(os.path.relpath(file.path, folder)).as_posix()}: {file.reason}" for file in entry.skipped]


def _predict_and_write(
    entry: Input, loaded: LoadedScan, predictor: ScanPredictor, targets: Targets, options: PredictOptions
) -> tuple[Prediction, MaskStatistics, Written]:
    prediction = predictor.predict(loaded.scan)
    statistics = measure_mask(prediction.mask, loaded.scan)
    result = Result(loaded, prediction, entry.name, statistics.tumour_volume_ml, options.deidentify)
    written = targets.write(result, overwrite=options.overwrite)
    return prediction, statistics, written


def _lines_on_input(entry: Input, loaded: LoadedScan, predictor: ScanPredictor) -> list[str]:
    return [*input_warnings_of(entry, loaded), *t1_advice(entry, loaded, predictor), *loaded.scan.notes]


def input_warnings_of(entry: Input, loaded: LoadedScan) -> list[str]:
    """Return warnings from the names of files, the slice numbers and the DICOM header."""
    warnings = [*entry.warnings, *sequence_warnings(entry)]
    if loaded.series is not None and not loaded.series.series.is_flair:
        warnings.append(NOT_FLAIR)
    if entry.gaps:
        before, after = entry.gaps[0]
        warnings.append(f"its numbers jump from {before} to {after}: slices may be missing")
    return warnings if loaded.series is None else [*warnings, *loaded.series.warnings]


def t1_advice(entry: Input, loaded: LoadedScan, predictor: ScanPredictor) -> list[str]:
    """Return a line on the only series of the study that looks like T1, if a model takes T1 and none is named."""
    if loaded.series is None or entry.t1 is not None or Sequence.T1 not in used_sequences(predictor):
        return []
    found = loaded.series.only_other(Sequence.T1)
    return [] if found is None else [T1_SERIES.format(loaded.series.key_of(found))]
