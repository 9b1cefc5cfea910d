"""Ways to run a trained model, all with one contract: pixels in, image scores and localization maps out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vilaco.calibration import Calibration


@dataclass(frozen=True)
class RuntimeOutput:
    """What a runtime says about a batch.

    Attributes:
        detection_scores: In [0, 1], not calibrated, shape ``(B,)``, float32.
        localization_logits: Unbounded, shape ``(B, S, S)``, float32.
    """

    detection_scores: np.ndarray
    localization_logits: np.ndarray


class Runtime(Protocol):
    """A loaded model.

    Attributes:
        image_size: Side ``S`` of the square that the model sees, in pixels.
        fingerprint: SHA-256 of the trained weights.
        encoder_name: The frozen encoder that every number of this model was measured with.
        calibration: What the model folder or file says about turning its answers into verdicts; the runtime's own
            answers are raw, the localizer applies it.
    """

    image_size: int
    fingerprint: str
    encoder_name: str
    calibration: Calibration | None

    def __call__(self, pixels: np.ndarray) -> RuntimeOutput:
        """Run on RGB images, shape ``(B, S, S, 3)``, uint8."""
        ...
