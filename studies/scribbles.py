"""Correct masks with simulated strokes, and measure what they gain: docs/results/scribbles.md.

    gliomaseg split lgg --folds 2 --out two.json
    gliomaseg train residual_unet_quick --data lgg --splits two.json --fold 0 --out quick-0
    gliomaseg train residual_unet_quick --data lgg --splits two.json --fold 1 --out quick-1
    python studies/scribbles.py quick-0 quick-1 --data lgg --out scribbles

Each run predicts the patients of its validation side. A stroke goes through the largest wrong region of all slices,
as a person would draw it: a line 3 pixels wide and at most 30 long, along the region's longest axis, through the pixel
that is farthest from its outline. It says "tumour" in a missed region and "not tumour" in a wrongly marked one. Then
the mask is computed again from all strokes so far. For comparison, the strokes' pixels alone are changed in the mask.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliomaseg.correction import graph_cut
from gliomaseg.correction.graph_cut import CutSettings
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.prediction import open_predictor

STROKES = (1, 3, 5)
HALF_LENGTH_PX, HALF_WIDTH_PX = 15, 1
WORST = 10
Mask = NDArray[np.bool_]


@dataclass
class Outcome:
    """Dice before any stroke, and after each one, with the graph cut and with the painted pixels alone."""

    before: float
    cut: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def dice(one: Mask, other: Mask) -> float:
    """Return the Dice of two masks, 1 if both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def next_stroke(mask: Mask, reference: Mask) -> tuple[Mask, bool]:
    """Return the voxels of a stroke through the largest wrong region, and whether it says "tumour"."""
    best = (0, 0, np.zeros(mask.shape[1:], bool), True)
    for z in np.flatnonzero((mask != reference).any(axis=(1, 2))):
        for wrong, is_tumour in ((reference[z] & ~mask[z], True), (mask[z] & ~reference[z], False)):
            labelled, count = ndimage.label(wrong)
            if not count:
                continue
            areas = np.bincount(labelled.ravel())[1:]
            if areas.max() > best[0]:
                best = (int(areas.max()), int(z), labelled == areas.argmax() + 1, is_tumour)
    stroke = np.zeros(mask.shape, bool)
    if best[0]:
        stroke[best[1]] = line_through(best[2])
    return stroke, best[3]


def line_through(region: Mask) -> Mask:
    """Return a line along the longest axis of a region (y, x), through its innermost pixel; inside the region only."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    centre = np.array(np.unravel_index(depth.argmax(), region.shape))
    points = np.argwhere(region) - np.argwhere(region).mean(axis=0)
    _, _, axes = np.linalg.svd(points, full_matrices=False) if len(points) > 1 else (0, 0, np.eye(2))
    line = np.zeros(region.shape, bool)
    for sign in (1, -1):
        for step in range(HALF_LENGTH_PX + 1):
            y, x = np.rint(centre + sign * step * axes[0]).astype(int)
            if not (0 <= y < region.shape[0] and 0 <= x < region.shape[1]) or not region[y, x]:
                break
            line[
                max(0, y - HALF_WIDTH_PX) : y + HALF_WIDTH_PX + 1, max(0, x - HALF_WIDTH_PX) : x + HALF_WIDTH_PX + 1
            ] = True
    return line & region


def correct(case: LoadedCase, probability: NDArray[np.float32], before: Mask, settings: CutSettings) -> Outcome:
    """Return what up to five strokes gain on one case."""
    reference = np.asarray(case.reference).astype(bool)
    image = case.scan.voxels[..., case.scan.flair_index].astype(np.float32)
    outcome = Outcome(dice(before, reference))
    mask, painted = before.copy(), before.copy()
    tumour, other = np.zeros_like(before), np.zeros_like(before)
    for _ in range(max(STROKES)):
        stroke, is_tumour = next_stroke(mask, reference)
        (tumour if is_tumour else other)[stroke] = True
        start = time.perf_counter()
        mask = graph_cut(
            image,
            probability,
            tumour_strokes=tumour,
            other_strokes=other,
            previous_mask=mask,
            spacing_mm=case.scan.spacing_mm,
            settings=settings,
        )
        outcome.seconds.append(time.perf_counter() - start)
        painted_stroke, painted_is_tumour = next_stroke(painted, reference)
        painted[painted_stroke] = painted_is_tumour
        outcome.cut.append(dice(mask, reference))
        outcome.painted.append(dice(painted, reference))
    return outcome


def predictions(runs: list[Path], data: Path, out: Path) -> dict[str, tuple[LoadedCase, Path]]:
    """Predict each case with the run that has not seen it; return the case and the file of its arrays."""
    cases = {case.name: case for case in read_cases(data).cases}
    found = {}
    for run in runs:
        predictor = None
        for row in read_evaluation(run / "model").patients:
            file = out / f"{row.case}.npz"
            loaded = read_case(cases[row.case])
            if not file.is_file():
                predictor = predictor or open_predictor(run)
                predicted = predictor.predict(loaded.scan)
                np.savez_compressed(file, probability=predicted.probability.astype(np.float16), mask=predicted.mask)
            found[row.case] = (loaded, file)
    return found


def table(outcomes: dict[str, Outcome]) -> str:
    """Return mean Dice before and after the strokes, for all cases and for the worst ten."""
    worst = sorted(outcomes, key=lambda name: outcomes[name].before)[:WORST]
    lines = []
    for title, names in ((f"all {len(outcomes)}", list(outcomes)), (f"worst {len(worst)}", worst)):
        rows = [outcomes[name] for name in names]
        line = [f"{title}: before {np.mean([row.before for row in rows]):.3f}"]
        for count in STROKES:
            cut = np.array([row.cut[count - 1] for row in rows])
            painted = np.mean([row.painted[count - 1] for row in rows])
            worse = int(np.sum(cut < [row.before for row in rows]))
            line.append(f"{count} strokes {cut.mean():.3f} (painted {painted:.3f}, {worse} worse)")
        lines.append("; ".join(line))
    seconds = [value for row in outcomes.values() for value in row.seconds]
    lines.append(f"seconds: median {np.median(seconds):.2f}, largest {max(seconds):.2f}")
    return "\n".join(lines)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help="weights of the graph, as JSON")
    parser.add_argument(
        "--part", choices=("even", "odd"), help="every second patient: to choose the weights on one half"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = CutSettings(**arguments.settings)
    found = predictions(arguments.runs, arguments.data, arguments.out)
    names = sorted(found)
    if arguments.part:
        names = names[0 if arguments.part == "even" else 1 :: 2]
    outcomes = {}
    for name in names:
        loaded, file = found[name]
        with np.load(file) as arrays:
            probability, mask = arrays["probability"].astype(np.float32), arrays["mask"]
        outcomes[name] = correct(loaded, probability, mask, settings)
        sys.stderr.write(f"{name} {outcomes[name].before:.3f} {outcomes[name].cut[-1]:.3f}\n")
    sys.stdout.write(table(outcomes) + "\n")
    document = {name: vars(outcome) for name, outcome in outcomes.items()}
    (arguments.out / "outcomes.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
