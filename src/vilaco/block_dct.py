"""The 8x8 block DCT of a JPEG's stored pixel grid, recomputed from the decoded pixels."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 8

_ROW = np.arange(BLOCK)[:, None]
_COLUMN = np.arange(BLOCK)[None, :]
_DCT = np.sqrt(2.0 / BLOCK) * np.cos(np.pi * (2 * _COLUMN + 1) * _ROW / (2 * BLOCK))
_DCT[0] /= np.sqrt(2.0)
_DCT = _DCT.astype(np.float32)


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness as JPEG defines it (ITU-T T.871: 0.299 R + 0.587 G + 0.114 B).

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        Shape ``(H, W)``, float32 in [0, 255].

    Example:
        >>> luma(np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8)).round(1)
        array([[255. ,  76.2]], dtype=float32)
    """
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def block_dct(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orthonormal DCT of every whole 8x8 block from the top left; partial blocks at the edges are dropped.

    With this scaling a coefficient is what a JPEG divides by its quantisation step.

    Args:
        plane: One channel, shape ``(H, W)``.

    Returns:
        Shape ``(H // 8, W // 8, 8, 8)``: block row, block column, vertical and horizontal frequency.

    Example:
        >>> block_dct(np.full((8, 16), 10.0, np.float32))[0, :, 0, 0].round(3)  # 10 * 8 in the constant term
        array([80., 80.], dtype=float32)
    """
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    blocks = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    return _DCT @ blocks @ _DCT.T


def spread_blocks(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Paint each block's value onto its pixels; a partial block at an edge takes its neighbour's value.

    Args:
        values: One value a block, shape ``(rows, columns)``, at least one block.
        size: Height and width of the image.

    Returns:
        Shape ``size``.

    Example:
        >>> spread_blocks(np.array([[1.0, 2.0]], np.float32), (8, 18))[0, [0, 7, 8, 17]]
        array([1., 1., 2., 2.], dtype=float32)
    """
    rows = np.minimum(np.arange(size[0]) // BLOCK, values.shape[0] - 1)
    columns = np.minimum(np.arange(size[1]) // BLOCK, values.shape[1] - 1)
    return values[rows[:, None], columns[None, :]]
