"""Run an exported model with ONNX Runtime: NumPy in, NumPy out, no PyTorch.

A model is ``model.onnx`` and, where it reads the stored pixels, ``front_end.onnx``, which goes over the photo in tiles.
Both take pixels as they are decoded; all that is computed from them lies in the graphs. Each carries one JSON text
under the metadata key ``vilaco``: :class:`ExportedModel`.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from vilaco.calibration import Calibration
from vilaco.errors import ConfigError, ModelError
from vilaco.matching import self_matches
from vilaco.runtimes import FRONT_END, GRAPH, RuntimeOutput
from vilaco.runtimes.tiles import fill_in_tiles

METADATA_KEY = "vilaco"
TILE = 256
"""Pixels along a side of a tile: small enough for the caches of a core, and for every core to get one."""
_ERRORS_ONLY = 3  # ONNX Runtime's log level

onnxruntime.disable_telemetry_events()


class TiledFrontEnd(BaseModel):
    """What has to be known to run a front end in tiles.

    Attributes:
        block: Whole blocks of so many pixels a side go in.
        halo: Pixels it sees around a block, in whole blocks.
        channels: Of its maps, by pixels a cell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    block: int
    halo: int
    channels: dict[int, int]


class ExportedModel(BaseModel):
    """What an exported model says about itself.

    Attributes:
        vilaco_version: That exported it.
        method: What it is, e.g. ``"vilaco"``.
        image_size: Side of the square view, in pixels.
        front_end: ``None`` where the model looks at the view alone.
        reads_matches: Whether it asks where the picture repeats itself.
        encoder_name: The frozen encoder inside.
        encoder_fingerprint: SHA-256 of its weights and settings.
        weights_sha256: Of the trained weights that were exported.
        precision: How the large weights are stored.
        preprocessing: In words, for those who run the graphs themselves.
        calibration: See :class:`~vilaco.calibration.Calibration`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vilaco_version: str
    method: str
    image_size: int
    front_end: TiledFrontEnd | None
    reads_matches: bool
    encoder_name: str
    encoder_fingerprint: str
    weights_sha256: str
    precision: Literal["float16", "int8"]
    preprocessing: str
    calibration: Calibration | None


class OnnxRuntime:
    """An exported model behind the runtime contract.

    Args:
        model: ``model.onnx``, a file or its bytes.
        front_end: ``front_end.onnx``, likewise, where the model reads the stored pixels.
        threads: Cores to use; ``VILACO_THREADS`` or all of them if ``None``.

    Raises:
        ConfigError: If ``VILACO_THREADS`` is no whole number above 0.
        ModelError: If a graph is damaged, was not exported by vilaco, or the two do not belong together.
    """

    def __init__(
        self, model: Path | bytes, front_end: Path | bytes | None = None, *, threads: int | None = None
    ) -> None:
        threads = threads or thread_count()
        self._model, self.exported = _open(model, GRAPH, threads)
        self._front_end: onnxruntime.InferenceSession | None = None
        if self.exported.front_end is not None:
            if front_end is None:
                raise ModelError(f"{_name(model, GRAPH)}: needs {FRONT_END} beside it, which is missing")
            self._front_end, its = _open(front_end, FRONT_END, threads=1)  # a tile a core
            if its != self.exported:
                raise ModelError(f"{_name(front_end, FRONT_END)}: belongs to another {GRAPH}")
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vilaco")
        self.image_size = self.exported.image_size
        self.reads_pixels = self.exported.front_end is not None
        self.fingerprint = self.exported.weights_sha256
        self.encoder_name = self.exported.encoder_name
        self.calibration = self.exported.calibration

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> "OnnxRuntime":
        """Load a model folder; raises as the class does."""
        front_end = folder / FRONT_END
        return cls(folder / GRAPH, front_end if front_end.is_file() else None, threads=threads)

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        """Run on RGB images; see :class:`vilaco.runtimes.Runtime`."""
        if not self.reads_pixels:
            scores, logits = self._model.run(None, {"views": views})
            return RuntimeOutput(scores, list(logits))
        outputs = [
            self._model.run(None, self.inputs(view[None], each)) for view, each in zip(views, pixels, strict=True)
        ]
        return RuntimeOutput(
            np.concatenate([scores for scores, _ in outputs]), [logits for _, batch in outputs for logits in batch]
        )

    def inputs(self, view: np.ndarray, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """What ``model.onnx`` takes, from one picture of any size that went through the front end in tiles.

        Args:
            view: Shape ``(1, S, S, 3)``, uint8.
            pixels: Shape ``(H, W, 3)``, uint8.
        """
        front_end, tiles = self._front_end, self.exported.front_end
        assert front_end is not None
        assert tiles is not None
        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -height % tiles.block), (0, -width % tiles.block), (0, 0)), mode="edge")
        size = padded.shape[:2]
        matching = self._pool.submit(self_matches, pixels) if self.exported.reads_matches else None
        fine, cells = (
            np.empty((1, channels, size[0] // stride, size[1] // stride), np.float32)
            for stride, channels in tiles.channels.items()
        )
        fill_in_tiles(
            (fine, cells),
            lambda rows, columns: front_end.run(None, {"pixels": padded[rows, columns]}),
            size,
            tile=TILE,
            halo=tiles.halo,
            run=self._pool.map,
        )
        matches = {} if matching is None else {"matches": matching.result()[None]}
        return {"views": view, "pixels": pixels, "fine": fine, "cells": cells, **matches}


def thread_count() -> int:
    """Cores to use: ``VILACO_THREADS``, or all.

    Raises:
        ConfigError: If the variable is no whole number above 0.
    """
    asked = os.environ.get("VILACO_THREADS", "")
    if not asked:
        return os.cpu_count() or 1
    if not asked.isdecimal() or int(asked) < 1:
        raise ConfigError(f"VILACO_THREADS must be a whole number above 0, got {asked!r}")
    return int(asked)


def _open(source: Path | bytes, name: str, threads: int) -> tuple[onnxruntime.InferenceSession, ExportedModel]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_pattern = False  # one block for all of a photo; saves no time, and costs a third more memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves idle cores to other programs
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own have no common base
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{_name(source, name)}: ONNX Runtime cannot load it ({reason})") from None
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{_name(source, name)}: was not written by vilaco export")
    try:
        return session, ExportedModel.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ModelError(f"{_name(source, name)}: its metadata does not fit, {field}: {first['msg']}") from None


def _name(source: Path | bytes, name: str) -> str:
    return name if isinstance(source, bytes) else str(source)
