"""The Python API: scans and models in, typed results out. `import gliomaseg` offers these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from gliomaseg.errors import UsageError, import_extra
from gliomaseg.geometry import Affine, Spacing
from gliomaseg.metrics.volume import volume_ml
from gliomaseg.prediction import ScanPredictor, open_models
from gliomaseg.prediction.load import join_scans, load_input
from gliomaseg.prediction.predict import MAX_BYTES
from gliomaseg.scan import AxisOrder, Scan, scan_of_array
from gliomaseg.segmentation import Segmentation
from gliomaseg.types import Sequence as MriSequence

if TYPE_CHECKING:  # evaluation imports SciPy: half a second that a segmentation does not need
    from gliomaseg.evaluation.results import Evaluation

ScanLike = str | Path | Scan | ArrayLike | Any
"""A path, a `Scan`, a NumPy array, or a nibabel image."""


def read_scan(
    path: str | Path,
    *,
    t1: str | Path | None = None,
    t1ce: str | Path | None = None,
    series: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Scan:
    """Return the scan of a file or folder: NIfTI, DICOM, TIFF or PNG.

    Args:
        path: FLAIR, an RGB image (T1, FLAIR, T1ce), or a folder with the slices of one case or one DICOM series.
        t1: pre-contrast T1 of the same examination, on the grid of FLAIR.
        t1ce: contrast-enhanced T1 of the same examination, on the grid of FLAIR.
        series: UID or number of a DICOM series; the default is the series that looks like FLAIR.
        max_bytes: inputs that need more memory are refused.

    Raises:
        UsageError: the path contains several scans.
        DataError: the path contains no scan.
        FormatError: a file is missing, damaged or of another format.
        GeometryError: slices or sequences are on different grids.
        ResourceError: the scan needs more memory.
        MissingExtraError: the input is DICOM and `gliomaseg[dicom]` is not installed.
    """
    from gliomaseg.prediction import join_sequences, list_inputs

    if t1 is not None or t1ce is not None:
        others = [None if other is None else Path(other) for other in (t1, t1ce)]
        return load_input(
            join_sequences(Path(path), t1=others[0], t1ce=others[1]), series=series, max_bytes=max_bytes
        ).scan
    entries = list_inputs([Path(path)])
    if len(entries) > 1:
        names = ", ".join(entry.name for entry in entries[:3])
        raise UsageError(f"contains {len(entries)} scans ({names}, ...)", where=path, cure="name one of them")
    return load_input(entries[0], series=series, max_bytes=max_bytes).scan


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

    return open_models(find_models(None if name_or_path is None else Path(name_or_path)), engine=engine)


def segment(
    scan: ScanLike,
    *,
    model: str | Path | ScanPredictor | None = None,
    t1: ScanLike | None = None,
    t1ce: ScanLike | None = None,
    spacing_mm: Spacing | None = None,
    affine: Affine | None = None,
    axes: AxisOrder = "zyx",
) -> Segmentation:
    """Return the tumour mask of one scan.

    Args:
        scan: FLAIR, as a path, a `Scan`, a nibabel image or a NumPy array. An array has the axes of `axes`; arrays
            (z, y, x, 3) are RGB images of T1, FLAIR and T1ce.
        model: what `load_model` returns, or its argument.
        t1: pre-contrast T1 on the same grid, of the same kind as `scan`.
        t1ce: contrast-enhanced T1 on the same grid, of the same kind as `scan`.
        spacing_mm: of an array: voxel spacing along z, y, x. Slices must be axial and ascend, rows run from front to
            back, columns from the patient's right to the left.
        affine: of an array, instead of `spacing_mm`: 4 x 4 matrix from voxel indices (x, y, z) to mm, RAS+, as in
            nibabel.
        axes: of an array: "zyx" (SimpleITK, pydicom stacks) or "xyz" (nibabel's `get_fdata()`).

    Returns:
        The mask, in the shape and axis order of the input, with volume, predicted Dice and warnings.

    Raises:
        UsageError: `spacing_mm` or `affine` is given with a path, or both are given.
        GeometryError: the array has another shape or type, or the sequences are on different grids.
        GliomasegError: what `read_scan` and `load_model` raise.
    """
    as_scan = partial(_scan_of, spacing_mm=spacing_mm, affine=affine, axes=axes)
    flair, result_axes = as_scan(scan)
    others = {MriSequence.T1: t1, MriSequence.T1CE: t1ce}
    given = {name: as_scan(other)[0] for name, other in others.items() if other is not None}
    joined = join_scans(flair, given) if given else flair
    prediction = _loaded(model).predict(joined)
    millilitres = None
    if joined.spacing_mm is not None:
        millilitres = volume_ml(int(np.count_nonzero(prediction.mask)), spacing_mm=joined.spacing_mm)
    is_transposed = result_axes == "xyz"
    return Segmentation(
        mask=prediction.mask.T if is_transposed else prediction.mask,
        probability=prediction.probability.T if is_transposed else prediction.probability,
        volume_ml=millilitres,
        predicted_dice=prediction.predicted_dice,
        warnings=prediction.warnings,
        models=tuple(used.config.name for used in prediction.models),
        scan=joined,
        _axes=result_axes,
    )


def evaluate(
    data: str | Path,
    *,
    model: str | Path | ScanPredictor | None = None,
    splits: str | Path | None = None,
    subset: Literal["train", "validation"] = "validation",
    fold: int = 0,
    spacing_mm: Spacing | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Return every measure of a model on a data set with reference masks.

    Args:
        data: a data set in the layout of the LGG archive.
        model: what `load_model` returns, or its argument.
        splits: a file that `gliomaseg split` or `train` wrote; without it all cases are scored.
        subset: "train" or "validation" cases of the split.
        fold: of the split, from 0.
        spacing_mm: voxel spacing along z, y, x; distances are in pixels without it.
        progress: called with a line for each case.

    Returns:
        `patients` (one row each, with `error` if it failed), `summary` (mean, median and 95 % CI of each measure) and
        `definitions`. The fields are those of `metrics.json`.

    Raises:
        DataError: the data set has problems, or the splits do not fit it.
        GliomasegError: what `load_model` raises.
    """
    from gliomaseg.evaluation import CaseSelection, ScoreGrid, evaluate_data

    selection = None if splits is None else CaseSelection(Path(splits), subset, fold)
    return evaluate_data(Path(data), _loaded(model), selection, grid=ScoreGrid(spacing_mm), progress=progress)


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
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Train a network and return its model folder, which `load_model` reads without PyTorch.

    Args:
        recipe: a packaged recipe's name (`gliomaseg models` lists them) or a TOML file.
        data: a data set in the layout of the LGG archive.
        out: the folder of the run.
        settings: changes to the recipe, such as "training.epochs=5".
        splits: a file that `gliomaseg split` wrote; without it the recipe splits.
        fold: of the split, from 0.
        device: "auto", "cpu" or "cuda".
        resume: continue the run in `out`.
        overwrite: replace the run in `out`.
        progress: called with each line of progress.

    Raises:
        MissingExtraError: `gliomaseg[train]` is not installed.
        ConfigError: the recipe or a setting is wrong.
        OutputExistsError: `out` is not empty.
        DataError: the data set has problems.
    """
    from gliomaseg.config import read_recipe

    module = import_extra("gliomaseg.training.train", "train", purpose="training")
    options = module.TrainOptions(
        recipe=read_recipe(str(recipe)).with_settings(list(settings)),
        data=Path(data),
        out=Path(out),
        splits=None if splits is None else Path(splits),
        fold=fold,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )
    folder: Path = module.train(options, say=progress or (lambda _line: None))
    return folder


def _loaded(model: str | Path | ScanPredictor | None) -> ScanPredictor:
    return load_model(model) if model is None or isinstance(model, str | Path) else model


def _scan_of(
    given: ScanLike, *, spacing_mm: Spacing | None, affine: Affine | None, axes: AxisOrder
) -> tuple[Scan, AxisOrder]:
    """Return an input as a scan, and the axis order of its results."""
    if isinstance(given, str | Path):
        _require_no_geometry(spacing_mm, affine, str(given))
        return read_scan(given), "zyx"
    if isinstance(given, Scan):
        _require_no_geometry(spacing_mm, affine, given.source)
        return given, "zyx"
    if hasattr(given, "affine") and hasattr(given, "dataobj"):
        _require_no_geometry(spacing_mm, affine, "nibabel image")
        return scan_of_array(np.asarray(given.dataobj), affine=given.affine, axes="xyz"), "xyz"
    return scan_of_array(np.asarray(given), spacing_mm=spacing_mm, affine=affine, axes=axes), axes


def _require_no_geometry(spacing_mm: Spacing | None, affine: Affine | None, where: str) -> None:
    if spacing_mm is not None or affine is not None:
        raise UsageError(
            "spacing_mm and affine are only for arrays", where=where, cure="omit them: the file defines its grid"
        )
