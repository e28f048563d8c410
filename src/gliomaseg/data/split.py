"""Who trains and who validates: drawn from a seed, written to a file, never a patient on two sides.

Only `by = "slice"` puts slices of one patient on both sides, as the reference notebook does; the file
then says so in its `warning`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from gliomaseg.atomic import write_text
from gliomaseg.config import Settings, Split
from gliomaseg.data.index import Case, Index, identify
from gliomaseg.errors import ConfigError, DataError

LEAK = (
    "slices of one patient are on both sides: neighbouring slices look alike, so scores on the validation "
    "side say how well the network remembers these patients, not how well it does on new ones"
)


class Fold(Settings):
    """Names of cases, or `case/number` of slices where the split is by slice; sorted."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


class Splits(Settings):
    """What `splits.json` holds."""

    format: Literal[1] = 1
    by: Literal["patient", "site", "slice"]
    seed: int
    holdout: float | None = None
    warning: str | None = None
    folds: tuple[Fold, ...] = Field(min_length=1)


def draw_splits(index: Index, split: Split) -> Splits:
    """Draw the folds of a data set.

    Args:
        index: the data set.
        split: `by` patient, site (one fold a site, which is left out) or slice; `folds` for that many
            folds that each validate once, else one fold with a share `holdout` held out.

    Raises:
        DataError: there are too few patients, sites or slices to hold any out.
        ConfigError: a number of folds is asked for where the sites decide it.
    """
    if split.by == "site" and split.folds:
        raise ConfigError("a split by site has one fold a site", where="--folds", cure="leave --folds out")
    groups = _groups(index, split.by)
    folds = len(groups) if split.by == "site" else split.folds
    if len(groups) < max(2, folds or 2):
        raise DataError(
            f"{len(groups)} {split.by}(s) cannot be split into {folds or 2} parts",
            where=index.root,
            cure="ask for fewer folds, or bring more data",
        )
    order = sorted(groups)
    if split.by != "site":
        np.random.default_rng([split.seed, 0]).shuffle(order)
    held_out = _held_out(order, folds, split.holdout)
    pairs = [
        Fold(
            train=tuple(sorted(name for group in order if group not in held for name in groups[group])),
            validation=tuple(sorted(name for group in order if group in held for name in groups[group])),
        )
        for held in held_out
    ]
    return Splits(
        by=split.by,
        seed=split.seed,
        holdout=None if folds else split.holdout,
        warning=LEAK if split.by == "slice" else None,
        folds=tuple(pairs),
    )


def _groups(index: Index, by: str) -> dict[str, list[str]]:
    """Map what must stay together (a patient, a site, one slice) to names."""
    groups: dict[str, list[str]] = {}
    for case in index.cases:
        if by == "slice":
            groups |= {name: [name] for name in slice_names(case)}
        else:
            groups.setdefault(case.patient if by == "patient" else case.site, []).append(case.name)
    return groups


def slice_names(case: Case) -> list[str]:
    """Return `case/number` of each slice, in the order of the stack."""
    return [f"{case.name}/{entry.number}" for entry in case.slices]


def _held_out(order: list[str], folds: int | None, holdout: float) -> list[set[str]]:
    if folds:
        return [set(order[k::folds]) for k in range(folds)]
    train = min(len(order) - 1, max(1, int((1 - holdout) * len(order) + 1e-9)))
    return [set(order[train:])]


def write_splits(splits: Splits, path: Path) -> None:
    """Write a splits file; a half-written one never bears the name."""
    write_text(path, json.dumps(splits.model_dump(), indent=1) + "\n")


def read_splits(path: Path) -> Splits:
    """Return the splits of a file.

    Raises:
        DataError: the file is missing or is no splits file, or a slice stands on both sides of a fold, or a
            patient does where the split is not by slice.
    """
    try:
        tree: Any = json.loads(path.read_text("utf-8"))
        splits = Splits.model_validate(tree)
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=path) from fault
    except (ValueError, ValidationError, RecursionError) as fault:
        raise DataError("is no splits file", where=path, cure="write one with `gliomaseg split`") from fault
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
        ConfigError: there is no such fold.
    """
    if not 0 <= fold < len(splits.folds):
        raise ConfigError(f"there is no fold {fold}", where="--fold", cure=f"folds are 0 to {len(splits.folds) - 1}")
    return splits.folds[fold]


def select(index: Index, names: tuple[str, ...]) -> tuple[Case, ...]:
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
