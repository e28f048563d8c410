import json
import shutil

import numpy as np
import pytest

from gliomaseg.bench import prediction
from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.engines import ENGINES


@pytest.fixture(scope="module")
def rows(material):
    return {row.figure: row for row in prediction.measure(material)}


def test_every_figure_is_measured_and_agrees(rows):
    assert len(rows) == 8
    same = [row for figure, row in rows.items() if figure.endswith("against eager PyTorch fp32")]
    assert len(same) == 4
    for row in same:
        assert row.status == "measured", row.reason
        assert row.agreement["largest_difference"] < 1e-4
        assert row.agreement["flipped_pixels"] <= 2


def test_what_bf16_changes_is_told(rows):
    assert rows["small network, openvino bf16 against its fp32"].agreement.keys() == {
        "largest_difference", "flipped_pixels", "pixels",
    }  # fmt: skip


def test_what_integers_change_is_told(rows):
    row = rows["small network, onnxruntime int8 against its fp32"]
    assert row.status == "measured", row.reason
    assert 0 < row.agreement["largest_difference"] < 0.5


def test_nobody_has_scored_an_untrained_network(rows):
    row = rows["small network on onnxruntime against the reference on eager PyTorch fp32"]
    assert row.agreement == {"dice_volume_ours": None, "dice_volume_peer": None}


def test_a_model_that_is_named_takes_the_small_networks_place(bright, tiny, material, tmp_path):
    model = shutil.copytree(bright, tmp_path / "model")
    (model / "metrics.json").write_text(json.dumps({"summary": {"dice_volume": {"mean": 0.75}}}))
    named = Fixtures(tmp_path, tiny, model=model, log=lambda _line: None)
    named.reference = material.reference
    *_, agreement = prediction._small_against_reference(named, "onnxruntime")
    assert agreement["dice_volume_ours"] == 0.75


def test_an_engine_that_is_not_installed_is_left_out(material, monkeypatch):
    monkeypatch.setitem(ENGINES, "openvino", "absent_engine")
    row = prediction.tried("x", lambda: prediction._half(material))
    assert row.status == "left out"
    assert "gliomaseg[openvino]" in row.reason


@pytest.mark.usefixtures("without_torch")
def test_without_torch_and_a_model_all_rows_say_so(tiny, tmp_path):
    bare = Fixtures(tmp_path, tiny, model=None, log=lambda _line: None)
    assert {row.status for row in prediction.measure(bare)} == {"left out"}


def test_flips_are_counted_at_the_threshold():
    ours, peer = np.float32([[[0.1, 0.6, 0.5]]]), np.float32([[[0.1, 0.4, 0.5]]])
    found = prediction.compare(ours, peer, threshold=0.5)
    assert found["flipped_pixels"] == 1
    assert found["pixels"] == 3
    assert found["largest_difference"] == pytest.approx(0.2)
