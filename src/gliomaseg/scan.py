"""One examination in memory, read from files or made from an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.geometry import (
    SAME_POSITION_MM,
    Affine,
    Orientation,
    Spacing,
    axis_codes,
    describe_voxels,
    farthest_corner_mm,
    orientation_to,
    pixel_area_mm2,
    require_affine,
    spacing_of,
    voxel_volume_mm3,
)
from gliomaseg.naming import Role
from gliomaseg.resampling import VolumeGrid, covered_share, head_of, resample
from gliomaseg.types import Mask, Sequence, Voxels

SEQUENCE_OF_ROLE = {role: Sequence(role.value) for role in (Role.FLAIR, Role.T1, Role.T1CE, Role.T2)}
SEQUENCES = {1: (Sequence.FLAIR,), 3: (Sequence.T1, Sequence.FLAIR, Sequence.T1CE)}
LEVEL_TOLERANCE = 0.01  # of a slice's intensity range: rounding to 8 bits stays below it
DIFFERENT_SHARE = 0.1  # of the head: at least 0.63 for T1 and T1ce of the 88 patients, 0 for copies of FLAIR
COVERED_SHARE = 0.9


@dataclass(frozen=True, eq=False)  # equality of arrays has no single truth value
class Scan:
    """The slices of one examination on its own grid.

    Attributes:
        voxels: real numbers, shape (z, y, x, c): c is 1 (FLAIR, or a grey image) or 3 (T1, FLAIR,
            contrast-enhanced T1: the order of the LGG data set). Without an affine they are axial images of 8 or 16
            bits, as in the training data. With an affine, z may have any direction. NaN and infinity are replaced by
            the background: 0, or the smallest finite value if that is negative.
        source: the file or folder that the scan was read from.
        affine: voxel indices (x, y, z, 1) to millimetres in the patient, RAS+; None if the file has none.
        orientation_assumed: whether the affine's directions are the format's default and not the file's own.
        template: the template, such as MNI 152, whose space the affine is in; None for the scanner's or an unnamed one.
        sequences: one name for each channel; the default is FLAIR, or T1, FLAIR and contrast-enhanced T1.
        given: the sequences that the examination has; None if the reader cannot know it. `available` then compares
            the channels of images with FLAIR.
        notes: sentences about its sequences that a person must read, for example on a resampled one.
        unused: the sequences that were given and cannot be used, with the reason.
    """

    voxels: Voxels = field(repr=False)
    source: str
    affine: Affine | None = None
    orientation_assumed: bool = False
    template: str | None = None
    sequences: tuple[Sequence, ...] = field(default=())
    given: frozenset[Sequence] | None = None
    notes: tuple[str, ...] = ()
    unused: Mapping[Sequence, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the array and the affine.

        Raises:
            GeometryError: the voxels have another number of axes or channels, no slice, or no finite value; or the
                affine is not usable.
            TypeError: the voxels or the affine are not NumPy arrays.
            ValueError: the number of sequence names differs from the number of channels, or a name is unknown.
        """
        _require_arrays(self.voxels, self.affine)
        shape = self.voxels.shape
        if len(shape) != 4 or shape[3] not in SEQUENCES or 0 in shape:
            raise GeometryError(f"shape is {shape}, expected (z, y, x, 1) or (z, y, x, 3)", where=self.source)
        if self.affine is None and self.voxels.dtype not in (np.uint8, np.uint16):
            raise GeometryError(f"image type is {self.voxels.dtype}, expected 8 or 16 bits", where=self.source)
        if self.affine is not None:
            if self.voxels.dtype.kind not in "iuf":
                raise GeometryError(f"voxel type is {self.voxels.dtype}, expected real numbers", where=self.source)
            require_affine(self.affine, where=self.source)
            object.__setattr__(self, "voxels", _finite(self.voxels, self.source))
        names = self.sequences or SEQUENCES[shape[3]]
        object.__setattr__(self, "sequences", tuple(Sequence(name) for name in names))
        if len(self.sequences) != shape[3]:
            raise ValueError(f"{len(self.sequences)} sequence names for {shape[3]} channels")

    @property
    def voxel_ml(self) -> float | None:
        """The volume of a voxel in ml; None without an affine."""
        return None if self.affine is None else voxel_volume_mm3(self.affine) / 1000

    @property
    def spacing_mm(self) -> Spacing | None:
        """Voxel spacing along (z, y, x), in millimetres; None without an affine."""
        return None if self.affine is None else spacing_of(self.affine)

    @property
    def axial_pixel_mm2(self) -> float | None:
        """Area of a pixel of an axial slice, in mm2; None without an affine."""
        return None if self.affine is None else pixel_area_mm2(self.affine, self.axial.axes[0])

    @property
    def orientation(self) -> str | None:
        """Directions of x, y and z in the patient, such as LPS; None if the file does not define them."""
        return None if self.affine is None or self.orientation_assumed else axis_codes(self.affine)

    @cached_property
    def axial(self) -> Orientation:
        """How to turn the scan to axial slices in radiological view; images without an affine are axial already."""
        return Orientation() if self.affine is None else orientation_to(self.affine)

    @property
    def flair_index(self) -> int:
        """Index of the FLAIR channel; 0 if no channel is FLAIR."""
        return self.sequences.index(Sequence.FLAIR) if Sequence.FLAIR in self.sequences else 0

    @cached_property
    def available(self) -> frozenset[Sequence]:
        """The sequences that the examination has.

        These are the sequences in `given`. If it is None, all channels of a volume are available. In RGB slices, a
        channel that is a copy of FLAIR counts as missing: the LGG data set fills missing sequences so. Their channel is
        available if it differs from FLAIR in a tenth of the head's pixels. A copy may have another scale; slices in
        which the channel is black do not differ.
        """
        if self.given is not None:
            return self.given
        if self.affine is not None or Sequence.FLAIR not in self.sequences or len(self.sequences) == 1:
            return frozenset(self.sequences)
        flair = self.voxels[..., self.flair_index]
        head = head_of(flair)
        least = max(1, DIFFERENT_SHARE * np.count_nonzero(head))
        different = [_count_different(self.voxels[..., k], flair, head) for k in range(len(self.sequences))]
        named = zip(self.sequences, different, strict=True)
        return frozenset({Sequence.FLAIR, *(name for name, count in named if count >= least)})

    def missing_reason(self, name: Sequence) -> str:
        """Return why a sequence is not available."""
        label = "FLAIR" if name is Sequence.FLAIR else name.value.capitalize()
        if name in self.unused:
            return f"{label} {self.unused[name]}"
        if self.given is None and name in self.sequences:
            return f"{label} is a copy of FLAIR, or black"
        return f"no {label} was given"


def flair_channel(channels: int) -> int:
    """Return the index of FLAIR among the channels of an image: 0 of one channel, else 1."""
    return 1 if channels > 1 else 0


def _require_arrays(voxels: Any, affine: Any) -> None:
    if not isinstance(voxels, np.ndarray) or isinstance(voxels, np.ma.MaskedArray):
        raise TypeError(f"voxels are {type(voxels).__name__}, expected a plain NumPy array (z, y, x, c)")
    if affine is not None and not (isinstance(affine, np.ndarray) and affine.dtype.kind in "iuf"):
        raise TypeError(f"affine is {type(affine).__name__}, expected a NumPy array of 4 x 4 numbers")


def _finite(voxels: Voxels, source: str) -> Voxels:
    """Return voxels with the background instead of NaN and infinity, as for files; the same array if all are finite."""
    if np.isfinite([voxels.min(), voxels.max()]).all():
        return voxels
    finite = np.isfinite(voxels)
    if not finite.any():
        raise GeometryError("voxels are all NaN or infinite", where=source, cure="pass a scan with finite values")
    filled = voxels.copy()
    filled[~finite] = min(voxels[finite].min(), 0)
    return filled


def _count_different(volume: NDArray[Any], flair: NDArray[Any], head: Mask) -> int:
    """Return in how many voxels of the head a sequence differs from FLAIR, each slice scaled to 0 to 1."""
    slices = zip(volume, flair, head, strict=True)
    return sum(
        int(np.count_nonzero((np.abs(_unit(plane) - _unit(base)) > LEVEL_TOLERANCE)[inside]))
        for plane, base, inside in slices
        if plane.min() < plane.max() and base.min() < base.max()
    )


def _unit(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Return a slice with a signal, scaled to 0 (darkest) to 1 (brightest)."""
    low, high = np.float32(plane.min()), np.float32(plane.max())
    return (plane.astype(np.float32) - low) / (high - low)


def join_scans(flair: Scan, others: Mapping[Sequence, Scan], *, partial: bool = False) -> Scan:
    """Return FLAIR with its other sequences as channels T1, FLAIR, T1ce; a missing one is a copy of FLAIR.

    A volume on another grid is resampled to the grid of FLAIR, and the notes of the result give its own grid.

    Args:
        flair: one grey sequence.
        others: T1 or T1ce, or both.
        partial: whether a volume that covers too little of the head is left out with a note, and not refused.

    Raises:
        GeometryError: a scan has colours; images have another size than FLAIR; only one scan has a known affine; or a
            volume covers less than 90 % of the head.
    """
    for scan in (flair, *others.values()):
        if scan.voxels.shape[-1] != 1:
            raise GeometryError(
                "image is in colour, expected one grey sequence", where=scan.source, cure="give a grey image"
            )
    placed: dict[Sequence, Scan] = {}
    unused: dict[Sequence, str] = {}
    notes = list(flair.notes)
    for name, scan in others.items():
        try:
            placed[name] = scan if _is_on_grid(flair, scan) else _resampled(name, scan, flair)
        except _CoverageError as fault:
            if not partial:
                raise
            unused[name] = fault.what
            notes.append(f"{name.value.capitalize()} was not used: it {fault.what}")
        else:
            notes += placed[name].notes
    if not placed:
        return replace(flair, notes=tuple(notes), unused=unused)
    channels = [placed.get(Sequence.T1, flair), flair, placed.get(Sequence.T1CE, flair)]
    voxels = np.concatenate([scan.voxels for scan in channels], axis=3)
    given = frozenset({Sequence.FLAIR, *placed})
    return replace(flair, voxels=voxels, sequences=(), given=given, notes=tuple(notes), unused=unused)


class _CoverageError(GeometryError):
    """A sequence covers too little of the head."""


def _is_on_grid(flair: Scan, other: Scan) -> bool:
    """Return whether two sequences have one grid; refuse those whose positions are not comparable."""
    cure = "resample it to the FLAIR grid, or omit it"
    if (flair.affine is None) != (other.affine is None):
        raise GeometryError("only one of this file and FLAIR has an affine", where=other.source, cure=cure)
    same_size = other.voxels.shape == flair.voxels.shape
    if flair.affine is not None and other.affine is not None:
        if same_size and farthest_corner_mm(flair.voxels.shape, flair.affine, other.affine) <= SAME_POSITION_MM:
            return True
        require_same_space(other, flair)
        if not (flair.orientation_assumed or other.orientation_assumed):
            return False
        source = other.source if other.orientation_assumed else flair.source
        what = "has no orientation, and the grids of this sequence and FLAIR differ"
        raise GeometryError(what, where=source, cure=cure)
    if not same_size:
        shapes = [" x ".join(map(str, reversed(scan.voxels.shape[:3]))) for scan in (other, flair)]
        raise GeometryError(
            f"size is {shapes[0]} voxels (x, y, z), expected {shapes[1]} as FLAIR", where=other.source, cure=cure
        )
    if flair.voxels.dtype != other.voxels.dtype:
        raise GeometryError(
            f"image type is {other.voxels.dtype}, expected {flair.voxels.dtype} as FLAIR",
            where=other.source,
            cure="give both in 8 or 16 bits",
        )
    return True


def require_same_space(scan: Scan, other: Scan) -> None:
    """Check that the positions of two scans on different grids are comparable.

    Raises:
        GeometryError: only one is in the space of a template, or they name different templates.
    """
    if scan.template != other.template:
        spaces = [one.template or "the scanner" for one in (scan, other)]
        what = f"world space is {spaces[0]}, expected {spaces[1]} as {Path(other.source).name}"
        raise GeometryError(what, where=scan.source, cure="register it, or correct its sform_code and qform_code")


def _resampled(name: Sequence, scan: Scan, flair: Scan) -> Scan:
    """Return a volume on the grid of FLAIR, with a note."""
    source, grid = (VolumeGrid(*_shape_and_affine(one)) for one in (scan, flair))
    share = covered_share(head_of(flair.voxels[..., 0]), grid, source)
    if share < COVERED_SHARE:
        # Not rounded up to the limit.
        what = f"covers {int(100 * share)} % of the head in FLAIR, expected at least {100 * COVERED_SHARE:.0f} %"
        cure = "give a sequence of the same examination and region, or omit it"
        raise _CoverageError(what, where=scan.source, cure=cure)
    own = describe_voxels(source.shape, source.affine)
    note = f"{name.value.capitalize()} was resampled to the grid of FLAIR, from {own}"
    missing = "" if share == 1 else f", and has no signal in {max(1, round(100 * (1 - share)))} % of the head"
    voxels = resample(scan.voxels[..., 0], source, grid)[..., None]
    return replace(scan, voxels=voxels, affine=flair.affine, notes=(*scan.notes, note + missing))


def _shape_and_affine(scan: Scan) -> tuple[tuple[int, int, int], Affine]:
    if scan.affine is None:
        raise ValueError("the scan has no affine")
    z, y, x = scan.voxels.shape[:3]
    return (z, y, x), scan.affine
