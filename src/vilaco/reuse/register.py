"""How two pictures lie over each other: matches of keypoints, and the similarities that several of them agree on.

A keypoint has a place, a size and an angle, so one match alone says how the pictures lie over each other, roughly.
Those that say the same as their neighbours are gathered (the generalised Hough transform of Lowe, IJCV 2004, section
7.3, without its bins), and a similarity is fitted to them by RANSAC. So a handful of matches is found among hundreds
that are wrong, where RANSAC alone would not find them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.reuse.features import MIRRORED, Features, Floats

MIN_SIMILARITY, SURE_SIMILARITY, MAX_RATIO = 0.85, 0.97, 0.85
"""Cosine of two descriptors; one from which on a match need not be distinctive; best distance over second best."""
MIN_INLIERS = 4
MIN_SHIFT = 20.0
"""Pixels; nearer, a picture agrees with itself anyhow."""
MAX_TRANSFORMS = 6
SCALES = (0.3, 3.4)
"""How much a side may shrink or grow: .4 to 2.5 and a little more."""
TOLERANCE = 3.0
"""Pixels, of the coarser picture, by which a match may miss its similarity."""
_APART = 10.0  # pixels from the best match to what counts as second best
_MAX_MATCHES = 600  # those with the nearest descriptors; more say nothing new
_TURN, _OCTAVE, _DRIFT = 25.0, 0.5, 0.25  # degrees; factors of 2; share of the distance: how far a neighbour may differ


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """A similarity between two pictures.

    Attributes:
        matrix: Takes x, y in the first picture to the second, ``(2, 3)``; its determinant is negative where mirrored.
        points: Matches that agree on it: x and y in the first picture, ``(N, 2)``.
    """

    matrix: NDArray[np.float64]
    points: NDArray[np.float64]

    @property
    def inliers(self) -> int:
        """How many matches agree."""
        return len(self.points)

    @property
    def scale(self) -> float:
        """Length in the second picture of what is 1 long in the first."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    @property
    def mirrored(self) -> bool:
        """Whether it turns a picture over."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    @property
    def rotation(self) -> float:
        """Degrees, clockwise as seen, in (-180, 180]; of a mirrored picture after it was mirrored left to right."""
        a, c = self.matrix[0, 0], self.matrix[1, 0]
        return float(np.degrees(np.arctan2(-c if self.mirrored else c, -a if self.mirrored else a)))


def match(first: Features, second: Features, *, mirrored: bool) -> tuple[Floats, Floats]:
    """Matches that are the best both ways, and distinctive or very near.

    Args:
        first: Keypoints of the one picture.
        second: Of the other; the same object to find what a picture repeats at least `MIN_SHIFT` away.
        mirrored: Whether one of them is mirrored.

    Returns:
        Points as in :class:`~vilaco.reuse.features.Features`, of the first and of the second picture, ``(N, 4)`` each.
    """
    none = np.zeros((0, 4), np.float32)
    if not len(first.points) or not len(second.points):
        return none, none
    theirs = second.unit()
    similarity = first.unit() @ (theirs[:, MIRRORED] if mirrored else theirs).T
    if first is second:
        places = first.points[:, :2]
        similarity[np.abs(places[:, None] - places[None]).max(axis=2) < MIN_SHIFT] = -1.0
    best = similarity.argmax(axis=1)
    rows = np.arange(len(best))
    highest = similarity[rows, best]
    mutual = (similarity.argmax(axis=0)[best] == rows) & (highest > MIN_SIMILARITY)
    rows, best, highest = rows[mutual], best[mutual], highest[mutual]
    others = similarity[rows]
    places = second.points[:, :2]
    near = np.abs(places[best][:, None] - places[None]).max(axis=2) < _APART
    others[near] = -1.0
    ratio = np.sqrt(np.maximum(1.0 - highest, 0.0) / np.maximum(1.0 - others.max(axis=1, initial=-1.0), 1e-9))
    good = np.flatnonzero((ratio < MAX_RATIO) | (highest > SURE_SIMILARITY))
    good = good[np.argsort(-highest[good], kind="stable")[:_MAX_MATCHES]]
    return first.points[rows[good]], second.points[best[good]]


def consistent(source: Floats, target: Floats, *, mirrored: bool) -> NDArray[np.bool_]:
    """Which matches say the same of how the pictures lie over each other.

    Args:
        source: Points of the first picture, ``(N, 4)``: x, y, diameter, degrees.
        target: Those of the second that they match.
        mirrored: Whether one of the pictures is mirrored.

    Returns:
        ``(N, N)``; row i: which matches lie where match i puts them, turned and scaled as it says.
    """
    sign = -1.0 if mirrored else 1.0
    turn = np.radians(target[:, 3] - sign * source[:, 3] - (180.0 if mirrored else 0.0))
    octave = np.log2(np.maximum(target[:, 2], 1e-3) / np.maximum(source[:, 2], 1e-3))
    scale = np.exp2(octave)
    away = source[None, :, :2] - source[:, None, :2]
    away = away * np.array([sign, 1.0], np.float32)
    cosine, sine = (scale * np.cos(turn))[:, None], (scale * np.sin(turn))[:, None]
    there = target[None, :, :2] - target[:, None, :2]
    missed = np.hypot(
        cosine * away[..., 0] - sine * away[..., 1] - there[..., 0],
        sine * away[..., 0] + cosine * away[..., 1] - there[..., 1],
    )
    coarse = np.maximum(1.0, scale)[:, None]
    allowed = 2.0 * TOLERANCE * coarse + _DRIFT * np.hypot(there[..., 0], there[..., 1])
    turned = np.abs((turn[None] - turn[:, None] + np.pi) % (2 * np.pi) - np.pi)
    agrees = (missed < allowed) & (turned < np.radians(_TURN)) & (np.abs(octave[None] - octave[:, None]) < _OCTAVE)
    return np.asarray(agrees)


def lay(first: Features, second: Features, *, mirrored: bool) -> list[Laid]:
    """Similarities between two pictures that several matches agree on, those with the most first.

    Args:
        first: Keypoints of the one picture.
        second: Of the other.
        mirrored: Whether one of them is mirrored.
    """
    source, target = match(first, second, mirrored=mirrored)
    return agreed(source, target, mirrored=mirrored)


def agreed(source: Floats, target: Floats, *, mirrored: bool) -> list[Laid]:
    """Similarities that several matches agree on, found one after another, each on what the others left.

    Args:
        source: Points of the first picture, ``(N, 4)``.
        target: Those of the second that they match.
        mirrored: Whether one of the pictures is mirrored.
    """
    if len(source) < MIN_INLIERS:
        return []
    agrees = consistent(source, target, mirrored=mirrored)
    here = source[:, :2].astype(np.float64)
    flip = np.array([-1.0 if mirrored else 1.0, 1.0])
    there = target[:, :2].astype(np.float64)
    left = np.ones(len(source), bool)
    found: list[Laid] = []
    while len(found) < MAX_TRANSFORMS:
        counts = np.where(left, (agrees & left).sum(axis=1), 0)
        seed = int(counts.argmax())
        if counts[seed] < MIN_INLIERS:
            break
        family = agrees[seed] & left
        laid = _fit(here, there, family, left, flip)
        left &= ~family
        if laid is not None:
            matrix, inliers = laid
            left &= ~inliers
            found.append(Laid(matrix, here[inliers]))
    return sorted(found, key=lambda each: -each.inliers)


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way back, ``(2, 3)``."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def _fit(
    here: NDArray[np.float64],
    there: NDArray[np.float64],
    family: NDArray[np.bool_],
    left: NDArray[np.bool_],
    flip: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """A similarity fitted to a family of matches, and which of those that are left agree on it."""
    chosen = family
    for _ in range(2):  # once more, on all that agreed the first time
        model, _ = cv2.estimateAffinePartial2D(
            here[chosen] * flip, there[chosen], method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=500
        )
        if model is None:
            return None
        scale = float(np.sqrt(abs(np.linalg.det(model[:, :2]))))
        if not SCALES[0] < scale < SCALES[1]:
            return None
        missed = np.linalg.norm((here * flip) @ model[:, :2].T + model[:, 2] - there, axis=1)
        inliers = (missed < TOLERANCE * max(1.0, scale)) & left
        if inliers.sum() < MIN_INLIERS:
            return None
        chosen = inliers
    spread = np.ptp(here[inliers], axis=0).max()
    matrix = np.asarray(model, np.float64)
    matrix[:, :2] *= flip
    return (matrix, inliers) if spread > 2 * TOLERANCE else None
