"""Which cases train and which validate: drawn from a seed, written to a file, never a patient on two sides.

Sides are alike: each gets its share of every site, and of patients with much and with little tumour.
Patients that share a slice, equal to the pixel, are on one side. Only `by = "slice"` puts slices of one
patient on both sides, as the reference notebook does; the file then has a `warning`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from gliomaseg.atomic import write_text
from gliomaseg.config import Settings, Split
from gliomaseg.data.index import Case, DataIndex, identify
from gliomaseg.data.split_features import SplitFeatures, read_split_features
from gliomaseg.errors import ConfigError, DataError
from gliomaseg.user_files import read_text

LEAK = (
    "slices of one patient are on both sides: neighbouring slices look alike, so scores on the validation "
    "side measure how well the network remembers these patients, not how well it works on new ones"
)


class Fold(Settings):
    """Names of cases, or `case/number` of slices where the split is by slice; sorted."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


class Splits(Settings):
    """The content of `splits.json`.

    Attributes:
        by: groups that are never on two sides.
        seed: of the draw.
        holdout: the share that validates; None where there are folds.
        stratified: what the sides were made alike in.
        together: cases of several patients or sites that share a slice and were kept on one side.
        warning: how the split leaks; None if it does not.
        folds: at least one.
    """

    format: Literal[1] = 1
    by: Literal["patient", "site", "slice"]
    seed: int
    holdout: float | None = None
    stratified: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    warning: str | None = None
    folds: tuple[Fold, ...] = Field(min_length=1)


def split_data(index: DataIndex, split: Split) -> Splits:
    """Draw the folds of a data set; its files are read once, but for a split by slice.

    Raises:
        DataError: there are too few patients, sites or slices for a validation set.
        ConfigError: a number of folds is given, but the sites define the folds.
        FormatError: a file cannot be read.
        GeometryError: a mask is not of its picture's size.
    """
    return draw_splits(index, split, {} if split.by == "slice" else read_split_features(index))


def draw_splits(index: DataIndex, split: Split, traits: Mapping[str, SplitFeatures]) -> Splits:
    """Draw the folds of a data set with known split features.

    Args:
        index: the data set.
        split: `by` patient, site (one fold a site, which is left out) or slice; `folds` for that many
            folds that each validate once, else one fold with the share `holdout` as validation set.
        traits: of each case by its name; a case that is not there has no tumour and shares no slice.

    Raises:
        DataError: there are too few patients, sites or slices for a validation set.
        ConfigError: a number of folds is given, but the sites define the folds.
    """
    if split.by == "site" and split.folds:
        raise ConfigError("a split by site has one fold a site", where="--folds", cure="leave --folds out")
    units = _units(index, split.by, traits)
    folds = len(units) if split.by == "site" else split.folds
    if split.by == "site" and len(units) < 2:
        raise DataError("its patients are all of one site", where=index.root, cure="split by patient")
    if len(units) < max(2, folds or 2):
        raise DataError(
            f"{len(units)} {split.by}(s) cannot be split into {folds or 2} parts",
            where=index.root,
            cure="use fewer folds, or bring more data",
        )
    return Splits(
        by=split.by,
        seed=split.seed,
        holdout=None if folds else split.holdout,
        stratified=("site", "tumour") if split.by == "patient" else (),
        together=() if split.by == "slice" else tuple(unit for unit in units if _is_joined(unit, split.by)),
        warning=LEAK if split.by == "slice" else None,
        folds=tuple(_fold(units, held) for held in _held_out(units, split, traits)),
    )


def _units(index: DataIndex, by: str, traits: Mapping[str, SplitFeatures]) -> list[tuple[str, ...]]:
    """Return the groups that must stay together, names of cases or of slices: sorted, and sorted in each unit."""
    if by == "slice":
        return sorted((name,) for case in index.cases for name in slice_names(case))
    names: dict[Any, list[str]] = {}
    for case in index.cases:
        own = [case.patient if by == "patient" else case.site, *traits.get(case.name, SplitFeatures()).pictures]
        # Everything that this case shares with earlier ones joins them into one unit.
        joined = {id(names[key]): names[key] for key in own if key in names}
        unit = [case.name, *(name for other in joined.values() for name in other)]
        keys = [key for key, other in names.items() if id(other) in joined]
        names |= dict.fromkeys([*own, *keys], unit)
    return sorted({tuple(sorted(unit)) for unit in names.values()})


def _is_joined(unit: tuple[str, ...], by: str) -> bool:
    return len({identify(name)[by == "site"] for name in unit}) > 1


def _fold(units: list[tuple[str, ...]], held: set[int]) -> Fold:
    train = sorted(name for k, unit in enumerate(units) if k not in held for name in unit)
    return Fold(train=tuple(train), validation=tuple(sorted(name for k in held for name in units[k])))


def _held_out(units: list[tuple[str, ...]], split: Split, traits: Mapping[str, SplitFeatures]) -> list[set[int]]:
    """Return which units validate, in each fold."""
    if split.by == "site":
        return [{k} for k in range(len(units))]
    train = min(len(units) - 1, max(1, int((1 - split.holdout) * len(units) + 1e-9)))
    if split.by == "slice":
        order = list(range(len(units)))
        np.random.default_rng([split.seed, 0]).shuffle(order)
        return [set(order[k :: split.folds]) for k in range(split.folds)] if split.folds else [set(order[train:])]
    # A unit is one row, so that folds differ by one unit at most: StratifiedGroupKFold does not promise that.
    from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit  # slow to import

    seed = int(np.random.SeedSequence([split.seed, 0]).generate_state(1)[0])  # scikit-learn takes 32 bits
    least = split.folds or max(2, math.ceil(len(units) / min(train, len(units) - train)))
    drawn = (
        StratifiedKFold(split.folds, shuffle=True, random_state=seed)
        if split.folds
        else StratifiedShuffleSplit(1, train_size=train, test_size=len(units) - train, random_state=seed)
    )
    strata = _strata(units, traits, least=least)
    return [set(validation.tolist()) for _, validation in drawn.split(np.zeros(len(units)), strata)]


def _strata(units: list[tuple[str, ...]], traits: Mapping[str, SplitFeatures], *, least: int) -> list[str]:
    """Return each unit's site and half by tumour; what is rarer than `least` is put together."""
    tumour = [sum(traits.get(name, SplitFeatures()).tumour_pixels for name in unit) for unit in units]
    middle = float(np.median(tumour))
    strata = [f"{identify(unit[0])[1]} {pixels > middle}" for unit, pixels in zip(units, tumour, strict=True)]
    often = {stratum for stratum, count in Counter(strata).items() if count >= least}
    strata = [stratum if stratum in often else "rare" for stratum in strata]
    if often and strata.count("rare") < least:
        most = Counter(stratum for stratum in strata if stratum in often).most_common(1)[0][0]
        strata = [most if stratum == "rare" else stratum for stratum in strata]
    return strata


def slice_names(case: Case) -> list[str]:
    """Return `case/number` of each slice, in the order of the stack."""
    return [f"{case.name}/{entry.number}" for entry in case.slices]


def write_splits(splits: Splits, path: Path) -> None:
    """Write a splits file; an incomplete file never has this name."""
    write_text(path, json.dumps(splits.model_dump(), indent=1) + "\n")


def read_splits(path: Path) -> Splits:
    """Return the splits of a file.

    Raises:
        DataError: the file is missing or is not a splits file, or a slice stands on both sides of a fold, or a
            patient does where the split is not by slice.
    """
    try:
        tree: Any = json.loads(read_text(path))
        splits = Splits.model_validate(tree)
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=path) from fault
    except (ValueError, ValidationError, RecursionError) as fault:
        raise DataError("is not a splits file", where=path, cure="write one with `gliomaseg split`") from fault
    for number, fold in enumerate(splits.folds):
        if both := _on_both_sides(fold, splits.by):
            raise DataError(f"fold {number} has {min(both)} on both sides", where=path)
    return splits


def _on_both_sides(fold: Fold, by: str) -> set[str]:
    if by == "slice":
        return set(fold.train) & set(fold.validation)
    # A slice (`case/number`) or another examination of the patient leaks as much as the case itself.
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
        raise ConfigError(f"fold {fold} does not exist", where="--fold", cure=f"folds are 0 to {len(splits.folds) - 1}")
    return splits.folds[fold]


def select(index: DataIndex, names: tuple[str, ...]) -> tuple[Case, ...]:
    """Return the cases of a data set that one side of a fold names, with the named slices only.

    Raises:
        DataError: a name is not in the data set.
    """
    wanted = set(names)
    chosen = []
    for case in index.cases:
        if case.name in wanted:
            chosen.append(case)
            wanted -= {case.name, *slice_names(case)}
            continue
        inside = [entry for entry, name in zip(case.slices, slice_names(case), strict=True) if name in wanted]
        if inside:
            wanted -= {f"{case.name}/{entry.number}" for entry in inside}
            chosen.append(Case(case.name, case.patient, case.site, tuple(inside)))
    if wanted:
        raise DataError(
            f"{len(wanted)} name(s) of the splits are not here, the first is {min(wanted)}",
            where=index.root,
            cure="use the data set that the splits were drawn from",
        )
    return tuple(chosen)
