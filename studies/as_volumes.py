"""Compare the Dice of the images with the Dice of the same scans as NIfTI volumes of other pixel sizes.

    python studies/as_volumes.py crossed crossed-t1 --data lgg --fold 0

prints a Markdown table. FLAIR and, if present, T1 are written as NIfTI with another pixel size and orientation, 12 bits
and noise. Each patient is predicted as in `ensemble.py`, by networks that were not trained on it. Its mask is compared
with the reference on the same grid. The result does not cover scanners that are missing in the data set.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ensemble import patients_with_tumour
from numpy.typing import NDArray
from scipy import ndimage

from gliomaseg.config import Preprocessing
from gliomaseg.data.case import LoadedCase
from gliomaseg.errors import GliomasegError
from gliomaseg.formats import Grid, write_volume
from gliomaseg.inputs.load import load_input
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.metrics.overlap import dice
from gliomaseg.prediction import join_sequences
from gliomaseg.prediction.predict import MAX_BYTES
from gliomaseg.scan import Scan
from gliomaseg.types import Mask

FIELD_MM, SLICE_MM = Preprocessing().fov_mm, 5.5  # of the images of the data set, approximately
PIXELS_MM = (0.56, 0.84, 1.05)
TWELVE_BITS = 15.0  # times 255 is just under 4,096
NOISE = 0.02  # standard deviation as a share of the highest possible value
AS_PICTURES = "original images"


@dataclass(frozen=True)
class Volumes:
    """An examination read back from NIfTI files, and its reference mask on their grid."""

    scan: Scan
    reference: Mask


def resampled(stack: NDArray[np.float32], pixel_mm: float) -> NDArray[np.float32]:
    """Return slices (z, y, x) with pixels of another size; the field of view stays."""
    zoom = FIELD_MM / stack.shape[-1] / pixel_mm
    out: NDArray[np.float32] = ndimage.zoom(stack, (1, zoom, zoom), order=1, grid_mode=True, mode="nearest")
    return out


def write_stack(stack: NDArray[np.float32], pixel_mm: float, path: Path) -> None:
    """Write slices (rows to the back, columns to the left) as a NIfTI file with rows to the front."""
    affine = np.diag([-pixel_mm, pixel_mm, SLICE_MM, 1])
    write_volume(path, stack[:, ::-1].astype(np.int16), Grid(stack.shape, affine), description="image")


def as_volumes(examination: LoadedCase, pixel_mm: float, folder: Path, seed: int) -> Volumes:
    """Write an examination's sequences into a folder, and read them again."""
    generator = np.random.default_rng(seed)
    scan, files = examination.scan, {}
    for name in ("flair", "t1"):
        if name in scan.available:
            stack = scan.voxels[..., scan.sequences.index(name)].astype(np.float32)
            values = resampled(stack, pixel_mm) * TWELVE_BITS
            values += generator.normal(0, NOISE * 255 * TWELVE_BITS, values.shape).astype(np.float32)
            files[name] = folder / f"{name}.nii.gz"
            write_stack(values.clip(0), pixel_mm, files[name])
    reference = resampled(examination.reference.astype(np.float32), pixel_mm) > 0.5
    read = load_input(join_sequences(files["flair"], t1=files.get("t1"), t1ce=None), max_bytes=MAX_BYTES)
    return Volumes(read.scan, reference[:, ::-1])


def score_patients(crossed: Sequence[Path], data: Path, folds: Sequence[int]) -> list[dict[str, float]]:
    """Return the Dice of each patient with tumour: of its images, and of its volumes by pixel size.

    Raises:
        GliomasegError: a cross-validation or the data are missing or damaged, or the folds differ.
    """
    scores: list[dict[str, float]] = []
    for examination, ensemble in patients_with_tumour(crossed, data, folds):
        forms = {AS_PICTURES: Volumes(examination.scan, examination.reference)}
        with tempfile.TemporaryDirectory() as folder:
            for pixel_mm in PIXELS_MM:
                forms[f"{pixel_mm:.2f} mm"] = as_volumes(examination, pixel_mm, Path(folder), len(scores))
            scores.append(
                {
                    name: dice(reference=form.reference, predicted=ensemble.predict(form.scan).mask)
                    for name, form in forms.items()
                }
            )
    return scores


def table(patients: Sequence[dict[str, float]]) -> str:
    """Return the mean Dice for each pixel size, and its loss against the images, as Markdown."""
    lines = ["| pixel size | `dice_volume` | loss (95 % CI) | largest loss of a patient |", "|---|---|---|---|"]
    before = np.array([scores[AS_PICTURES] for scores in patients])
    for name in patients[0]:
        values = np.array([scores[name] for scores in patients])
        lost = before - values
        low, high = bootstrap_interval([np.array([value]) for value in lost])
        numbers = f"{values.mean():.3f} | {lost.mean():.3f} ({low:.3f} to {high:.3f}) | {lost.max():.3f}"
        lines.append(f"| {name} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    """Predict each patient as images and as volumes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crossed", type=Path, nargs="+", help="tuned cross-validations with the same folds")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--fold", type=int, action="append", default=[], help="fold to predict; repeat it for several (default: all)"
    )
    arguments = parser.parse_args()
    try:
        scores = score_patients(arguments.crossed, arguments.data, arguments.fold)
    except GliomasegError as fault:
        parser.exit(fault.exit_code, f"{fault.line()}\n")
    if not scores:
        parser.error("these folds have no patient with tumour")
    sys.stdout.write(table(scores) + "\n")


if __name__ == "__main__":
    main()
