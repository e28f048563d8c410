"""What an evaluation's folder holds, checked before anything is made of it.

The file may come from anybody: a key may be missing or null, and names may be anything. A number where a
word belongs, or the reverse, is a damaged file and is refused with its place.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gliomaseg.config import Postprocessing, metrics_to_format_2
from gliomaseg.errors import DataError, FormatError

FILE = "metrics.json"
LARGEST_BYTES = 64 * 2**20
LONGEST_TEXT = 2000
CURE = "run `gliomaseg evaluate` again"


def _printable(text: str) -> str:
    """Return a text without control characters and halves of characters, cut to a length that can be read."""
    kept = "".join(c if c.isprintable() else " " for c in text[:LONGEST_TEXT])
    return " ".join(kept.encode("utf-8", "replace").decode("utf-8").split())


Text = Annotated[str, AfterValidator(_printable)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Share = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Index = Annotated[int, Field(ge=0, le=10**9)]


class _Part(BaseModel):
    """Unknown keys are passed over, and null means that the key is not there."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given


class Patient(_Part):
    """A row: one patient, with its numbers or the reason why there are none."""

    patient: Text
    site: Text | None = None
    fold: Index | None = None
    error: Text | None = None
    model: Text | None = None  # where each patient got one of several
    picture_slice: Index | None = None
    slices: Count | None = None
    tumour_slices: Count | None = None
    reference_voxels: Count | None = None
    predicted_voxels: Count | None = None
    overlap_voxels: Count | None = None
    reference_ml: Number | None = None
    predicted_ml: Number | None = None
    dice_volume: Share | None = None
    dice_tumour_slices: Share | None = None
    dice_slices_empty_one: Share | None = None
    empty_slice_false_positive_rate: Share | None = None
    iou: Share | None = None
    precision: Share | None = None
    sensitivity: Share | None = None
    specificity: Share | None = None
    surface_dice: Share | None = None
    hausdorff_95_px: Number | None = None
    hausdorff_95_mm: Number | None = None
    average_surface_distance_px: Number | None = None
    average_surface_distance_mm: Number | None = None
    volume_error: Number | None = None
    lesion_precision: Share | None = None
    lesion_sensitivity: Share | None = None
    lesion_f1: Share | None = None
    lesions: Count | None = None
    lesions_found: Count | None = None
    lesions_predicted: Count | None = None
    smallest_lesion_found_voxels: Number | None = None
    expected_calibration_error: Share | None = None
    candidate_calibration_error: Share | None = None
    brier_score: Share | None = None
    soft_dice: Share | None = None
    uncertainty: Share | None = None
    flip_dice: Share | None = None
    predicted_dice: Share | None = None


class Entry(_Part):
    """One measure over all patients."""

    mean: Number | None = None
    median: Number | None = None
    ci95: Annotated[list[Number | None], Field(min_length=2, max_length=2)] = [None, None]
    n: Count | None = None
    undefined: Count | None = None


class Setting(_Part):
    """What was measured, and how."""

    data: Text | None = None
    split: Text | None = None
    seed: int | None = None
    subset: Text | None = None
    fold: Index | Text | None = None
    folds: Count | None = None
    warning: Text | None = None
    patients_seen: Count | None = None
    model: Text | None = None
    threshold: Number | None = None
    model_digest: Text | None = None
    engine: Text | None = None
    tuned: bool = False
    model_digests: list[Text] | None = None
    splits_digest: Text | None = None
    tolerance: Number | None = None
    spacing_mm: Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=3, max_length=3)] | None = None
    orientation: Text | None = None


class Calibration(_Part):
    """Pixels in bins of predicted probability."""

    edges: list[Share]
    pixels: list[Count]
    mean_probability: list[Share | None]
    tumour_share: list[Share | None]

    @model_validator(mode="after")
    def _fits(self) -> Calibration:
        bins = len(self.pixels)
        if not len(self.edges) - 1 == bins == len(self.mean_probability) == len(self.tumour_share):
            raise ValueError("the lists do not fit each other")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("the edges do not rise")
        return self


class Line(_Part):
    """One epoch of training."""

    epoch: Number
    train_loss: Number | None = None
    validation_loss: Number | None = None
    dice_volume: Share | None = None
    dice_tumour_slices: Share | None = None


class Learning(_Part):
    """The epochs of one fold."""

    fold: Index | None = None
    lines: list[Line] = []


class Example(_Part):
    """A picture of one slice, in a file beside the numbers."""

    kind: Literal["best", "median", "worst"]
    patient: Text | None = None
    slice: Index | None = None
    dice_volume: Share | None = None
    file: str | None = None
    orientation: Text | None = None


class Evaluation(_Part):
    """All of `metrics.json` that a report shows."""

    patients: list[Patient] = []
    summary: dict[Text, Entry | Number | None] = {}
    definitions: dict[Text, Text | None] = {}
    interval: Text | None = None
    setting: Setting = Setting()
    postprocessing: Postprocessing | None = None  # what `crossvalidate --tune` chose
    postprocessing_by_fold: list[Postprocessing] = []  # each on the other folds
    versions: dict[Text, Text | None] = {}
    seconds: Number | None = None
    command: Text | None = None
    calibration: Calibration | None = None
    learning: list[Learning] = []
    examples: list[Example] = []

    @model_validator(mode="after")
    def _names_each_once(self) -> Evaluation:
        names = Counter(row.patient for row in self.patients)
        if names and (most := names.most_common(1)[0])[1] > 1:
            raise ValueError(f"{most[0]} is there {most[1]} times")
        return self


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Return a folder's evaluation, each known key present: null or empty where the file says nothing.

    Raises:
        DataError: there is no `metrics.json` in the folder.
        FormatError: it cannot be read as one, or is larger than 64 MiB.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"there is no {FILE}", where=folder, cure="name a folder that `gliomaseg evaluate` wrote")
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise FormatError(f"is larger than {LARGEST_BYTES >> 20} MiB", where=path, cure=CURE)
        tree = json.loads(path.read_text("utf-8"), parse_constant=lambda _word: None)
        if not isinstance(tree, dict) or "patients" not in tree:
            raise FormatError("is no evaluation: it names no `patients`", where=path, cure=CURE)
        return Evaluation.model_validate(metrics_to_format_2(tree)).model_dump()
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise FormatError(_printable(f"{place}: {what}"), where=path, cure=CURE) from fault
    except (ValueError, RecursionError) as fault:  # JSON and UTF-8 are both told of as ValueError
        raise FormatError(f"is not readable JSON ({type(fault).__name__})", where=path, cure=CURE) from fault
    except OSError as fault:
        raise FormatError(f"cannot be read ({fault.strerror or fault})", where=path, cure="check its rights") from fault
