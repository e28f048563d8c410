"""What `predict` writes: masks and overlays, all of an input's or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg import pictures
from gliomaseg.arrays import Mask
from gliomaseg.atomic import new_file, new_folder
from gliomaseg.errors import OutputExistsError
from gliomaseg.formats import write_picture
from gliomaseg.prediction.inputs import Input


def require_masks_only(folder: Path) -> None:
    """Refuse to replace a folder that holds more than a prediction: it may be the patient's own slices."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not entry.is_file() or not entry.stem.endswith(("_mask", "_overlay")):
            raise OutputExistsError("is no prediction and is not removed", where=entry, cure="name another --out")


def targets_of(entry: Input, out: Path, file: Path) -> tuple[Path, Path]:
    """Return where the mask and the overlay of one of an input's pictures go."""
    folder = out / entry.path.name if entry.path.is_dir() else out
    return folder / f"{file.stem}_mask{file.suffix.lower()}", folder / f"{file.stem}_overlay.png"


def write_masks(entry: Input, out: Path, images: list[Any], masks: Mask, *, overwrite: bool) -> None:
    """Write masks (z, y, x) and overlays of an input's pictures.

    Raises:
        ResourceError: the disk is full.
        OutputExistsError: the patient's folder is there, and `overwrite` is not set.
    """
    if entry.path.is_dir():
        with new_folder(out / entry.path.name, overwrite=overwrite) as temporary:
            for file, image, mask in zip(entry.pictures, images, masks, strict=True):
                mask_file, overlay_file = (temporary / target.name for target in targets_of(entry, out, file))
                write_picture(mask_file, mask.astype(np.uint8) * 255)
                write_picture(overlay_file, pictures.overlay(image, predicted=mask))
        return
    mask_file, overlay_file = targets_of(entry, out, entry.path)
    with new_file(overlay_file) as overlay_part, new_file(mask_file) as mask_part:
        write_picture(mask_part, masks[0].astype(np.uint8) * 255)
        write_picture(overlay_part, pictures.overlay(images[0], predicted=masks[0]))
