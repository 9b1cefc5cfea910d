"""Where a picture repeats itself: the one step in front of the network that no graph holds, for all runtimes alike.

A copy-move leaves two regions that are one under a turn, a scale and a shift. Keypoints propose such transforms
(SIFT, Lowe 2004; matched within the picture as in Amerini et al., TIFS 2011), and each is checked densely: the picture
is laid over itself by the transform, and where it agrees with itself (normalised cross-correlation in small windows, as
in Christlein et al., TIFS 2012) both regions show.

Natural repetition agrees with itself too, and nothing here knows source from copy. That is left to the network, which
is told how strong the evidence is and where each cell's partner lies.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHANNELS = 5
"""Strength, agreement, log scale, and the partner's place (x, y)."""
CELL = 8
"""Pixels along a side of a cell of what is returned."""

MAX_PIXELS = 512 * 384
"""Larger pictures are looked at reduced: a copy that is worth finding keeps enough keypoints."""
MAX_KEYPOINTS = 1200
OCTAVE_LAYERS, CONTRAST = 2, 0.01
"""Of SIFT: fewer scales are faster, and a lower contrast finds keypoints on smooth things; both find as many copies."""
MIN_SHIFT = 20.0
"""Pixels; nearer matches are a pattern's own periodicity, or the keypoint itself."""
MIN_SIMILARITY, MAX_RATIO = 0.8, 0.75
"""Cosine of two descriptors, and best distance over second best (Lowe's ratio)."""
MIN_INLIERS, SURE_INLIERS = 4, 16
MAX_TRANSFORMS = 4
TOLERANCE = 2.5
"""Pixels by which a match may miss its transform."""
SCALES = (0.4, 2.5)
WINDOW = 9
"""Pixels along a side of a window of the dense check."""
MIN_AGREEMENT, MAX_OFFSET, MIN_VARIANCE = 0.85, 12.0, 1.0
"""Correlation and difference of mean grey levels of windows that agree; flatter ones agree with any flat one."""


@dataclass(frozen=True)
class Transform:
    """A similarity of the picture with itself: ``matrix`` (2, 3) takes x, y to the partner's; ``inliers`` agree."""

    matrix: NDArray[np.float64]
    inliers: int


def self_matches(pixels: NDArray[np.uint8]) -> Floats:
    """Find where a picture repeats itself.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        Five channels on the grid of 8x8 blocks, shape ``(5, ceil(H / 8), ceil(W / 8))``; all 0 where nothing repeats:

        * strength in [0, 1]: share of the cell that agrees, times how sure the transform is;
        * agreement in [0, 1]: mean correlation over the agreeing part;
        * natural logarithm of the partner's size over this one's;
        * the partner's place, x then y, from -1 (left, upper edge) to 1.

    Example:
        >>> self_matches(np.zeros((16, 24, 3), np.uint8)).shape
        (5, 2, 3)
    """
    height, width = pixels.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    found = np.zeros((CHANNELS, rows, columns), np.float32)
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    factor = min(1.0, float(np.sqrt(MAX_PIXELS / grey.size)))
    if factor < 1.0:
        size = (max(CELL, round(width * factor)), max(CELL, round(height * factor)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([grey.shape[1] / width, grey.shape[0] / height])
    transforms = propose_transforms(grey)
    if not transforms:
        return found
    centres = (np.moveaxis(np.mgrid[:rows, :columns][::-1], 0, 2) + 0.5) * CELL * scale - 0.5  # x, y in grey pixels
    end = np.array([columns, rows]) * CELL * scale  # where the last cell ends
    picture = Windows(grey.astype(np.float32))
    for transform in transforms:
        sure = min(1.0, transform.inliers / SURE_INLIERS)
        for matrix in (transform.matrix, np.asarray(cv2.invertAffineTransform(transform.matrix), np.float64)):
            agreement = picture.agreement(matrix)
            agreeing = _to_cells((agreement > 0).astype(np.float32), (rows, columns), end)
            stronger = agreeing * np.float32(sure) > found[0]
            if not stronger.any():
                continue
            agreeing = agreeing[stronger]
            mean = _to_cells(agreement, (rows, columns), end)[stronger] / np.maximum(agreeing, 1e-6)
            partner = (centres[stronger] @ matrix[:, :2].T + matrix[:, 2] + 0.5) / end * 2.0 - 1.0
            log_scale = np.full_like(agreeing, 0.5 * np.log(abs(np.linalg.det(matrix[:, :2]))))
            found[:, stronger] = np.stack([agreeing * np.float32(sure), mean, log_scale, *partner.T])
    return found


def propose_transforms(grey: NDArray[np.uint8]) -> list[Transform]:
    """Similarities of a picture with itself that several keypoints agree on, those with the most first.

    Args:
        grey: Shape ``(H, W)``.
    """
    sift: Any = cv2.SIFT.create(nfeatures=MAX_KEYPOINTS, nOctaveLayers=OCTAVE_LAYERS, contrastThreshold=CONTRAST)
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None or len(keypoints) < MIN_INLIERS:
        return []
    source, target = _match(np.asarray(cv2.KeyPoint.convert(keypoints), np.float64), descriptors)
    transforms: list[Transform] = []
    while len(source) >= MIN_INLIERS and len(transforms) < MAX_TRANSFORMS:
        found, chosen = cv2.estimateAffinePartial2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=500
        )
        if found is None:
            break
        matrix, inliers = np.asarray(found, np.float64), chosen.ravel() > 0
        if inliers.sum() < MIN_INLIERS:
            break
        if _plausible(matrix, source[inliers]):
            transforms.append(Transform(matrix, int(inliers.sum())))
        source, target = source[~inliers], target[~inliers]
    return transforms


def _match(points: NDArray[np.float64], descriptors: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each keypoint's best match, if it is good, distinctive, and not near."""
    unit = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)
    similarity = unit @ unit.T
    near = _near(points)
    similarity[near] = -1.0
    best = similarity.argmax(axis=1)
    candidates = np.flatnonzero(similarity[np.arange(len(points)), best] > MIN_SIMILARITY)
    best, similarity = best[candidates], similarity[candidates]
    first = similarity[np.arange(len(best)), best]
    similarity[near[best]] = -1.0
    second = similarity.max(axis=1, initial=-1.0)  # away from the first match as well
    ratio = np.sqrt(np.maximum(1.0 - first, 0.0) / np.maximum(1.0 - second, 1e-9))
    good = ratio < MAX_RATIO
    return points[candidates[good]], points[best[good]]


def _near(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points lie within :data:`MIN_SHIFT` of each other, ``(N, N)``; only pairs of near columns are measured."""
    order = np.argsort(points[:, 0], kind="stable")
    x, y = points[order].T
    counts = np.searchsorted(x, x + MIN_SHIFT) - np.arange(len(x))  # of itself and those to its right
    first = np.repeat(np.arange(len(x)), counts)
    second = first + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    close = (x[first] - x[second]) ** 2 + (y[first] - y[second]) ** 2 < MIN_SHIFT**2
    first, second = order[first[close]], order[second[close]]
    near = np.zeros((len(x), len(x)), bool)
    near[first, second] = near[second, first] = True
    return near


def _plausible(matrix: NDArray[np.float64], source: NDArray[np.float64]) -> bool:
    """Whether a transform keeps sizes within reason, does not mirror, and moves what it was found on."""
    sizes = np.linalg.svd(matrix[:, :2], compute_uv=False)
    moved = np.linalg.norm(source @ matrix[:, :2].T + matrix[:, 2] - source, axis=1).mean()
    upright = np.linalg.det(matrix[:, :2]) > 0
    return bool(SCALES[0] < sizes[1] and sizes[0] < SCALES[1] and upright and moved > MIN_SHIFT)


class Windows:
    """A picture and the statistics of its windows, to be compared with what is laid over it."""

    def __init__(self, grey: Floats) -> None:
        self.grey = grey
        self.mean = _blur(grey)
        self.variance = np.maximum(_blur(grey * grey) - self.mean**2, 0.0)

    def agreement(self, matrix: NDArray[np.float64]) -> Floats:
        """Correlation of each pixel's window with its partner's where they agree, else 0; like the picture."""
        height, width = self.grey.shape
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        laid = np.asarray(cv2.warpAffine(self.grey, matrix, (width, height), flags=flags, borderValue=-1e4), np.float32)
        correlation, mean, _ = self.correlation(laid)  # a mean strongly negative where a window leaves the picture
        agrees = (correlation > MIN_AGREEMENT) & (np.abs(self.mean - mean) < MAX_OFFSET)
        agrees &= (self.variance > MIN_VARIANCE) & self._moved(matrix)
        opened = cv2.morphologyEx(agrees.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        return np.where(opened > 0, np.clip(correlation, 0.0, 1.0), 0.0).astype(np.float32)

    def correlation(self, laid: Floats) -> tuple[Floats, Floats, Floats]:
        """Compare with a picture of the same size.

        Returns:
            For each pixel's window: correlation, and the other's mean and variance.
        """
        mean = _blur(laid)
        variance = np.maximum(_blur(laid * laid) - mean**2, 0.0)
        covariance = _blur(self.grey * laid) - self.mean * mean
        return (covariance + 1.0) / (np.sqrt(self.variance * variance) + 1.0), mean, variance

    def _moved(self, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Pixels that the transform takes away from where they are."""
        height, width = self.grey.shape
        moves = (matrix - np.eye(2, 3)).astype(np.float32)
        x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        squares = (moves[0, 0] * x + (moves[0, 1] * y + moves[0, 2])) ** 2
        squares += (moves[1, 0] * x + (moves[1, 1] * y + moves[1, 2])) ** 2
        return np.asarray(squares > MIN_SHIFT**2)


def _blur(values: Floats) -> Floats:
    return np.asarray(cv2.blur(values, (WINDOW, WINDOW)))


def _to_cells(values: Floats, grid: tuple[int, int], end: NDArray[np.float64]) -> Floats:
    """Mean over each cell; a last cell that sticks out of the picture repeats its edge."""
    right, below = (max(0, round(stop) - side) for stop, side in zip(end, values.shape[::-1], strict=True))
    padded = cv2.copyMakeBorder(values, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(padded, grid[::-1], interpolation=cv2.INTER_AREA))
