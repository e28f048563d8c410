"""The document `metrics.json` as typed objects.

A file may come from anybody: keys may be missing or null, and names may be any text. A value of the wrong type
raises an error that names its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import ItemsView, Iterator, KeysView
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
    model_validator,
)

from gliomaseg.config import DocumentPart, Index, Postprocessing, Text
from gliomaseg.errors import counted
from gliomaseg.evaluation.measure import Count, Number, Share, check_value, is_number
from gliomaseg.evaluation.measures import HEADLINE, measure_named

METRICS = "metrics.json"
PICTURES = "pictures"

SpacingMm = Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=3, max_length=3)]
"""Voxel spacing: between axial slices, rows and columns."""


class CaseScores(DocumentPart):
    """One case: its measures, or the reason why it has none.

    In JSON the measures stand beside the other keys. Keys that are neither a field nor a measure are ignored,
    unless they hold a number: a measure of a later version is kept.
    """

    patient: Text
    case: Text = ""  # the name of the examination; the patient's in documents without it
    site: Text | None = None
    fold: Index | None = None
    measures: dict[Text, float | int | None] = Field(default_factory=dict)
    error: Text | None = None
    spacing_mm: SpacingMm | None = None
    orientation: Text | None = None
    skull_stripped: bool | None = None
    resampled_from: Text | None = None  # the grid of the mask's file, if it was resampled
    changed: Text | None = None  # the kind of a changed copy
    soft_dice: Share | None = None
    uncertainty: Share | None = None
    flip_dice: Share | None = None
    predicted_dice: Share | None = None
    model: Text | None = None  # if an evaluation used several
    # Warnings, sequences that were resampled or not used, and models that did not run:
    notes: list[Text] = Field(default_factory=list)
    picture_slice: Index | None = None

    def __getitem__(self, name: str) -> float | None:
        """Return a measure; None if it is undefined or the case failed.

        Raises:
            KeyError: no measure has this name.
        """
        if name not in self.measures and measure_named(name) is None:
            raise KeyError(f"measure is {name!r}, expected one such as {HEADLINE!r}")
        return self.measures.get(name)

    @property
    def dice_volume(self) -> float | None:
        """The headline measure; None if it is undefined."""
        return self.measures.get(HEADLINE)

    @model_validator(mode="before")
    @classmethod
    def _gather_measures(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("case") is None and "patient" in given:
            given = given | {"case": given["patient"]}
        if isinstance(given.get("measures"), dict):
            return given
        fields = {key: value for key, value in given.items() if key in cls.model_fields}
        rest = {key: value for key, value in given.items() if key not in fields and value is not None}
        values = {key: value for key, value in rest.items() if measure_named(key) or is_number(value)}
        for name, value in values.items():  # before the types are checked, so that the error names the measure
            check_value(name, value, measure_named(name))
        return fields | {"measures": values}

    @model_validator(mode="after")
    def _check_measures(self) -> CaseScores:
        for name, value in self.measures.items():
            check_value(name, value, measure_named(name))
        return self

    @model_serializer(mode="wrap")
    def _flatten(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = handler(self)
        head = {key: fields.pop(key) for key in ("patient", "case", "site", "fold") if key in fields}
        return {**head, **fields.pop("measures", {}), **fields}


class MeasureSummary(DocumentPart):
    """One measure over all cases."""

    mean: Number | None = None
    median: Number | None = None
    ci95: list[Number | None] = Field(default=[None, None], min_length=2, max_length=2)
    n: Count | None = None
    undefined: Count | None = None

    def interval_text(self, digits: int = 3) -> str:
        """Return the 95 % confidence interval as "0.807 to 0.854"; empty if there is none."""
        low, high = self.ci95
        return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


class Summary(DocumentPart):
    """The measures over all cases, and how much was measured. In JSON the measures stand beside the counts."""

    measures: dict[Text, MeasureSummary] = Field(default_factory=dict)
    patients: Count | None = None
    cases: Count | None = None
    slices: Count | None = None
    tumour_slices: Count | None = None
    failed: Count | None = None

    def amount_text(self) -> str:
        """Return the numbers of patients and slices, such as "4 patients, 81 slices"; unknown ones are left out."""
        counts = ((self.patients, "patient"), (self.slices, "slice"))
        return ", ".join(counted(number, noun) for number, noun in counts if number is not None)

    def __getitem__(self, name: str) -> MeasureSummary:
        """Return the entry of a measure.

        Raises:
            KeyError: the summary has no such measure.
        """
        return self.measures[name]

    def __iter__(self) -> Iterator[str]:  # type: ignore[override] # pydantic would iterate over the fields
        """Iterate over the names of the measures, as a dictionary does."""
        return iter(self.measures)

    def keys(self) -> KeysView[str]:
        """Return the names of the measures."""
        return self.measures.keys()

    def items(self) -> ItemsView[str, MeasureSummary]:
        """Return the names and entries of the measures."""
        return self.measures.items()

    @model_validator(mode="before")
    @classmethod
    def _gather_measures(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "measures" in given:
            return given
        entries = {key: value for key, value in given.items() if isinstance(value, dict | MeasureSummary)}
        return {"measures": entries} | {key: value for key, value in given.items() if key not in entries}

    @model_serializer(mode="wrap")
    def _flatten(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = handler(self)
        return {**fields.pop("measures", {}), **fields}


class EvaluationSetting(DocumentPart):
    """The data and the model of an evaluation, and how it was measured. Other keys are kept."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    data: Text | None = None
    layout: Text | None = None
    labels: list[Count] | None = None  # mask values that are tumour; None for all above 0
    split: Text | None = None
    seed: int | None = None
    subset: Text | None = None
    fold: Index | Text | None = None
    folds: Count | None = None
    warning: Text | None = None
    patients_seen: Count | None = None
    model: Text | None = None
    predictions: Text | None = None  # the folder of masks, if no model ran
    threshold: Number | None = None
    model_digest: Text | None = None
    engine: Text | None = None
    tuned: bool = False
    model_digests: list[Text] | None = None
    splits_digest: Text | None = None
    tolerance: Number | None = None
    spacing_mm: SpacingMm | None = None
    unit: Text | None = None  # of lengths: mm or px
    orientation: Text | None = None

    def joined_with(self, other: EvaluationSetting) -> EvaluationSetting:
        """Return both settings as one; the fields of `other` win."""
        return self.model_copy(update=other.model_dump(exclude_unset=True))


class Calibration(DocumentPart):
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


class LoggedEpoch(DocumentPart):
    """One epoch of training. Other keys of the log are kept."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    epoch: Number
    train_loss: Number | None = None
    validation_loss: Number | None = None
    dice_volume: Share | None = None
    dice_tumour_slices: Share | None = None


class LearningCurve(DocumentPart):
    """The epochs of one fold."""

    fold: Index | None = None
    lines: list[LoggedEpoch] = Field(default_factory=list)


class Example(DocumentPart):
    """A picture of one slice, in a file beside the numbers."""

    kind: Literal["best", "median", "worst"]
    patient: Text | None = None
    case: Text | None = None
    slice: Index | None = None
    dice_volume: Share | None = None
    file: str | None = None
    orientation: Text | None = None


class Subgroup(DocumentPart):
    """The Dice of some of the cases, such as those of one site."""

    by: Text
    name: Text
    patients: Count | None = None
    cases: Count | None = None
    dice_volume: MeasureSummary = MeasureSummary()


class Evaluation(DocumentPart):
    """The document `metrics.json`."""

    patients: list[CaseScores] = Field(default_factory=list)
    copies: list[CaseScores] = Field(default_factory=list)  # changed ones, which the summary does not count
    summary: Summary = Summary()
    subgroups: list[Subgroup] = Field(default_factory=list)
    definitions: dict[Text, Text | None] = Field(default_factory=dict)
    interval: Text | None = None
    calibration: Calibration | None = None
    examples: list[Example] = Field(default_factory=list)
    learning: list[LearningCurve] = Field(default_factory=list)
    setting: EvaluationSetting = EvaluationSetting()
    versions: dict[Text, Text | None] = Field(default_factory=dict)
    seconds: Number | None = None
    command: Text | None = None
    postprocessing: Postprocessing | None = None  # what `crossvalidate --tune` chose
    postprocessing_by_fold: list[Postprocessing] = Field(default_factory=list)  # each on the other folds

    @model_validator(mode="after")
    def _names_are_unique(self) -> Evaluation:
        names = Counter(row.case for row in self.patients)
        if names and (most := names.most_common(1)[0])[1] > 1:
            raise ValueError(f"{most[0]} is there {most[1]} times")
        return self

    @field_serializer("postprocessing", "postprocessing_by_fold")
    def _whole(self, value: Postprocessing | list[Postprocessing] | None) -> Any:
        return [entry.model_dump() for entry in value] if isinstance(value, list) else value and value.model_dump()

    def document(self) -> dict[str, Any]:
        """Return the keys and values of `metrics.json`."""
        return self.model_dump(mode="json", exclude_unset=True)
