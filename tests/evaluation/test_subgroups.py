"""The subgroups of an evaluation: which cases they have, and their Dice."""

import pytest

from gliomaseg.evaluation.results import CaseScores
from gliomaseg.evaluation.subgroups import subgroups


def rows(count, **fields):
    """Return rows of patients P0, P1 ...; a list gives each row its own value."""
    of_row = [{key: v[k] if isinstance(v, list) else v for key, v in fields.items()} for k in range(count)]
    return [CaseScores.model_validate({"patient": f"P{k}", "site": "unknown"} | own) for k, own in enumerate(of_row)]


def sizes(found):
    return [(group.by, group.name, group.patients) for group in found]


def test_sites_come_with_the_largest_first_and_unknown_ones_last():
    found = subgroups(rows(6, site=["B", "A", "unknown", "C", "C", "unknown"], dice_volume=0.5))
    assert sizes(found) == [("site", "C", 2), ("site", "A", 1), ("site", "B", 1), ("site", "unknown", 2)]


def test_five_patients_have_an_interval_and_four_have_none():
    dice = [0.5, 0.6, 0.7, 0.8, 0.9, 0.2, 0.4, 0.6, 0.8]
    many, few = subgroups(rows(9, site=["A"] * 5 + ["B"] * 4, dice_volume=dice))
    assert many.dice_volume.mean == pytest.approx(0.7)
    low, high = many.dice_volume.ci95
    assert 0.5 < low < 0.7 < high < 0.9
    assert (few.dice_volume.mean, few.dice_volume.ci95) == (pytest.approx(0.5), [None, None])


def test_five_examinations_of_four_patients_have_no_interval():
    patients = ["P1", "P1", "P2", "P3", "P4"]
    (found,) = subgroups(rows(5, patient=patients, case=list("abcde"), site="A", dice_volume=[0.1, 0.3, 0.5, 0.7, 0.9]))
    assert (found.patients, found.cases, found.dice_volume.ci95) == (4, 5, [None, None])
    assert found.dice_volume.mean == pytest.approx(0.5)


def test_volumes_in_ml_have_fixed_bounds():
    found = subgroups(rows(6, reference_ml=[0.0, 9.99, 10.0, 50.0, 99.0, 100.0], dice_volume=0.5))
    assert [group[1:] for group in sizes(found)] == [
        ("no tumour", 1), ("under 10 ml", 1), ("10 to under 50 ml", 1), ("50 to under 100 ml", 2),
        ("100 ml and more", 1),
    ]  # fmt: skip


def test_volumes_in_voxels_are_thirds_of_the_cases_with_tumour():
    found = subgroups(rows(7, reference_voxels=[0, 60, 10, 2000, 30, 50, 1000], dice_volume=0.5))
    # 10, 30, 50, 60, 1000, 2000: the thirds begin at 50 and at 1000.
    assert [group[1:] for group in sizes(found)] == [
        ("no tumour", 1), ("under 50 voxels", 2), ("50 to under 1,000 voxels", 2), ("1,000 voxels and more", 2),
    ]  # fmt: skip


def test_the_distance_of_slices_and_the_skull_are_subgroups():
    spacing = [[5.0, 0.5, 0.5], [1.0, 1.0, 1.0], [1.5, 1.0, 1.0]]
    found = subgroups(rows(3, spacing_mm=spacing, skull_stripped=[False, True, None], dice_volume=0.5))
    assert sizes(found) == [
        ("distance of slices", "under 1.5 mm", 1), ("distance of slices", "1.5 to under 4 mm", 1),
        ("distance of slices", "4 mm and more", 1), ("skull", "whole head", 1), ("skull", "skull-stripped", 1),
        ("skull", "unknown", 1),
    ]  # fmt: skip


def test_failed_cases_are_left_out_and_cases_without_a_dice_are_counted():
    found = subgroups(rows(3, site="A", dice_volume=[0.5, None, None], error=[None, None, "is not a readable TIFF"]))
    assert sizes(found) == [("site", "A", 2)]
    assert (found[0].dice_volume.n, found[0].dice_volume.undefined) == (1, 1)


def test_an_evaluation_without_cases_has_no_subgroups():
    assert subgroups([]) == []
