"""Fit the limits of the input checks on every other patient, and count right and wrong warnings on the rest.

    OMP_NUM_THREADS=1 python studies/fit_input_checks.py --data lgg --external external

`--write` first replaces the limits in the package with the fitted ones. `external` is described in `other_sources.py`;
with it, the study also counts label maps given as scans, skulls, and the warning about empty masks, with the volumes
of others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

import gliomaseg
from gliomaseg.config import Preprocessing
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.copies import without_skull
from gliomaseg.formats import read_volume
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.image_features import SIDE_PX, SMALL_PX, SMALLEST_PX, image_features, is_skull_stripped
from gliomaseg.prediction.input_checks import BRIGHT_REGION, FILE, SMALL_VOLUME, input_warnings, read_limits
from gliomaseg.preprocessing import display_levels, prepare
from gliomaseg.preprocessing.label_map import is_label_map

SIZES = (128, 192, 256)
SEQUENCES = ("T1 before contrast", "FLAIR", "T1 after contrast")
MARGIN = 1.0  # over the highest score of a FLAIR stack that was fitted
ANSWERS = {True: "without skull", False: "with skull", None: "not decided"}
LGG_MM = (5.5, 215 / 256, 215 / 256)  # approximate spacing of the data set, between slices, rows and columns
Stacks = dict[tuple[str, int], NDArray[np.uint8]]
Checked = tuple[NDArray[Any], NDArray[np.bool_], tuple[float, float, float] | None]
"""Axial FLAIR (z, y, x), the reference mask, and the spacing; None for images."""


def stacks_of(voxels: NDArray[np.uint8]) -> Stacks:
    """Return one patient's stacks (z, size, size) by sequence and size; a missing sequence is a copy of FLAIR."""
    stacks: Stacks = {}
    for channel, name in enumerate(SEQUENCES):
        if name == "FLAIR" or not np.array_equal(voxels[..., channel], voxels[..., 1]):
            for size in SIZES:
                shrunk = [
                    np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR))
                    for plane in voxels[..., channel]
                ]
                stacks[name, size] = np.stack(shrunk)
    return stacks


def fit(patients: list[Stacks]) -> dict[str, Any]:
    """Return the limits: ridge-penalised logistic regression of T1 against FLAIR on standardised pairs of levels."""
    stack_features = [(name, image_features(stack)) for stacks in patients for (name, _size), stack in stacks.items()]
    pairs = np.array([features.pairs for _name, features in stack_features if features])
    t1 = np.array([name != "FLAIR" for name, features in stack_features if features])
    centre, spread = pairs.mean(axis=0), pairs.std(axis=0)
    model = LogisticRegression(C=1.0, max_iter=5000).fit((pairs - centre) / spread, t1)
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - weights @ centre)
    mean, std = pairs[~t1].mean(axis=0), pairs[~t1].std(axis=0)
    distances = np.sqrt((((pairs[~t1] - mean) / std) ** 2).mean(axis=1))
    return {
        "mean": [round(value, 5) for value in mean.tolist()],
        "std": [round(value, 5) for value in std.tolist()],
        "weights": [round(value, 5) for value in weights.tolist()],
        "bias": round(bias, 5),
        "t1_score": round(float((pairs[~t1] @ weights + bias).max()) + MARGIN, 2),
        "distance": round(2 * float(distances.max()), 2),
    }


def count(patients: list[Stacks], title: str) -> None:
    """Print the warnings of the stacks of each sequence and size, and the time for a slice."""
    tally: dict[tuple[str, int], list[str]] = defaultdict(list)
    slices, start = 0, time.process_time()
    for stacks in patients:
        for (name, size), stack in stacks.items():
            slices += len(stack)
            stack_warnings = input_warnings(stack[:, None], Preprocessing(size_px=size, input="flair"))
            tally[name, size].append(stack_warnings[0] if stack_warnings else "")
    cost_ms = 1000 * (time.process_time() - start) / slices
    sys.stdout.write(f"{title}: {cost_ms:.2f} ms a slice\n")
    for (name, size), warnings in sorted(tally.items()):
        kinds = {kind: warnings.count(kind) for kind in sorted(set(warnings)) if kind}
        sys.stdout.write(f"  {name}, {size} px: {sum(kinds.values())} of {len(warnings)} warned {kinds or ''}\n")


def count_t1(patients: list[Stacks], size: int) -> None:
    """Print how often a T1-FLAIR model warns about real T1, and about FLAIR in place of T1."""
    preprocessing = Preprocessing(size_px=size, input="t1_flair")
    right, wrong = [], []
    for stacks in patients:
        if ("T1 before contrast", size) in stacks:
            flair = stacks["FLAIR", size]
            darker = (flair * 0.9).astype(np.uint8)
            wrong.append(
                bool(input_warnings(np.stack([stacks["T1 before contrast", size], flair], axis=1), preprocessing))
            )
            right.append(bool(input_warnings(np.stack([darker, flair], axis=1), preprocessing)))
    sys.stdout.write(
        f"T1 input, {size} px: {sum(wrong)} of {len(wrong)} T1 warned, {sum(right)} of {len(right)} FLAIR warned\n"
    )


def knee(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a drawing of a knee: bright marrow of femur and patella in a leg, shape (20, 256, 256)."""
    y, x = np.mgrid[:256, :256]
    leg = 70 * ((y - 128) ** 2 + (x - 128) ** 2 < 90**2)
    femur = 120 * ((y - 110) ** 2 + (x - 128) ** 2 < 50**2)
    patella = 60 * (((y - 190) / 20) ** 2 + ((x - 128) / 40) ** 2 < 1)
    drawn = leg + femur + patella + generator.normal(0, 6, (20, 256, 256))
    return np.clip(drawn, 0, 255).astype(np.uint8)


def count_others(scans: list[Path]) -> None:
    """Print the warnings for stacks other than FLAIR of patients, for phantoms and for given volumes."""
    generator = np.random.default_rng(0)
    shape = (20, 256, 256)
    others = {
        "black": np.zeros(shape, np.uint8),
        "one grey": np.full(shape, 90, np.uint8),
        "even noise": generator.integers(0, 256, shape, np.uint8),
        "Rayleigh noise": np.clip(generator.rayleigh(30, shape), 0, 255).astype(np.uint8),
        "a drawn knee": knee(generator),
    }
    preprocessing = Preprocessing(size_px=256, input="flair")
    for index in range(5):
        image = phantom_patient(index, side_px=256, slices=20).image
        others[f"phantom {index}, FLAIR"] = image[..., 1]
        if not np.array_equal(image[..., 0], image[..., 1]):
            others[f"phantom {index}, T1 before contrast"] = image[..., 0]
    for file in scans:
        volume: Any = read_volume(file, max_bytes=2**33)
        others[file.name] = prepare(volume.scan, preprocessing).slices[:, 0]
    for name, stack in others.items():
        stack_warnings = input_warnings(stack[:, None], preprocessing)
        sys.stdout.write(f"  {name}: {', '.join(stack_warnings) or 'no warning'}\n")


def count_label_maps(patients: list[LoadedCase], external: Path) -> None:
    """Print how many scans, and how many masks, look like label maps."""
    stacks = [one.scan.voxels[..., 1] for one in patients]
    volumes = [gliomaseg.read_scan(file).voxels[..., 0] for file in sorted(external.glob("*/flair.nii.gz"))]
    labels = [gliomaseg.read_scan(file).voxels[..., 0] for file in sorted(external.glob("*/seg.nii.gz"))]
    pairs = [read_case(case) for case in read_cases(external / "png").cases]
    groups = {
        "LGG stacks": stacks,
        "LGG masks, 0 and 255": [one.reference * np.uint8(255) for one in patients],
        "other FLAIR volumes": volumes,
        "BraTS label maps": labels,
        "BraTS slices": [one.scan.voxels[..., 0] for one in pairs],
    }
    for name, arrays in groups.items():
        sys.stdout.write(f"  {name}: {sum(map(is_label_map, arrays))} of {len(arrays)} warned\n")


def single_slices(voxels: NDArray[Any], reference: NDArray[np.bool_], step: int) -> list[Checked]:
    """Return every `step`-th slice (z, y, x), each as a scan of its own."""
    return [(voxels[k : k + 1], reference[k : k + 1], None) for k in range(0, len(voxels), step)]


def count_mask_warnings(scans: list[Checked], title: str, predictor: ScanPredictor) -> None:
    """Print how often empty masks and small volumes are warned of, with and without tumour in the scan."""
    tally: Counter[tuple[bool, bool]] = Counter()
    small: Counter[tuple[bool, bool]] = Counter()
    for voxels, reference, spacing_mm in scans:
        found = gliomaseg.segment(np.ascontiguousarray(voxels), spacing_mm=spacing_mm, model=predictor)
        if not found.mask.any():
            tally[bool(reference.any()), BRIGHT_REGION in found.warnings] += 1
        elif spacing_mm is not None:
            small[bool(reference.any()), SMALL_VOLUME in found.warnings] += 1
    sys.stdout.write(f"  {title}, {len(scans)} scans\n")
    for has_tumour in (True, False):
        warned, silent = tally[has_tumour, True], tally[has_tumour, False]
        kind = "tumour" if has_tumour else "no tumour"
        sys.stdout.write(f"    empty mask, {kind}: {warned} of {warned + silent} warned\n")
        if small:
            warned, silent = small[has_tumour, True], small[has_tumour, False]
            sys.stdout.write(f"    mask that is not empty, {kind}: small volume {warned} of {warned + silent}\n")


def count_skulls(groups: dict[str, list[Checked]]) -> None:
    """Print how many scans are recognised as with or without skull, or as neither, by the area of the head."""
    for title, scans in groups.items():
        tally: Counter[tuple[int, bool | None]] = Counter()
        for voxels, _, _ in scans:
            features = image_features(stack := display_levels(voxels))
            if features is not None:
                area_px = features.area * SIDE_PX**2
                tally[sum(area_px >= limit for limit in (SMALLEST_PX, SMALL_PX)), is_skull_stripped(stack)] += 1
        for size, area in enumerate(("below 1,000", "1,000 to 3,600", "over 3,600")):
            counts = [f"{tally[size, found]} {name}" for found, name in ANSWERS.items()]
            sys.stdout.write(f"  {title}, head {area} px: {', '.join(counts)}\n")


def groups_of(patients: list[LoadedCase], external: Path) -> dict[str, list[Checked]]:
    """Return the scans with and without skull, as volumes and as single slices, by their title."""
    whole = [(one.scan.voxels[..., 1], one.reference) for one in patients]
    brains = [(without_skull(one).scan.voxels[..., 1], one.reference) for one in patients]
    brats, others = list[Checked](), list[Checked]()
    for file in sorted(external.glob("*/flair.nii.gz")):
        scan, mask = gliomaseg.read_scan(file), file.with_name("seg.nii.gz")
        flair = scan.axial.turn(scan.voxels[..., 0])
        truth = (
            gliomaseg.read_scan(mask).voxels[..., 0] > 0 if mask.is_file() else np.zeros(scan.voxels.shape[:3], bool)
        )
        group = brats if mask.is_file() else others
        group.append((flair, scan.axial.turn(truth), scan.axial.turn_spacing(scan.spacing_mm or (1.0, 1.0, 1.0))))
    pairs = [read_case(case) for case in read_cases(external / "png").cases]
    return {
        "LGG, as volumes": [(voxels, truth, LGG_MM) for voxels, truth in whole],
        "LGG, single slices": [one for voxels, truth in whole for one in single_slices(voxels, truth, 1)],
        "LGG without skull, as volumes": [(voxels, truth, LGG_MM) for voxels, truth in brains],
        "LGG without skull, every second slice": [
            one for voxels, truth in brains for one in single_slices(voxels, truth, 2)
        ],
        "BraTS volumes": brats,
        "BraTS, every third slice": [
            one for voxels, truth, _ in brats for one in single_slices(display_levels(voxels), truth, 3)
        ],
        "BraTS, PNG slices": [(one.scan.voxels[..., 0], one.reference, None) for one in pairs],
        "multiple sclerosis volumes": others,
    }


def count_masks(groups: dict[str, list[Checked]]) -> None:
    """Print the warnings about the masks of the bundled models."""
    predictor = gliomaseg.load_model()
    for title, scans in groups.items():
        count_mask_warnings(scans, title, predictor)


def main() -> None:
    """Fit the limits, write them with `--write`, and count the warnings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scan", type=Path, action="append", default=[], help="Another volume to check.")
    parser.add_argument("--external", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    loaded = [read_case(case) for case in read_cases(arguments.data).cases]
    patients = [stacks_of(one.scan.voxels) for one in loaded]
    if arguments.write:
        FILE.write_text(json.dumps(fit(patients[::2])) + "\n", "utf-8")
        read_limits.cache_clear()
    count(patients[::2], "patients of the fit")
    count(patients[1::2], "test patients")
    count_t1(patients, SIZES[0])
    sys.stdout.write("other inputs\n")
    count_others(arguments.scan)
    if arguments.external is not None:
        sys.stdout.write("label maps\n")
        count_label_maps(loaded, arguments.external)
        groups = groups_of(loaded, arguments.external)
        sys.stdout.write("skull\n")
        count_skulls(groups)
        sys.stdout.write("masks of the bundled models\n")
        count_masks(groups)


if __name__ == "__main__":
    main()
