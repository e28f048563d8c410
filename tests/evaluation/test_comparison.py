import json
import math
from pathlib import Path

import pytest

from gliomaseg.errors import DataError, FormatError
from gliomaseg.evaluation.comparison import compare_evaluations
from gliomaseg.report.terminal import comparison_text

MEASURES = ("dice_volume", "hausdorff_95_px", "volume_error", "dice_batch")


def write(folder: Path, rows: list[dict], measures: tuple[str, ...] = MEASURES) -> Path:
    document = {"patients": rows, "definitions": dict.fromkeys(measures, ""), "setting": {"model": folder.name}}
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(document))
    return folder


def row(name: str, dice: float | None, **more) -> dict:
    return {"patient": name, "slices": 20, "reference_voxels": 100, "dice_volume": dice, **more}


def test_the_difference_is_b_minus_a_on_the_same_patients(tmp_path):
    a = write(tmp_path / "a", [row("P1", 0.5), row("P2", 0.6), row("P3", 0.7)])
    b = write(tmp_path / "b", [row("P3", 0.7), row("P2", 0.8), row("P1", 0.6)])
    comparison = compare_evaluations(a, b)
    found = comparison.measures["dice_volume"]
    assert found.mean_difference == pytest.approx(0.1)
    assert (found.wins, found.losses, found.ties) == (2, 0, 1)
    assert found.low <= found.mean_difference <= found.high
    assert [entry.difference for entry in comparison.patients] == pytest.approx([0.1, 0.2, 0.0])
    assert (comparison.a.model, comparison.b.model) == ("a", "b")


def test_the_examinations_of_a_patient_are_pairs_and_are_drawn_together(tmp_path):
    names = (("P1", "P1_a"), ("P1", "P1_b"), ("P2", "P2_a"))
    a = write(tmp_path / "a", [row(patient, 0.5, case=case) for patient, case in names])
    values = zip(names, (0.8, 0.4, 0.7), strict=True)
    b = write(tmp_path / "b", [row(patient, dice, case=case) for (patient, case), dice in values])
    comparison = compare_evaluations(a, b)
    found = comparison.measures["dice_volume"]
    assert (found.patients, found.cases, found.wins, found.losses) == (2, 3, 2, 1)
    # P1: +0.3 and -0.1, P2: +0.2. A quarter of the samples has P1 twice (+0.1), another P2 twice (+0.2).
    assert found.mean_difference == pytest.approx(0.4 / 3)
    assert (found.low, found.high) == pytest.approx((0.1, 0.2))
    # Two patients with a positive mean: two of four sign patterns are as extreme.
    assert found.p_value == pytest.approx(0.5)
    assert [(entry.patient, entry.case) for entry in comparison.patients] == list(names)
    assert "3 cases of 2 patients; p:" in comparison_text(comparison)
    assert comparison.means_of_slices == ()


def test_a_measure_whose_mean_is_over_slices_in_an_evaluation_is_named(tmp_path):
    rows = [row("P1", 0.5, dice_tumour_slices=0.4)]
    folders = [write(tmp_path / name, rows, measures=("dice_volume", "dice_tumour_slices")) for name in ("a", "b")]
    comparison = compare_evaluations(*folders)
    assert comparison.means_of_slices == ("dice_tumour_slices",)
    line = "here each patient counts once; `evaluate` gives means over slices of dice_tumour_slices"
    assert line in comparison_text(comparison).splitlines()


def test_an_earlier_version_that_wrote_the_case_as_patient_pairs_by_case(tmp_path):
    names = (("P1", "P1_a"), ("P1", "P1_b"), ("P2", "P2_a"))
    old = write(tmp_path / "old", [row(case, 0.5) for _, case in names])
    new = write(tmp_path / "new", [row(patient, 0.6, case=case) for patient, case in names])
    for pair in ((old, new), (new, old)):
        found = compare_evaluations(*pair).measures["dice_volume"]
        assert (found.patients, found.cases) == (2, 3)


def test_a_definition_that_wrote_patient_for_case_is_the_same(tmp_path):
    a, b = (write(tmp_path / name, [row("P1", 0.5)]) for name in "ab")
    for folder, text in ((a, "Dice of a patient's stack"), (b, "Dice of a case's stack")):
        document = json.loads((folder / "metrics.json").read_text())
        document["definitions"]["dice_volume"] = text
        (folder / "metrics.json").write_text(json.dumps(document))
    assert "dice_volume" in compare_evaluations(a, b).measures


def test_a_lower_distance_counts_as_a_win(tmp_path):
    a = write(tmp_path / "a", [row("P1", 0.5, hausdorff_95_px=9.0), row("P2", 0.5, hausdorff_95_px=4.0)])
    b = write(tmp_path / "b", [row("P1", 0.5, hausdorff_95_px=3.0), row("P2", 0.5, hausdorff_95_px=5.0)])
    found = compare_evaluations(a, b).measures["hausdorff_95_px"]
    assert (found.mean_difference, found.wins, found.losses) == (-2.5, 1, 1)


def test_signed_errors_are_compared_by_absolute_value(tmp_path):
    a = write(tmp_path / "a", [row("P1", 0.5, volume_error=-0.5)])
    b = write(tmp_path / "b", [row("P1", 0.5, volume_error=0.25)])
    found = compare_evaluations(a, b).measures["volume_error"]
    assert (found.mean_difference, found.wins) == (-0.25, 1)


def test_a_patient_without_a_value_counts_as_undefined(tmp_path):
    a = write(tmp_path / "a", [row("P1", None), row("P2", 0.5)])
    b = write(tmp_path / "b", [row("P1", 0.5), row("P2", 0.5)])
    found = compare_evaluations(a, b).measures["dice_volume"]
    assert (found.patients, found.undefined, math.isnan(found.low)) == (1, 1, True)


def test_the_document_contains_no_nan(tmp_path):
    a, b = (write(tmp_path / name, [row("P1", None)]) for name in "ab")
    json.dumps(compare_evaluations(a, b).document(), allow_nan=False)


def test_evaluations_of_different_patients_are_refused(tmp_path):
    a = write(tmp_path / "a", [row("P1", 0.5), row("P2", 0.5)])
    b = write(tmp_path / "b", [row("P1", 0.5), row("P3", 0.5)])
    with pytest.raises(DataError, match=r"P2 \(2 in all\) is in one evaluation only"):
        compare_evaluations(a, b)


def test_evaluations_with_different_reference_masks_are_refused(tmp_path):
    a = write(tmp_path / "a", [row("P1", 0.5)])
    b = write(tmp_path / "b", [row("P1", 0.5) | {"reference_voxels": 99}])
    with pytest.raises(DataError, match="reference_voxels of P1 is 100 in one and 99 in the other"):
        compare_evaluations(a, b)


def test_measures_with_different_definitions_are_left_out_and_named(tmp_path):
    a, b = (write(tmp_path / name, [row("P1", 0.5, surface_dice=0.5)]) for name in "ab")
    for folder, tolerance in ((a, "2"), (b, "9")):
        document = json.loads((folder / "metrics.json").read_text())
        document["definitions"] |= {"surface_dice": f"within {tolerance} px", "patient": "a name, no measure"}
        (folder / "metrics.json").write_text(json.dumps(document))
    comparison = compare_evaluations(a, b)
    assert comparison.left_out == ("surface_dice",)
    assert comparison.measures.keys() == {"dice_volume", "hausdorff_95_px", "volume_error"}
    assert "not compared, because the definitions differ: surface_dice" in comparison_text(comparison)


def test_few_patients_are_named_with_the_smallest_p_that_they_can_give(tmp_path):
    a, b = (write(tmp_path / name, [row(f"P{k}", 0.5) for k in range(8)]) for name in "ab")
    # 2 of 2^8 sign patterns are the most extreme.
    assert "few patients: the intervals are unreliable, and no p can be below 0.0078" in comparison_text(
        compare_evaluations(a, b)
    )


def test_nobody_cannot_be_compared(tmp_path):
    a = write(tmp_path / "a", [])
    with pytest.raises(DataError, match="has 0 patients"):
        compare_evaluations(a, a)


def test_a_case_listed_twice_is_refused(tmp_path):
    a = write(tmp_path / "a", [row("P1", 0.5), row("P1", 0.6)])
    with pytest.raises(FormatError, match="P1 is there 2 times"):
        compare_evaluations(a, a)


def test_a_folder_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"there is no metrics\.json"):
        compare_evaluations(tmp_path, tmp_path)


def test_a_model_that_was_trained_on_the_patients_is_named(tmp_path):
    a, b = (write(tmp_path / name, [row("P1", 0.5), row("P2", 0.6)]) for name in ("a", "b"))
    tree = json.loads((b / "metrics.json").read_text())
    (b / "metrics.json").write_text(json.dumps({**tree, "setting": {"patients_seen": 2}}))
    text = comparison_text(compare_evaluations(a, b))
    assert "warning: B was trained on 2 of these patients: its scores are too high" in text
    assert "A was trained" not in text
