"""Masks and probabilities of another tool: find the files of each case in a folder, and read them on its grid."""

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
    is_dicom_volume,
    mask_of_labels,
    read_mask_image,
    read_tumour,
    require_same_size,
)
from gliomaseg.errors import DataError, GliomasegError
from gliomaseg.evaluation.resampling import OnGrid, read_mask, read_probability, read_probability_image
from gliomaseg.formats import FileKind, kind_of, primary_file, read_volume, stem_of
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.naming import Role, parse_name
from gliomaseg.prediction.label_files import ITK_SNAP, SLICER
from gliomaseg.system_files import is_system_file
from gliomaseg.types import Mask, Probability
from gliomaseg.types import Sequence as MriSequence

NO_MASK = re.compile(r"(?:^|[-_. ])(?:overlay|preview)$", re.IGNORECASE)
PROBABILITY = re.compile(r"(^|[-_. ])prob(?:s|ability|abilities)?$", re.IGNORECASE)
FORMATS = (FileKind.VOLUME, FileKind.SERIES, FileKind.IMAGE)  # the first one is read if a mask is there in several
BINARY = frozenset({1, 255})
SIDE_FILES = frozenset({ITK_SNAP, SLICER})


@dataclass(frozen=True)
class FoundMask:
    """The files of one case, on the grid of its scan.

    Attributes:
        mask: bool, shape (z, y, x).
        probability: float32 in [0, 1], same shape; None without a file.
        resampled_from: the grid of the mask's file in words; None if it is the scan's.
    """

    mask: Mask
    probability: Probability | None = None
    resampled_from: str | None = None


@dataclass(frozen=True)
class MaskFolder:
    """The masks of a folder, made by any tool.

    Attributes:
        folder: the folder.
        by_case: the mask files of each case that has any.
        probabilities: the probability files of each case that has any.
        unmatched: files that could be masks or probabilities and match no case, relative to the folder.
        binary: whether all values above 0 are tumour, whatever the labels of the reference masks are.
        resample: whether files on another grid than their scan are resampled; else the case is refused.
    """

    folder: Path
    by_case: dict[str, tuple[Path, ...]]
    probabilities: dict[str, tuple[Path, ...]]
    unmatched: tuple[str, ...]
    binary: bool = False
    resample: bool = False

    @property
    def name(self) -> str:
        """The name of the folder, which stands for the model."""
        return self.folder.resolve().name

    def read(self, loaded: LoadedCase) -> FoundMask:
        """Return the mask of a case, and its probabilities if there are any, on the grid of its scan.

        Raises:
            DataError: the case has no mask, several, or not one for each slice.
            FormatError: a file cannot be read, or a probability is not from 0 to 1.
            GeometryError: a file is on another grid than the scan, and is not resampled.
        """
        case = loaded.case
        files, others = self.by_case.get(case.name, ()), self.probabilities.get(case.name, ())
        if case.volumes is None:
            mask = _read_slices(loaded, files, self.folder, self._labels(case))
            return FoundMask(mask, _read_probability_slices(loaded, others, self.folder) if others else None)
        if not files:
            what, cure = f"has no mask for the case {case.name}", f"add {case.name}.nii.gz or {case.name}_mask.nii.gz"
            raise DataError(what, where=self.folder, cure=cure)
        chosen = VolumeFile(_one_file(case, files, self.folder))
        if is_dicom_volume(chosen):
            # A tool may name any series of the study as its source: only the grid decides.
            found = OnGrid(read_tumour(chosen, loaded.scan, self._labels(case), image=None))
        else:
            found = read_mask(chosen.path, loaded.scan, self._labels(case), resample=self.resample)
        probability = None
        if others:
            file = _one_file(case, others, self.folder, kind="probability")
            probability = read_probability(file, loaded.scan, resample=self.resample)
        return FoundMask(found.voxels, probability, found.resampled_from)

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
    """Return the mask and probability files of cases by their names; no file is read.

    A mask is `<case>.*`, `<case>_mask.*` or another name with the case and a word for a mask, in the folder; or a file
    with such a word in `<case>/`; or `<name of the FLAIR file>_mask.*`, if that name is unique. Slices have one mask
    each, `<case>_<n>_mask.*`, in the folder or in `<case>/`. Probabilities have the same names with `probability`.

    Args:
        folder: of the masks.
        cases: all cases of the data set, so that masks of cases that are not measured are not reported as unmatched.

    Raises:
        DataError: the folder does not exist or cannot be read.
    """
    if not folder.is_dir():
        what = "is a file, expected a folder of masks" if folder.exists() else "folder of predictions does not exist"
        raise DataError(what, where=folder, cure="name a folder with masks")
    names = _names_of(cases)
    masks: dict[str, list[Path]] = {}
    probabilities: dict[str, list[Path]] = {}
    unmatched = []
    try:
        files = sorted(_mask_like(folder))
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or folder) from fault
    for file in files:
        stem = _key(stem_of(file))
        as_mask = PROBABILITY.sub(r"\1mask", stem)
        if case := _case_of(as_mask, file.relative_to(folder), names):
            (masks if as_mask == stem else probabilities).setdefault(case.name, []).append(file)
        else:
            unmatched.append(file.relative_to(folder).as_posix())
    by_case, with_probability = (
        {name: tuple(files) for name, files in found.items()} for found in (masks, probabilities)
    )
    return MaskFolder(folder, by_case, with_probability, tuple(unmatched))


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


def _case_of(stem: str, file: Path, names: dict[str, Case]) -> Case | None:
    """Return the case that a file is a mask of, by its stem or the folders of its relative path."""
    parsed = parse_name(stem)
    without_number = re.sub(r"_\d+(?:_mask)?$", "", stem)
    for name in (stem, stem.removesuffix("_mask"), parsed.case if parsed.role is Role.MASK else ""):
        if name in names:
            return names[name]
    if without_number in names and not names[without_number].volumes:
        return names[without_number]
    for parent in file.parents:
        if (case := names.get(_key(parent.name))) and case.volumes and parsed.role is Role.MASK:
            return case
    return None


def _one_file(case: Case, files: Sequence[Path], folder: Path, *, kind: str = "mask") -> Path:
    """Return the mask or probability among the files of a case: one, in one or several formats.

    Raises:
        DataError: there are files of several names.
    """
    if len({(file.parent, stem_of(file)) for file in files}) > 1:
        names = ", ".join(file.relative_to(folder).as_posix() for file in files[:3])
        what = f"has {len(files)} files that may be the {kind} of {case.name}: {names}"
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
    masks = []
    for file, shape in _slice_files(loaded, files, folder, kind="mask"):
        values = read_mask_image(file)
        require_same_size(values, shape, where=file)
        masks.append(mask_of_labels(values, labels, where=file))
    return np.stack(masks)


def _read_probability_slices(loaded: LoadedCase, files: Sequence[Path], folder: Path) -> Probability:
    slices = []
    for file, shape in _slice_files(loaded, files, folder, kind="probability"):
        values = read_probability_image(file)
        require_same_size(values, shape, where=file)
        slices.append(values)
    return np.stack(slices)


def _slice_files(
    loaded: LoadedCase, files: Sequence[Path], folder: Path, *, kind: str
) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Yield the file of each slice of a case with the shape of its image.

    Raises:
        DataError: a slice has no file, or several.
    """
    case = loaded.case
    by_number: dict[int, list[Path]] = {}
    for file in files:
        if match := re.search(r"_(\d+)(?:_mask|_probability)?$", stem_of(file)):
            by_number.setdefault(int(match[1]), []).append(file)
    for number, reference in zip(loaded.numbers, loaded.reference, strict=True):
        if not (found := by_number.get(number)):
            suffix = (files[0] if files else case.slices[0].mask).suffix
            what = f"has no {kind} for slice {number} of {case.name}"
            raise DataError(what, where=folder, cure=f"add {case.name}_{number}_{kind}{suffix}")
        yield _one_file(case, found, folder, kind=kind), reference.shape
