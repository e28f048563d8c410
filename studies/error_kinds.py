"""Measure how much Dice each kind of error costs: correct one kind at a time and score the mask again.

    python studies/error_kinds.py crossed crossed-t1 --data lgg

prints a Markdown table. Each patient is predicted as in `ensemble.py`, by networks that were not trained on it. With
one cross-validation, its own networks predict. Patients without tumour are skipped. Distances are in pixels of the
images. Every wrong pixel has one kind, but Dice is not additive: the gains do not sum to the total loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ensemble import patients_with_tumour
from scipy import ndimage

from gliomaseg.errors import GliomasegError
from gliomaseg.evaluation.dice_estimation import FAILED_BELOW
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.metrics.overlap import dice
from gliomaseg.types import Mask

Where = Callable[[Mask, Mask], Mask]
FAR_PX = 2


def nowhere(reference: Mask, _predicted: Mask) -> Mask:
    """Return an empty selection: the prediction stays as it is."""
    return np.zeros_like(reference)


def empty_slices(reference: Mask, predicted: Mask) -> Mask:
    """Return the slices without tumour."""
    return np.broadcast_to(~reference.any(axis=(1, 2), keepdims=True), predicted.shape)


def missed_slices(reference: Mask, predicted: Mask) -> Mask:
    """Return the slices with tumour and an empty prediction."""
    missed = reference.any(axis=(1, 2), keepdims=True) & ~predicted.any(axis=(1, 2), keepdims=True)
    return np.broadcast_to(missed, predicted.shape)


def border(width_px: int) -> Where:
    """Return a function that selects pixels near the outline of the reference, in slices where no mask is empty.

    A pixel is near if the distance to a pixel on the other side of the outline is at most `width_px`. The edge of the
    image is not an outline.
    """
    disc = (np.hypot(*np.mgrid[-width_px : width_px + 1, -width_px : width_px + 1]) <= width_px)[None]

    def near(reference: Mask, predicted: Mask) -> Mask:
        close = ndimage.binary_dilation(reference, disc) & ~ndimage.binary_erosion(reference, disc, border_value=1)
        return close & predicted.any(axis=(1, 2), keepdims=True)

    return near


def missed_far(reference: Mask, predicted: Mask) -> Mask:
    """Return missed tumour farther than two pixels from the outline, in slices where no mask is empty."""
    return reference & ~missed_slices(reference, predicted) & ~border(FAR_PX)(reference, predicted)


def false_far(reference: Mask, predicted: Mask) -> Mask:
    """Return false positives farther than two pixels from the outline, in slices where no mask is empty."""
    return ~reference & ~empty_slices(reference, predicted) & ~border(FAR_PX)(reference, predicted)


KINDS: dict[str, Where] = {
    "none": nowhere,
    "tumour-free slices": empty_slices,
    "tumour slices with an empty prediction": missed_slices,
    "other slices, within 1 pixel of the reference outline": border(1),
    "other slices, within 2 pixels": border(FAR_PX),
    "other slices, within 3 pixels": border(3),
    "other slices, farther than 2 pixels: false negatives": missed_far,
    "other slices, farther than 2 pixels: false positives": false_far,
}


def mended(reference: Mask, predicted: Mask) -> dict[str, float]:
    """Return the Dice of a prediction after the correction of each kind of error.

    Args:
        reference: shape (z, y, x), with tumour.
        predicted: the same shape.
    """
    return {
        kind: dice(reference=reference, predicted=np.where(where(reference, predicted), reference, predicted))
        for kind, where in KINDS.items()
    }


def table(patients: Sequence[Mapping[str, float]]) -> str:
    """Return mean, 95 % confidence interval and median for each kind of error, as Markdown."""
    lines = ["| corrected errors | `dice_volume` (95 % CI) | median | below 0.70 |", "|---|---|---|---|"]
    for kind in KINDS:
        values = np.array([scores[kind] for scores in patients])
        low, high = bootstrap_interval([np.array([value]) for value in values])
        numbers = f"{values.mean():.3f} ({low:.3f} to {high:.3f}) | {np.median(values):.3f}"
        lines.append(f"| {kind} | {numbers} | {(values < FAILED_BELOW).sum()} |")
    return "\n".join(lines)


def score_patients(crossed: Sequence[Path], data: Path) -> list[dict[str, float]]:
    """Return the Dice of each patient with tumour, by kind of corrected error.

    Raises:
        GliomasegError: a cross-validation or the data are missing or damaged, or the folds differ.
    """
    return [
        mended(examination.reference, ensemble.predict(examination.scan).mask)
        for examination, ensemble in patients_with_tumour(crossed, data)
    ]


def main() -> None:
    """Predict each patient, correct each kind of error in its mask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crossed", type=Path, nargs="+", help="tuned cross-validations with the same folds")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        scores = score_patients(arguments.crossed, arguments.data)
    except GliomasegError as fault:
        parser.exit(fault.exit_code, f"{fault.line()}\n")
    sys.stdout.write(table(scores) + "\n")


if __name__ == "__main__":
    main()
