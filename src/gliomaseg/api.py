"""The Python API: scans and models in, typed results out. `import gliomaseg` offers these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gliomaseg.errors import GeometryError, UsageError, import_extra
from gliomaseg.formats import FileKind, Grid, suffix_of, write_pages, write_volume, written_suffixes
from gliomaseg.geometry import Affine
from gliomaseg.metrics.volume import volume_ml
from gliomaseg.prediction import ScanPredictor, open_models
from gliomaseg.prediction.load import join_scans, load_input
from gliomaseg.prediction.predict import MAX_BYTES
from gliomaseg.scan import Scan
from gliomaseg.types import Mask, Probability
from gliomaseg.types import Sequence as MriSequence

if TYPE_CHECKING:  # evaluation imports SciPy: half a second that a segmentation does not need
    from gliomaseg.evaluation.results import Evaluation

Axes = Literal["zyx", "xyz"]
ScanLike = str | Path | Scan | ArrayLike | Any
"""A path, a `Scan`, a NumPy array, or a nibabel image."""


@dataclass(frozen=True)
class Segmentation:
    """The result of `segment`.

    Attributes:
        mask: tumour or not: bool, in the shape and axis order of the input; (z, y, x) for paths and scans.
        probability: of tumour: float32 in [0, 1], same shape.
        volume_ml: volume of the mask, in ml; 0 if it is empty, None if the voxel spacing is unknown.
        predicted_dice: the Dice that the model expects of this mask, 0 to 1; None if the mask is empty or the model
            has no Dice estimator.
        warnings: sentences about an input that does not look like the training data; empty if there are none.
        models: names of the models whose probabilities were averaged, the one with the largest weight first.
        scan: the scan that was segmented.
    """

    mask: Mask
    probability: Probability = field(repr=False)
    volume_ml: float | None
    predicted_dice: float | None
    warnings: tuple[str, ...]
    models: tuple[str, ...]
    scan: Scan = field(repr=False)
    _axes: Axes = field(default="zyx", repr=False)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the mask on the grid of the scan, and return the path.

        Args:
            path: a new file. `.nii.gz`, `.nii`, `.nrrd`, `.mha` and `.mhd` write a volume with the values 0 and 1; the
                scan needs an affine. `.tif` and `.tiff` write one page for each slice, with the values 0 and 255.
            overwrite: replace an existing file.

        Raises:
            UsageError: the suffix is another one.
            GeometryError: the suffix is a volume format and the scan has no affine.
            OutputExistsError: the file exists and `overwrite` is False.
        """
        from gliomaseg.atomic import new_file, require_free

        target = Path(path)
        volume_suffixes = written_suffixes(FileKind.VOLUME)
        suffix = suffix_of(target)
        if suffix not in (*volume_suffixes, ".tif", ".tiff"):
            known = ", ".join([*volume_suffixes, ".tif", ".tiff"])
            raise UsageError(f"suffix is {suffix or 'missing'}, expected {known}", where=target, cure="use .nii.gz")
        if suffix in volume_suffixes and self.scan.affine is None:
            raise GeometryError("the scan has no affine", where=target, cure="save it as .tif, or give spacing_mm")
        require_free(target, overwrite=overwrite)
        mask = self._zyx(self.mask).astype(np.uint8)
        with new_file(target) as temporary:
            if self.scan.affine is None or suffix in (".tif", ".tiff"):
                write_pages(temporary, mask * np.uint8(255))
            else:
                z, y, x = mask.shape
                write_volume(temporary, mask, Grid((z, y, x), self.scan.affine), description="tumour mask")
        return target

    def to_nibabel(self) -> Any:
        """Return the mask as a nibabel image, uint8, voxel axes x, y, z.

        Raises:
            GeometryError: the scan has no affine.
        """
        import nibabel

        if self.scan.affine is None:
            raise GeometryError("the scan has no affine", where=self.scan.source, cure="give spacing_mm or affine")
        return nibabel.Nifti1Image(self._zyx(self.mask).T.astype(np.uint8), self.scan.affine)

    def _zyx(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.T if self._axes == "xyz" else array


def read_scan(
    path: str | Path,
    *,
    t1: str | Path | None = None,
    t1ce: str | Path | None = None,
    series: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Scan:
    """Return the scan of a file or folder: NIfTI, DICOM, TIFF, PNG or JPEG.

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
    spacing_mm: tuple[float, float, float] | None = None,
    affine: Affine | None = None,
    axes: Axes = "zyx",
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
    flair, order = as_scan(scan)
    others = {MriSequence.T1: t1, MriSequence.T1CE: t1ce}
    given = {name: as_scan(other)[0] for name, other in others.items() if other is not None}
    joined = join_scans(flair, given) if given else flair
    found = _loaded(model).predict(joined)
    millilitres = None
    if joined.affine is not None:
        millilitres = volume_ml(int(np.count_nonzero(found.mask)), affine=joined.affine)
    mask = found.mask.T if order == "xyz" else found.mask
    probability = found.probability.T if order == "xyz" else found.probability
    names = tuple(one.config.name for one in found.models)
    return Segmentation(
        mask, probability, millilitres, found.predicted_dice, found.warnings, names, joined, _axes=order
    )


def evaluate(
    data: str | Path,
    *,
    model: str | Path | ScanPredictor | None = None,
    splits: str | Path | None = None,
    subset: Literal["train", "validation"] = "validation",
    fold: int = 0,
    spacing_mm: tuple[float, float, float] | None = None,
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
    given: ScanLike, *, spacing_mm: tuple[float, float, float] | None, affine: Affine | None, axes: Axes
) -> tuple[Scan, Axes]:
    """Return an input as a scan, and the axis order of its results."""
    if isinstance(given, str | Path):
        _require_no_geometry(spacing_mm, affine, str(given))
        return read_scan(given), "zyx"
    if isinstance(given, Scan):
        _require_no_geometry(spacing_mm, affine, given.source)
        return given, "zyx"
    if hasattr(given, "affine") and hasattr(given, "dataobj"):
        _require_no_geometry(spacing_mm, affine, "nibabel image")
        return _array_scan(np.asarray(given.dataobj), given.affine, "xyz"), "xyz"
    if spacing_mm is not None and affine is not None:
        raise UsageError("spacing_mm and affine are both given", cure="give one of them")
    if spacing_mm is None:
        return _array_scan(np.asarray(given), affine, axes), axes
    z, y, x = spacing_mm
    axial = _array_scan(np.asarray(given), np.diag([-x, -y, z, 1.0]), axes)
    return replace(axial, orientation_assumed=True), axes


def _require_no_geometry(spacing_mm: Any, affine: Any, where: str) -> None:
    if spacing_mm is not None or affine is not None:
        raise UsageError(
            "spacing_mm and affine are only for arrays", where=where, cure="omit them: the file defines its grid"
        )


def _array_scan(array: NDArray[Any], affine: Affine | None, axes: Axes) -> Scan:
    where = "array"
    if axes not in ("zyx", "xyz"):
        raise UsageError(f"axes is {axes!r}, expected 'zyx' or 'xyz'")
    if array.ndim == 4 and axes == "xyz":
        raise GeometryError(f"array shape is {array.shape}, expected (x, y, z)", where=where, cure="select one volume")
    if array.ndim not in (3, 4):
        raise GeometryError(f"array shape is {array.shape}, expected ({', '.join(axes)})", where=where)
    voxels = array.T if axes == "xyz" else array
    voxels = voxels[..., None] if voxels.ndim == 3 else voxels
    if affine is None and voxels.dtype not in (np.uint8, np.uint16):
        raise GeometryError(
            f"array type is {voxels.dtype} and its grid is unknown", where=where, cure="give spacing_mm or affine"
        )
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise GeometryError("array contains NaN or infinity", where=where, cure="replace these voxels")
    matrix = None if affine is None else np.asarray(affine, np.float64)
    return Scan(voxels, where, matrix)
