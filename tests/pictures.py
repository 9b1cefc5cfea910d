"""Pictures that tests make for themselves."""

import cv2
import numpy as np


def make_photo(rng: np.random.Generator, height: int = 72, width: int = 96) -> np.ndarray:
    """A smooth colourful picture, shape ``(height, width, 3)``, uint8."""
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def make_textured(rng: np.random.Generator, height: int = 256, width: int = 384) -> np.ndarray:
    """A picture with detail of every size from 2 pixels on, as leaves and gravel have, and no repetition."""
    layers = [
        cv2.resize(rng.standard_normal((-(-height // cell) + 1, -(-width // cell) + 1)), (width, height)) * cell**0.4
        for cell in (2, 4, 8, 16, 32)
    ]
    grey = np.sum(layers, axis=0)
    coloured = grey[..., None] * 20 + make_photo(rng, height, width) * 0.3 + 80
    return np.clip(coloured, 0, 255).astype(np.uint8)
