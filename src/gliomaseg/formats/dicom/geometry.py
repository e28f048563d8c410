"""Geometry of a series: the slices are sorted and checked, and get one affine.

DICOM's patient axes point left, posterior and superior (LPS); the affines of this package point right, anterior
and superior (RAS), as NIfTI's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats.dicom.headers import Instance
from gliomaseg.formats.dicom.values import item, items, number, numbers, shown, texts_of, value_of
from gliomaseg.geometry import from_lps

if TYPE_CHECKING:
    from pydicom import Dataset

# Directions are written with six digits or more; a localiser is degrees away.
_SAME_DIRECTION = 1e-3
_SAME_SPACING = 1e-3
# Positions may differ by a hundredth of the slice spacing, or by their rounding, which their decimals show.
_SHARE_OF_GAP = 0.01
_ROUNDING_MM = 0.01
_COARSE_ROUNDING_MM = 0.1
_EXACT_MM = 1e-6  # for the errors of binary fractions
# A position beyond ten metres, or a voxel over one metre, is not possible in a scanner.
_MAX_POSITION_MM = 10_000.0
_MAX_SPACING_MM = 1_000.0
_EXPORT = "export the series again with its geometry"
_MAX_SCALE = 1e30  # times 65,535 it is still within float32
_REMOVE = "remove the files of other series, or pass another --series"


@dataclass(frozen=True)
class Plane:
    """The position of one slice, in LPS millimetres.

    Attributes:
        name: for error messages.
        position_mm: the centre of its first voxel, shape (3,).
        directions: unit vectors along rising columns and along rising rows, shape (2, 3).
        spacing_mm: between rows, and between columns, shape (2,).
        gap_mm: distance to the next slice by the header, for a series of one slice; None if it is missing.
    """

    name: str
    position_mm: NDArray[np.float64]
    directions: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    gap_mm: float | None

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction of rising slices: right-handed with columns and rows."""
        return np.cross(self.directions[0], self.directions[1])


@dataclass(frozen=True)
class Stack:
    """Slices in order: `order[z]` is the index of the plane at z; the affine takes (x, y, z) to RAS millimetres."""

    order: tuple[int, ...]
    affine: NDArray[np.float64]


def stack(planes: Sequence[Plane], *, where: str) -> Stack:
    """Return the order of slices along their normal, and the affine of their grid.

    Raises:
        GeometryError: a direction or spacing is invalid, the planes have several orientations or spacings, two have
            the same position, some are missing, or they are unevenly spaced or shifted.
    """
    for plane in planes:
        check_plane(plane)
    _check_same_grid(planes, where=where)
    along = np.array([plane.position_mm @ planes[0].normal for plane in planes])
    order = np.argsort(along, kind="stable")
    ordered = [planes[index] for index in order]
    if len(ordered) > 1:
        rounding_mm = _rounding_mm(planes)
        _check_gaps(along[order], ordered, rounding_mm, where=where)
        step = (ordered[-1].position_mm - ordered[0].position_mm) / (len(ordered) - 1)
        _check_positions(step, ordered, rounding_mm, where=where)
    elif ordered[0].gap_mm is None or not 0 < ordered[0].gap_mm <= _MAX_SPACING_MM:
        gap = shown(ordered[0].gap_mm)
        what = f"SpacingBetweenSlices or SliceThickness of its one slice is {gap}, expected a positive number"
        raise GeometryError(what, where=where, cure="pass the whole series")
    else:
        step = ordered[0].normal * ordered[0].gap_mm
    return Stack(tuple(int(index) for index in order), affine_of(ordered[0], step))


def _rounding_mm(planes: Sequence[Plane]) -> float:
    """Return the distance by which rounding may change the difference of two positions, along any direction.

    All positions with one decimal are rounded to 0.1 mm, other ones to at most 0.01 mm. Each of the coordinates that
    differ may be off by half of this, in both positions.
    """
    positions = np.array([plane.position_mm for plane in planes])
    tenths = positions / _COARSE_ROUNDING_MM
    unit = _COARSE_ROUNDING_MM if np.allclose(tenths, np.rint(tenths), rtol=0, atol=1e-6) else _ROUNDING_MM
    return unit * max(1.0, float(np.sqrt(np.count_nonzero(np.ptp(positions, axis=0)))))


def affine_of(first: Plane, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine of a grid, RAS in mm, from its first plane and the step to the next one, LPS in mm."""
    lps = np.eye(4)
    # A rising column moves along the first direction, by the spacing between columns, which stands second.
    lps[:3, 0] = first.directions[0] * first.spacing_mm[1]
    lps[:3, 1] = first.directions[1] * first.spacing_mm[0]
    lps[:3, 2] = step
    lps[:3, 3] = first.position_mm
    affine: NDArray[np.float64] = from_lps(lps)
    return affine + 0.0  # no negative zeros


def check_plane(plane: Plane) -> None:
    """Check that a plane's position, directions and spacing are possible.

    Raises:
        GeometryError: they are not.
    """
    if abs(plane.position_mm).max() > _MAX_POSITION_MM:
        what = f"ImagePositionPatient is over {_MAX_POSITION_MM:,.0f} mm from the origin"
        raise GeometryError(what, where=plane.name, cure=_EXPORT)
    product = np.clip(plane.directions, -2, 2) @ np.clip(plane.directions, -2, 2).T
    if not np.allclose(product, np.eye(2), atol=_SAME_DIRECTION):
        what = "ImageOrientationPatient is not two unit vectors at right angles"
        raise GeometryError(what, where=plane.name, cure=_EXPORT)
    if (plane.spacing_mm <= 0).any() or (plane.spacing_mm > _MAX_SPACING_MM).any():
        row, column = plane.spacing_mm
        what = f"PixelSpacing is {row:g} x {column:g} mm, expected positive numbers up to {_MAX_SPACING_MM:,.0f}"
        raise GeometryError(what, where=plane.name, cure=_EXPORT)


def _check_same_grid(planes: Sequence[Plane], *, where: str) -> None:
    directions = np.array([plane.directions for plane in planes])
    usual = np.median(directions, axis=0)
    away = (abs(directions - usual) > _SAME_DIRECTION).any(axis=(1, 2))
    if away.any():
        others = [plane for plane, other in zip(planes, away, strict=True) if other]
        angle = max(_angle_deg(plane, planes[int(np.argmin(away))]) for plane in others)
        what = (
            f"ImageOrientationPatient of {texts_of([plane.name for plane in others])} differs by {angle:.3g} degrees "
            "from the other slices, expected one direction"
        )
        raise GeometryError(what, where=where, cure=_REMOVE)
    spacings = np.array([plane.spacing_mm for plane in planes])
    away = (abs(spacings - np.median(spacings, axis=0)) > _SAME_SPACING * spacings).any(axis=1)
    if away.any():
        names = texts_of([plane.name for plane, other in zip(planes, away, strict=True) if other])
        raise GeometryError(f"has slices of several pixel spacings ({names})", where=where, cure=_REMOVE)


def _angle_deg(one: Plane, other: Plane) -> float:
    """Return the larger angle between the directions of two slices, along columns or along rows, in [0, 180]."""
    cosines = np.clip((one.directions * other.directions).sum(axis=1), -1, 1)
    return float(np.degrees(np.arccos(cosines)).max())


def _check_gaps(along: NDArray[np.float64], ordered: Sequence[Plane], rounding_mm: float, *, where: str) -> None:
    gaps = np.diff(along)
    twice = gaps < _ROUNDING_MM
    if twice.any():
        first = int(np.argmax(twice))
        names = f"{ordered[first].name} and {ordered[first + 1].name}"
        count = int(twice.sum())
        what = f"has {count} {'place' if count == 1 else 'places'} with two slices ({names})"
        raise GeometryError(what, where=where, cure="remove copies, or split a series of several volumes")
    # A missing slice doubles one gap only, so the median gap is the slice spacing.
    gap = float(np.median(gaps))
    uneven = abs(gaps - gap) > max(_SHARE_OF_GAP * gap, rounding_mm) + _EXACT_MM
    if not uneven.any():
        return
    first = int(np.argmax(uneven))
    names = f"{ordered[first].name} and {ordered[first + 1].name}"
    times = np.round(gaps / gap)
    if (abs(gaps - times * gap) <= np.maximum(_SHARE_OF_GAP * gaps, rounding_mm) + _EXACT_MM).all() and (
        times >= 1
    ).all():
        count = int((times - 1).sum())
        what = f"is missing {count} {'slice' if count == 1 else 'slices'}, the first between {names}"
        raise GeometryError(what, where=where, cure="copy or export the whole series again")
    what = (
        f"slice spacing is {gaps.min():.2f} to {gaps.max():.2f} mm, expected one value (first change between {names})"
    )
    raise GeometryError(what, where=where, cure=_REMOVE)


def _check_positions(step: NDArray[np.float64], ordered: Sequence[Plane], rounding_mm: float, *, where: str) -> None:
    gap = float(step @ ordered[0].normal)
    aside = float(np.linalg.norm(step - gap * ordered[0].normal))
    if aside > max(_SHARE_OF_GAP * gap, rounding_mm / (len(ordered) - 1)):
        what = f"slices are not stacked along their normal: each slice is shifted by {aside:.2f} mm"
        raise GeometryError(what, where=where, cure="resample it to a grid with right angles")
    expected = ordered[0].position_mm + np.arange(len(ordered))[:, None] * step
    off = np.linalg.norm(np.array([plane.position_mm for plane in ordered]) - expected, axis=1)
    if off.max() > max(_SHARE_OF_GAP * gap * 2, 5 * _ROUNDING_MM, 2 * rounding_mm):
        worst = ordered[int(np.argmax(off))].name
        what = f"has a slice {off.max():.2f} mm away from its expected position ({worst})"
        raise GeometryError(what, where=where, cure=_REMOVE)


@dataclass(frozen=True)
class Frame:
    """One slice of a file: its position, its frame number from 0, and the scaling of its stored values."""

    plane: Plane
    index: int
    slope: float
    intercept: float


def frames_of(instance: Instance, count: int) -> list[Frame]:
    """Return a file's frames in the order of their pixels.

    Args:
        instance: the file.
        count: its NumberOfFrames.

    Raises:
        GeometryError: a frame lacks position, orientation or spacing.
        FormatError: the rescaling is invalid, or the number of functional groups differs from the number of frames.
    """
    if not instance.is_multi_frame:
        header = instance.header
        return [_frame(instance.name, 0, [header, header, header, header])]
    return frames_of_groups(instance.header, count, name=instance.name)


def frames_of_groups(header: Dataset, count: int, *, name: str) -> list[Frame]:
    """Return the frames of a multi-frame file, an image or a segmentation, as `frames_of`."""
    shared = item(header, "SharedFunctionalGroupsSequence")
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if len(groups) != count:
        what = f"NumberOfFrames is {count}, expected {len(groups)} as in PerFrameFunctionalGroupsSequence"
        raise FormatError(what, where=name, cure="export it again")
    keywords = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return [
        _frame(f"frame {k + 1} of {name}", k, [item(own, word) or item(shared, word) for word in keywords])
        for k, own in enumerate(groups)
    ]


def _frame(name: str, index: int, parts: list[Dataset | None]) -> Frame:
    placed, turned, measured, rescaled = parts
    plane = Plane(
        name,
        position_mm=_required(placed, "ImagePositionPatient", 3, name=name),
        directions=_required(turned, "ImageOrientationPatient", 6, name=name).reshape(2, 3),
        spacing_mm=_required(measured, "PixelSpacing", 2, name=name),
        gap_mm=_gap_mm(measured),
    )
    slope, intercept = _rescaling(rescaled, name=name)
    return Frame(plane, index, slope, intercept)


def _required(data: Dataset | None, keyword: str, count: int, *, name: str) -> NDArray[np.float64]:
    found = numbers(data, keyword, count) if data is not None else None
    if found is None:
        raise GeometryError(f"{keyword} is missing or invalid", where=name, cure=_EXPORT)
    return found


def _gap_mm(measured: Dataset | None) -> float | None:
    if measured is None:
        return None
    return number(measured, "SpacingBetweenSlices") or number(measured, "SliceThickness")


def _rescaling(data: Dataset | None, *, name: str) -> tuple[float, float]:
    if data is None:
        return 1.0, 0.0
    if "ModalityLUTSequence" in data:
        raise FormatError("ModalityLUTSequence is not supported", where=name, cure="export it with a linear rescaling")
    if value_of(data, "RescaleSlope") is None and value_of(data, "RescaleIntercept") is None:
        return 1.0, 0.0
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    if not slope or intercept is None or abs(slope) + abs(intercept) > _MAX_SCALE:
        what = (
            f"RescaleSlope is {shown(slope)} and RescaleIntercept is {shown(intercept)}, expected a slope other than 0"
        )
        raise FormatError(what, where=name, cure="export it again")
    return slope, intercept
