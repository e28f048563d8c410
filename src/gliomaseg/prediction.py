"""From a scan to a mask on its own grid: no torch, a few slices at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg import pictures
from gliomaseg.arrays import Mask, Probability
from gliomaseg.atomic import new_file, new_folder, require_free
from gliomaseg.data.examination import stack
from gliomaseg.engines import DEFAULT, Engine, open_engine
from gliomaseg.errors import DataError, GliomasegError, OutputExistsError, ResourceError, UsageError
from gliomaseg.formats import FORMATS, read_picture, write_picture
from gliomaseg.model import Model, load_model
from gliomaseg.preprocessing import normalise, prepare, restore
from gliomaseg.scan import Scan

BATCH = 4
_NUMBER = re.compile(r"\d+")


class Predictor:
    """A model and the engine it runs on, loaded once for many scans."""

    def __init__(self, model: Model, engine: Engine) -> None:
        self.model = model
        self._engine = engine

    def probability(self, scan: Scan) -> Probability:
        """Return how likely each voxel of a scan is tumour: float32 in [0, 1], shape (z, y, x)."""
        preparation = self.model.config.preparation
        prepared = prepare(scan, preparation)
        parts = []
        for start in range(0, len(prepared.slices), BATCH):
            batch = normalise(prepared.slices[start : start + BATCH], preparation)
            parts.append(self._engine.probabilities(batch))
        return restore(np.concatenate(parts), prepared)

    def mask(self, scan: Scan) -> Mask:
        """Return the tumour's mask on the scan's own grid: bool, shape (z, y, x)."""
        return self.decide(self.probability(scan))

    def decide(self, probability: Probability) -> Mask:
        """Return where the model's probabilities mean tumour: bool, same shape."""
        return probability > self.model.config.decision.threshold


def open_predictor(model: Path, *, engine: str = DEFAULT) -> Predictor:
    """Return a predictor for a model folder or a run.

    Raises:
        ModelError: there is no whole model.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    loaded = load_model(model)
    opened = open_engine(engine, onnx=loaded.onnx, weights=loaded.weights, network=loaded.config.network)
    return Predictor(loaded, opened)


@dataclass(frozen=True)
class Input:
    """What becomes one row: one picture, or one patient's folder of slices."""

    path: Path
    pictures: tuple[Path, ...]


@dataclass(frozen=True)
class Row:
    """What became of one input; `error` is None where it went well."""

    input: str
    outputs: list[str] = field(default_factory=list)
    tumour_voxels: int | None = None
    tumour_volume_ml: float | None = None
    seconds: float = 0.0
    error: str | None = None


def list_inputs(paths: list[Path]) -> list[Input]:
    """Return the inputs that files and folders name, each once, in order.

    A file is one input. A folder whose pictures bear its name and a number (as in the data set) is one
    patient; any other folder gives one input for each picture in it, and its patients' folders.

    Raises:
        DataError: a path does not exist or cannot be read, or a folder holds nothing to predict.
        UsageError: two inputs would write files of the same name.
    """
    try:
        inputs = list(dict.fromkeys(found for path in paths for found in _list_one(path)))
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or "") from fault
    names: dict[str, Path] = {}
    for entry in inputs:
        other = names.setdefault(_name(entry), entry.path)
        if other != entry.path:
            raise UsageError(f"has the same name as {other}", where=entry.path, cure="predict them into two folders")
    return inputs


def _list_one(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Input]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=path)
    if not path.is_dir():
        yield Input(path, (path,))
        return
    files = sorted((e for e in path.iterdir() if _is_picture(e)), key=_by_number)
    above |= {path.resolve()}  # a link may lead back up
    folders = sorted(
        e for e in path.iterdir() if e.is_dir() and not e.name.startswith(".") and e.resolve() not in above
    )
    inside = [
        found
        for folder in folders
        if any(_is_picture(e) for e in folder.iterdir())
        for found in _list_one(folder, above)
    ]
    if not files and not inside:
        raise DataError(
            "holds no picture", where=path, cure=f"give {' '.join(sorted(FORMATS))} files, or a folder of them"
        )
    if files and all(re.fullmatch(re.escape(path.name) + r"_\d+", file.stem) for file in files):
        yield Input(path, tuple(files))
    else:
        yield from (Input(file, (file,)) for file in files)
    yield from inside


def _is_picture(entry: Path) -> bool:
    return entry.is_file() and entry.suffix.lower() in FORMATS and not entry.stem.endswith(("_mask", "_overlay"))


def _by_number(file: Path) -> tuple[str, list[int]]:
    """Sort numbered pictures by number: _10 after _2."""
    return _NUMBER.sub("", file.stem), [int(n) for n in _NUMBER.findall(file.stem)]


def _name(entry: Input) -> str:
    return entry.path.stem if entry.path.is_file() else entry.path.name


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
        targets = [_targets(entry, out, file) for file in entry.pictures]
        for target in [out / entry.path.name] if entry.path.is_dir() else targets[0]:
            require_free(target, overwrite=overwrite)
        if entry.path.is_dir():
            _require_masks_only(out / entry.path.name)
        images = [read_picture(file) for file in entry.pictures]
        scan = stack(images, entry.pictures)
        masks = predictor.mask(scan)
        _write(entry, out, images, masks, overwrite=overwrite)
    except ResourceError:
        raise
    except GliomasegError as fault:
        return Row(str(entry.path), seconds=round(time.perf_counter() - start, 3), error=fault.line())
    voxels = int(masks.sum())
    outputs = [str(target) for pair in targets for target in pair]
    return Row(str(entry.path), outputs, voxels, _volume_ml(voxels, scan), round(time.perf_counter() - start, 3))


def _require_masks_only(folder: Path) -> None:
    """Refuse to replace a folder that holds more than a prediction: it may be the patient's own slices."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not entry.is_file() or not entry.stem.endswith(("_mask", "_overlay")):
            raise OutputExistsError("is no prediction and is not removed", where=entry, cure="name another --out")


def _targets(entry: Input, out: Path, file: Path) -> tuple[Path, Path]:
    folder = out / entry.path.name if entry.path.is_dir() else out
    return folder / f"{file.stem}_mask{file.suffix.lower()}", folder / f"{file.stem}_overlay.png"


def _write(entry: Input, out: Path, images: list[Any], masks: Mask, *, overwrite: bool) -> None:
    if entry.path.is_dir():
        with new_folder(out / entry.path.name, overwrite=overwrite) as temporary:
            for file, image, mask in zip(entry.pictures, images, masks, strict=True):
                mask_file, overlay_file = (temporary / target.name for target in _targets(entry, out, file))
                write_picture(mask_file, mask.astype(np.uint8) * 255)
                write_picture(overlay_file, pictures.overlay(image, predicted=mask))
        return
    mask_file, overlay_file = _targets(entry, out, entry.path)
    with new_file(overlay_file) as overlay_part, new_file(mask_file) as mask_part:
        write_picture(mask_part, masks[0].astype(np.uint8) * 255)
        write_picture(overlay_part, pictures.overlay(images[0], predicted=masks[0]))


def _volume_ml(voxels: int, scan: Scan) -> float | None:
    if scan.spacing_mm is None:
        return None
    return voxels * float(np.prod(scan.spacing_mm)) / 1000
