"""Smaller and faster graphs: large weights stored as float16, convolutions computed in int8."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

LARGE = 10_000
"""Numbers from which on a weight is stored as float16."""


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large weights as float16 and cast them back, which ONNX Runtime does once, when it loads the file."""
    graph, casts = model.graph, []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < LARGE:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    return model


def compute_in_int8(
    model: onnx.ModelProto, inputs: Iterable[Mapping[str, np.ndarray]], *, chosen: Callable[[onnx.TensorProto], bool]
) -> onnx.ModelProto:
    """Compute convolutions with 8-bit weights and activations, a scale for each channel of the weights.

    Args:
        model: The graph, in float32.
        inputs: Inputs of typical pictures; they fix the range of each activation.
        chosen: Says of a convolution's weight whether it is one to compute in int8.

    Returns:
        A new graph.
    """
    weights = {weight.name for weight in model.graph.initializer if chosen(weight)}
    nodes = [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in weights]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.onnx"
        quantize_static(
            onnx.ModelProto.FromString(model.SerializeToString()),
            file,
            _Inputs(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 7-bit weights: on x86 cores without VNNI sums of 8-bit products overflow
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=nodes,
        )
        return onnx.load(file)


class _Inputs(CalibrationDataReader):
    def __init__(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """One picture's inputs; ``None`` at the end."""
        return next((dict(given) for given in self._inputs), None)
