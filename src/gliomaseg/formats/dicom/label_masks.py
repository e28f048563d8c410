"""Results of the reader of masks, which do not need the extra `dicom`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from gliomaseg.types import Mask


@dataclass(frozen=True)
class SeriesIdentity:
    """The UIDs by which a segmentation or a structure set refers to a series.

    Attributes:
        uid: the SeriesInstanceUID.
        frame_of_reference: the FrameOfReferenceUID; an empty string if the series has none.
    """

    uid: str
    frame_of_reference: str = ""


@dataclass(frozen=True)
class References:
    """The series to which a segmentation or structure set refers.

    Attributes:
        series: SeriesInstanceUIDs; empty if it names none.
        frames: FrameOfReferenceUIDs.
    """

    series: tuple[str, ...]
    frames: tuple[str, ...]

    def include(self, series: SeriesIdentity) -> bool:
        """Return whether a series is named, or has the frame of reference if no series is named."""
        return series.uid in self.series if self.series else series.frame_of_reference in self.frames


@dataclass(frozen=True)
class LabelMasks:
    """The regions of a segmentation or a structure set, each a mask of its own: regions may overlap.

    Attributes:
        masks: of each label, bool, shape (z, y, x). A label is a segment's SegmentNumber or a region's ROINumber.
        names: SegmentLabel or ROIName of each label: free text, not for logs.
        shape: of every mask, (z, y, x).
    """

    masks: dict[int, Mask] = field(repr=False)
    names: dict[int, str] = field(repr=False)
    shape: tuple[int, int, int]

    def union(self, labels: Collection[int] | None = None) -> Mask:
        """Return the voxels of some labels, or of all: bool, shape (z, y, x); all false if no label is there."""
        chosen = [mask for label, mask in self.masks.items() if labels is None or label in labels]
        return np.logical_or.reduce(chosen) if chosen else np.zeros(self.shape, np.bool_)
