"""The masks of one case, and what several measures compute from them once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gliomaseg.metrics import calibration, overlap, surface
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.lesions import Lesions, count_lesions
from gliomaseg.metrics.mask_checks import VOXELS
from gliomaseg.metrics.overlap import Counts
from gliomaseg.metrics.surface import SurfaceDistances
from gliomaseg.types import Mask, Probability


@dataclass(frozen=True)
class CaseMasks:
    """The masks of one case, from which every measure is computed.

    Attributes:
        reference: the expert's mask, bool, shape (z, y, x).
        predicted: the predicted mask, bool, same shape.
        probability: of tumour, float32 in [0, 1], same shape.
        spacing_mm: voxel spacing along z, y, x; None if unknown.
        tolerance: of `surface_dice`, in millimetres or pixels.
        consecutive: whether the slices follow each other without a gap.
    """

    reference: Mask
    predicted: Mask
    probability: Probability
    spacing_mm: tuple[float, float, float] | None = None
    tolerance: float = 2.0
    consecutive: bool = True

    @property
    def unit(self) -> str:
        """Of lengths: mm or px."""
        return "px" if self.spacing_mm is None else "mm"

    @cached_property
    def counts(self) -> Counts:
        """Pixels in both masks, in the reference and in the prediction of each slice."""
        return overlap.count_slices(reference=self.reference, predicted=self.predicted)

    @cached_property
    def voxels(self) -> tuple[int, int, int]:
        """Voxels in both masks, in the reference and in the prediction."""
        both, reference, predicted = (int(n) for n in self.counts.sum(axis=0))
        return both, reference, predicted

    @cached_property
    def calibration(self) -> CalibrationTable:
        """Calibration of all voxels."""
        return calibration.calibration_table(reference=self.reference, predicted=self.probability)

    @cached_property
    def candidates(self) -> CalibrationTable:
        """Calibration of the voxels that may be tumour."""
        return calibration.candidate_calibration_table(reference=self.reference, predicted=self.probability)

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Distances between the two surfaces."""
        spacing = self.spacing_mm or VOXELS
        return surface.surface_distances(reference=self.reference, predicted=self.predicted, spacing=spacing)

    @cached_property
    def lesions(self) -> Lesions:
        """Connected components of both masks, counted."""
        return count_lesions(reference=self.reference, predicted=self.predicted)
