"""The verb: one input in, its files and its row out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gliomaseg.atomic import require_free
from gliomaseg.data.examination import stack
from gliomaseg.errors import GliomasegError, ResourceError
from gliomaseg.formats import read_picture
from gliomaseg.prediction.inputs import Input
from gliomaseg.prediction.outputs import require_masks_only, targets_of, write_masks
from gliomaseg.prediction.predictor import Predictor
from gliomaseg.scan import Scan


@dataclass(frozen=True)
class Row:
    """What became of one input; `error` is None where it went well."""

    input: str
    outputs: list[str] = field(default_factory=list)
    tumour_voxels: int | None = None
    tumour_volume_ml: float | None = None
    seconds: float = 0.0
    error: str | None = None


def predict(entry: Input, out: Path, predictor: Predictor, *, overwrite: bool = False) -> Row:
    """Write the mask and an overlay of each slice of one input.

    Masks are 0 and 255 in the input's format and size; overlays are PNG with the mask's outline. Those
    of a picture go into `out`, those of a patient into `out/<patient>`, all of them or none.
    What the user can cause does not raise: it is in the row's `error`.

    Raises:
        ResourceError: the disk is full: there is no use in going on.
    """
    start = time.perf_counter()
    try:
        targets = [targets_of(entry, out, file) for file in entry.pictures]
        for target in [out / entry.path.name] if entry.path.is_dir() else targets[0]:
            require_free(target, overwrite=overwrite)
        if entry.path.is_dir():
            require_masks_only(out / entry.path.name)
        images = [read_picture(file) for file in entry.pictures]
        scan = stack(images, entry.pictures)
        masks = predictor.mask(scan)
        write_masks(entry, out, images, masks, overwrite=overwrite)
    except ResourceError:
        raise
    except GliomasegError as fault:
        return Row(str(entry.path), seconds=round(time.perf_counter() - start, 3), error=fault.line())
    voxels = int(masks.sum())
    outputs = [str(target) for pair in targets for target in pair]
    return Row(str(entry.path), outputs, voxels, _volume_ml(voxels, scan), round(time.perf_counter() - start, 3))


def _volume_ml(voxels: int, scan: Scan) -> float | None:
    if scan.spacing_mm is None:
        return None
    return voxels * float(np.prod(scan.spacing_mm)) / 1000
