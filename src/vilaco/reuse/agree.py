"""Where two pictures agree once they lie over each other, and how finely."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.matching import Floats, Windows
from vilaco.reuse.register import Laid, invert

MIN_AGREEMENT, MIN_VARIANCE = 0.8, 6.0
"""Correlation of two windows that agree, and variance that a window needs to say anything."""
MIN_AREA = 300
"""Pixels of a region, in the coarser of the two pictures."""
MIN_POINTS = 3
"""Matches that a region holds."""
_CLOSE = 21  # pixels across of gaps in a region that are filled: smooth parts say nothing
_FINE_SIGMA, _FINE_WINDOW = 1.2, 16  # only what is finer than this is compared, in windows of this side
_NOISE = 1.0  # variance of fine detail that is there at all
_AROUND = 6  # grey levels around a picture's commonest that count as its ground
_GROUND, _DRAWN, _NEAR = 0.12, 0.15, 25  # share of a picture in its ground, of a window in it, and pixels of the window


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """A region in which two pictures agree.

    Attributes:
        mask: Where, in the frame of the coarser picture, bool.
        in_first: Whether that is the first one.
        matrix: Takes x, y of the first picture to the second, refined, ``(2, 3)``.
        inliers: Matches within the region.
        correlation: Mean over the windows of the region that agree, in [0, 1].
        fine: Median correlation of what is finer than a pixel or two, in [-1, 1]; ``None`` where there is none.
        share: Of what has texture where the pictures overlap, how much agrees, in [0, 1].
        overlap: Share of the smaller picture that the other covers.
        drawn: Share of what agrees that lies close to blank ground: lettering, lines, scales.
    """

    mask: NDArray[np.bool_]
    in_first: bool
    matrix: NDArray[np.float64]
    inliers: int
    correlation: float
    fine: float | None
    share: float
    overlap: float
    drawn: float


def agreements(first: NDArray[np.uint8], second: NDArray[np.uint8], laid: Laid) -> list[Agreement]:
    """Lay two pictures over each other, and find the regions around the matches in which they agree.

    Args:
        first: Grey levels of the one picture, ``(H, W)``.
        second: Of the other, likewise.
        laid: How they lie over each other.

    Returns:
        The regions, largest first; one that spans the whole overlap where nearly all of it agrees.
    """
    in_first = laid.scale >= 1.0
    frame, other = (first, second) if in_first else (second, first)
    matrix = laid.matrix if in_first else invert(laid.matrix)
    points = laid.points if in_first else laid.points @ laid.matrix[:, :2].T + laid.matrix[:, 2]
    windows = Windows(frame.astype(np.float32))
    compared = _compare(windows, other, matrix)
    refined = _refine(frame, compared.over, points)
    if refined is not None:  # it may have slipped to something else
        better = _compare(windows, other, _chain(matrix, refined))
        compared = better if better.agrees.sum() > compared.agrees.sum() else compared
    matrix, over, inner, agrees, correlation = (
        compared.matrix, compared.over, compared.inner, compared.agrees, compared.correlation,
    )  # fmt: skip
    share = float(agrees.sum() / max(1, (inner & compared.says).sum()))
    area = min(frame.size, other.size / max(abs(np.linalg.det(matrix[:, :2])), 1e-9))
    overlap = min(1.0, float(inner.sum() / max(1.0, area)))
    forward = matrix if in_first else invert(matrix)
    fine_values = _fine(frame, over)
    drawing = drawn_places(frame)
    found = []
    for region in _regions(agrees, inner, points, whole=share > 0.6):
        inside = agrees & region
        rows, columns = (np.clip(np.rint(points[:, axis]).astype(int), 0, frame.shape[1 - axis] - 1) for axis in (1, 0))
        values = fine_values[inside]
        values = values[~np.isnan(values)]
        found.append(
            Agreement(
                mask=region,
                in_first=in_first,
                matrix=forward,
                inliers=int(region[rows, columns].sum()),
                correlation=float(correlation[inside].mean()),
                fine=float(np.median(values)) if len(values) >= _FINE_WINDOW**2 else None,
                share=share,
                overlap=overlap,
                drawn=float(drawing[inside].mean()) if inside.any() else 0.0,
            )
        )
    return sorted(found, key=lambda each: -int(each.mask.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """Two pictures in one frame: how they lie, the laid one, and per pixel: within both, agrees, says anything."""

    matrix: NDArray[np.float64]
    over: NDArray[np.uint8]
    inner: NDArray[np.bool_]
    agrees: NDArray[np.bool_]
    says: NDArray[np.bool_]
    correlation: Floats


def _compare(windows: Windows, other: NDArray[np.uint8], matrix: NDArray[np.float64]) -> _Compared:
    over, covered = _lay_over(other, matrix, windows.grey.shape)
    correlation, _, variance = windows.correlation(over.astype(np.float32))
    inner = np.asarray(cv2.erode(covered, np.ones((9, 9), np.uint8), borderValue=0) > 0)
    agrees = inner & (correlation > MIN_AGREEMENT) & (np.minimum(windows.variance, variance) > MIN_VARIANCE)
    opened = cv2.morphologyEx(agrees.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    says = np.maximum(windows.variance, variance) > MIN_VARIANCE
    return _Compared(matrix, over, inner, np.asarray(opened), np.asarray(says), correlation)


def drawn_places(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a picture is drawn rather than photographed: near ground of one level, as on a page, a slide or a plot.

    Args:
        grey: Grey levels, ``(H, W)``.

    Returns:
        ``(H, W)``; nowhere if no level is so common that it is a ground.

    Example:
        >>> page = np.full((60, 80), 255, np.uint8)
        >>> page[20:25, 10:70] = 0
        >>> bool(drawn_places(page).all())
        True
    """
    counts = np.bincount(grey.ravel(), minlength=256).astype(np.float64)
    near = np.convolve(counts, np.ones(2 * _AROUND + 1), "same")
    ground = int(near.argmax())
    if near[ground] < _GROUND * grey.size:
        return np.zeros(grey.shape, bool)
    blank = (np.abs(grey.astype(np.int16) - ground) <= _AROUND).astype(np.float32)
    smooth = cv2.erode(blank, np.ones((3, 3), np.uint8))  # a level that a photo passes through is no ground
    return np.asarray(cv2.blur(smooth, (_NEAR, _NEAR)) > _DRAWN)


def _lay_over(
    other: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The finer picture brought to the coarser one's frame, and where it covers it."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale > 1.1:  # take away what would alias
        small = (max(1, round(other.shape[1] / scale)), max(1, round(other.shape[0] / scale)))
        factors = np.array([small[0] / other.shape[1], small[1] / other.shape[0]])
        other = np.asarray(cv2.resize(other, small, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix * factors[:, None]
        matrix[:, 2] += 0.5 * factors - 0.5
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    over = cv2.warpAffine(other, matrix, size[::-1], flags=flags)
    covered = cv2.warpAffine(np.ones_like(other), matrix, size[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return np.asarray(over, np.uint8), np.asarray(covered, np.uint8)


def _refine(
    frame: NDArray[np.uint8], over: NDArray[np.uint8], points: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """What is left to a part of a pixel, by correlation around the matches (Evangelidis and Psarakis, TPAMI 2008)."""
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 12, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 13, frame.shape[::-1])
    middle, half = (low + high) // 2, np.minimum((high - low) // 2, 256)
    low, high = middle - half, middle + half
    part = slice(low[1], high[1]), slice(low[0], high[0])
    if min(high - low) < 16:
        return None
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    try:
        _, found = cv2.findTransformECC(
            frame[part],
            over[part],
            np.eye(2, 3, dtype=np.float32),
            cv2.MOTION_AFFINE,
            stop,
            None,
            3,  # type: ignore[call-overload]
        )
    except cv2.error:  # it did not converge
        return None
    found = np.asarray(found, np.float64)
    moved = found[:, 2] + (found[:, :2] - np.eye(2)) @ half
    if np.abs(found[:, :2] - np.eye(2)).max() > 0.1 or np.abs(moved).max() > 6:
        return None
    corner = low.astype(np.float64)
    found[:, 2] += corner - found[:, :2] @ corner
    return found


def _chain(after: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """First the one, then the other."""
    return np.hstack([after[:, :2] @ before[:, :2], (after[:, :2] @ before[:, 2] + after[:, 2])[:, None]])


def _regions(
    agrees: NDArray[np.bool_], covered: NDArray[np.bool_], points: NDArray[np.float64], *, whole: bool
) -> list[NDArray[np.bool_]]:
    if whole:
        return [covered]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSE, _CLOSE))
    closed = cv2.morphologyEx(agrees.astype(np.uint8), cv2.MORPH_CLOSE, disc) & covered.astype(np.uint8)
    count, labels = cv2.connectedComponents(closed)
    rows, columns = (np.clip(np.rint(points[:, axis]).astype(int), 0, labels.shape[1 - axis] - 1) for axis in (1, 0))
    held = np.bincount(labels[rows, columns], minlength=count)
    areas = np.bincount(labels.ravel(), minlength=count)
    chosen = [label for label in range(1, count) if held[label] >= MIN_POINTS and areas[label] >= MIN_AREA]
    return [labels == label for label in chosen]


def _fine(frame: NDArray[np.uint8], over: NDArray[np.uint8]) -> Floats:
    """Correlation of fine detail in each pixel's window; NaN where one of the pictures has none."""
    ours, theirs = (
        picture.astype(np.float32) - cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _FINE_SIGMA)
        for picture in (frame, over)
    )
    side = (_FINE_WINDOW, _FINE_WINDOW)
    energy = cv2.blur(ours * ours, side), cv2.blur(theirs * theirs, side)
    together = cv2.blur(ours * theirs, side)
    there = np.minimum(*energy) > _NOISE
    return np.where(there, together / np.sqrt(np.maximum(energy[0] * energy[1], 1e-6)), np.nan).astype(np.float32)
