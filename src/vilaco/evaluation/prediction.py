"""What every method under test hands over, so that all tables come from one path."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vilaco.images import Photo


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One method's answer for one image.

    Attributes:
        localization_map: How tampered each pixel looks, on the image as a person sees it. Shape ``(H, W)``,
            float32 in [0, 1].
        detection_score: How tampered the whole image looks, in [0, 1].
        decision_threshold: Scores above it are called tampered by the method itself, in [0, 1]. Profiles have
            thresholds of their own.

    Raises:
        ValueError: If the map is not a non-empty float32 ``(H, W)`` array, or a value is NaN or outside [0,
            1].

    Example:
        >>> Prediction(np.zeros((2, 3), np.float32), 0.25).localization_map.shape
        (2, 3)
    """

    localization_map: NDArray[np.float32]
    detection_score: float
    decision_threshold: float = 0.5

    def __post_init__(self) -> None:
        array = self.localization_map
        if array.ndim != 2 or array.dtype != np.float32 or array.size == 0:
            raise ValueError(
                f"localization_map must be a non-empty float32 (H, W) array, got {array.dtype} {array.shape}."
            )
        low, high = float(array.min()), float(array.max())
        if not (low >= 0.0 and high <= 1.0):
            raise ValueError(f"localization_map must lie in [0, 1] without NaN, got {low} to {high}.")
        for name in ("detection_score", "decision_threshold"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")


class Predictor(Protocol):
    """Anything that can be evaluated: a model, a baseline, or the saved output of another tool.

    A predictor that cannot answer for one image raises :class:`~vilaco.errors.ImageError`; the image is then
    named and counted under that error's code.
    """

    @property
    def name(self) -> str:
        """What the tables call the method."""
        ...

    def __call__(self, photo: Photo) -> Prediction:
        """Judge one photo; the map has the photo's own upright size."""
        ...
