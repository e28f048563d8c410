from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gliomaseg.scan import Scan

SCRIPT = Path(__file__).parents[2] / "studies" / "unsure_slices.py"


@pytest.fixture
def script(load_script):
    return load_script(SCRIPT)


def test_rules_are_compared_with_the_wrong_voxels_of_each_slice(script):
    # Of four voxels, 0, 1, 2 and 4 are wrong in four slices; the first slice has no tumour in both masks.
    reference = np.zeros((4, 1, 4), bool)
    for plane, wrong in zip(reference, (0, 1, 2, 4), strict=True):
        plane[0, :wrong] = True
    found = SimpleNamespace(
        mask=np.zeros_like(reference),
        # 3, 2 and 1 voxels of 0.5 in the slices with tumour: the wrong order.
        probability=np.array([[0, 0, 0, 0], [0.5, 0.5, 0.5, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0, 0]])[:, None],
        mirror_disagreement_px=np.array([9.0, 1, 2, 3]),  # the right order, but for the first slice
    )
    case = SimpleNamespace(scan=Scan(np.zeros((4, 1, 4, 1), np.uint8), "here"), reference=reference)
    agreement, values = script.rank(case, SimpleNamespace(predict=lambda scan: found))
    assert agreement == 0
    # First three slices by the mirror image: 0, 4 and 2 wrong voxels of the worst three, 7. By probability: 1, 2 and 4.
    assert values["mirror image"] == pytest.approx((1, 6 / 7))
    assert values["probability 0.3 to 0.7"] == values["expected errors"] == pytest.approx((-1, 1))


def test_a_rule_with_one_number_for_all_slices_ranks_nothing(script):
    assert script.correlation(np.zeros(3), np.arange(3)) == 0


def test_a_run_is_measured_on_its_validation_patients(script, monkeypatch, capsys, tmp_path):
    cases = [SimpleNamespace(name=name) for name in ("seen", "kept back")]
    (tmp_path / "model").mkdir()
    values = dict.fromkeys(script.RULES, (0.5, 0.25))
    monkeypatch.setattr(script, "read_cases", lambda *_: SimpleNamespace(cases=cases))
    monkeypatch.setattr(
        script, "read_evaluation", lambda _: SimpleNamespace(patients=[SimpleNamespace(case="kept back")])
    )
    for name in ("open_models", "find_models"):
        monkeypatch.setattr(script, name, lambda _: None)
    monkeypatch.setattr(script, "read_case", lambda case: case)
    monkeypatch.setattr(script, "rank", lambda *_: (0.8, values))
    script.main([str(tmp_path), "lgg"])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| kept back | 0.800 | 0.50, 0.25 | 0.50, 0.25 | 0.50, 0.25 |",
        "| mean | | 0.500, 0.250 | 0.500, 0.250 | 0.500, 0.250 |",
    ]
