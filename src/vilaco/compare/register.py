"""How an original lies over a suspect: keypoints first, then shifts of tiles to a part of a pixel."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.images import resize_pixels
from vilaco.reuse.features import extract
from vilaco.reuse.register import Laid, lay

MIN_INLIERS = 12
"""Keypoints that have to agree; unrelated pictures have four or five."""
_TILES, _TILE = 6, 192  # tiles a side whose shifts are measured, and their side in pixels
_MIN_RESPONSE = 0.1  # of phase correlation, below which a tile says nothing
_SNAP = 0.35  # pixels at the corners within which a whole shift or a plain resize is taken for exact


def register(suspect: NDArray[np.uint8], original: NDArray[np.uint8]) -> Laid | None:
    """Find how the original lies over the suspect: cropped, scaled, turned, mirrored.

    Args:
        suspect: Upright, RGB, ``(H, W, 3)``.
        original: Likewise.

    Returns:
        A similarity that takes x, y of the suspect to the original, or ``None`` where they have nothing in common.
    """
    ours, theirs = extract(suspect), extract(original)
    ways = [way for mirrored in (False, True) for way in lay(ours, theirs, mirrored=mirrored)[:1]]
    best = max(ways, key=lambda way: way.inliers, default=None)
    if best is None or best.inliers < MIN_INLIERS:
        return None
    matrix = best.matrix
    for _ in range(2):
        matrix = _refined(suspect, original, matrix)
    return Laid(_snapped(matrix, suspect.shape, original.shape), best.points)


def lay_over(original: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The original on the suspect's grid; black where it does not reach.

    Args:
        original: RGB or grey.
        matrix: Takes x, y of the suspect to the original, ``(2, 3)``.
        size: (height, width) of the suspect.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale > 1.02:  # reduce by area first, as resizing does
        small = max(1, round(original.shape[0] / scale)), max(1, round(original.shape[1] / scale))
        factors = np.array([small[1] / original.shape[1], small[0] / original.shape[0]])
        original = resize_pixels(original, small)
        matrix = matrix * factors[:, None]
        matrix[:, 2] += 0.5 * factors - 0.5
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(original, matrix, size[::-1], flags=flags), np.uint8)


def covered(original: tuple[int, ...], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the original reaches, on the suspect's grid."""
    ones = np.full(original[:2], 255, np.uint8)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    over = cv2.warpAffine(ones, matrix, size[::-1], flags=flags)
    framed = cv2.copyMakeBorder(over, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.erode(framed, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0)


def _refined(
    suspect: NDArray[np.uint8], original: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Measure the shift of tiles by phase correlation, and fit what they agree on."""
    height, width = suspect.shape[:2]
    side = min(_TILE, height, width)
    ours = cv2.cvtColor(suspect, cv2.COLOR_RGB2GRAY)
    over = cv2.cvtColor(lay_over(original, matrix, (height, width)), cv2.COLOR_RGB2GRAY)
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    centres, moved = [], []
    for top in np.linspace(0, height - side, min(_TILES, 1 + height // side)).astype(int):
        for left in np.linspace(0, width - side, min(_TILES, 1 + width // side)).astype(int):
            part = slice(top, top + side), slice(left, left + side)
            if over[part].std() < 2.0 or ours[part].std() < 2.0:
                continue
            (x, y), response = cv2.phaseCorrelate(ours[part].astype(np.float32), over[part].astype(np.float32), window)
            if response > _MIN_RESPONSE and max(abs(x), abs(y)) < 8:
                centre = np.array([left, top]) + (side - 1) / 2
                centres.append(centre)
                moved.append(centre + np.array([x, y]))
    if len(centres) < 4:
        return matrix
    here, there = np.array(centres), np.array(moved)
    fitted, _ = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=0.5)
    if fitted is None:
        return matrix
    return np.hstack([matrix[:, :2] @ fitted[:, :2], (matrix[:, :2] @ fitted[:, 2] + matrix[:, 2])[:, None]])


def _snapped(matrix: NDArray[np.float64], suspect: tuple[int, ...], original: tuple[int, ...]) -> NDArray[np.float64]:
    """A whole shift, or one whole picture resized to the other, where that is what was found but for a bit."""
    height, width = suspect[:2]
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [0, height - 1, 1], [width - 1, height - 1, 1]], np.float64)
    shift = np.hstack([np.rint(matrix[:, :2]), np.rint(matrix[:, 2:])])
    factors = np.array([original[1] / width, original[0] / height])
    resized = np.hstack([np.diag(factors), (0.5 * factors - 0.5)[:, None]])
    for exact in (shift, resized):
        if np.abs(corners @ (matrix - exact).T).max() < _SNAP * max(1.0, float(np.abs(exact[:, :2]).max())):
            return exact
    return matrix
