"""From headers to planes: one for a single-frame file, one a frame for an enhanced one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats.dicom.elements import item, items, number, numbers, value_of
from gliomaseg.formats.dicom.geometry import Plane
from gliomaseg.formats.dicom.headers import Instance

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST = 1e30  # times 65,535 it is still a float32


@dataclass(frozen=True)
class Frame:
    """One slice of a file: where it lies, which frame it is, and what turns stored values into values."""

    plane: Plane
    index: int
    slope: float
    intercept: float


def frames_of(instance: Instance, count: int) -> list[Frame]:
    """Return a file's frames in the order in which their pixels are stored.

    Args:
        instance: the file.
        count: how many frames it declares.

    Raises:
        GeometryError: a frame does not say where it lies.
        FormatError: the rescaling makes no sense, or the functional groups do not fit the frames.
    """
    if not instance.is_multi_frame:
        header = instance.header
        return [_frame(instance.name, 0, [header, header, header, header])]
    shared = item(instance.header, "SharedFunctionalGroupsSequence")
    groups = items(instance.header, "PerFrameFunctionalGroupsSequence")
    if len(groups) != count:
        what = f"describes {len(groups)} frames and declares {count}"
        raise FormatError(what, where=instance.name, cure="export it again")
    keywords = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return [
        _frame(f"frame {k + 1} of {instance.name}", k, [item(own, word) or item(shared, word) for word in keywords])
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
        raise GeometryError(f"has no usable {keyword}", where=name, cure="export the series again with its geometry")
    return found


def _gap_mm(measured: Dataset | None) -> float | None:
    if measured is None:
        return None
    return number(measured, "SpacingBetweenSlices") or number(measured, "SliceThickness")


def _rescaling(data: Dataset | None, *, name: str) -> tuple[float, float]:
    if data is None:
        return 1.0, 0.0
    if "ModalityLUTSequence" in data:
        raise FormatError("has a table of values (Modality LUT)", where=name, cure="export it without one")
    if value_of(data, "RescaleSlope") is None and value_of(data, "RescaleIntercept") is None:
        return 1.0, 0.0
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    if not slope or intercept is None or abs(slope) + abs(intercept) > _MOST:
        raise FormatError("has no usable RescaleSlope and RescaleIntercept", where=name, cure="export it again")
    return slope, intercept
