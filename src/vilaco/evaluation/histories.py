"""What innocently happens to an authentic photo on its way: saved again, made smaller, both."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vilaco.images import resave_jpeg, resize_pixels

Pixels = NDArray[np.uint8]

JPEG_QUALITY, SCALE = 80, 0.75
"""About what messengers do; enough to wipe out most of a picture's JPEG history."""


def _resave(pixels: Pixels) -> Pixels:
    return resave_jpeg(pixels, JPEG_QUALITY)


def _shrink(pixels: Pixels) -> Pixels:
    return resize_pixels(pixels, (max(1, round(pixels.shape[0] * SCALE)), max(1, round(pixels.shape[1] * SCALE))))


INNOCENT_CHANGES: Mapping[str, Callable[[Pixels], Pixels]] = {
    f"JPEG {JPEG_QUALITY}": _resave,
    f"{SCALE}x": _shrink,
    f"{SCALE}x, JPEG {JPEG_QUALITY}": lambda pixels: _resave(_shrink(pixels)),
}
"""Changes of (H, W, 3) uint8 RGB pixels by name, none of which makes a photo tampered."""
