"""Int8 quantisation of ONNX files: a quarter of the weights' size, and faster on processors with int8 instructions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from gliomaseg.types import Batch

# Operators that are quantised. All others stay in floating point, in particular the last softmax.
QUANTISED_OPERATORS = ("Conv", "ConvTranspose", "Add", "Concat", "MaxPool", "Relu", "Resize", "AveragePool")


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove the metadata of PyTorch's exporter: it contains source lines and folder names of the machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


class _CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """An iterator over batches with the interface of ONNX Runtime."""

    def __init__(self, name: str, batches: Sequence[Batch]) -> None:
        self._batches = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, Batch] | None:
        """Return the next batch, keyed by the input's name; None after the last batch."""
        return next(self._batches, None)


def quantize_int8(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Write an ONNX file whose convolutions compute in int8: weights have 7 bits, per channel, and features 8 bits.

    The range of each feature map is its minimum to maximum over the batches, so the batches should represent real
    input. The result is another network, which needs its own evaluation.

    Args:
        source: an ONNX file that contains its weights.
        target: the new file.
        batches: normalised slices, float32, each of shape (n, inputs, y, x); at least one.

    Raises:
        ValueError: `batches` is empty.

    Source: B. Jacob et al., CVPR 2018, arXiv:1712.05877.
    """
    if not batches:
        raise ValueError("batches is empty, expected at least one: they give the range of the features")
    name = onnx.load(source, load_external_data=False).graph.input[0].name
    with TemporaryDirectory() as folder, _quiet():
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(source, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            target,
            _CalibrationBatches(name, batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPERATORS),
            nodes_to_exclude=_last_nodes(folded),
            # ONNX Runtime's fast kernels need unsigned features.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # With 8 bits, sums of products overflow on processors that have AVX2 only, and results are wrong.
            reduce_range=True,
        )
    model = onnx.load(target)
    strip_metadata(model)
    onnx.save(model, target)


def _last_nodes(path: Path) -> list[str]:
    """Return the names of the last nodes: the convolutions that compute logits, and all nodes after them.

    They stay in floating point, because 8 bits are too coarse for probabilities.
    """
    graph = onnx.load(path).graph
    producers = {output: node for node in graph.node for output in node.output}
    pending, found = [entry.name for entry in graph.output], set[str]()
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.op_type == "Relu" or node.name in found:  # the output of a ReLU is a feature map
            continue
        found.add(node.name)
        if node.op_type not in ("Conv", "ConvTranspose"):
            pending += node.input
    return sorted(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable the root logger: the quantiser logs advice that is not for the user."""
    logger = logging.getLogger()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
