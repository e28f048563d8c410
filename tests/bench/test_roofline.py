import math

import onnx
import pytest
from onnx import TensorProto, helper

from gliomaseg.bench import roofline
from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.roofline import count_operations


def test_operations_and_bytes_are_those_worked_out_by_hand(tmp_path):
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
    operations, carried = count_operations(tmp_path / "two.onnx")
    assert operations == 2 * (4 * 4 * 4 * 3 * 9 + 4 * 4 * 4 * 2 * 4)
    assert carried == 4 * ((3 * 64 + 4 * 16) + (4 * 16 + 2 * 64))


def test_both_networks_have_a_floor(material):
    rows = roofline.measure(material)
    assert [row.status for row in rows] == ["measured", "measured"], [row.reason for row in rows]
    for row in rows:
        assert row.ratio > 0
        assert row.agreement["slices_per_s_by_bandwidth"] > 0


@pytest.mark.usefixtures("without_torch")
def test_without_the_extra_it_is_left_out(tiny, tmp_path):
    bare = Fixtures(tmp_path, tiny, model=None, log=lambda _line: None)
    assert {row.status for row in roofline.measure(bare)} == {"left out"}
