"""NOI1: regions whose noise is unlike the rest of the image.

Source: B. Mahdian and S. Saic, "Using noise inconsistencies for blind image forensics", Image and Vision
Computing 27(10), 2009. The noise level of a tile is the median magnitude of its diagonal wavelet
coefficients (8-tap Daubechies, finest scale) over 0.6745. The paper then merges tiles of like noise; a map
needs a number a pixel, so here each tile is compared with the image's own median level instead.

Scale: with ``d = |log2(level / median level)|`` the map is ``d / (1 + d)``: 0.5 means twice, or half, the
image's noise.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.block_dct import BLOCK, luma
from vilaco.images import resize_map

DAUBECHIES_8_TAP = np.array(
    [
        0.23037781330885523,
        0.7148465705525415,
        0.6308807679295904,
        -0.02798376941698385,
        -0.18703481171888114,
        0.030841381835986965,
        0.032883011666982945,
        -0.010597401784997278,
    ]
)
"""Low-pass filter (I. Daubechies, "Ten Lectures on Wavelets", 1992, Table 6.1, N = 4), of norm 1."""

_HIGH_PASS = DAUBECHIES_8_TAP[::-1] * np.array([1, -1] * 4)
TILE = 2 * BLOCK
"""Side of a tile in pixels: as many wavelet coefficients as a block has pixels."""
MAD_TO_SIGMA = 1 / 0.6745
ROUNDING_VARIANCE = 1 / 12
"""Noise that rounding to 8 bits adds to every pixel; it keeps flat tiles from having no noise at all."""


def noise_levels(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation of the noise, tile by tile.

    Args:
        plane: One channel in 8-bit units, shape ``(H, W)``, both sides at least 16.

    Returns:
        One level for each 16x16 tile (8x8 wavelet coefficients), shape ``((H + 1) // 16, (W + 1) // 16)``, 8-bit
        units. Up to 14 rows and columns at the far edges are in no tile.
    """
    diagonal = cv2.sepFilter2D(plane, cv2.CV_32F, _HIGH_PASS, _HIGH_PASS, borderType=cv2.BORDER_REFLECT)[::2, ::2]
    rows, columns = diagonal.shape[0] // BLOCK, diagonal.shape[1] // BLOCK
    tiles = diagonal[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    medians = np.median(np.abs(tiles).reshape(rows, columns, -1), axis=2)
    return (MAD_TO_SIGMA * medians).astype(np.float32)


def noi1_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far the local noise is from the image's own, whichever way.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        ``d / (1 + d)``, shape ``(H, W)``, in [0, 1); zeros for an image smaller than one tile.
    """
    height, width = pixels.shape[:2]
    tiles = noise_distance(pixels)
    if tiles is None:
        return np.zeros((height, width), np.float32)
    covered = resize_map(tiles, (tiles.shape[0] * TILE, tiles.shape[1] * TILE))
    padding = [(0, max(0, side - tiled)) for side, tiled in zip((height, width), covered.shape, strict=True)]
    return np.pad(covered, padding, mode="edge")[:height, :width]


def noise_distance(pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The map of `noi1_map` as it is computed, one value a tile.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        Shape as of `noise_levels`, in [0, 1); ``None`` for an image smaller than one tile.
    """
    if min(pixels.shape[:2]) < TILE:
        return None
    level = np.sqrt(noise_levels(luma(pixels)) ** 2 + ROUNDING_VARIANCE)
    distance = np.abs(np.log2(level / np.median(level)))
    return (distance / (1.0 + distance)).astype(np.float32)
