"""ONNX files that compute in integers of 8 bits: a quarter of the weights' size, and faster where the processor can."""

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

# What features go through between convolutions; all else, the last softmax above all, stays in floats.
INTEGER = ("Conv", "ConvTranspose", "Add", "Concat", "MaxPool", "Relu", "Resize", "AveragePool")


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove the notes of PyTorch's exporter from each node: they name source lines and folders of the machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


class _Examples(CalibrationDataReader):  # type: ignore[misc]
    """Batches, one after the other, as ONNX Runtime asks for them."""

    def __init__(self, name: str, batches: Sequence[Batch]) -> None:
        self._left = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, Batch] | None:
        """Return the next batch under its input's name; None after the last one."""
        return next(self._left, None)


def quantize_int8(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Write an ONNX file whose convolutions multiply integers: weights of 7 bits a channel, features of 8.

    Each feature map's range is the smallest to the largest value that it takes on the batches: show what the network
    will see. It is another network, to be scored again.

    Args:
        source: an ONNX file with its weights inside.
        target: the new file.
        batches: normalised slices, float32, each of shape (n, inputs, y, x); at least one.

    Raises:
        ValueError: there are no batches.

    Source: B. Jacob et al., CVPR 2018, arXiv:1712.05877.
    """
    if not batches:
        raise ValueError("without examples nobody knows the range of the features")
    name = onnx.load(source, load_external_data=False).graph.input[0].name
    with TemporaryDirectory() as folder, _quiet():
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(source, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            target,
            _Examples(name, batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(INTEGER),
            nodes_to_exclude=_last_nodes(folded),
            # Features without a sign are what ONNX Runtime's fast kernels take.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # With 8 bits, sums of products overflow on processors with AVX2 alone: there results would be wrong.
            reduce_range=True,
        )
    model = onnx.load(target)
    strip_metadata(model)
    onnx.save(model, target)


def _last_nodes(path: Path) -> list[str]:
    """Return the names of what comes after the features: the convolutions that give logits, and all behind them.

    In 8 bits, probabilities would come in few steps.
    """
    graph = onnx.load(path).graph
    makers = {output: node for node in graph.node for output in node.output}
    left, found = [entry.name for entry in graph.output], set[str]()
    while left:
        node = makers.get(left.pop())
        if node is None or node.op_type == "Relu" or node.name in found:  # what is rectified is a feature
            continue
        found.add(node.name)
        if node.op_type not in ("Conv", "ConvTranspose"):
            left += node.input
    return sorted(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice to itself: it is not for the user."""
    logger = logging.getLogger()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
