"""Ways to run a trained model, all with one contract: pixels in, image scores and localization maps out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vilaco.calibration import Calibration
from vilaco.errors import ModelError

GRAPH, ENCODER, FRONT_END = "model.onnx", "encoder.onnx", "front_end.onnx"
"""Files of an exported model; the last two only where it reads the stored pixels."""
WEIGHTS = "model.safetensors"
"""File of a model that PyTorch runs."""
MODEL_FILES = (GRAPH, ENCODER, FRONT_END, WEIGHTS)


@dataclass(frozen=True)
class RuntimeOutput:
    """What a runtime says about a batch.

    Attributes:
        detection_scores: In [0, 1], not calibrated, shape ``(B,)``, float32.
        localization_logits: Unbounded, float32, one map an image: ``(S, S)``, or ``(H, W)`` where the model reads the
            stored pixels.
    """

    detection_scores: np.ndarray
    localization_logits: Sequence[np.ndarray]


class Runtime(Protocol):
    """A loaded model.

    Attributes:
        image_size: Side ``S`` of the square view that the model sees, in pixels.
        reads_pixels: Whether it looks at the stored pixels beside the view.
        fingerprint: SHA-256 of the trained weights.
        encoder_name: The frozen encoder that every number of this model was measured with.
        calibration: What the model folder or file says about turning its answers into verdicts; the runtime's own
            answers are raw, the localizer applies it.
    """

    image_size: int
    reads_pixels: bool
    fingerprint: str
    encoder_name: str
    calibration: Calibration | None

    def __call__(self, views: np.ndarray, pixels: Sequence[np.ndarray]) -> RuntimeOutput:
        """Run on RGB images.

        Args:
            views: Whole pictures squashed to squares, shape ``(B, S, S, 3)``, uint8.
            pixels: Their stored pixels, each ``(H, W, 3)`` uint8; not looked at unless ``reads_pixels``.
        """
        ...


def load_runtime(folder: Path, *, device: str | None = None) -> Runtime:
    """Load a model folder: exported graphs with ONNX Runtime, trained weights with PyTorch.

    Args:
        folder: Holds ``model.onnx``, ``model.safetensors`` or both.
        device: A torch device. Where the folder has both, the graphs are taken unless one is given.

    Raises:
        ConfigError: If ``VILACO_THREADS`` is wrong.
        ModelError: If it is no model folder, is damaged, or cannot run here or on that device.
    """
    exported, trained = (folder / GRAPH).is_file(), (folder / WEIGHTS).is_file()
    if exported and not (trained and device):
        if device not in (None, "cpu"):
            raise ModelError(
                f"{folder}: an exported model runs on the CPU; for {device}, give the folder with {WEIGHTS}"
            )
        from vilaco.runtimes.onnx import OnnxRuntime

        return OnnxRuntime.load(folder)
    try:
        from vilaco.runtimes.torch import TorchRuntime

        return TorchRuntime.load(folder, device=device)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{folder}: is not an exported model, so it needs {error.name}; run: pip install 'vilaco[train]'"
        ) from None
