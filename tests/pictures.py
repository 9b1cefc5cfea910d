"""Pictures that tests make for themselves."""

import cv2
import numpy as np


def make_photo(rng: np.random.Generator, height: int = 72, width: int = 96) -> np.ndarray:
    """A smooth colourful picture, shape ``(height, width, 3)``, uint8."""
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
