"""Where a suspect differs from what explains it, by more than is usual where there is as much detail."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.matching import Floats

WINDOW = 7
"""Pixels along a side of the window in which differences are averaged."""
MARKED = 6.0
"""Times the usual spread above the usual difference, among pixels with as much detail, from which on it is marked."""
MIN_DIFFERENCE = 6.0
"""Grey levels; less is never marked."""
MIN_AREA = 80
"""Pixels: a square of 16 x 16 changed in full leaves 256."""
_BINS = 12  # of detail
_ENOUGH = 16_000_000  # pixels; of more, a part says what is usual
_CLOSE = 9


def deviation(
    suspect: NDArray[np.uint8], explained: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """How far each place is from what explains it.

    Args:
        suspect: RGB, ``(H, W, 3)``.
        explained: What it should look like, likewise.
        valid: Where that is known, ``(H, W)``.

    Returns:
        The mean difference in a window, in grey levels, and how many times the usual spread it lies above the usual
        difference of pixels with as much detail; both ``(H, W)``, 0 where nothing is known.
    """
    window = (WINDOW, WINDOW)
    difference = np.asarray(cv2.boxFilter(largest_difference(suspect, explained), cv2.CV_32F, window), np.float32)
    detail = _detail(explained)
    inner = np.asarray(cv2.erode(valid.astype(np.uint8), np.ones(window, np.uint8), borderValue=1) > 0)
    if not inner.any():
        return np.zeros(valid.shape, np.float32), np.zeros(valid.shape, np.float32)
    step = max(1, int(np.sqrt(valid.size / _ENOUGH)))
    sampled = slice(None, None, step), slice(None, None, step)
    sample = inner[sampled] if inner[sampled].any() else inner
    edges = np.unique(np.quantile(detail[sampled][sample], np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.zeros(valid.shape, np.uint8)
    for edge in edges:
        bins += detail >= edge
    usual, spread = np.zeros(len(edges) + 1, np.float32), np.ones(len(edges) + 1, np.float32)
    for number in range(len(edges) + 1):
        values = difference[sampled][sample & (bins[sampled] == number)]
        if len(values):
            usual[number] = np.median(values)
            spread[number] = max(0.5, 1.4826 * float(np.median(np.abs(values - usual[number]))))
    above = difference - usual[bins]
    above /= spread[bins]
    difference[~inner] = above[~inner] = 0
    return difference, above


def largest_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest difference of the three colours, ``(H, W)``, in grey levels.

    Args:
        first: RGB, ``(H, W, 3)``.
        second: Likewise.
    """
    red, green, blue = cv2.split(cv2.absdiff(first, second))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _detail(pixels: NDArray[np.uint8]) -> Floats:
    """How much detail there is around each pixel, an edge a bit away included, for that misfits as well."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.asarray(cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 2.0)))
    return np.asarray(cv2.dilate(cv2.blur(fine, (WINDOW, WINDOW)), np.ones((WINDOW, WINDOW), np.uint8)), np.float32)


def changed_mask(difference: Floats, above: Floats) -> NDArray[np.bool_]:
    """The marked places as whole regions, ``(H, W)``.

    Args:
        difference: Of :func:`deviation`.
        above: Likewise.
    """
    marked = ((above > MARKED) & (difference > MIN_DIFFERENCE)).astype(np.uint8)
    marked = np.asarray(cv2.morphologyEx(marked, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    closed = cv2.morphologyEx(
        cv2.copyMakeBorder(marked, _CLOSE, _CLOSE, _CLOSE, _CLOSE, cv2.BORDER_CONSTANT),
        cv2.MORPH_CLOSE,
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _CLOSE + 1, 2 * _CLOSE + 1)),
    )[_CLOSE:-_CLOSE, _CLOSE:-_CLOSE]
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(closed)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    eroded = cv2.erode(filled, np.ones((WINDOW // 2 + 1, WINDOW // 2 + 1), np.uint8))  # the window's own margin
    _, labels, stats, _ = cv2.connectedComponentsWithStats(eroded, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= MIN_AREA
    keep[0] = False
    return np.asarray(keep[labels])
