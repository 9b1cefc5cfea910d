"""Everything is tampered: what a method must beat to have found anything at all.

Its F1 is that of the tampered area alone, ``2a / (1 + a)`` for an area share ``a``.
"""

import numpy as np
from numpy.typing import NDArray


def all_ones_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A map of ones.

    Args:
        pixels: RGB, shape ``(H, W, 3)``; only the size is used.

    Returns:
        Ones, shape ``(H, W)``.
    """
    return np.ones(pixels.shape[:2], np.float32)
