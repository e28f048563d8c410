import json
import math
import shutil
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gliomaseg.bench import prediction
from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.timing import try_measurement
from gliomaseg.engines import ENGINES


@pytest.fixture(scope="module")
def rows(fixtures):
    return {row.figure: row for row in prediction.measure_prediction(fixtures)}


def test_every_figure_is_measured_and_engines_agree_with_pytorch(rows):
    assert len(rows) == 8
    same_network = [row for figure, row in rows.items() if figure.endswith("against eager PyTorch fp32")]
    assert len(same_network) == 4
    for row in same_network:
        assert row.status == "measured", row.reason
        assert row.agreement["largest_difference"] < 1e-4
        assert row.agreement["flipped_pixels"] <= 2


def test_bf16_row_has_differences(rows):
    assert rows["small network, openvino bf16 against its fp32"].agreement.keys() == {
        "largest_difference", "flipped_pixels", "pixels",
    }  # fmt: skip


def test_int8_changes_probabilities_by_less_than_half(rows):
    row = rows["small network, onnxruntime int8 against its fp32"]
    assert row.status == "measured", row.reason
    assert 0 < row.agreement["largest_difference"] < 0.5


def test_dice_of_untrained_networks_is_unknown(rows):
    row = rows["small network on onnxruntime against the reference on eager PyTorch fp32"]
    assert row.agreement == {"dice_volume_ours": None, "dice_volume_peer": None}


def test_named_model_replaces_the_small_network(bright, tiny_sizes, fixtures, tmp_path):
    model = shutil.copytree(bright, tmp_path / "model")
    (model / "metrics.json").write_text(json.dumps({"summary": {"dice_volume": {"mean": 0.75}}}))
    named = Fixtures(tmp_path, tiny_sizes, model=model, log=lambda _line: None)
    named.reference_model = fixtures.reference_model
    row = prediction._small_against_reference(named, "onnxruntime", "x")
    assert row.agreement["dice_volume_ours"] == 0.75


def test_engine_that_is_not_installed_is_left_out(fixtures, monkeypatch):
    monkeypatch.setitem(ENGINES, "openvino", "absent_engine")
    row = try_measurement("x", "slices/s", partial(prediction._bf16_against_fp32, fixtures))
    assert row.status == "left out"
    assert "gliomaseg[openvino]" in row.reason


@pytest.mark.usefixtures("without_torch")
def test_without_torch_and_model_all_rows_are_left_out(tiny_sizes, tmp_path):
    empty = Fixtures(tmp_path, tiny_sizes, model=None, log=lambda _line: None)
    assert {row.status for row in prediction.measure_prediction(empty)} == {"left out"}


def test_compare_counts_pixels_on_different_sides_of_the_threshold():
    ours, baseline = np.float32([[[0.1, 0.6, 0.5]]]), np.float32([[[0.1, 0.4, 0.5]]])
    agreement = prediction.compare(ours, baseline, threshold=0.5)
    assert agreement["flipped_pixels"] == 1
    assert agreement["pixels"] == 3
    assert agreement["largest_difference"] == pytest.approx(0.2)


def test_operations_and_bytes_are_counted_as_by_hand(tmp_path):
    weights = [("down", [4, 3, 3, 3]), ("up", [4, 2, 2, 2])]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "down"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("ConvTranspose", ["b", "up"], ["y"], strides=[2, 2]),
        ],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 8, 8])],
        [helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * math.prod(shape)) for name, shape in weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "two.onnx")
    operations, feature_bytes = prediction.count_operations(tmp_path / "two.onnx")
    # 4 x 4 output pixels, 4 x 3 x 9 weights; 4 x 4 input pixels, 4 x 2 x 4 weights
    assert operations == 2 * (4 * 4 * 4 * 3 * 9 + 4 * 4 * 4 * 2 * 4)
    # inputs and outputs of both convolutions: 3 x 8 x 8 and 4 x 4 x 4; 4 x 4 x 4 and 2 x 8 x 8
    assert feature_bytes == 4 * ((3 * 64 + 4 * 16) + (4 * 16 + 2 * 64))


def test_roofline_of_both_networks_is_measured(fixtures):
    rows = prediction.measure_roofline(fixtures)
    assert [row.status for row in rows] == ["measured", "measured"], [row.reason for row in rows]
    for row in rows:
        assert row.ratio > 0
        assert row.agreement["slices_per_s_by_bandwidth"] > 0


@pytest.mark.usefixtures("without_torch")
def test_roofline_without_torch_is_left_out(tiny_sizes, tmp_path):
    empty = Fixtures(tmp_path, tiny_sizes, model=None, log=lambda _line: None)
    assert {row.status for row in prediction.measure_roofline(empty)} == {"left out"}
