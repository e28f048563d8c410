"""What `predict` writes: masks and overlays, all of an input's or none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gliomaseg import pictures
from gliomaseg.arrays import Mask, Pixels, Probability
from gliomaseg.atomic import new_file, new_folder
from gliomaseg.errors import OutputExistsError
from gliomaseg.formats import write_picture
from gliomaseg.prediction.inputs import OWN, Input


def require_masks_only(folder: Path) -> None:
    """Refuse to replace a folder that holds more than a prediction: it may be the patient's own slices."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not entry.is_file() or not entry.stem.endswith(OWN):
            raise OutputExistsError("is no prediction and is not removed", where=entry, cure="name another --out")


def picture_targets(entry: Input, out: Path, file: Path, *, probabilities: bool) -> tuple[Path, ...]:
    """Return where the mask, the overlay and the probability of one of an input's pictures go."""
    folder = out / entry.path.name if entry.path.is_dir() else out
    names = [f"{file.stem}_mask{file.suffix.lower()}", f"{file.stem}_overlay.png"]
    return tuple(folder / name for name in [*names, f"{file.stem}_probability.png"][: 3 if probabilities else 2])


def volume_targets(entry: Input, out: Path, *, probabilities: bool) -> tuple[Path, ...]:
    """Return where the mask, the overlay and the probability of a volume go."""
    names = [f"{entry.name}_mask.nii.gz", f"{entry.name}_overlay.png", f"{entry.name}_probability.nii.gz"]
    return tuple(out / name for name in names[: 3 if probabilities else 2])


def write_pictures(
    targets: list[tuple[Path, ...]],
    images: list[Any],
    masks: Mask,
    probability: Probability,
    *,
    folder: Path | None,
    overwrite: bool,
) -> None:
    """Write the masks, 0 and 255, overlays and probabilities, 0 to 255, of pictures.

    Args:
        targets: for each picture, in the order of `picture_targets`.
        images: (y, x, c) each.
        masks: bool, shape (z, y, x).
        probability: float32, same shape.
        folder: of a patient, which appears whole or not at all; None for a single picture.
        overwrite: whether a folder that is there is replaced.

    Raises:
        ResourceError: the disk is full.
        OutputExistsError: the patient's folder is there, and `overwrite` is not set.
    """
    with ExitStack() as stack:
        inside = stack.enter_context(new_folder(folder, overwrite=overwrite)) if folder else None
        for files, image, mask, likely in zip(targets, images, masks, probability, strict=True):
            drawn: list[Pixels] = [
                mask.astype(np.uint8) * 255,
                pictures.overlay(image, predicted=mask),
                np.rint(likely * 255).astype(np.uint8),
            ]
            for file, pixels in zip(files, drawn, strict=False):
                write_picture(inside / file.name if inside else stack.enter_context(new_file(file)), pixels)


def write_volume(
    targets: tuple[Path, ...], header: Any, mask: Mask, probability: Probability, preview: Image.Image
) -> None:
    """Write a volume's mask, overlay and probability; the mask gets its name last.

    Args:
        targets: in the order of `volume_targets`.
        header: of the input: its grid is that of the mask.
        mask: bool, shape (z, y, x).
        probability: float32, same shape.
        preview: the overlay.

    Raises:
        ResourceError: the disk is full.
    """
    from gliomaseg.formats import nifti

    with ExitStack() as stack:
        files = [stack.enter_context(new_file(target)) for target in targets]
        nifti.write(files[0], mask.view(np.uint8), header, description="mask")
        preview.save(files[1], format="PNG")
        if len(files) > 2:
            nifti.write(files[2], probability, header, description="probability")
