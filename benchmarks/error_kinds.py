"""Where Dice is lost: masks in which one kind of error at a time is mended by the reference, and what they then score.

    python benchmarks/error_kinds.py crossed crossed-t1 --data lgg

prints Markdown. Each patient is predicted as in `ensemble.py`, by networks that have not seen it; of one
cross-validation alone by its own. Lengths are in pixels of the data set's pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ensemble import fold_ensembles, read_tuned, say
from scipy import ndimage

from gliomaseg.arrays import Mask
from gliomaseg.data.examination import read_examination
from gliomaseg.metrics.interval import bootstrap_interval
from gliomaseg.metrics.overlap import dice

Mend = Callable[[Mask, Mask], Mask]
TOUCHING = np.ones((3, 3, 3), bool)


def as_it_is(_reference: Mask, predicted: Mask) -> Mask:
    """Return the prediction."""
    return predicted


def empty_slices(reference: Mask, predicted: Mask) -> Mask:
    """Return the prediction without what it has in slices that have no tumour."""
    return predicted & reference.any(axis=(1, 2), keepdims=True)


def missed_slices(reference: Mask, predicted: Mask) -> Mask:
    """Return the prediction with the reference where a slice has tumour and nothing was found."""
    return np.where(predicted.any(axis=(1, 2), keepdims=True), predicted, reference)


def false_pieces(reference: Mask, predicted: Mask) -> Mask:
    """Return the prediction without pieces that touch no tumour."""
    pieces, _ = ndimage.label(predicted, TOUCHING)
    return predicted & np.isin(pieces, np.unique(pieces[reference & predicted]))


def missed_pieces(reference: Mask, predicted: Mask) -> Mask:
    """Return the prediction with those pieces of the reference of which it has nothing."""
    pieces, _ = ndimage.label(reference, TOUCHING)
    return predicted | (reference & ~np.isin(pieces, np.unique(pieces[reference & predicted])))


def border(width: int) -> Mend:
    """Return what takes the reference within `width` pixels of its outline, in each slice."""
    disc = np.hypot(*np.mgrid[-width : width + 1, -width : width + 1])[None] <= width

    def mended(reference: Mask, predicted: Mask) -> Mask:
        near = ndimage.binary_dilation(reference, disc) & ~ndimage.binary_erosion(reference, disc, border_value=1)
        return np.where(near, reference, predicted)

    return mended


KINDS: dict[str, Mend] = {
    "as it is": as_it_is,
    "slices without tumour are empty": empty_slices,
    "pieces that touch no tumour are gone": false_pieces,
    "pieces of tumour of which nothing is found are there": missed_pieces,
    "slices of tumour in which nothing is found are right": missed_slices,
    "right within 1 pixel of the reference's outline": border(1),
    "right within 2 pixels": border(2),
    "right within 3 pixels": border(3),
}


def table(scores: dict[str, list[float]]) -> str:
    """Return the mean over patients of each kind, with its interval, and the median, as Markdown."""
    lines = ["| what is mended | `dice_volume` (95 % interval) | median | below .7 |", "|---|---|---|---|"]
    for kind, values in scores.items():
        low, high = bootstrap_interval([np.array([value]) for value in values])
        mean, median = np.mean(values), np.median(values)
        interval = f"({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
        lines.append(f"| {kind} | {mean:.3f} {interval} | {median:.3f} | {sum(value < 0.7 for value in values)} |")
    return "\n".join(lines).replace(" 0.", " .").replace("(0.", "(.")


def main() -> None:
    """Predict every patient, mend its mask in each way, and print what comes out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crossed", type=Path, nargs="+", help="cross-validations with the same folds, tuned")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    scores: dict[str, list[float]] = {kind: [] for kind in KINDS}
    try:
        documents = read_tuned(arguments.crossed)
        for number, cases, ensemble in fold_ensembles(arguments.crossed, documents, arguments.data):
            say(f"fold {number}")
            for case in cases:
                examination = read_examination(case)
                predicted, reference = ensemble.predict(examination.scan).mask, examination.reference
                for kind, mend in KINDS.items():
                    scores[kind].append(dice(reference=reference, predicted=mend(reference, predicted)))
    except ValueError as fault:
        parser.error(str(fault))
    sys.stdout.write(table(scores) + "\n")


if __name__ == "__main__":
    main()
