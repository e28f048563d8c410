"""Measure the time of all measures of 22 patients on one core, without reading and prediction.

The prediction is the reference, made thinner and moved, with a false lesion: every measure has work to do.

    taskset -c 0 python studies/measures_cost.py --data lgg
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation import EvaluationSetting, ScoreGrid, assemble
from gliomaseg.evaluation.scoring import score_case
from gliomaseg.types import Mask, Probability

PATIENTS = 22
GRID = ScoreGrid((5.5, 0.9, 0.9))


def plausible(reference: Mask, generator: np.random.Generator) -> tuple[Probability, Mask]:
    """Return a prediction that is wrong in several ways: probabilities and their mask."""
    thinner = ndimage.binary_erosion(reference, structure=np.ones((1, 3, 3)))
    mask = np.roll(thinner, 2, axis=2)
    mask[2:4, 20:26, 200:208] = True
    soft = ndimage.gaussian_filter(mask.astype(np.float32), (0, 2, 2))
    noise = 0.002 * generator.random(mask.shape, dtype=np.float32)
    return np.clip(soft + noise, 0, 1).astype(np.float32), mask


def main() -> None:
    """Print patients, slices and seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    measured, slices, seconds = [], 0, 0.0
    for case in read_cases(arguments.data).cases[:PATIENTS]:
        loaded = read_case(case)
        reference = loaded.reference
        probability, predicted = plausible(reference, generator)
        slices += len(reference)
        start = time.process_time()
        measured.append(score_case(loaded, probability=probability, predicted=predicted, grid=GRID))
        seconds += time.process_time() - start
    start = time.process_time()
    assemble(measured, setting=EvaluationSetting(), grid=GRID, seconds=seconds)
    summary_s = time.process_time() - start
    sys.stdout.write(
        f"{len(measured)} patients, {slices} slices: {seconds:.2f} s, and {summary_s:.2f} s for intervals\n"
    )


if __name__ == "__main__":
    main()
