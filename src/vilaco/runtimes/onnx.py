"""Run an exported model with ONNX Runtime: NumPy in, NumPy out, no PyTorch.

A model is ``model.onnx``. Where it reads the stored pixels, ``front_end.onnx`` goes over them in tiles, beside it
``encoder.onnx`` over the whole picture squashed to a view, and ``model.onnx`` on from there. All take pixels as they
are decoded; all that is computed from them lies in the graphs. Each carries one JSON text under the metadata key
``vilaco``: :class:`ExportedModel`.

Models that come with the package share what is the same: the encoder's graph lies in the package once, and
``model.onnx`` reads learned weights from the ``model.safetensors`` beside it.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from vilaco.calibration import Calibration
from vilaco.errors import ConfigError, ModelError
from vilaco.matching import self_matches
from vilaco.runtimes import ENCODER, FRONT_END, GRAPH, WEIGHTS, RuntimeOutput
from vilaco.runtimes.tiles import fill_in_tiles
from vilaco.weights import shared_encoder

Facts = TypeVar("Facts", bound=BaseModel)

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


class ExportedEncoder(BaseModel):
    """What the graph of a frozen encoder says about itself; :class:`ExportedModel` has the same fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    encoder_name: str
    encoder_fingerprint: str
    image_size: int
    precision: Literal["float16", "int8"]


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
        files_sha256: Hashes of files that the graph does not hold itself, by name; none where it is complete.
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
    files_sha256: dict[str, str] = {}


class OnnxRuntime:
    """An exported model behind the runtime contract.

    Args:
        files: Graphs by name, each a path or the file's bytes: ``model.onnx`` and, where the model reads the stored
            pixels, ``encoder.onnx`` and ``front_end.onnx``.
        threads: Cores to use; ``VILACO_THREADS`` or all of them if ``None``.

    Raises:
        ConfigError: If ``VILACO_THREADS`` is no whole number above 0.
        ModelError: If a graph is missing, damaged, was not exported by vilaco, or belongs to another model.
    """

    def __init__(self, files: Mapping[str, Path | bytes], *, threads: int | None = None) -> None:
        threads = threads or thread_count()
        self._model, about = _open(_named(files, GRAPH), threads)
        self.exported = _parse(ExportedModel, about, _named(files, GRAPH))
        files = self._with_shared(files)
        self.reads_pixels = self.exported.front_end is not None
        if self.reads_pixels:
            self._encoder, about = _open(_named(files, ENCODER), threads)
            shared = ExportedEncoder.model_validate(self.exported.model_dump())
            ours = shared if ENCODER in self.exported.files_sha256 else self.exported
            if _parse(type(ours), about, _named(files, ENCODER)) != ours:
                raise ModelError(f"{_named(files, ENCODER)}: belongs to another {GRAPH}")
            self._front_end, about = _open(_named(files, FRONT_END), threads=1)  # a tile a core
            if _parse(ExportedModel, about, _named(files, FRONT_END)) != self.exported:
                raise ModelError(f"{_named(files, FRONT_END)}: belongs to another {GRAPH}")
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vilaco")
        self.image_size = self.exported.image_size
        self.fingerprint = self.exported.weights_sha256
        self.encoder_name = self.exported.encoder_name
        self.calibration = self.exported.calibration

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> "OnnxRuntime":
        """Load a model folder; raises as the class does."""
        beside = {name: folder / name for name in (ENCODER, FRONT_END) if (folder / name).is_file()}
        return cls({GRAPH: folder / GRAPH, **beside}, threads=threads)

    def _with_shared(self, files: Mapping[str, Path | bytes]) -> Mapping[str, Path | bytes]:
        """The files, and those that the graph refers to, each of which must be the very one.

        Raises:
            ModelError: Naming the one that is not.
        """
        graph, referred = files[GRAPH], self.exported.files_sha256
        if referred and ENCODER not in files:
            files = {**files, ENCODER: shared_encoder(self.exported.encoder_fingerprint)}
        places = files if isinstance(graph, bytes) else {**files, WEIGHTS: graph.with_name(WEIGHTS)}
        for name, wanted in referred.items():
            file = _named(places, name)
            try:
                data = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
            except OSError as error:
                raise ModelError(
                    f"{file}: cannot be read ({error.strerror}); {_named(files, GRAPH)} needs it"
                ) from None
            if hashlib.sha256(data).hexdigest() != wanted:
                raise ModelError(f"{file}: damaged, or not the file that {_named(files, GRAPH)} needs")
        return files

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
        """What ``model.onnx`` takes: one picture of any size after encoder, matching, and front end in tiles.

        The three need nothing of each other, so each fills the cores that another leaves idle.

        Args:
            view: Shape ``(1, S, S, 3)``, uint8.
            pixels: Shape ``(H, W, 3)``, uint8.
        """
        tiles = self.exported.front_end
        assert tiles is not None
        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -height % tiles.block), (0, -width % tiles.block), (0, 0)), mode="edge")
        size = padded.shape[:2]
        matching = self._pool.submit(self_matches, pixels) if self.exported.reads_matches else None
        encoding = self._pool.submit(self._encoder.run, None, {"views": view})
        fine, cells = (
            np.empty((1, channels, size[0] // stride, size[1] // stride), np.float32)
            for stride, channels in tiles.channels.items()
        )
        fill_in_tiles(
            (fine, cells),
            lambda rows, columns: self._front_end.run(None, {"pixels": padded[rows, columns]}),
            size,
            tile=TILE,
            halo=tiles.halo,
            run=self._pool.map,
        )
        matches = {} if matching is None else {"matches": matching.result()[None]}
        [patch_features] = encoding.result()
        return {"patch_features": patch_features, "pixels": pixels, "fine": fine, "cells": cells, **matches}


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


@dataclass(frozen=True)
class _Named:
    """A file or its bytes, and how to call it."""

    name: str
    content: Path | bytes

    def __str__(self) -> str:
        return self.name if isinstance(self.content, bytes) else str(self.content)


def _named(files: Mapping[str, Path | bytes], name: str) -> _Named:
    """A file of a model.

    Raises:
        ModelError: If it is missing.
    """
    if name not in files:
        raise ModelError(f"{_named(files, GRAPH)}: needs {name} beside it, which is missing")
    return _Named(name, files[name])


def _open(file: _Named, threads: int) -> tuple[onnxruntime.InferenceSession, str]:
    """Load a graph; with it, what it says about itself."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_pattern = False  # one block for all of a photo; saves no time, and costs a third more memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves idle cores to other programs
    try:
        session = onnxruntime.InferenceSession(file.content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own have no common base
        reason = str(error).strip().splitlines()[0]
        if "xternal" in reason and isinstance(file.content, Path):  # the weights it refers to
            weights = file.content.with_name(WEIGHTS)
            raise ModelError(f"{weights}: missing, damaged, or not the file that {file} needs") from None
        raise ModelError(f"{file}: ONNX Runtime cannot load it ({reason})") from None
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{file}: was not written by vilaco export")
    return session, text


def _parse(kind: type[Facts], text: str, file: _Named) -> Facts:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ModelError(f"{file}: its metadata does not fit, {field}: {first['msg']}") from None
