"""Measure models on scans of other sources: docs/results/other-sources.md.

    python studies/other_sources.py --lgg lgg --external external --out other-sources glioma-flair RUN ...

`external` has folders `brats_*` with FLAIR and mask, folders `ms_*` with FLAIR of heads without a tumour, and `png`
with single slices in the layout `pairs`. The patients of `lgg` are also measured without skull: `gliomaseg` finds the
brain of each and sets everything else to 0. For each model and data set, the study prints mean, median, lowest value
and the number of patients below 0.70, or the volume that was found where there is no tumour.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import gliomaseg
from gliomaseg.data.case import Case, LoadedCase, read_case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.scoring import ScoreGrid, score_case
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.prediction import open_predictor
from gliomaseg.prediction.mask_statistics import measure_mask
from gliomaseg.prediction.predictor import Predictor
from gliomaseg.preprocessing import brain_mask
from gliomaseg.pretrained import find_model


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


def without_skull(loaded: LoadedCase) -> LoadedCase:
    """Return a case of 8-bit slices whose scan is 0 outside the brain, in all sequences."""
    scan = loaded.scan
    brain = brain_mask(scan.voxels[..., scan.flair_index], keep=loaded.reference)
    return replace(loaded, scan=replace(scan, voxels=scan.voxels * brain[..., None]))


def dice_of(cases: Sequence[Case], predictor: Predictor, *, stripped: bool = False) -> dict[str, float]:
    """Return `dice_volume` of each case."""
    values = {}
    for case in cases:
        loaded = without_skull(read_case(case)) if stripped else read_case(case)
        predicted = predictor.predict(loaded.scan).mask
        row = score_case(loaded, probability=None, predicted=predicted, grid=ScoreGrid()).scores
        values[case.name] = row.dice_volume or 0.0
        say(f"{case.name} {values[case.name]:.3f}")
    return values


def slice_dice_of(cases: Sequence[Case], predictor: Predictor) -> dict[str, float]:
    """Return the Dice of each single slice, predicted alone."""
    values = {}
    for case in cases:
        for one in case.slices:
            alone = replace(case, slices=(one,))
            values[f"{case.name}/{one.number}"] = next(iter(dice_of([alone], predictor).values()))
    return values


def volumes_of(folders: Sequence[Path], predictor: Predictor) -> dict[str, float]:
    """Return the volume in ml that is found in heads without a tumour."""
    found = {}
    for folder in folders:
        scan = gliomaseg.read_scan(folder)
        found[folder.name] = measure_mask(predictor.predict(scan).mask, scan).tumour_volume_ml or 0.0
        say(f"{folder.name} {found[folder.name]:.1f} ml")
    return found


def text_of(values: dict[str, float]) -> str:
    """Return mean with interval, median, lowest value and the number below 0.70."""
    numbers = np.array(list(values.values()))
    low, high = bootstrap_interval([np.array([value]) for value in numbers])
    return (
        f"{numbers.mean():.3f} ({low:.3f} to {high:.3f}), median {np.median(numbers):.3f}, lowest {numbers.min():.3f}, "
        f"{(numbers < 0.7).sum()} of {len(numbers)} below 0.70, {(numbers == 0).sum()} are 0"
    )


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--lgg", type=Path)
    parser.add_argument("--external", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    external = arguments.external
    brats = [case for case in read_cases(external, DataOptions(layout="brats")).cases if case.name.startswith("brats")]
    slices = read_cases(external / "png").cases
    for name in arguments.models:
        predictor = open_predictor(find_model(Path(name)))
        results = {
            "c: stripped volumes": dice_of(brats, predictor),
            "d: stripped single slices": slice_dice_of(slices, predictor),
        }
        volumes = volumes_of(sorted(external.glob("ms_*")), predictor)
        if arguments.lgg is not None:
            lgg = read_cases(arguments.lgg).cases
            results["a: LGG"] = dice_of(lgg, predictor)
            results["b: LGG without skull"] = dice_of(lgg, predictor, stripped=True)
        lines = [f"{key}: {text_of(values)}" for key, values in sorted(results.items())]
        lines.append("e: without tumour: " + ", ".join(f"{volume:.1f} ml" for volume in volumes.values()))
        sys.stdout.write("\n".join([name, *lines, ""]))
        file = arguments.out / f"{Path(name).name}.json"
        file.write_text(json.dumps({**results, "e: ml without tumour": volumes}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
