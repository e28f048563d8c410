"""Correct masks with simulated strokes, and measure the gain: docs/results/scribbles.md.

    gliomaseg split lgg --folds 2 --out two.json
    gliomaseg train residual_unet_quick --data lgg --splits two.json --fold 0 --out quick-0
    gliomaseg train residual_unet_quick --data lgg --splits two.json --fold 1 --out quick-1
    python studies/scribbles.py quick-0 quick-1 --data lgg --out scribbles

Each run predicts its validation patients. A stroke is drawn through the largest wrong region of all slices: a line
along the region's longest axis, through the pixel that is farthest from its outline. Its width is 3 pixels, and its
length at most 31. It marks tumour in a missed region, and other tissue in a false one. After each stroke, the mask is
computed again from all strokes so far. The comparison paints the pixels of its own strokes in the mask, and changes no
others. No step is random. `scribbles/outcomes.json` has the numbers of each patient.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from gliomaseg.atomic import write_text
from gliomaseg.correction import graph_cut
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import GliomasegError
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.metrics.overlap import dice
from gliomaseg.prediction import open_predictor
from gliomaseg.types import Mask, Probability

STROKES = (1, 3, 5)
HALF_LENGTH_PX, HALF_WIDTH_PX = 15, 1
WORST = 10


@dataclass(frozen=True)
class Stroke:
    """The voxels of a stroke, bool (z, y, x), and whether it marks tumour."""

    voxels: Mask
    is_tumour: bool


@dataclass
class Outcome:
    """Dice of one patient before the strokes and after each one, and the processor time of each computation."""

    patient: str
    run: str
    before: float
    cut: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def next_stroke(mask: Mask, reference: Mask) -> Stroke | None:
    """Return a stroke through the largest wrong region of a slice; None if no voxel is wrong."""
    largest, where, is_tumour = 0, (0, np.zeros(mask.shape[1:], bool)), True
    for z in np.flatnonzero((mask != reference).any(axis=(1, 2))):
        for tumour, wrong in ((True, reference[z] & ~mask[z]), (False, mask[z] & ~reference[z])):
            labelled, count = ndimage.label(wrong)
            areas = np.bincount(labelled.ravel(), minlength=2)[1:]
            if count and areas.max() > largest:
                largest, where, is_tumour = int(areas.max()), (int(z), labelled == areas.argmax() + 1), tumour
    if not largest:
        return None
    voxels = np.zeros(mask.shape, bool)
    voxels[where[0]] = line_through(where[1])
    return Stroke(voxels, is_tumour)


def line_through(region: Mask) -> Mask:
    """Return the pixels of a region (y, x) on a thick line along its longest axis, through its innermost pixel."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    centre = np.array(np.unravel_index(depth.argmax(), region.shape))
    points = np.argwhere(region)
    axis = np.linalg.eigh(np.cov(points.T))[1][:, -1] if len(points) > 1 else np.array([0.0, 1.0])
    line = np.zeros(region.shape, bool)
    for sign in (1, -1):
        for step in range(HALF_LENGTH_PX + 1):
            y, x = np.rint(centre + sign * step * axis).astype(int).tolist()
            if not (0 <= y < region.shape[0] and 0 <= x < region.shape[1] and region[y, x]):
                break
            line[y, x] = True
    return ndimage.binary_dilation(line, np.ones((2 * HALF_WIDTH_PX + 1,) * 2, bool)) & region


def correct(loaded: LoadedCase, probability: Probability, before: Mask, outcome: Outcome) -> None:
    """Draw strokes on one patient, and append the Dice after each one."""
    image, reference = loaded.scan.voxels[..., loaded.scan.flair_index], loaded.reference
    mask, painted = before.copy(), before.copy()
    drawn = {True: np.zeros_like(before), False: np.zeros_like(before)}
    for _ in range(max(STROKES)):
        if stroke := next_stroke(mask, reference):
            drawn[stroke.is_tumour] |= stroke.voxels
            start = time.process_time()
            mask = graph_cut(
                image,
                probability,
                tumour_strokes=drawn[True],
                other_strokes=drawn[False],
                previous_mask=mask,
                spacing_mm=loaded.scan.spacing_mm,
            )
            outcome.seconds.append(time.process_time() - start)
        if stroke := next_stroke(painted, reference):
            painted[stroke.voxels] = stroke.is_tumour
        outcome.cut.append(dice(reference=reference, predicted=mask))
        outcome.painted.append(dice(reference=reference, predicted=painted))


def measure(runs: Sequence[Path], data: Path) -> Iterator[Outcome]:
    """Yield the outcome of each patient with tumour, predicted by the run that was not trained on this patient.

    Raises:
        GliomasegError: a run or a scan is missing or damaged.
    """
    cases = {case.name: case for case in read_cases(data).cases}
    for run in runs:
        predictor = open_predictor(run)
        for row in read_evaluation(run / "model").patients:
            loaded = read_case(cases[row.case])
            if loaded.reference.any():
                found = predictor.predict(loaded.scan)
                before = dice(reference=loaded.reference, predicted=found.mask)
                outcome = Outcome(row.case, run.resolve().name, before)
                correct(loaded, found.probability, found.mask, outcome)
                yield outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the mean Dice before and after strokes, of all patients, of the worst ten, and of each run's, as Markdown.

    A cell has the Dice with the graph cut, with painted pixels in brackets, and how many patients became worse.
    """
    groups = {f"all {len(outcomes)}": list(outcomes)}
    groups |= {run: [row for row in outcomes if row.run == run] for run in sorted({row.run for row in outcomes})}
    lines = [
        f"| patients | before | {' | '.join(f'{count} stroke' + 's' * (count > 1) for count in STROKES)} |",
        "|---" * (2 + len(STROKES)) + "|",
    ]
    for name, rows in groups.items():
        worst = sorted(rows, key=lambda row: row.before)[:WORST]
        lines += [_line(name, rows), _line(f"{name}: worst {len(worst)}", worst)]
    return "\n".join(lines)


def _line(name: str, rows: Sequence[Outcome]) -> str:
    cells = [f"{np.mean([row.before for row in rows]):.3f}"]
    for count in STROKES:
        cut, painted = (np.mean([getattr(row, kind)[count - 1] for row in rows]) for kind in ("cut", "painted"))
        worse = sum(row.cut[count - 1] < row.before for row in rows)
        cells.append(f"{cut:.3f} ({painted:.3f}), {worse} worse")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Correct all patients, write the outcomes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="trainings; each is measured on its validation patients")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for outcomes.json")
    arguments = parser.parse_args()
    outcomes = []
    try:
        for outcome in measure(arguments.runs, arguments.data):
            sys.stderr.write(f"{outcome.patient} {outcome.before:.3f} {outcome.cut[-1]:.3f}\n")
            outcomes.append(outcome)
        arguments.out.mkdir(parents=True, exist_ok=True)
        document = json.dumps([asdict(outcome) for outcome in outcomes], indent=1)
        write_text(arguments.out / "outcomes.json", document + "\n")
    except GliomasegError as fault:
        parser.exit(fault.exit_code, f"{fault.line()}\n")
    seconds = [value for outcome in outcomes for value in outcome.seconds]
    sys.stdout.write(f"{table(outcomes)}\n\n")
    sys.stdout.write(f"processor time of a cut: median {np.median(seconds):.2f} s, largest {max(seconds):.2f} s\n")


if __name__ == "__main__":
    main()
