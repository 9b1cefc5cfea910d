"""Ways to run a trained model, all with one contract: pixels in, image scores and localization maps out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vilaco.calibration import Calibration


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
