import json
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.index import Case, Slice
from gliomaseg.errors import DataError
from gliomaseg.evaluation import Side, dumps, evaluate, evaluate_data, summarise
from gliomaseg.formats import write_picture


class Oracle:
    """Stands in for a predictor: calls bright what is bright."""

    class model:  # noqa: N801
        class config:  # noqa: N801
            name = "oracle"

            class decision:  # noqa: N801
                threshold = 0.5

    def mask(self, scan):
        return scan.voxels[..., 0] > 100


def write_case(root: Path, name: str, slices: list[tuple[int, int]]) -> Case:
    """Write slices with the first `predicted` pixels bright and the first `reference` pixels in the mask."""
    folder = root / name
    folder.mkdir(parents=True)
    entries = []
    for number, (predicted, reference) in enumerate(slices, start=1):
        image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
        image.reshape(16, 3)[:predicted] = 200
        mask.reshape(16)[:reference] = 255
        paths = folder / f"{name}_{number}.tif", folder / f"{name}_{number}_mask.tif"
        write_picture(paths[0], image)
        write_picture(paths[1], mask)
        entries.append(Slice(number, *paths))
    return Case(name, name, "XX", tuple(entries))


@pytest.fixture
def cases(tmp_path):
    return [
        write_case(tmp_path / "data", "A_XX_1_20000101", [(2, 4), (0, 0), (1, 0)]),
        write_case(tmp_path / "data", "B_XX_2_20000101", [(4, 4), (0, 4)]),
    ]


def test_each_convention_is_as_worked_by_hand(cases):
    summary = evaluate(cases, Oracle())["summary"]
    # A: 2*2/(4+3) over the volume; B: 2*4/(8+4).
    assert summary["dice_volume"]["mean"] == pytest.approx((4 / 7 + 8 / 12) / 2)
    assert summary["dice_tumour_slices"]["mean"] == pytest.approx((4 / 6 + 1 + 0) / 3)
    assert summary["dice_slices_empty_one"]["mean"] == pytest.approx((4 / 6 + 1 + 0 + 1 + 0) / 5)
    assert summary["empty_slice_false_positive_rate"]["mean"] == pytest.approx(1 / 2)
    # The first batch is A's three slices and B's first: 2*6/(8+7); the second B's last alone.
    assert summary["dice_batch"]["mean"] == pytest.approx((12 / 15 + 0) / 2, abs=1e-5)


def test_every_patient_is_a_row_with_its_own_numbers(cases):
    rows = evaluate(cases, Oracle())["patients"]
    assert [row["patient"] for row in rows] == ["A_XX_1_20000101", "B_XX_2_20000101"]
    assert (rows[0]["reference_voxels"], rows[0]["predicted_voxels"], rows[0]["overlap_voxels"]) == (4, 3, 2)
    assert rows[1]["dice_volume"] == pytest.approx(8 / 12)


def test_a_patient_without_any_tumour_is_counted_apart(tmp_path):
    cases = [write_case(tmp_path, "A_XX_1_20000101", [(0, 0)]), write_case(tmp_path, "B_XX_2_20000101", [(4, 4)])]
    evaluation = evaluate(cases, Oracle())
    assert evaluation["patients"][0]["dice_volume"] is None
    assert evaluation["summary"]["dice_volume"] == {
        "mean": 1.0, "median": 1.0, "ci95": [None, None], "n": 1, "undefined": 1,
    }  # fmt: skip


def test_an_evaluation_is_json_without_nan(cases):
    text = dumps(evaluate(cases, Oracle()))
    assert "NaN" not in text
    assert json.loads(text)["definitions"].keys() >= {"dice_volume", "dice_batch"}


def test_nobody_gives_no_numbers():
    summary = summarise({})
    assert summary["dice_volume"]["mean"] is None
    assert summary["slices"] == 0


def test_a_side_of_a_split_is_measured_alone(cases, tmp_path):
    splits = tmp_path / "splits.json"
    fold = {"train": ["A_XX_1_20000101"], "validation": ["B_XX_2_20000101"]}
    splits.write_text(json.dumps({"by": "patient", "seed": 0, "folds": [fold]}))
    evaluation = evaluate_data(tmp_path / "data", Oracle(), Side(splits))
    assert [row["patient"] for row in evaluation["patients"]] == ["B_XX_2_20000101"]
    assert evaluation["setting"]["subset"] == "validation"


def test_a_data_set_with_problems_is_refused(cases, tmp_path):
    cases[0].slices[0].mask.unlink()
    with pytest.raises(DataError, match="has no mask"):
        evaluate_data(tmp_path / "data", Oracle())
