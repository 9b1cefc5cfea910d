"""A Gaussian bump in the middle: how far one gets by knowing that forgers like the centre.

It never looks at the pixels, so a forensic method that cannot beat it has found the photographer's habit,
not the forgery (a usual control in saliency prediction: Judd et al., "Learning to predict where humans
look", ICCV 2009).
"""

import numpy as np
from numpy.typing import NDArray

SIGMA = 0.25
"""Standard deviation as a share of each side: the part above 0.5 is an ellipse of 27% of the image."""


def gaussian_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A bump that is 1 at the centre and scales with the sides.

    Args:
        pixels: RGB, shape ``(H, W, 3)``; only the size is used.

    Returns:
        ``exp(-(y^2 + x^2) / (2 SIGMA^2))`` with y, x from the centre in shares of a side, shape ``(H, W)``.

    Example:
        >>> gaussian_map(np.zeros((1, 4, 3), np.uint8)).round(3)  # centres of pixels at -3/8, -1/8, 1/8, 3/8
        array([[0.325, 0.882, 0.882, 0.325]], dtype=float32)
    """
    bump = [np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / SIGMA) ** 2) for n in pixels.shape[:2]]
    return np.outer(*bump).astype(np.float32)


def no_opinion(localization_map: NDArray[np.float32]) -> float:
    """Image score of a map that says nothing about the image: 0.5, whatever the map."""
    return 0.5
