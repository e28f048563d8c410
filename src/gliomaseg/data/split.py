"""Splits of a data set into training and validation cases, drawn from a seed and written to a file.

Both sides get a similar share of each site, and of patients with much and with little tumour. Patients that share an
identical slice are on the same side. Only `by = "slice"` puts slices of one patient on both sides, as the reference
notebook does; the file then has a `warning`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from gliomaseg.atomic import write_text
from gliomaseg.config import Settings, Split
from gliomaseg.data.case import Case
from gliomaseg.data.case_list import CaseList, DataOptions, DataSettings
from gliomaseg.data.layouts.kaggle import identify
from gliomaseg.data.split_features import SplitFeatures, read_split_features
from gliomaseg.errors import ConfigError, DataError, counted
from gliomaseg.user_files import read_text

LEAK = (
    "slices of one patient are on both sides: neighbouring slices look alike, so scores on the validation "
    "side measure how well the network remembers these patients, not how well it works on new ones"
)


class Fold(Settings):
    """The two sides of a fold: sorted names of cases, or of slices (`case/number`) if the split is by slice."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


class Splits(Settings):
    """The content of `splits.json`.

    Attributes:
        by: unit of the split; cases of one unit are on one side.
        seed: seed of the random generator.
        holdout: fraction of the units in the validation set; None if the split has folds.
        stratified: properties with a similar distribution on both sides.
        together: groups of cases that share a slice although their patients or sites differ; each is on one side.
        warning: how the split leaks; None if it does not leak.
        data: how the data set was read, for the commands that get the file.
        folds: at least one.
    """

    format: Literal[1] = 1
    by: Literal["patient", "site", "slice"]
    seed: int
    holdout: float | None = None
    stratified: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    warning: str | None = None
    data: DataSettings = DataSettings()
    folds: tuple[Fold, ...] = Field(min_length=1)

    def read_with(self, options: DataOptions) -> Splits:
        """Return the splits with the options that the data set was read with."""
        return self.model_copy(update={"data": DataSettings.of(options)})

    def document(self) -> dict[str, Any]:
        """Return the keys and values of the file; `data` only if an option was given."""
        return self.model_dump(exclude={"data"} if self.data == DataSettings() else None)


def split_data(index: CaseList, split: Split) -> Splits:
    """Return the folds of a data set. Every file is read once, except if the split is by slice.

    Raises:
        DataError: there are too few patients, sites or slices for a validation set.
        ConfigError: a number of folds is given, but the sites define the folds.
        FormatError: a file cannot be read.
        GeometryError: a mask and its image differ in size.
    """
    return draw_splits(index, split, {} if split.by == "slice" else read_split_features(index))


def draw_splits(index: CaseList, split: Split, features: Mapping[str, SplitFeatures]) -> Splits:
    """Return the folds of a data set whose split features are known.

    Args:
        index: the data set.
        split: unit, seed and number of folds. By site, each fold leaves one site out for validation. With `folds`,
            each unit is in one validation set; without, one fold validates on the fraction `holdout`.
        features: split features by the name of the case; a missing case has no tumour and shares no slice.

    Raises:
        DataError: there are too few patients, sites or slices for a validation set.
        ConfigError: a number of folds is given, but the sites define the folds.
    """
    if split.by == "site" and split.folds:
        raise ConfigError("a split by site has one fold a site", where="--folds", cure="leave --folds out")
    units = _units(index, split.by, features)
    folds = len(units) if split.by == "site" else split.folds
    if split.by == "site" and len(units) < 2:
        raise DataError("its patients are all of one site", where=index.root, cure="split by patient")
    if len(units) < max(2, folds or 2):
        parts = f"{folds} folds" if folds else "training and validation"
        raise DataError(
            f"number of {split.by}s is {len(units)}, expected at least {folds or 2} for {parts}",
            where=index.root,
            cure=f"pass --folds {len(units)} or fewer, or add data" if len(units) > 1 else "add data",
        )
    groups = {case.name: case.site if split.by == "site" else case.patient for case in index.cases}
    sites = {case.name: case.site for case in index.cases}
    return Splits(
        by=split.by,
        seed=split.seed,
        holdout=None if folds else split.holdout,
        stratified=("site", "tumour") if split.by == "patient" else (),
        together=() if split.by == "slice" else tuple(unit for unit in units if _spans_groups(unit, groups)),
        warning=LEAK if split.by == "slice" else None,
        folds=tuple(_fold(units, validating) for validating in _validation_units(units, split, features, sites)),
    )


def _units(index: CaseList, by: str, features: Mapping[str, SplitFeatures]) -> list[tuple[str, ...]]:
    """Return the groups that must stay on one side: sorted tuples of sorted names of cases or slices."""
    if by == "slice":
        return sorted((name,) for case in index.cases for name in case.slice_names)
    unit_of: dict[Any, list[str]] = {}  # by patient or site, and by slice digest
    for case in index.cases:
        case_features = features.get(case.name, SplitFeatures())
        case_keys = [case.patient if by == "patient" else case.site, *case_features.slice_digests]
        # A key in common with earlier units merges them and this case into one unit.
        merged = {id(unit_of[key]): unit_of[key] for key in case_keys if key in unit_of}
        unit = [case.name, *(name for other in merged.values() for name in other)]
        merged_keys = [key for key, other in unit_of.items() if id(other) in merged]
        unit_of |= dict.fromkeys([*case_keys, *merged_keys], unit)
    return sorted({tuple(sorted(unit)) for unit in unit_of.values()})


def _spans_groups(unit: tuple[str, ...], groups: Mapping[str, str]) -> bool:
    """Return whether a unit has cases of several groups: patients, or sites if the split is by site."""
    return len({groups[name] for name in unit}) > 1


def _fold(units: list[tuple[str, ...]], validating: set[int]) -> Fold:
    train = sorted(name for k, unit in enumerate(units) if k not in validating for name in unit)
    return Fold(train=tuple(train), validation=tuple(sorted(name for k in validating for name in units[k])))


def _validation_units(
    units: list[tuple[str, ...]], split: Split, features: Mapping[str, SplitFeatures], sites: Mapping[str, str]
) -> list[set[int]]:
    """Return, for each fold, the indices of the units in its validation set."""
    if split.by == "site":
        return [{k} for k in range(len(units))]
    train = min(len(units) - 1, max(1, int((1 - split.holdout) * len(units) + 1e-9)))
    if split.by == "slice":
        shuffled = list(range(len(units)))
        np.random.default_rng([split.seed, 0]).shuffle(shuffled)
        return [set(shuffled[k :: split.folds]) for k in range(split.folds)] if split.folds else [set(shuffled[train:])]
    # A unit is one row, so that fold sizes differ by at most one unit. StratifiedGroupKFold does not guarantee that.
    from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit  # slow to import

    seed = int(np.random.SeedSequence([split.seed, 0]).generate_state(1)[0])  # scikit-learn takes 32 bits
    min_count = split.folds or max(2, math.ceil(len(units) / min(train, len(units) - train)))
    splitter = (
        StratifiedKFold(split.folds, shuffle=True, random_state=seed)
        if split.folds
        else StratifiedShuffleSplit(1, train_size=train, test_size=len(units) - train, random_state=seed)
    )
    strata = _strata(units, features, sites, min_count=min_count)
    return [set(validation.tolist()) for _, validation in splitter.split(np.zeros(len(units)), strata)]


def _strata(
    units: list[tuple[str, ...]], features: Mapping[str, SplitFeatures], sites: Mapping[str, str], *, min_count: int
) -> list[str]:
    """Return each unit's stratum: its site, and whether its tumour is above the median. Rare strata are merged."""
    tumour = [sum(features.get(name, SplitFeatures()).tumour_pixels for name in unit) for unit in units]
    median = float(np.median(tumour))
    strata = [f"{sites[unit[0]]} {pixels > median}" for unit, pixels in zip(units, tumour, strict=True)]
    frequent = {stratum for stratum, count in Counter(strata).items() if count >= min_count}
    strata = [stratum if stratum in frequent else "rare" for stratum in strata]
    if frequent and strata.count("rare") < min_count:
        largest = Counter(stratum for stratum in strata if stratum in frequent).most_common(1)[0][0]
        strata = [largest if stratum == "rare" else stratum for stratum in strata]
    return strata


def write_splits(splits: Splits, path: Path) -> None:
    """Write a splits file; a file with this name is always complete."""
    write_text(path, json.dumps(splits.document(), indent=1) + "\n")


def read_splits(path: Path) -> Splits:
    """Return the splits of a file.

    Raises:
        DataError: the file is missing or is not a splits file, or a patient is on both sides of a fold. If the split is
            by slice, only a slice on both sides is an error.
    """
    try:
        splits = Splits.model_validate(json.loads(read_text(path)))
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=path) from fault
    except (ValueError, ValidationError, RecursionError) as fault:
        raise DataError("is not a splits file", where=path, cure="write one with `gliomaseg split`") from fault
    for number, fold in enumerate(splits.folds):
        if both := _on_both_sides(fold, splits.by):
            raise DataError(f"fold {number} has {min(both)} on both sides", where=path)
    return splits


def _on_both_sides(fold: Fold, by: str) -> set[str]:
    """Return the patients, or slices if the split is by slice, that are on both sides."""
    if by == "slice":
        return set(fold.train) & set(fold.validation)
    # A side may name a slice (`case/number`) or another examination of the same patient: both leak too.
    train, validation = (
        {identify(name.partition("/")[0])[0] for name in side} for side in (fold.train, fold.validation)
    )
    return train & validation


def choose_fold(splits: Splits, fold: int) -> Fold:
    """Return one fold by its number, from 0.

    Raises:
        ConfigError: the fold does not exist.
    """
    if not 0 <= fold < len(splits.folds):
        raise ConfigError(f"fold {fold} does not exist", where="fold", cure=f"folds are 0 to {len(splits.folds) - 1}")
    return splits.folds[fold]


def require_disjoint(index: CaseList, fold: Fold, by: str) -> None:
    """Check that no patient of a data set is on both sides of a fold; a split by slice leaks on purpose.

    Raises:
        DataError: a patient is on both sides.
    """
    if by == "slice":
        return
    patients = {case.name: case.patient for case in index.cases}
    train, validation = (
        {patients[name] for name in side if name in patients} for side in (fold.train, fold.validation)
    )
    if both := train & validation:
        raise DataError(
            f"patient {min(both)} is on both sides of the split", where=index.root, cure="draw the split again"
        )


def left_out(index: CaseList, fold: Fold) -> tuple[str, ...]:
    """Return the names of the cases that are on neither side of a fold, sorted."""
    named = {name.partition("/")[0] for side in (fold.train, fold.validation) for name in side}
    return tuple(sorted(case.name for case in index.cases if case.name not in named))


def select(index: CaseList, names: tuple[str, ...]) -> tuple[Case, ...]:
    """Return the cases of one side of a fold, in the order of the index. If slices are named, only those are kept.

    Args:
        index: the data set.
        names: names of cases, or `case/number` of slices.

    Raises:
        DataError: a name is not in the data set.
    """
    remaining = set(names)
    chosen = []
    for case in index.cases:
        if case.name in remaining:
            chosen.append(case)
            remaining -= {case.name, *(case.slice_names if case.slices else ())}
            continue
        slice_names = case.slice_names if case.slices else []
        named = [entry for entry, name in zip(case.slices, slice_names, strict=True) if name in remaining]
        if named:
            remaining -= {f"{case.name}/{entry.number}" for entry in named}
            chosen.append(replace(case, slices=tuple(named)))
    if remaining:
        raise DataError(
            f"lacks {counted(len(remaining), 'name')} of the splits, the first is {min(remaining)}",
            where=index.root,
            cure="use the data set that the splits were drawn from",
        )
    return tuple(chosen)
