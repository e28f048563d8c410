"""One case of a data set, read and measured for the audit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import (
    SCAN_SEQUENCES,
    Case,
    LoadedCase,
    Volumes,
    read_case,
    read_slice_values,
    stack_slices,
    with_sequences,
)
from gliomaseg.data.case_list import Problem
from gliomaseg.data.masks import count_values, mask_of_labels
from gliomaseg.data.split_features import Turn, axial_flair, image_digest, is_near_black
from gliomaseg.errors import GliomasegError, InputError, ResourceError
from gliomaseg.metrics import volume_ml
from gliomaseg.preprocessing.intensity import DISPLAY_LEVEL, image_levels
from gliomaseg.preprocessing.label_map import LABEL_MAP, is_label_map
from gliomaseg.scan import Scan
from gliomaseg.types import Mask, Pixels, Sequence

TOP_SHARE, HEAD_FRACTION = 0.995, 0.1  # voxels below a tenth of the 99.5 percentile are background
COMPARED_SLICES = 8  # by the check for label maps


@dataclass
class CaseFindings:
    """The contents of one case; the numbers are of the files that could be read.

    Attributes:
        case: its name.
        near_black_slices: slices with 99 % of their values at most 10 of 255.
        shape: slices, rows and columns as stored (z, y, x); None if no file could be read.
        spacing_mm: between voxel centres along z, y, x; None without an affine.
        orientation: directions of x, y and z, such as LPS; None if the files do not define them.
        sequences: of the case. A channel of an RGB slice that equals FLAIR counts as missing.
        is_grey: whether it has slices of one channel, which are taken as FLAIR.
        intensities: the lowest and the highest value of each sequence.
        labels: how many voxels of the mask have each value, before `--labels`.
        head_share: share of the bright voxels, the head, that the mask covers, 0 to 1.
        outside_head_share: share of the mask that lies on the dark background, 0 to 1.
        largest_slice_share: the largest share of one axial slice that the mask covers, 0 to 1.
        tumour_ml: None without an affine.
        problems: make training unsafe.
        warnings: may be right.
    """

    case: str
    patient: str
    site: str
    date: str | None
    slices: int = 0
    tumour_slices: int = 0
    near_black_slices: int = 0
    shape: list[int] | None = None
    spacing_mm: list[float] | None = None
    orientation: str | None = None
    sequences: list[str] = field(default_factory=list)
    is_grey: bool = False
    intensities: dict[str, list[float]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    voxels: int = 0
    tumour_voxels: int = 0
    head_share: float = 0.0
    outside_head_share: float = 0.0
    largest_slice_share: float = 0.0
    tumour_ml: float | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class ShownSlice:
    """The axial slice of a case that shows the most tumour, or without tumour the most of the head.

    Attributes:
        image: FLAIR, the 99.5 percentile of the case at level 220: uint8, shape (y, x).
        mask: bool, same shape.
        number: in the volume, from 1; of slices in files of their own, the number in the file's name.
        slices: how many the volume has; None for slices in files of their own.
        pixel_mm: height and width of a pixel; 1 and 1 without an affine.
    """

    image: Pixels
    mask: Mask
    number: int
    slices: int | None
    pixel_mm: tuple[float, float]


@dataclass(frozen=True)
class PlacedDigest:
    """The hash of one slice, how it was turned for it, and the name of the slice, or of the case if it has volumes."""

    digest: bytes
    turn: Turn
    where: str


@dataclass
class ExaminedCase:
    """A case's findings, the slice to show (None if no file could be read), and the hashes of its slices."""

    case: Case
    findings: CaseFindings
    shown: ShownSlice | None = None
    digests: list[PlacedDigest] = field(default_factory=list)


@dataclass(frozen=True)
class _Stack:
    """Slices of one size and kind; `names` and `numbers` of each."""

    scan: Scan
    reference: Mask
    names: list[str]
    numbers: list[int]


def examine_case(case: Case) -> ExaminedCase:
    """Read a case and return its contents. A file that cannot be used is a problem in them.

    Raises:
        MissingExtraError: the case needs an extra that is not installed.
    """
    examined = ExaminedCase(case, CaseFindings(case.name, case.patient, case.site, case.date))
    findings = examined.findings
    findings.warnings += _gaps(case)
    stacks = list(_read_slices(case, findings) if case.volumes is None else _read_volumes(case, case.volumes, findings))
    for stack in sorted(stacks, key=lambda stack: len(stack.numbers)):  # the longest stack is shown
        _examine_stack(stack, examined)
    if case.volumes is None and stacks:
        _compare_channels(stacks, findings)
    return examined


def _gaps(case: Case) -> list[Problem]:
    """Return a warning if the numbers of the slices jump; a data set may have every fifth slice only."""
    numbers = [entry.number for entry in case.slices]
    steps = [after - before for before, after in pairwise(numbers)]
    jumps = [k for k, step in enumerate(steps) if step > median(steps)]
    if not jumps:
        return []
    first = jumps[0]
    count = "" if len(jumps) == 1 else f" (the first of {len(jumps)} jumps)"
    what = f"its slice numbers jump from {numbers[first]} to {numbers[first + 1]}{count}: slices may be missing"
    return [Problem(case.name, what)]


def _read_slices(case: Case, findings: CaseFindings) -> Iterator[_Stack]:
    """Yield the slices that can be read: one stack, or several if they are of several sizes or kinds."""
    stacks = defaultdict(list)
    labels: Counter[str] = Counter()
    for entry in case.slices:
        try:
            image, values = read_slice_values(entry)
            mask = mask_of_labels(values, case.labels, where=entry.mask)
        except (InputError, ResourceError) as fault:
            findings.problems.append(_problem(case, fault))
            continue
        labels.update(_count_labels(values))
        stacks[image.shape, image.dtype.name].append((entry, image, mask))
    findings.labels = _sorted_labels(labels)
    if len(stacks) > 1:
        what = f"its slices are of {len(stacks)} sizes or kinds: {sorted(stacks)}"
        findings.problems.append(Problem(case.name, what))
    for rows in stacks.values():
        entries, images, masks = zip(*rows, strict=True)
        names = [f"{case.name}/{entry.image.name}" for entry in entries]
        scan = stack_slices(images, [entry.image for entry in entries])
        yield _Stack(scan, np.stack(masks), names, [entry.number for entry in entries])


def _read_volumes(case: Case, volumes: Volumes, findings: CaseFindings) -> Iterator[_Stack]:
    try:
        loaded = _read_usable(case, volumes, findings)
    except (InputError, ResourceError) as fault:
        findings.problems.append(_problem(case, fault))
        return
    if loaded.values is not None:
        findings.labels = _sorted_labels(_count_labels(loaded.values))
    findings.sequences = [name.value for name in Sequence if name in volumes.images]
    scan, count = loaded.scan, len(loaded.numbers)
    findings.warnings += [Problem(case.name, note) for note in scan.notes]
    findings.orientation = scan.orientation
    if scan.affine is not None:
        findings.spacing_mm = [round(length, 3) for length in scan.spacing_mm or ()]
        findings.tumour_ml = volume_ml(int(np.count_nonzero(loaded.reference)), affine=scan.affine)
    yield _Stack(scan, loaded.reference, [case.name] * count, list(range(1, count + 1)))


def _read_usable(case: Case, volumes: Volumes, findings: CaseFindings) -> LoadedCase:
    """Return a case with the sequences that can be read beside FLAIR; each of the others is a problem."""
    try:
        return read_case(case, with_values=True)
    except (InputError, ResourceError):
        # A fault of FLAIR or of the mask is the case's.
        loaded = read_case(with_sequences(case, (Sequence.FLAIR,)), with_values=True)
    usable = [Sequence.FLAIR]
    for name in (name for name in SCAN_SEQUENCES if name in volumes.images and name is not Sequence.FLAIR):
        try:
            loaded = read_case(with_sequences(case, (*usable, name)), with_values=True)
            usable.append(name)
        except (InputError, ResourceError) as fault:
            findings.problems.append(_problem(case, fault))
    return loaded


def _problem(case: Case, fault: GliomasegError) -> Problem:
    name = Path(fault.where).name
    what = f"{fault.what}; {fault.cure}" if fault.cure else fault.what
    return Problem(case.name if name in ("", case.name) else f"{case.name}/{name}", what)


def _count_labels(values: NDArray[Any]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for value, count in zip(*count_values(values), strict=True):
        counts[f"{value:g}"] += int(count)  # values may differ by the rounding of float32
    return dict(counts)


def _sorted_labels(labels: dict[str, int]) -> dict[str, int]:
    return dict(sorted(labels.items(), key=lambda entry: float(entry[0])))


def _examine_stack(stack: _Stack, examined: ExaminedCase) -> None:
    findings, scan = examined.findings, stack.scan
    flair, reference = axial_flair(scan), np.ascontiguousarray(scan.axial.turn(stack.reference))
    levels = image_levels(flair)
    top = max(1.0, float(np.percentile(levels[:, ::4, ::4], 100 * TOP_SHARE)))  # the maximum may be a single pixel
    bright = levels > HEAD_FRACTION * top
    tumour, heads = (np.count_nonzero(mask, axis=(1, 2)) for mask in (reference, bright))
    whole = scan.voxels if scan.affine is None else flair  # all channels of an RGB slice
    findings.near_black_slices += sum(is_near_black(plane) for plane in whole)
    for plane, name in zip(flair, _axial_names(stack, len(flair)), strict=True):
        digest, turn = image_digest(plane)
        if digest is not None:
            examined.digests.append(PlacedDigest(digest, turn, name))
    findings.shape = list(scan.voxels.shape[:3])
    findings.slices += len(flair)
    findings.tumour_slices += int(np.count_nonzero(tumour))
    findings.tumour_voxels += int(tumour.sum())
    findings.voxels += flair.size
    findings.largest_slice_share = max(findings.largest_slice_share, float(tumour.max() / flair[0].size))
    in_head = np.count_nonzero(reference & bright)
    findings.head_share = float(in_head / max(1, heads.sum()))
    findings.outside_head_share = float(1 - in_head / tumour.sum()) if tumour.any() else 0.0
    _measure_sequences(scan, findings)
    place = int((tumour if tumour.any() else heads).argmax())
    height, width = scan.axial.turn_spacing(scan.spacing_mm or (1.0, 1.0, 1.0))[1:]
    number, count = (stack.numbers[place], None) if scan.affine is None else (place + 1, len(flair))
    image = np.clip(levels[place] * (DISPLAY_LEVEL / top), 0, 255).astype(np.uint8)
    examined.shown = ShownSlice(image, reference[place].copy(), number, count, (height, width))


def _axial_names(stack: _Stack, count: int) -> Iterable[str]:
    """Return a name for each axial slice; the slices of a volume that is turned have one name."""
    return stack.names if len(stack.names) == count else [stack.names[0]] * count


def _measure_sequences(scan: Scan, findings: CaseFindings) -> None:
    """Add the lowest and highest intensity of each sequence that the scan has, and a problem if it is a label map."""
    for channel, name in enumerate(scan.sequences):
        if scan.given is not None and name not in scan.given:
            continue
        volume = scan.voxels[..., channel]
        low, high = float(volume.min()), float(volume.max())
        before = findings.intensities.get(name.value, [low, high])
        findings.intensities[name.value] = [min(low, before[0]), max(high, before[1])]
        compared = scan.given is not None or channel == scan.flair_index  # channels of a picture look alike
        if compared and is_label_map(volume, sampled_slices=COMPARED_SLICES):
            findings.problems.append(Problem(findings.case, f"its {name.name} {LABEL_MAP}"))


def _compare_channels(stacks: list[_Stack], findings: CaseFindings) -> None:
    """List the sequences of slices, by the rule of `Scan.available`: a missing sequence was filled with FLAIR."""
    findings.is_grey = all(len(stack.scan.sequences) == 1 for stack in stacks)
    present = frozenset({Sequence.FLAIR}).union(*(stack.scan.available for stack in stacks))
    findings.sequences = [name.value for name in Sequence if name in present]
    findings.intensities = {name: limits for name, limits in findings.intensities.items() if name in findings.sequences}
