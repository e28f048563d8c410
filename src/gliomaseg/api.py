"""The Python API: scans and models in, typed results out. `import gliomaseg` offers these functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gliomaseg.errors import UsageError, import_extra
from gliomaseg.geometry import Affine
from gliomaseg.inputs import load_input, with_series
from gliomaseg.inputs.scan_arrays import ArrayGeometry, ArrayInput, Axes, scan_of_array
from gliomaseg.metrics.volume import volume_ml
from gliomaseg.prediction import (
    PredictOptions,
    ScanPredictor,
    join_sequences,
    list_inputs,
    open_models,
    require_options,
)
from gliomaseg.prediction.predict import MAX_BYTES
from gliomaseg.prediction.predictor import unused_lines, used_sequences
from gliomaseg.prediction.segmentation import Segmentation
from gliomaseg.scan import Scan, join_scans
from gliomaseg.types import Sequence as MriSequence

if TYPE_CHECKING:  # evaluation imports SciPy: half a second that a segmentation does not need
    from gliomaseg.data.case_list import DataOptions
    from gliomaseg.evaluation.results import Evaluation

__all__ = ["ScanLike", "Segmentation", "evaluate", "load_model", "read_scan", "segment", "train"]

ScanLike = str | Path | Scan | ArrayInput
"""A path, a `Scan`, a NumPy array, or a nibabel image."""


def read_scan(
    path: str | Path,
    *,
    t1: str | Path | None = None,
    t1ce: str | Path | None = None,
    series: str | None = None,
    t1_series: str | None = None,
    t1ce_series: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Scan:
    """Return the scan of a file or folder: NIfTI, NRRD, MetaImage, DICOM, TIFF, PNG or JPEG.

    Args:
        path: FLAIR, an RGB image (T1, FLAIR, T1ce), or a folder with the slices of one case or one DICOM series.
        t1: pre-contrast T1 of the same examination. A volume on another grid is resampled to the grid of FLAIR; one
            that covers less than 90 % of the head is not used. `notes` of the result gives both.
        t1ce: contrast-enhanced T1 of the same examination, likewise.
        series: UID or number of a DICOM series; the default is the series that looks like FLAIR.
        t1_series: UID or number of another series of the same DICOM files: pre-contrast T1, instead of `t1`. It is
            never chosen by itself.
        t1ce_series: the same for contrast-enhanced T1, instead of `t1ce`.
        max_bytes: inputs that need more memory are refused.

    Raises:
        UsageError: the path contains several scans, a series is given and it is not DICOM, or both a series and a
            path are given for one sequence.
        DataError: the path contains no scan, or a series is missing.
        FormatError: a file is missing, damaged or of another format.
        GeometryError: slices or sequences differ in size, or only one sequence has a known affine.
        ResourceError: the scan needs more memory.
        MissingExtraError: the input is DICOM and `gliomaseg[dicom]` is not installed.
    """
    source = _path(path, "path")
    others = [None if other is None else _path(other, name) for name, other in (("t1", t1), ("t1ce", t1ce))]
    if t1 is None and t1ce is None:
        entries = list(list_inputs([source]))
    else:
        entries = [join_sequences(source, t1=others[0], t1ce=others[1])]
    if len(entries) > 1:
        names = ", ".join(entry.name for entry in entries[:3])
        raise UsageError(f"contains {len(entries)} scans ({names}, ...)", where=path, cure="name one of them")
    require_options(entries, PredictOptions(series=series, t1_series=t1_series, t1ce_series=t1ce_series))
    return load_input(with_series(entries[0], series, t1=t1_series, t1ce=t1ce_series), max_bytes=max_bytes).scan


def load_model(name_or_path: str | Path | None = None, *, engine: str = "onnxruntime") -> ScanPredictor:
    """Return a model, loaded once for many scans.

    Args:
        name_or_path: a bundled model's name (`gliomaseg models` lists them), a model folder, a training run, or a
            cross-validation. None loads all bundled models: each runs if the scan has its sequences, and their
            probabilities are averaged, weighted by predicted Dice.
        engine: "onnxruntime", "openvino" or "torch".

    Raises:
        ModelError: there is no such model, or a file of it is damaged.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    from gliomaseg.pretrained import find_models

    path = None if name_or_path is None else _path(name_or_path, "name_or_path")
    return open_models(find_models(path), engine=engine)


def segment(
    scan: ScanLike,
    *,
    model: str | Path | ScanPredictor | None = None,
    t1: ScanLike | None = None,
    t1ce: ScanLike | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    affine: Affine | None = None,
    axes: Axes | None = None,
) -> Segmentation:
    """Return the tumour mask of one scan.

    Args:
        scan: FLAIR, as a path, a `Scan`, a nibabel image or a NumPy array. An array has the axes of `axes`; arrays
            (z, y, x, 3) are RGB images of T1, FLAIR and T1ce. To choose DICOM series, give `read_scan(path,
            series=..., t1_series=...)`.
        model: what `load_model` returns, or its argument.
        t1: pre-contrast T1 of the same examination, of the same kind as `scan`. Volumes on another grid are resampled
            as in `read_scan`, and `warnings` of the result gives it.
        t1ce: contrast-enhanced T1 of the same examination, likewise.
        spacing_mm: of an array: voxel spacing along z, y, x. Slices must be axial and ascend, rows run from front to
            back, columns from the patient's right to the left.
        affine: of an array, instead of `spacing_mm`: 4 x 4 matrix from voxel indices (x, y, z) to mm, RAS+, as in
            nibabel.
        axes: of an array: "zyx" (SimpleITK, pydicom stacks; the default) or "xyz" (nibabel's `get_fdata()`).

    Returns:
        The mask, in the shape and axis order of the input, with volume, predicted Dice and warnings.

    Raises:
        UsageError: `spacing_mm`, `affine` or `axes` has another form or is given for an input that is not an array.
        GeometryError: the array has another shape or type, or the sequences are arrays of different sizes.
        TypeError: the scan or the model is of another type.
        GliomasegError: what `read_scan` and `load_model` raise.
    """
    geometry = ArrayGeometry(spacing_mm, affine, axes)
    flair, order = _scan_of(scan, geometry, "scan")
    others = {name: other for name, other in ((MriSequence.T1, t1), (MriSequence.T1CE, t1ce)) if other is not None}
    predictor = _loaded(model)
    used = used_sequences(predictor)
    given = {name: _scan_of(other, geometry, str(name))[0] for name, other in others.items() if name in used}
    joined = join_scans(flair, given, partial=True) if given else flair
    found = predictor.predict(joined)
    millilitres = None
    if joined.affine is not None:
        millilitres = volume_ml(int(np.count_nonzero(found.mask)), affine=joined.affine)
    mask = found.mask.T if order == "xyz" else found.mask
    probability = found.probability.T if order == "xyz" else found.probability
    names = tuple(one.config.name for one in found.models)
    warnings = (*unused_lines(predictor, others), *joined.notes, *found.warnings)
    return Segmentation(
        mask, probability, millilitres, found.predicted_dice, warnings, names, joined, found.left_out, _axes=order
    )


def evaluate(
    data: str | Path,
    *,
    model: str | Path | ScanPredictor | None = None,
    predictions: str | Path | None = None,
    resample: bool = False,
    splits: str | Path | None = None,
    subset: Literal["train", "validation"] = "validation",
    fold: int = 0,
    spacing_mm: tuple[float, float, float] | None = None,
    layout: str | None = None,
    labels: Collection[int] | None = None,
    patient_pattern: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Return every measure of a model, or of the masks of any tool, on a data set with reference masks.

    Args:
        data: a data set: a folder in one of the layouts that `gliomaseg audit` reads, or a manifest.
        model: what `load_model` returns, or its argument.
        predictions: a folder with a mask of each case, made by any tool; no model runs.
        resample: whether such masks that are on another grid than their scan are resampled, nearest neighbour.
        splits: a file that `gliomaseg split` or `train` wrote; without it all cases are scored.
        subset: "train" or "validation" cases of the split.
        fold: of the split, from 0.
        spacing_mm: voxel spacing along z, y, x of images. Without it, distances are in pixels for images, and in mm by
            the affine for volumes.
        layout: of the data set; None recognises it, or takes it from the splits.
        labels: mask values that are tumour; None for those of the splits, or all above 0.
        patient_pattern: regular expression that finds the patient in the name of a case.
        progress: called with a line for each case.

    Returns:
        `patients` (one row each, with `error` if it failed), `summary` (mean, median and 95 % CI of each measure) and
        `definitions`. The fields are those of `metrics.json`.

    Raises:
        UsageError: the subset is unknown; subset or fold is given without splits; both a model and predictions are
            given; or resample is given without predictions.
        ConfigError: the fold is unknown, or the spacing is not three lengths.
        DataError: the data set has problems, or the splits do not fit it.
        GliomasegError: what `load_model` raises.
    """
    from gliomaseg.evaluation import CaseSelection, MaskSource, ScoreGrid, evaluate_data

    if model is not None and predictions is not None:
        raise UsageError("model and predictions are both given", cure="omit one of them")
    if resample and predictions is None:
        raise UsageError("resample needs predictions", cure="give predictions, or omit resample")
    if splits is None and (fold != 0 or subset != "validation"):
        raise UsageError("subset and fold need splits", cure="give splits, or omit both")
    selection = None if splits is None else CaseSelection(_path(splits, "splits"), subset, fold)
    masks = None if predictions is None else MaskSource(_path(predictions, "predictions"), resample)
    source = masks or _loaded(model)
    return evaluate_data(
        _path(data, "data"),
        source,
        selection,
        grid=ScoreGrid(spacing_mm),
        data_options=_data_options(layout, labels, patient_pattern),
        progress=progress,
    )


def train(
    recipe: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    settings: Sequence[str] = (),
    splits: str | Path | None = None,
    fold: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    layout: str | None = None,
    labels: Collection[int] | None = None,
    patient_pattern: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Train a network and return its model folder, which `load_model` reads without PyTorch.

    Args:
        recipe: a packaged recipe's name (`gliomaseg models` lists them) or a TOML file.
        data: a data set: a folder in one of the layouts that `gliomaseg audit` reads, or a manifest.
        out: the folder of the run.
        settings: changes to the recipe, such as "training.epochs=5".
        splits: a file that `gliomaseg split` wrote; without it the recipe splits.
        fold: of the split, from 0.
        device: "auto", "cpu" or "cuda".
        resume: continue the run in `out`.
        overwrite: replace the run in `out`.
        layout: of the data set; None recognises it, or takes it from the splits.
        labels: mask values that are tumour; None for those of the splits, or all above 0.
        patient_pattern: regular expression that finds the patient in the name of a case.
        progress: called with each line of progress.

    Raises:
        MissingExtraError: `gliomaseg[train]` is not installed.
        UsageError: the device is unknown, or both resume and overwrite are True.
        ConfigError: the recipe or a setting is wrong.
        OutputExistsError: `out` is not empty.
        DataError: the data set has problems.
        TypeError: `settings` is one string.
    """
    from gliomaseg.config import read_recipe

    if isinstance(settings, str):
        raise TypeError("settings is a string, expected a list of strings such as ['training.epochs=5']")
    if resume and overwrite:
        raise UsageError("resume and overwrite are both True", cure="choose one of them")
    module = import_extra("gliomaseg.training.train", "train", purpose="training")
    options = module.TrainOptions(
        recipe=read_recipe(str(_path(recipe, "recipe"))).with_settings(list(settings)),
        data=_path(data, "data"),
        out=_path(out, "out"),
        splits=None if splits is None else _path(splits, "splits"),
        fold=fold,
        device=device,
        resume=resume,
        overwrite=overwrite,
        data_options=_data_options(layout, labels, patient_pattern),
    )
    folder: Path = module.train(options, say=progress or (lambda _line: None))
    return folder


def _data_options(layout: str | None, labels: Collection[int] | None, patient_pattern: str | None) -> DataOptions:
    from gliomaseg.data.case_list import DataOptions
    from gliomaseg.data.masks import MaskLabels

    if isinstance(labels, str):
        raise TypeError("labels is a string, expected whole numbers such as [1, 2, 4]")
    return DataOptions(layout, MaskLabels(None if labels is None else frozenset(labels)), patient_pattern)


def _loaded(model: str | Path | ScanPredictor | None) -> ScanPredictor:
    if model is None or isinstance(model, str | Path):
        return load_model(model)
    if not hasattr(model, "predict"):
        raise TypeError(f"model is {type(model).__name__}, expected a name, a path or the result of load_model")
    return model


def _scan_of(given: ScanLike, geometry: ArrayGeometry, name: str) -> tuple[Scan, Axes]:
    """Return an input as a scan, and the axis order of its results."""
    if isinstance(given, str | Path):
        path = _path(given, name)
        geometry.require_absent(str(path))
        return read_scan(path), "zyx"
    if isinstance(given, Scan):
        geometry.require_absent(given.source)
        return given, "zyx"
    return scan_of_array(given, geometry, name=name)


def _path(given: str | Path, name: str) -> Path:
    if not isinstance(given, str | Path):
        raise TypeError(f"{name} is {type(given).__name__}, expected a path")
    if isinstance(given, str) and not given.strip():  # Path("") would be the current folder
        raise UsageError(f"{name} is an empty string, expected a path", cure='write "." for the current folder')
    return Path(given)
