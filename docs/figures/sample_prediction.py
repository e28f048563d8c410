"""Draw `output.png`, the picture of the README: patients that a run has not trained on.

    python docs/figures/sample_prediction.py --data phantoms --run picture --out output.png

Each row is the slice with the largest tumour, cut to the head and brightened.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from gliomaseg import overlays
from gliomaseg.data.case import Case, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import read_splits, select
from gliomaseg.metrics import overlap
from gliomaseg.prediction import Predictor, open_predictor
from gliomaseg.types import Pixels

ROWS = 4
MARGIN_PX = 6
COLUMNS = ("input MRI (FLAIR)", "ground truth", "prediction", "blue: ground truth, orange: prediction")


def row_of(case: Case, predictor: Predictor) -> tuple[list[Pixels], str]:
    """Return the pictures of one patient, and the line under them."""
    examination = read_case(case)
    predicted = predictor.mask(examination.scan)
    k = int(examination.reference.sum(axis=(1, 2)).argmax())
    flair = overlays.grey(examination.scan.voxels[k])
    head = square_around(flair > 20)
    bright = np.clip(flair[head] * (255 / np.percentile(flair[head], 99.5)), 0, 255).astype(np.uint8)
    reference, found = examination.reference[k][head], predicted[k][head]
    grey = np.repeat(bright[..., None], 3, axis=2)
    both = overlays.overlay(bright[..., None], reference=reference, predicted=found)
    counts = overlap.count_slices(reference=examination.reference, predicted=predicted)
    of_slice = overlap.dice(reference=examination.reference[k], predicted=predicted[k])
    note = (
        f"{case.name}, slice {case.slices[k].number}: Dice of this slice {of_slice:.3f}, "
        f"of the whole stack {overlap.dice_volume(counts):.3f}"
    )
    return [grey, overlays.white(reference), overlays.white(found), both], note


def square_around(head: np.ndarray) -> tuple[slice, slice]:
    """Return the smallest square that holds a head, with a margin."""
    rows, columns = (np.flatnonzero(head.any(axis=axis)) for axis in (1, 0))
    half = max(rows[-1] - rows[0], columns[-1] - columns[0]) // 2 + MARGIN_PX
    spans = []
    for places, length in ((rows, head.shape[0]), (columns, head.shape[1])):
        start = int(np.clip((places[0] + places[-1]) // 2 - half, 0, max(0, length - 2 * half)))
        spans.append(slice(start, start + 2 * half))
    return spans[0], spans[1]


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--run", "--out"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    predictor = open_predictor(arguments.run)
    fold = read_splits(arguments.run / "splits.json").folds[0]
    cases = select(read_cases(arguments.data), fold.validation)[:ROWS]
    rows, notes = zip(*(row_of(case, predictor) for case in cases), strict=True)
    sheet = overlays.panel(rows, columns=COLUMNS, notes=notes, title="Phantom patients that the network has not seen")
    sheet.save(arguments.out, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
