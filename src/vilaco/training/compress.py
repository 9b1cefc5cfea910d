"""Smaller and faster graphs: large weights stored as float16, convolutions computed in int8."""

import json
import struct
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


def refer_to_weights(model: onnx.ModelProto, file: bytes, name: str) -> int:
    """Have a graph read the weights that a safetensors file holds from there, in place of holding them too.

    A weight that the graph has transposed is read as it is and transposed when the graph is loaded.

    Args:
        model: After :func:`store_as_float16`; changed in place.
        file: A safetensors file of float16 weights.
        name: Its name, beside the graph's.

    Returns:
        Bytes that the graph no longer holds.
    """
    (length,) = struct.unpack_from("<Q", file)
    places = json.loads(file[8 : 8 + length])
    places.pop("__metadata__", None)
    as_stored: dict[tuple[bytes, tuple[int, ...]], tuple[int, int]] = {}
    transposed: dict[tuple[bytes, tuple[int, ...]], tuple[int, int]] = {}
    for about in places.values():
        start, end = (8 + length + offset for offset in about["data_offsets"])
        values = np.frombuffer(file[start:end], np.float16).reshape(about["shape"])
        as_stored[values.tobytes(), values.shape] = start, end
        if values.ndim == 2:
            transposed[values.T.tobytes(), values.T.shape] = start, end
    graph, turns, moved = model.graph, [], 0
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT16:
            continue
        key = numpy_helper.to_array(weight).tobytes(), tuple(weight.dims)
        place = as_stored.get(key)
        if place is None and key in transposed:
            place, wanted = transposed[key], weight.name
            weight.name = f"{wanted}.stored"
            weight.dims[:] = reversed(weight.dims)
            turns.append(helper.make_node("Transpose", [weight.name], [wanted], perm=[1, 0]))
        if place is None:
            continue
        moved += len(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for what, value in (("location", name), ("offset", place[0]), ("length", place[1] - place[0])):
            weight.external_data.add(key=what, value=str(value))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*turns, *nodes])
    return moved


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
