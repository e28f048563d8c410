"""Masks of another tool: find the file of each case in a folder, and read it on the grid of the case."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gliomaseg.data.case import Case, LoadedCase, VolumeFile
from gliomaseg.data.masks import (
    MAX_BYTES,
    MaskLabels,
    count_values,
    mask_of_labels,
    read_mask_image,
    read_tumour,
    require_same_size,
)
from gliomaseg.errors import DataError, GliomasegError
from gliomaseg.formats import FileKind, kind_of, primary_file, read_volume, stem_of
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.naming import Role, parse_name
from gliomaseg.prediction.label_files import ITK_SNAP, SLICER
from gliomaseg.system_files import is_system_file
from gliomaseg.types import Mask
from gliomaseg.types import Sequence as MriSequence

NO_MASK = re.compile(r"(?:^|[-_. ])(?:overlay|probability|preview)$", re.IGNORECASE)
FORMATS = (FileKind.VOLUME, FileKind.SERIES, FileKind.IMAGE)  # the first one is read if a mask is there in several
BINARY = frozenset({1, 255})
SIDE_FILES = frozenset({ITK_SNAP, SLICER})


@dataclass(frozen=True)
class MaskFolder:
    """The masks of a folder, made by any tool.

    Attributes:
        folder: the folder.
        by_case: the mask files of each case that has any.
        unmatched: files that could be masks and match no case, relative to the folder.
        binary: whether all values above 0 are tumour, whatever the labels of the reference masks are.
    """

    folder: Path
    by_case: dict[str, tuple[Path, ...]]
    unmatched: tuple[str, ...]
    binary: bool = False

    @property
    def name(self) -> str:
        """The name of the folder, which stands for the model."""
        return self.folder.resolve().name

    def read(self, loaded: LoadedCase) -> Mask:
        """Return the mask of a case on the grid of its scan: bool, shape (z, y, x).

        Raises:
            DataError: the case has no mask, several, or not one for each slice.
            FormatError: a file cannot be read.
            GeometryError: the mask is on another grid than the scan.
        """
        case = loaded.case
        files = self.by_case.get(case.name, ())
        if case.volumes is None:
            return _read_slices(loaded, files, self.folder, self._labels(case))
        if not files:
            what, cure = f"has no mask for the case {case.name}", f"add {case.name}.nii.gz or {case.name}_mask.nii.gz"
            raise DataError(what, where=self.folder, cure=cure)
        chosen = _one_mask(case, files, self.folder)
        # A tool may name any series of the study as its source: only the grid decides.
        return read_tumour(VolumeFile(chosen), loaded.scan, self._labels(case), image=None)

    def has_other_values(self, labels: MaskLabels) -> bool:
        """Return whether all masks have one value above 0, which is 1 or 255 and not among the labels.

        Tools for one kind of tumour write such masks, `gliomaseg predict` among them.
        """
        if labels.tumour is None:
            return False
        return self._first_values <= BINARY and len(self._first_values) == 1 and not self._first_values & labels.tumour

    @cached_property
    def _first_values(self) -> set[int]:
        """The values above 0 of the first masks, until there are several."""
        values: set[int] = set()
        for file in (file for files in self.by_case.values() for file in files):
            values |= _values_above_0(file)
            if len(values) > 1:
                break
        return values

    def _labels(self, case: Case) -> MaskLabels:
        return MaskLabels() if self.binary else case.labels


def find_masks(folder: Path, cases: Sequence[Case]) -> MaskFolder:
    """Return the mask files of cases by their names; no file is read.

    A mask is `<case>.*`, `<case>_mask.*` or another name with the case and a word for a mask, in the folder; or a file
    with such a word in `<case>/`; or `<name of the FLAIR file>_mask.*`, if that name is unique. Slices have one mask
    each, `<case>_<n>_mask.*`, in the folder or in `<case>/`.

    Args:
        folder: of the masks.
        cases: all cases of the data set, so that masks of cases that are not measured are not reported as unmatched.

    Raises:
        DataError: the folder does not exist or cannot be read.
    """
    if not folder.is_dir():
        raise DataError("folder of predictions does not exist", where=folder, cure="name a folder with masks")
    names = _names_of(cases)
    by_case: dict[str, list[Path]] = {}
    unmatched = []
    try:
        files = sorted(_mask_like(folder))
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or folder) from fault
    for file in files:
        if case := _case_of(file, folder, names):
            by_case.setdefault(case.name, []).append(file)
        else:
            unmatched.append(file.relative_to(folder).as_posix())
    return MaskFolder(folder, {name: tuple(found) for name, found in by_case.items()}, tuple(unmatched))


def _names_of(cases: Sequence[Case]) -> dict[str, Case]:
    """Return the cases by their names, and by the names that `predict` gives to masks of their FLAIR, if unique."""
    flair = [(case.volumes.images[MriSequence.FLAIR].path, case) for case in cases if case.volumes]
    named = [(_key(f"{stem_of(file)}_mask"), case) for file, case in flair]
    counts = Counter(name for name, _ in named)
    by_file = {name: case for name, case in named if counts[name] == 1}
    return by_file | {key: case for case in cases for key in (_key(portable_name(case.name)), _key(case.name))}


def _mask_like(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of its subfolders that can be masks, by their names and first bytes."""
    for parent, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        for name in names:
            file = Path(parent, name)
            if name.startswith(".") or is_system_file(file.relative_to(folder)) or name in SIDE_FILES:
                continue
            if not NO_MASK.search(stem_of(file)) and primary_file(file) == file and kind_of(file) is not None:
                yield file


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS may store a name in another form


def _case_of(file: Path, folder: Path, names: dict[str, Case]) -> Case | None:
    """Return the case that a file is a mask of, by its name or that of its folder."""
    stem = _key(stem_of(file))
    parsed = parse_name(stem)
    without_number = re.sub(r"_\d+(?:_mask)?$", "", stem)
    for name in (stem, stem.removesuffix("_mask"), parsed.case if parsed.role is Role.MASK else ""):
        if name in names:
            return names[name]
    if without_number in names and not names[without_number].volumes:
        return names[without_number]
    for parent in file.relative_to(folder).parents:
        if (case := names.get(_key(parent.name))) and case.volumes and parsed.role is Role.MASK:
            return case
    return None


def _one_mask(case: Case, files: Sequence[Path], folder: Path) -> Path:
    """Return the mask among the files of a case: one, in one or several formats.

    Raises:
        DataError: there are files of several names.
    """
    if len({(file.parent, stem_of(file)) for file in files}) > 1:
        names = ", ".join(file.relative_to(folder).as_posix() for file in files[:3])
        what = f"has {len(files)} files that may be the mask of {case.name}: {names}"
        raise DataError(what, where=folder, cure="leave one of them in the folder")
    return min(files, key=lambda file: FORMATS.index(kind_of(file) or FileKind.IMAGE))


def _values_above_0(file: Path) -> set[int]:
    """Return the values of a mask above 0, rounded down; none of an unreadable file, whose row has the reason."""
    try:
        if kind_of(file) is FileKind.IMAGE:
            values = read_mask_image(file)
        elif kind_of(file) is FileKind.VOLUME:
            values = read_volume(file, max_bytes=MAX_BYTES, is_mask=True).scan.voxels
        else:
            return set()
    except GliomasegError:
        return set()
    return {int(value) for value in count_values(values)[0] if value > 0}


def _read_slices(loaded: LoadedCase, files: Sequence[Path], folder: Path, labels: MaskLabels) -> Mask:
    case = loaded.case
    by_number: dict[int, list[Path]] = {}
    for file in files:
        if match := re.search(r"_(\d+)(?:_mask)?$", stem_of(file)):
            by_number.setdefault(int(match[1]), []).append(file)
    masks = []
    for number, reference in zip(loaded.numbers, loaded.reference, strict=True):
        if not (found := by_number.get(number)):
            what, cure = f"has no mask for slice {number} of {case.name}", f"add {case.name}_{number}_mask.tif"
            raise DataError(what, where=folder, cure=cure)
        file = _one_mask(case, found, folder)
        values = read_mask_image(file)
        require_same_size(values, reference.shape, where=file)
        masks.append(mask_of_labels(values, labels, where=file))
    return np.stack(masks)
