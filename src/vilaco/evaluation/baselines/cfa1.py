"""CFA1: regions without the camera's colour-filter pattern.

Source: P. Ferrara, T. Bianchi, A. De Rosa and A. Piva, "Image forgery localization via fine-grained
analysis of CFA artifacts", IEEE TIFS 7(5), 2012. A camera measures green on one colour of a chessboard and
interpolates the other, so the error of predicting green from its four neighbours varies more where it was
measured. The feature of a block is the log ratio of the two (geometric mean) variances; it is near 0 where
the pattern was destroyed and positive elsewhere. A mixture of the two Gaussians, fitted to the image
itself, gives the posterior of "no pattern", which is the map.

Where the whole image shows no pattern (JPEG and resizing remove it) there is nothing to contradict: the map
is 0.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.block_dct import BLOCK, spread_blocks

_NEIGHBOURS = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)
_WINDOW, _SIGMA = 7, 1.0
_FLOOR = 1e-3
"""Added to variances (8-bit units squared), so that flat blocks have a logarithm."""

MIN_SEPARATION = 2.0
"""A pattern is believed in when its mean is this many of its standard deviations above 0."""

_EM_STEPS = 30


def cfa_feature(green: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log ratio of the prediction error's variances on the two colours of the chessboard (Sec. III).

    Args:
        green: The green channel in 8-bit units, shape ``(H, W)``, both sides at least 8.

    Returns:
        One value for each 8x8 block, shape ``(H // 8, W // 8)``; positive where pixels with an even sum of
        coordinates are the harder ones to predict.
    """
    error = green - cv2.filter2D(green, cv2.CV_32F, _NEIGHBOURS, borderType=cv2.BORDER_REFLECT_101)
    rows, columns = np.arange(green.shape[0])[:, None], np.arange(green.shape[1])
    chessboard = ((rows + columns) % 2 == 0).astype(np.float32)
    # Each pixel's variance is taken over the pixels of its own colour inside a Gaussian window.
    log_variance = np.zeros_like(green)
    for own in (chessboard, 1.0 - chessboard):
        weight, first, second = (_blur(own * power) for power in (1.0, error, error**2))
        variance = np.maximum(second / weight - (first / weight) ** 2, 0.0)
        log_variance += own * np.log(variance + _FLOOR)
    signed = log_variance * (2.0 * chessboard - 1.0)
    height, width = green.shape[0] // BLOCK, green.shape[1] // BLOCK
    blocks = signed[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    return 2.0 * blocks.mean(axis=(1, 3))  # half of a block's pixels have each colour


def no_pattern_posterior(feature: NDArray[np.float32]) -> NDArray[np.float32]:
    """Posterior that a block has no pattern, from a mixture of N(0, s0) and N(m, s1) fitted by EM (Sec. IV).

    Args:
        feature: Any shape, finite; made positive by its own median (which colour was measured is not known).

    Returns:
        Same shape, in [0, 1]; all 0 where the image shows no pattern (``m < MIN_SEPARATION * s1``).
    """
    x = feature.astype(np.float64) * (1.0 if np.median(feature) >= 0 else -1.0)
    mean, spread = float(np.median(x)), float(x.std()) + 1e-6
    sigma = np.array([spread, spread])
    share = 0.5
    posterior = np.zeros_like(x)
    for _ in range(_EM_STEPS):
        none = share * np.exp(-0.5 * (x / sigma[0]) ** 2) / sigma[0]
        some = (1.0 - share) * np.exp(-0.5 * ((x - mean) / sigma[1]) ** 2) / sigma[1]
        posterior = none / np.maximum(none + some, 1e-300)
        with_pattern = 1.0 - posterior
        share = float(np.clip(posterior.mean(), 1e-3, 0.999))
        mean = float((with_pattern * x).sum() / max(with_pattern.sum(), 1e-9))
        sigma[0] = np.sqrt((posterior * x**2).sum() / max(posterior.sum(), 1e-9)) + 1e-2
        sigma[1] = np.sqrt((with_pattern * (x - mean) ** 2).sum() / max(with_pattern.sum(), 1e-9)) + 1e-2
    if mean < MIN_SEPARATION * sigma[1]:
        return np.zeros_like(feature)
    # Beyond the pattern's own mean a wide "no pattern" Gaussian would win again: more pattern is never less.
    return np.where(x >= mean, 0.0, posterior).astype(np.float32)


def cfa1_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Posterior that a block never went through the camera's interpolation.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        Shape ``(H, W)``, in [0, 1]; zeros for an image smaller than one block.
    """
    size = pixels.shape[0], pixels.shape[1]
    if min(size) < BLOCK:
        return np.zeros(size, np.float32)
    feature = cfa_feature(np.ascontiguousarray(pixels[..., 1], dtype=np.float32))
    if min(feature.shape) >= 3:
        feature = np.asarray(cv2.medianBlur(feature, 3), np.float32)
    return spread_blocks(no_pattern_posterior(feature), size)


def _blur(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)
