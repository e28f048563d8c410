"""Dice of subgroups: site, tumour volume, distance of slices, and with or without skull."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gliomaseg.evaluation.measures import HEADLINE
from gliomaseg.evaluation.results import CaseScores, Subgroup
from gliomaseg.evaluation.summaries import as_group, statistics

FEWEST = 5
"""Subgroups of fewer patients have no interval."""

VOLUMES_ML = (10.0, 50.0, 100.0)
SPACINGS_MM = (1.5, 4.0)
UNKNOWN = "unknown"

Name = Callable[[CaseScores], str | None]


@dataclass(frozen=True)
class Grouping:
    """One way to divide the cases.

    Attributes:
        name: in words, such as "site".
        name_of: the subgroup of a case; None if it is not known.
        order: the names in the order of the table; empty for the largest subgroup first.
    """

    name: str
    name_of: Name
    order: tuple[str, ...] = ()


def subgroups(rows: Sequence[CaseScores]) -> list[Subgroup]:
    """Return the subgroups of the cases that were measured, grouping by grouping.

    A grouping of which no case knows its subgroup is left out; cases that do not know theirs are "unknown".

    Args:
        rows: of an evaluation; rows with an error are left out.
    """
    measured = [row for row in rows if row.error is None]
    return [group for grouping in _groupings(measured) for group in _divide(grouping, measured)]


def groups_of_copies(rows: Sequence[CaseScores]) -> list[Subgroup]:
    """Return a subgroup for each kind of changed copies; the number of cases is that of the copies."""
    return _divide(Grouping("changed copies", lambda row: row.changed), rows)


def _divide(grouping: Grouping, rows: Sequence[CaseScores]) -> list[Subgroup]:
    by_name: dict[str, list[CaseScores]] = {}
    for row in rows:
        by_name.setdefault(grouping.name_of(row) or UNKNOWN, []).append(row)
    if not by_name.keys() - {UNKNOWN}:
        return []
    place = {name: k for k, name in enumerate(grouping.order)}
    last = len(place) + 1
    names = sorted(by_name, key=lambda name: (name == UNKNOWN, place.get(name, last), -len(by_name[name]), name))
    return [_subgroup(grouping.name, name, by_name[name]) for name in names]


def _subgroup(grouping: str, name: str, rows: Sequence[CaseScores]) -> Subgroup:
    patients = [row.patient for row in rows]
    groups = [as_group(row.dice_volume) for row in rows]
    entry = statistics(groups, patients, undefined=sum(not len(group) for group in groups))
    if len({patient for patient, group in zip(patients, groups, strict=True) if len(group)}) < FEWEST:
        entry = entry.model_copy(update={"ci95": [None, None]})
    return Subgroup.model_validate(
        {"by": grouping, "name": name, "patients": len(set(patients)), "cases": len(rows), HEADLINE: entry}
    )


def _groupings(rows: Sequence[CaseScores]) -> list[Grouping]:
    spacings = _bounds(SPACINGS_MM, "mm")
    skull = {True: "skull-stripped", False: "whole head", None: None}
    return [
        Grouping("site", lambda row: row.site if row.site != UNKNOWN else None),
        _by_volume(rows),
        Grouping(
            "distance of slices",
            lambda row: spacings[_place(row.spacing_mm[0], SPACINGS_MM)] if row.spacing_mm else None,
            tuple(spacings),
        ),
        Grouping("skull", lambda row: skull[row.skull_stripped], ("whole head", "skull-stripped")),
    ]


def _by_volume(rows: Sequence[CaseScores]) -> Grouping:
    """Return the grouping by the volume of the reference: by fixed bounds in ml, or by thirds of the voxels."""
    in_ml = any(row.measures.get("reference_ml") is not None for row in rows)
    key = "reference_ml" if in_ml else "reference_voxels"
    sizes = sorted(value for row in rows if (value := row.measures.get(key)))
    thirds = sorted({sizes[len(sizes) * k // 3] for k in (1, 2)}) if len(sizes) > 2 else []
    bounds = VOLUMES_ML if in_ml else tuple(thirds)
    names = _bounds(bounds, "ml" if in_ml else "voxels")

    def name_of(row: CaseScores) -> str | None:
        value = row.measures.get(key)
        if value is None:
            return None
        return names[_place(value, bounds)] if value else "no tumour"

    return Grouping("tumour volume", name_of, ("no tumour", *names))


def _place(value: float, bounds: Sequence[float]) -> int:
    """Return how many bounds a value has reached."""
    return sum(value >= bound for bound in bounds)


def _bounds(bounds: Sequence[float], unit: str) -> list[str]:
    """Return the names of the ranges below, between and above bounds.

    >>> _bounds((10, 50), "ml")
    ['under 10 ml', '10 to under 50 ml', '50 ml and more']
    """
    shown = [f"{bound:,g}" if bound < 1e6 else f"{bound:,.0f}" for bound in bounds]
    if not shown:
        return [f"any number of {unit}"]
    middle = [f"{low} to under {high} {unit}" for low, high in pairwise(shown)]
    return [f"under {shown[0]} {unit}", *middle, f"{shown[-1]} {unit} and more"]
