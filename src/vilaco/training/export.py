"""From a trained model to ONNX graphs that run without PyTorch, checked against it before they are written.

The frozen encoder and the text features, which no picture changes, lie in the graphs, and so does all that is computed
from pixels; ``vilaco.runtimes.onnx`` says what else a file holds. Weights of the front end, which tells grey level 200
from 201, stay float32. Elsewhere large ones are stored as float16, half the size, and computed with as float32.
"""

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from vilaco import __version__
from vilaco.errors import ConfigError, ModelError
from vilaco.files import refuse_filled, write_atomically
from vilaco.images import load_photo, resize_map, resize_pixels
from vilaco.localizer import sigmoid
from vilaco.matching import CHANNELS
from vilaco.method.checkpoint import CONFIG
from vilaco.method.network import PatchNetwork
from vilaco.method.residuals import BLOCK, FINE, HALO
from vilaco.method.vilaco import ViLaCo
from vilaco.runtimes import ENCODER, FRONT_END, GRAPH, Runtime
from vilaco.runtimes.onnx import METADATA_KEY, ExportedModel, OnnxRuntime, TiledFrontEnd
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.compress import compute_in_int8, store_as_float16

OPSET = 20  # the first with GELU
CARD = "README.md"

PARITY_SIZES = ((256, 384), (253, 381), (300, 200), (64, 64), (9, 70))
"""Pictures that PyTorch and the exported model have to agree on, ``(H, W)``; the last one is grey."""
MAX_DIFFERENCES = {
    "float16": {"score": 0.005, "map_mean": 0.002, "map_max": 0.02},
    "int8": {"score": 0.02, "map_mean": 0.005, "map_max": 0.1},
}
"""Largest :class:`Differences` allowed, in [0, 1], by precision."""

PREPROCESSING = (
    "views: whole pictures squashed to (image_size, image_size) by area, bilinearly where they grow; RGB uint8, "
    "(B, S, S, 3). pixels: the stored pixels, RGB uint8, (H, W, 3); for front_end.onnx the last row and column are "
    "repeated until both sides are whole blocks. matches: vilaco.matching.self_matches of the stored pixels. "
    "patch_features, fine, cells: as encoder.onnx and front_end.onnx give them."
)


class WholePicture(nn.Module):
    """A network on views, as they are decoded: ``(B, S, S, 3)`` uint8 to scores ``(B,)`` and logits ``(B, S, S)``."""

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Look at views."""
        output = self.network(_unit_range(views))
        return output.detection_scores, output.localization_logits


class FrontEndTile(nn.Module):
    """The residual stream's front end on a tile, ``(8h, 8w, 3)`` uint8."""

    def __init__(self, network: ViLaCo) -> None:
        super().__init__()
        assert network.residuals is not None
        self.front_end = network.residuals.front_end

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Look at pixels."""
        return self.front_end(pixels.permute(2, 0, 1)[None].float())


class EncodedView(nn.Module):
    """The frozen encoder on views, ``(1, S, S, 3)`` uint8 to patch features ``(1, N, D)``."""

    def __init__(self, network: ViLaCo) -> None:
        super().__init__()
        self.encoder = network.encoder

    def forward(self, views: Tensor) -> Tensor:
        """Look at views."""
        return self.encoder.encode_patches(_unit_range(views))


class BehindBoth(nn.Module):
    """Everything behind encoder and front end, on one whole picture; of its stored pixels the size is looked at."""

    def __init__(self, network: ViLaCo) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, patch_features: Tensor, pixels: Tensor, fine: Tensor, cells: Tensor, matches: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Go on from the encoder's features and the front end's maps."""
        native = self.network.native_features(fine, cells, matches)
        output = self.network.forward_patches(patch_features, (pixels.shape[0], pixels.shape[1]), native)
        return output.detection_scores, output.localization_logits


@dataclass(frozen=True)
class Differences:
    """How far two runtimes are apart, each in [0, 1].

    Attributes:
        score: Largest difference of a detection score.
        map_mean: Largest mean difference of a localization map.
        map_max: Largest difference of one of its pixels.
    """

    score: float
    map_mean: float
    map_max: float

    def __str__(self) -> str:
        return f"score by up to {self.score:.2g}, map by {self.map_mean:.2g} on average and {self.map_max:.2g} at most"


@dataclass(frozen=True)
class ExportReport:
    """What was written: bytes by file name, and how it differs from what PyTorch says."""

    sizes: dict[str, int]
    differences: Differences


def export_model(folder: Path, out: Path, *, int8_photos: Sequence[Path] = ()) -> ExportReport:
    """Export a model folder.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
        out: Folder to write, new or empty: graphs, configuration and card.
        int8_photos: Typical photos, a few dozen. Where some are given, the convolutions that go over the stored pixels
            are computed in int8, with the ranges that their activations have on these photos.

    Raises:
        ConfigError: If int8 is asked of a model that does not read the stored pixels.
        DataError: If ``out`` is not empty.
        ImageError: If a photo cannot be read.
        ModelError: If ``folder`` is no model, cannot be exported, or the exported model does not agree with it; then
            nothing is written.
    """
    refuse_filled(out)
    runtime = TorchRuntime.load(folder, device="cpu")
    if int8_photos and not runtime.reads_pixels:
        raise ConfigError(f"{folder}: looks at the squashed picture alone, which int8 makes no faster")
    metadata = _describe(runtime)
    try:
        graphs = _trace(runtime.model)
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"{folder}: PyTorch cannot export it ({str(error).splitlines()[0]})") from error
    files = _finish(graphs, metadata)
    exported = OnnxRuntime(files)
    found = _agreed(folder, runtime, exported, parity_pictures())
    if int8_photos:
        inputs = (_inputs(exported, load_photo(path).pixels) for path in int8_photos)
        with quiet():
            graphs[GRAPH] = compute_in_int8(graphs[GRAPH], inputs, chosen=_goes_over_pixels)
        files = _finish(graphs, metadata.model_copy(update={"precision": "int8"}))
        exported = OnnxRuntime(files)
        found = _agreed(folder, runtime, exported, (load_photo(path).pixels for path in int8_photos))
    for name in (CARD, CONFIG):
        if (folder / name).is_file():
            files[name] = (folder / name).read_bytes()
    for name, data in files.items():
        write_atomically(out / name, data)
    return ExportReport({name: len(data) for name, data in files.items()}, found)


def differences(one: Runtime, other: Runtime, pictures: Iterable[np.ndarray]) -> Differences:
    """How far the answers of two runtimes are apart; NaN where one of them is.

    Args:
        one: A runtime.
        other: Another one, of the same ``image_size``.
        pictures: RGB, each (H, W, 3) uint8.
    """
    rows = []
    for pixels in pictures:
        view = resize_pixels(pixels, (one.image_size, one.image_size))[None]
        outputs = [runtime(view, [pixels]) for runtime in (one, other)]
        score = abs(outputs[0].detection_scores[0] - outputs[1].detection_scores[0])
        maps = [sigmoid(output.localization_logits[0]) for output in outputs]
        apart = np.abs(maps[0] - maps[1])
        rows.append((score, apart.mean(), apart.max()))
    return Differences(*map(float, np.max(rows, axis=0)))


def parity_pictures() -> list[np.ndarray]:
    """Smooth noise with grain, always the same, of :data:`PARITY_SIZES`."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in PARITY_SIZES:
        coarse = rng.uniform(0, 255, (height // 8 + 2, width // 8 + 2, 3))
        smooth = np.stack([resize_map(coarse[..., channel], (height, width)) for channel in range(3)], axis=2)
        pictures.append(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))
    pictures[-1] = np.repeat(pictures[-1][..., :1], 3, axis=2)
    return pictures


def _describe(runtime: TorchRuntime) -> ExportedModel:
    network = runtime.model
    front_end = None
    if isinstance(network, ViLaCo) and network.residuals is not None:
        its = network.residuals.front_end
        front_end = TiledFrontEnd(block=BLOCK, halo=HALO, channels={FINE: its.fine_channels, BLOCK: its.channels})
    return ExportedModel(
        vilaco_version=__version__,
        method=network.config.method,
        image_size=runtime.image_size,
        front_end=front_end,
        reads_matches=network.reads_matches,
        encoder_name=runtime.encoder_name,
        encoder_fingerprint=network.encoder.fingerprint,
        weights_sha256=runtime.fingerprint,
        precision="float16",
        preprocessing=PREPROCESSING,
        calibration=runtime.calibration,
    )


@torch.no_grad()
def _trace(network: PatchNetwork) -> dict[str, onnx.ModelProto]:
    """The graphs of a network by file name."""
    side = network.config.image_size
    names = ["detection_scores", "localization_logits"]
    if not isinstance(network, ViLaCo) or network.residuals is None:
        views = torch.zeros(2, side, side, 3, dtype=torch.uint8)
        shapes: dict[str, Any] = {"views": {0: Dim("B", min=1)}}
        return {GRAPH: _to_onnx(WholePicture(network), {"views": views}, shapes, names)}
    rows, columns = 24, 40  # in blocks; of a size that nothing else has
    tile = {"pixels": torch.zeros(rows * BLOCK, columns * BLOCK, 3, dtype=torch.uint8)}
    h, w = Dim("h", min=1), Dim("w", min=1)
    front_end, encoder = FrontEndTile(network), EncodedView(network)
    fine, cells = front_end(**tile)
    maps = {"fine": fine, "cells": cells}
    view = {"views": torch.zeros(1, side, side, 3, dtype=torch.uint8)}
    inputs = {"patch_features": encoder(**view), "pixels": tile["pixels"][:-3, :-5], **maps}
    scale = BLOCK // FINE
    shapes = {
        "patch_features": None,
        "pixels": {0: Dim("H", min=1), 1: Dim("W", min=1)},
        "fine": {2: scale * h, 3: scale * w},
        "cells": {2: h, 3: w},
    }
    if network.reads_matches:
        inputs["matches"], shapes["matches"] = torch.zeros(1, CHANNELS, rows, columns), {2: h, 3: w}
    return {
        ENCODER: _to_onnx(encoder, view, {"views": None}, ["patch_features"]),
        FRONT_END: _to_onnx(front_end, tile, {"pixels": {0: BLOCK * h, 1: BLOCK * w}}, list(maps)),
        GRAPH: _to_onnx(BehindBoth(network), inputs, shapes, names),
    }


def _to_onnx(
    module: nn.Module, inputs: dict[str, Tensor], shapes: dict[str, Any], output_names: list[str]
) -> onnx.ModelProto:
    module.eval()(**inputs)  # what no picture changes is computed once, and becomes a constant
    with quiet():
        program = torch.onnx.export(
            module,
            kwargs=inputs,
            dynamic_shapes=shapes,
            input_names=list(inputs),
            output_names=output_names,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _finish(graphs: dict[str, onnx.ModelProto], metadata: ExportedModel) -> dict[str, bytes]:
    """The files: graphs without the exporter's notes, which name source files, and with ours."""
    files = {}
    for name, graph in graphs.items():
        model = onnx.ModelProto.FromString(graph.SerializeToString())
        if name != FRONT_END:
            store_as_float16(model)
        for part in (model.graph, *model.graph.node, *model.graph.value_info):
            del part.metadata_props[:]
            part.doc_string = ""
        del model.metadata_props[:]
        model.producer_name, model.producer_version = "vilaco", __version__
        model.metadata_props.add(key=METADATA_KEY, value=metadata.model_dump_json())
        files[name] = model.SerializeToString()
    return files


def _agreed(folder: Path, runtime: TorchRuntime, exported: OnnxRuntime, pictures: Iterable[np.ndarray]) -> Differences:
    found = differences(runtime, exported, pictures)
    if any(not getattr(found, name) <= most for name, most in MAX_DIFFERENCES[exported.exported.precision].items()):
        raise ModelError(f"{folder}: the exported model differs from PyTorch's, {found}; nothing was written")
    return found


def _goes_over_pixels(weight: onnx.TensorProto) -> bool:
    """Whether a weight is that of one of the 3x3 convolutions that most of the time goes into on a large photo.

    Not the last one, whose output is the map: eight bits would be its steps.
    """
    behind = weight.name.startswith(("network.residuals.", "network.fine_head.decoder."))
    return behind and list(weight.dims[2:]) == [3, 3] and weight.dims[0] > 1


def _inputs(runtime: OnnxRuntime, pixels: np.ndarray) -> dict[str, np.ndarray]:
    view = resize_pixels(pixels, (runtime.image_size, runtime.image_size))
    return runtime.inputs(view[None], pixels)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter and the quantiser, who talk to their developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _unit_range(views: Tensor) -> Tensor:
    return views.permute(0, 3, 1, 2).float() / 255
