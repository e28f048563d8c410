"""Copies of cases that look like scans of other sources: without skull, and one slice alone.

On its own data set, a model is seldom wrong: predicted Dice that is fitted there only may be wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gliomaseg.data.case import LoadedCase
from gliomaseg.preprocessing import axial_flair, brain_mask, display_levels
from gliomaseg.types import WITHOUT_SKULL

SINGLE_SLICE = "single slice without skull"
PLACES = (0.25, 0.5, 0.75)  # of the single slices, among those with tumour


def changed_copies(loaded: LoadedCase) -> Iterator[tuple[str, LoadedCase]]:
    """Yield the copies of a case with their kinds.

    The first copy is without skull. Up to three more are single slices of it, if the case has tumour.
    """
    stripped = without_skull(loaded)
    yield WITHOUT_SKULL, stripped
    tumour = np.flatnonzero(loaded.scan.axial.turn(loaded.reference).any(axis=(1, 2)))
    for k in dict.fromkeys(int(tumour[int(place * len(tumour))]) for place in PLACES if len(tumour)):
        yield SINGLE_SLICE, single_slice(stripped, k)


def without_skull(loaded: LoadedCase) -> LoadedCase:
    """Return a case whose scan is 0 outside the brain and the tumour, in all sequences."""
    scan = loaded.scan
    brain = brain_mask(axial_flair(scan), keep=scan.axial.turn(loaded.reference))
    voxels = scan.voxels.copy()
    scan.axial.turn(voxels)[~brain] = 0
    return replace(loaded, scan=replace(scan, voxels=voxels))


def single_slice(loaded: LoadedCase, k: int) -> LoadedCase:
    """Return axial slice k, from 0, as a case of one image: without spacing and orientation, in 8 or 16 bits."""
    scan, turn = loaded.scan, loaded.scan.axial.turn
    voxels = turn(scan.voxels)[k : k + 1]
    if voxels.dtype not in (np.uint8, np.uint16):
        voxels = np.stack([display_levels(voxels[..., c]) for c in range(voxels.shape[3])], axis=3)
    alone = replace(scan, voxels=np.ascontiguousarray(voxels), affine=None, template=None, orientation_assumed=False)
    return replace(loaded, scan=alone, reference=turn(loaded.reference)[k : k + 1], numbers=(loaded.axial_number(k),))
