"""The verb: one input in, its files and its row out."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from gliomaseg.atomic import require_free
from gliomaseg.data.examination import stack
from gliomaseg.errors import GliomasegError, ResourceError
from gliomaseg.formats import read_picture, read_volume
from gliomaseg.prediction.findings import Findings, measure_mask
from gliomaseg.prediction.inputs import Input
from gliomaseg.prediction.labels import write_labels
from gliomaseg.prediction.outputs import (
    picture_targets,
    require_masks_only,
    volume_targets,
    write_pictures,
    write_volume,
)
from gliomaseg.prediction.predictor import Predictor
from gliomaseg.prediction.preview import draw_preview
from gliomaseg.scan import Scan

MAX_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Row:
    """What became of one input; `error` is None where it went well. See `Findings` and `Prediction` for the rest."""

    input: str
    outputs: list[str] = field(default_factory=list)
    tumour_voxels: int | None = None
    tumour_volume_ml: float | None = None
    largest_area_mm2: float | None = None
    tumour_slices: int | None = None
    bounding_box: dict[str, list[int]] | None = None
    components: int | None = None
    extent_mm: dict[str, float] | None = None
    orientation: str | None = None
    predicted_dice: float | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None
    fault: GliomasegError | None = field(default=None, repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """Return the row as JSON has it: all but the fault itself."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "fault"}


@dataclass(frozen=True)
class _Loaded:
    """An input in memory, and what it takes to write its results."""

    scan: Scan
    images: list[Any]
    header: Any = None


def predict(
    entry: Input,
    out: Path,
    predictor: Predictor,
    *,
    overwrite: bool = False,
    probabilities: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Row:
    """Write the mask and an overlay of one input, and return its row.

    Masks of pictures are 0 and 255 in the input's format and size; overlays are PNG with the mask's outline.
    Those of a picture go into `out`, those of a patient into `out/<patient>`, all of them or none. The mask of
    a volume is NIfTI, 0 and 1 on exactly the input's grid; its overlay is one sheet of the slices that matter.
    What the user can cause does not raise: it is in the row's `error`.

    Args:
        entry: of `list_inputs`.
        out: a folder; made if missing.
        predictor: the model.
        overwrite: whether results that are there are replaced.
        probabilities: whether probabilities are written too.
        max_bytes: inputs that need more memory are refused.

    Raises:
        ResourceError: the disk is full: there is no use in going on.
    """
    start = time.perf_counter()
    try:
        targets = _free_targets(entry, out, overwrite=overwrite, probabilities=probabilities)
        loaded = _load(entry, max_bytes)
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    try:
        found, trust = _find(entry, loaded, predictor, targets, overwrite=overwrite)
    except ResourceError:
        raise
    except GliomasegError as fault:
        return _failed(entry, fault, start)
    except MemoryError:
        too_large = ResourceError("there is not enough memory for it", where=entry.path, cure="crop or downsample it")
        return _failed(entry, too_large, start)
    outputs = [str(target) for files in targets for target in files]
    seconds = round(time.perf_counter() - start, 3)
    return Row(str(entry.path), outputs, **asdict(found), **trust, orientation=loaded.scan.orientation, seconds=seconds)


def _failed(entry: Input, fault: GliomasegError, start: float) -> Row:
    return Row(str(entry.path), seconds=round(time.perf_counter() - start, 3), error=fault.line(), fault=fault)


def _free_targets(entry: Input, out: Path, *, overwrite: bool, probabilities: bool) -> list[tuple[Path, ...]]:
    """Return where results go: the files of each picture, or those of the volume."""
    if entry.is_volume:
        targets = [volume_targets(entry, out, probabilities=probabilities)]
    else:
        targets = [picture_targets(entry, out, file, probabilities=probabilities) for file in entry.pictures]
    for target in [out / entry.path.name] if entry.path.is_dir() else targets[0]:
        require_free(target, overwrite=overwrite)
    if entry.path.is_dir():
        require_masks_only(out / entry.path.name)
    return targets


def _load(entry: Input, max_bytes: int) -> _Loaded:
    if entry.is_volume:
        volume: Any = read_volume(entry.path, max_bytes=max_bytes)
        return _Loaded(volume.scan, [], volume.header)
    images = [read_picture(file) for file in entry.pictures]
    return _Loaded(stack(images, entry.pictures), images)


def _find(
    entry: Input, loaded: _Loaded, predictor: Predictor, targets: list[tuple[Path, ...]], *, overwrite: bool
) -> tuple[Findings, dict[str, Any]]:
    """Predict, write and measure; the dict is what the row says of how far to trust it."""
    prediction = predictor.predict(loaded.scan)
    probability, mask = prediction.probability, prediction.mask
    found = measure_mask(mask, loaded.scan)
    if entry.is_volume:
        preview = draw_preview(loaded.scan, mask, volume_ml=found.tumour_volume_ml)
        write_volume(targets[0], loaded.header, mask, probability, preview)
        write_labels(targets[0][0].parent, overwrite=overwrite)
    else:
        folder = targets[0][0].parent if entry.path.is_dir() else None
        write_pictures(targets, loaded.images, mask, probability, folder=folder, overwrite=overwrite)
    return found, prediction.trust()
