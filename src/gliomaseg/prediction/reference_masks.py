"""Places where a predicted mask could be taken for a reference mask: `predict` does not write there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from gliomaseg.errors import UsageError
from gliomaseg.formats import READERS, stem_of
from gliomaseg.inputs.input import Input
from gliomaseg.prediction.outputs import Targets

_CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net: imagesTr/case_0000.nii.gz belongs to labelsTr/case.nii.gz


def require_outside_data_set(entry: Input, targets: Targets) -> None:
    """Refuse to write into a data set, where results collide with reference masks or look like them.

    Raises:
        UsageError: a result lies among a patient's slices in the Kaggle layout, in the folder above them, beside a
            mask of the same name that `predict` did not write, or in the folder of masks of the input's folder.
    """
    for place in _reference_places(entry, targets):
        raise UsageError("lies inside the data set", where=place, cure="name a place outside of it")


def _reference_places(entry: Input, targets: Targets) -> Iterator[Path]:
    """Yield the reference masks, or the folders of them, that are where the results go."""
    output = targets.output
    for folder in dict.fromkeys(file.parent for file in targets.files):
        masks = [file for file in targets.files if file.parent == folder and stem_of(file).endswith("_mask")]
        if any(_is_slice_mask(file) for file in masks) and _has_slices(folder):
            yield folder
        images = [file for file in entry.pictures if file.resolve().parent == folder.resolve()]
        for stem in dict.fromkeys([stem_of(file) for file in masks] if images else []):
            yield from (file for file in _files(folder, stem) if not output.has_record(file))
        yield from _references_apart(entry, folder)


def _references_apart(entry: Input, folder: Path) -> Iterator[Path]:
    """Yield the references in a folder beside the input's folder, or the folder above if that is a patient's."""
    parent = entry.pictures[0].resolve().parent
    for file in entry.pictures:
        stem = stem_of(file)
        if folder.resolve() == parent.parent and _is_slice_mask(parent / f"{stem}_mask.tif"):
            yield from (folder for _ in _files(parent, f"{stem}_mask"))
        if folder.resolve().parent == parent.parent and folder.resolve() != parent:
            for name in dict.fromkeys((stem, _CHANNEL.sub("", stem))):
                yield from _files(folder, name)


def _is_slice_mask(file: Path) -> bool:
    """Return whether a mask has the name of a reference mask in the Kaggle layout."""
    folder = file.resolve().parent.name
    return re.fullmatch(re.escape(folder) + r"_\d+_mask", stem_of(file)) is not None


def _has_slices(folder: Path) -> bool:
    own = re.compile(re.escape(folder.resolve().name) + r"_\d+\.tiff?", re.IGNORECASE)
    return folder.is_dir() and any(own.fullmatch(file.name) for file in folder.iterdir())


def _files(folder: Path, stem: str) -> Iterator[Path]:
    """Yield the files of a name in every readable format."""
    return (file for suffix in READERS if os.path.lexists(file := folder / f"{stem}{suffix}"))
