"""Statistics of a picture's 8x8 blocks that carry its JPEG history, with or without the tampered region.

If they tell the labels with the tampered region cut out, the label is written into the background. Blocks
that touch the widened mask are left out; an authentic image loses a region of the same kind, borrowed from
a tampered one, so that the amount left does not tell.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.block_dct import BLOCK, block_dct
from vilaco.images import resave_jpeg

MARGIN = 16
"""Pixels by which a mask is widened before blocks are left out: a 4:2:0 JPEG unit, and soft edges."""

MIN_BLOCKS = 16
"""Fewer blocks than this are too few to describe a background."""

_RESAVES = (90, 75)


def block_statistics(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe every whole 8x8 block of the stored grid.

    For each block: log magnitudes of the luma coefficients (64) and which of them round to zero (64), log
    magnitudes of the chroma coefficients, Cb and Cr averaged (64); mean change when saved again at quality
    90 and 75 (2); share of flat neighbours (2); size of the step to the next pixel at each of eight columns
    and eight rows, relative to their mean (16): which of them is an edge of an earlier JPEG grid.

    Args:
        pixels: RGB on the stored grid, shape ``(H, W, 3)``, both sides at least 8.

    Returns:
        Shape ``(H // 8, W // 8, 212)``.
    """
    height, width = (side // BLOCK * BLOCK for side in pixels.shape[:2])
    ycc = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    y = ycc[..., 0]
    y_dct = np.abs(block_dct(y))
    chroma_dct = np.log1p(np.abs(block_dct(ycc[..., 1]))) + np.log1p(np.abs(block_dct(ycc[..., 2])))
    rows, columns = y_dct.shape[:2]

    def block_mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return plane[:height, :width].reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))[..., None]

    changes = [
        block_mean(cv2.absdiff(pixels, resave_jpeg(pixels, quality)).astype(np.float32).mean(axis=2))
        for quality in _RESAVES
    ]
    padded = cv2.copyMakeBorder(y, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
    across, down = np.abs(padded[:-1, 1:] - y), np.abs(padded[1:, :-1] - y)
    flat = [block_mean((step < 0.5).astype(np.float32)) for step in (across, down)]
    per_column = across[:height, :width].reshape(rows, BLOCK, columns, BLOCK).mean(axis=1)
    per_row = down[:height, :width].reshape(rows, BLOCK, columns, BLOCK).mean(axis=3).transpose(0, 2, 1)
    phases = [phase / (phase.mean(axis=2, keepdims=True) + 0.5) for phase in (per_column, per_row)]
    parts = [
        np.log1p(y_dct).reshape(rows, columns, -1),
        (y_dct < 0.5).astype(np.float32).reshape(rows, columns, -1),
        chroma_dct.reshape(rows, columns, -1) / 2,
        *changes,
        *flat,
        *phases,
    ]
    return np.concatenate(parts, axis=2, dtype=np.float32)


def free_blocks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which whole 8x8 blocks stay clear of a mask widened by ``MARGIN``.

    Args:
        mask: True is tampered, on the stored grid, shape ``(H, W)``.

    Returns:
        True is clear, shape ``(H // 8, W // 8)``.

    Example:
        >>> mask = np.zeros((8, 48), bool)
        >>> mask[0, 0] = True
        >>> free_blocks(mask)  # pixels 0..16 are within the margin
        array([[False, False, False,  True,  True,  True]])
    """
    side = 2 * MARGIN + 1
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))
    rows, columns = mask.shape[0] // BLOCK, mask.shape[1] // BLOCK
    blocks = wide[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return np.asarray(blocks.max(axis=(1, 3)) == 0)


def pooled(statistics: NDArray[np.float32], keep: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Mean of the block statistics over some blocks.

    Args:
        statistics: From :func:`block_statistics`, shape ``(h, w, F)``.
        keep: Blocks that count, shape ``(h, w)``; all of them if None.

    Returns:
        Shape ``(F,)``; NaN if fewer than ``MIN_BLOCKS`` count.
    """
    chosen = statistics.reshape(-1, statistics.shape[2]) if keep is None else statistics[keep]
    if len(chosen) < MIN_BLOCKS:
        return np.full(statistics.shape[2], np.nan)
    return chosen.mean(axis=0, dtype=np.float64)


def largest_free_crop(free: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The largest rectangle of clear blocks, in pixels: untouched background on the JPEG grid.

    Args:
        free: From :func:`free_blocks`, shape ``(h, w)``.

    Returns:
        Rows and columns of pixels; empty slices if no block is clear.

    Example:
        >>> largest_free_crop(np.array([[False, True, True], [False, True, True], [True, True, True]]))
        (slice(0, 24, None), slice(8, 24, None))
    """
    best_area, best = 0, (slice(0, 0), slice(0, 0))
    run_up = np.zeros(free.shape[1], np.int64)  # clear blocks from here upwards
    for row, clear in enumerate(free):
        run_up = np.where(clear, run_up + 1, 0)
        stack: list[tuple[int, int]] = []  # (first column, height), heights rising
        for column, height in enumerate([*run_up.tolist(), 0]):
            first = column
            while stack and stack[-1][1] >= height:
                first, top = stack.pop()
                if (column - first) * top > best_area:
                    best_area = (column - first) * top
                    best = (
                        slice((row + 1 - top) * BLOCK, (row + 1) * BLOCK),
                        slice(first * BLOCK, column * BLOCK),
                    )
            stack.append((first, height))
    return best
