"""A measure: its definition, the masks that it is computed from, and the type of its values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from gliomaseg.geometry import Affine, Orientation
from gliomaseg.metrics import calibration, overlap, surface
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.lesions import Lesions, count_lesions
from gliomaseg.metrics.mask_checks import VOXELS
from gliomaseg.metrics.overlap import Counts
from gliomaseg.metrics.surface import SurfaceDistances
from gliomaseg.metrics.volume import volume_ml
from gliomaseg.types import Mask, Probability

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Share = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9)]
Count = Annotated[int, Field(ge=0, le=10**15)]

_SHARE: TypeAdapter[float | None] = TypeAdapter(Share | None, config=ConfigDict(strict=True))
_COUNT: TypeAdapter[int | None] = TypeAdapter(Count | None, config=ConfigDict(strict=True))
_NUMBER: TypeAdapter[float | None] = TypeAdapter(Number | None, config=ConfigDict(strict=True))


@dataclass(frozen=True)
class CaseMasks:
    """The masks of one case, from which every measure is computed.

    Attributes:
        reference: the expert's mask, bool, shape (z, y, x).
        predicted: the predicted mask, bool, same shape.
        probability: of tumour, float32 in [0, 1], same shape; None for masks without probabilities.
        spacing_mm: voxel spacing along z, y, x; None if unknown, or if `affine` has it.
        tolerance: of `surface_dice`, in millimetres or pixels.
        consecutive: whether the slices follow each other without a gap.
        affine: voxel indices (x, y, z, 1) to millimetres; None for images.
        axial: turns the masks to axial slices, which the slice measures are computed from.
    """

    reference: Mask
    predicted: Mask
    probability: Probability | None
    spacing_mm: tuple[float, float, float] | None = None
    tolerance: float = 2.0
    consecutive: bool = True
    affine: Affine | None = None
    axial: Orientation = field(default_factory=Orientation)

    @property
    def unit(self) -> str:
        """Of lengths: mm or px."""
        return "px" if self.spacing_mm is None and self.affine is None else "mm"

    def millilitres(self, voxels: int) -> float:
        """Return the volume of a number of voxels, in ml; NaN if the spacing is unknown."""
        if self.affine is not None:
            return volume_ml(voxels, affine=self.affine)
        return math.nan if self.spacing_mm is None else volume_ml(voxels, spacing_mm=self.spacing_mm)

    @cached_property
    def counts(self) -> Counts:
        """Pixels in both masks, in the reference and in the prediction of each axial slice."""
        reference, predicted = self.axial.turn(self.reference), self.axial.turn(self.predicted)
        return overlap.count_slices(reference=reference, predicted=predicted)

    @cached_property
    def voxels(self) -> tuple[int, int, int]:
        """Voxels in both masks, in the reference and in the prediction."""
        both, reference, predicted = (int(n) for n in self.counts.sum(axis=0))
        return both, reference, predicted

    @cached_property
    def calibration(self) -> CalibrationTable:
        """Calibration of all voxels; empty without probabilities."""
        if self.probability is None:
            return calibration.empty_table()
        return calibration.calibration_table(reference=self.reference, predicted=self.probability)

    @cached_property
    def candidates(self) -> CalibrationTable:
        """Calibration of the voxels that may be tumour; empty without probabilities."""
        if self.probability is None:
            return calibration.empty_table()
        return calibration.candidate_calibration_table(reference=self.reference, predicted=self.probability)

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Distances between the two surfaces."""
        if self.affine is not None:
            return surface.surface_distances(reference=self.reference, predicted=self.predicted, affine=self.affine)
        spacing = self.spacing_mm or VOXELS
        return surface.surface_distances(reference=self.reference, predicted=self.predicted, spacing=spacing)

    @cached_property
    def lesions(self) -> Lesions:
        """Connected components of both masks, counted."""
        return count_lesions(reference=self.reference, predicted=self.predicted)


@dataclass(frozen=True)
class Measure:
    """One measure: a key of a case's row and, if it has a definition, of the summary.

    Attributes:
        name: its key in `metrics.json`.
        label: its name in words.
        short: the heading of its column in the report.
        group: its heading in the summary of the report.
        compute: its value for one case; None if only a data set has it. NaN and None mean undefined.
        definition: a sentence that is printed with it. Measures without one are not in the summary.
        unit: "px", "mm", "ml", "voxels", "slices", or empty; "mm" and "ml" need the spacing, "px" its absence.
        range: lowest and highest value.
        higher_is_better: None for counts, and for signed errors, where a size near 0 is better.
        signed: whether comparisons use the absolute value.
        whole: whether it is a count.
        core: whether the printed table of patients shows it.
        needs_consecutive_slices: whether it is undefined where slices are missing.
        pool: its values over all slices or batches of a data set, from the counts; None if each case has one value.
    """

    name: str
    label: str
    short: str
    group: str
    compute: Callable[[CaseMasks], float | int | None] | None
    definition: str = ""
    unit: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool | None = True
    signed: bool = False
    whole: bool = False
    core: bool = False
    needs_consecutive_slices: bool = False
    pool: Callable[[Counts], NDArray[np.float64]] | None = None

    @property
    def is_share(self) -> bool:
        """Whether its values lie between 0 and 1."""
        return self.range == (0.0, 1.0) and not self.whole

    @property
    def is_mean_over_slices(self) -> bool:
        """Whether the summary of a data set is over slices, and the value of a case is the mean over its slices."""
        return self.pool is not None and self.compute is not None

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value, or a lower absolute value, is better."""
        return self.higher_is_better is False or self.signed

    @property
    def value_type(self) -> TypeAdapter[int | None] | TypeAdapter[float | None]:
        """The type of its values: a count, a share, or any finite number. None is undefined."""
        return _COUNT if self.whole else _SHARE if self.is_share else _NUMBER

    def applies(self, unit: str) -> bool:
        """Return whether a case whose lengths are in `unit` (mm or px) has it."""
        return {"px": "px", "mm": "mm", "ml": "mm"}.get(self.unit, unit) == unit


def check_value(name: str, value: float | int | None, measure: Measure | None) -> None:
    """Check a value that was read from a file; `measure` is None for a measure of a later version.

    Raises:
        PydanticCustomError: the value has another type or is out of range; the error has the name of the measure.
    """
    value_type = _NUMBER if measure is None else measure.value_type
    try:
        value_type.validate_python(value)
    except ValidationError as fault:
        context = {"name": name, "reason": fault.errors()[0]["msg"]}
        raise PydanticCustomError("measure", "{reason}", context) from fault


def is_number(value: object) -> bool:
    """Return whether a value that was read from a file can be that of a measure of a later version."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15


def number(value: float | int | None) -> float | int | None:
    """Return a value for JSON: None instead of NaN."""
    return None if value is None or math.isnan(value) else value
