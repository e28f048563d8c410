"""Measure ways to predict thin slices that are merged: docs/results/other-sources.md.

    python studies/slice_merges.py external

`external` has folders `brats_*` with FLAIR and mask, as for `other_sources.py`. `glioma-flair-stripped` predicts each
patient, and `glioma-flair` predicts each with a painted scalp. The study prints the mean Dice of each way, the gain
over the first merge with its 95 % interval over patients, and how many patients gain.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from changed_scans import with_scalp

from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.metrics.overlap import dice
from gliomaseg.prediction import open_predictor
from gliomaseg.prediction.postprocessing import combine
from gliomaseg.prediction.predictor import Predictor
from gliomaseg.preprocessing import prepare_merges
from gliomaseg.pretrained import find_model

WAYS = {
    "first merge, flip TTA": ((0, True),),
    "shifted merge, flip TTA": ((1, True),),
    "both merges, flip TTA": ((0, True), (1, True)),
    "both merges, flip TTA in the first": ((0, True), (1, False)),
    "both merges, no flip TTA": ((0, False), (1, False)),
}
"""The merges of each way, and whether they have flip TTA."""


def dice_of_ways(case: LoadedCase, predictor: Predictor) -> list[float]:
    """Return the Dice of each way for one patient."""
    merges = prepare_merges(case.scan, predictor.model.config.preprocessing)
    each = {
        (k, flip): predictor._predict_slices(merge, None, flip=flip)[0]  # noqa: SLF001 - `predict` has one of these ways
        for k, merge in enumerate(merges)
        for flip in (True, False)
    }
    masks = [
        predictor.to_mask(combine([each[merge] for merge in way]), voxel_ml=case.scan.voxel_ml) for way in WAYS.values()
    ]
    return [float(dice(reference=case.reference, predicted=mask)) for mask in masks]


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("external", type=Path)
    external = parser.parse_args().external
    found = read_cases(external, DataOptions(layout="brats")).cases
    cases = [read_case(case) for case in found if case.name.startswith("brats")]
    for name, changed in (("glioma-flair-stripped", cases), ("glioma-flair", map(with_scalp, cases))):
        predictor = open_predictor(find_model(Path(name)))
        values = np.array([dice_of_ways(case, predictor) for case in changed])
        for way, column in zip(WAYS, values.T, strict=True):
            gain = column - values[:, 0]
            low, high = bootstrap_interval([np.array([one]) for one in gain])
            sys.stdout.write(
                f"{name}, {way}: {column.mean():.4f} (lowest {column.min():.3f}), gain {gain.mean():+.4f} "
                f"({low:+.4f} to {high:+.4f}), {(gain > 0).sum()} of {len(gain)} gain\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
