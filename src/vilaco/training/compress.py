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
SHARED = 64
"""Numbers from which on a weight is read from where it lies already; fewer could be alike by chance."""


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

    A weight that the graph has transposed, or in single precision, is read as it is and brought to that when the graph
    is loaded, which changes no bit of it.

    Args:
        model: Changed in place.
        file: A safetensors file of float16 weights.
        name: Its name, beside the graph's.

    Returns:
        Bytes that the graph no longer holds.
    """
    places = _places(file)
    graph, steps, moved = model.graph, [], 0
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype not in (np.float16, np.float32) or values.size < SHARED:
            continue
        halved = values.astype(np.float16)
        if not np.array_equal(halved.astype(values.dtype), values):
            continue
        place, turned = places.get((halved.tobytes(), halved.shape)), False
        if place is None and halved.ndim == 2:
            place, turned = places.get((halved.T.tobytes(), halved.T.shape)), True
        if place is None:
            continue
        moved += values.nbytes
        wanted, single = weight.name, values.dtype == np.float32
        stored = TensorProto(
            name=f"{wanted}.stored" if turned or single else wanted,
            dims=halved.T.shape if turned else halved.shape,
            data_type=TensorProto.FLOAT16,
            data_location=TensorProto.EXTERNAL,
        )
        for what, value in (("location", name), ("offset", place[0]), ("length", place[1] - place[0])):
            stored.external_data.add(key=what, value=str(value))
        weight.CopyFrom(stored)
        name_so_far = stored.name
        if turned:
            next_name = f"{wanted}.turned" if single else wanted
            steps.append(helper.make_node("Transpose", [name_so_far], [next_name], perm=[1, 0]))
            name_so_far = next_name
        if single:
            steps.append(helper.make_node("Cast", [name_so_far], [wanted], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*steps, *nodes])
    return moved


def _places(file: bytes) -> dict[tuple[bytes, tuple[int, ...]], tuple[int, int]]:
    """Start and end in a safetensors file of each float16 tensor, by its bytes and shape."""
    (length,) = struct.unpack_from("<Q", file)
    header = json.loads(file[8 : 8 + length])
    header.pop("__metadata__", None)
    places = {}
    for about in header.values():
        start, end = (8 + length + offset for offset in about["data_offsets"])
        places[file[start:end], tuple(about["shape"])] = start, end
    return places


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
