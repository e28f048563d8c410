"""The check of ONNX files: tensors in other files and declared sizes beyond the file are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from gliomaseg.engines.onnx_file import require_own_tensors
from gliomaseg.errors import ModelError


def weights(dims: tuple[int, ...] = (4,), *, external: str = "") -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(16))
    if external:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=external)
    return tensor


def write(path: Path, *, initializers: list[TensorProto] | None = None, nodes: list[NodeProto] | None = None) -> Path:
    graph = GraphProto(name="g", initializer=initializers or [], node=nodes or [])
    path.write_bytes(ModelProto(ir_version=8, graph=graph).SerializeToString())
    return path


def test_a_file_with_its_own_tensors_passes(tmp_path: Path) -> None:
    node = helper.make_node("Constant", [], ["c"], value=weights((2, 2)))
    require_own_tensors(write(tmp_path / "a.onnx", initializers=[weights()], nodes=[node]))


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_weights_in_another_file_are_refused(location: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", initializers=[weights(), weights(external=location)])
    with pytest.raises(ModelError, match=r"a\.onnx: reads weights from another file"):
        require_own_tensors(path)


def test_weights_of_another_file_are_refused_in_a_branch_of_a_node(tmp_path: Path) -> None:
    inner = GraphProto(name="inner", initializer=[weights(external="weights.bin")])
    branch = AttributeProto(name="then_branch", type=AttributeProto.GRAPH, g=inner)
    path = write(tmp_path / "a.onnx", nodes=[NodeProto(op_type="If", attribute=[branch])])
    with pytest.raises(ModelError, match="another file"):
        require_own_tensors(path)


@pytest.mark.parametrize("dims", [(1 << 20, 1 << 20), (1000,)])
def test_a_tensor_of_more_values_than_the_file_has_is_refused(dims: tuple[int, ...], tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", initializers=[weights(dims)])
    with pytest.raises(ModelError, match="declares a tensor of"):
        require_own_tensors(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", initializers=[weights()])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelError, match="is not a readable ONNX file"):
        require_own_tensors(path)
