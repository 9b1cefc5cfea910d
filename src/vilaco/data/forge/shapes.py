"""Shapes of forged regions: segments drawn by people, or random blobs, polygons, boxes and ellipses."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import cv2
import numpy as np

from vilaco.data.forge.config import ForgeConfig

T = TypeVar("T")

KINDS = ("blob", "polygon", "rectangle", "ellipse")
KIND_SHARES = (0.45, 0.2, 0.15, 0.2)
"""Blobs look most like a hand-drawn selection; the others are the tools every editor has."""

MAX_BORDER_CONTACT = 0.25
"""Segments that lie along the picture's border for more of their outline than this are background, not
objects."""


@dataclass(frozen=True)
class Shape:
    """A region within a picture.

    Attributes:
        mask: The region inside its box, ``(h, w)`` bool.
        top: Row of the box's first pixel in the picture.
        left: Column of it.
        kind: ``"segment"`` or one of :data:`KINDS`.
    """

    mask: np.ndarray
    top: int
    left: int
    kind: str


@dataclass(frozen=True)
class Frame:
    """The part of a picture that forgeries may touch: what the history's crop leaves, in pixels."""

    top: int
    left: int
    height: int
    width: int


def pick(rng: np.random.Generator, options: Sequence[T], weights: Sequence[float]) -> T:
    """Draw one of the options; ten times as fast as :meth:`numpy.random.Generator.choice`.

    Example:
        >>> pick(np.random.default_rng(0), ("never", "always"), (0.0, 3.0))
        'always'
    """
    ends = tuple(accumulate(weights))
    return options[bisect(ends, rng.random() * ends[-1])]


def draw_shape(
    labels: np.ndarray | None,
    frame: Frame,
    rng: np.random.Generator,
    config: ForgeConfig,
    *,
    max_area: float,
) -> Shape:
    """Draw a region: a human segment with probability ``segment_share`` where one fits, else a random shape.

    Args:
        labels: Segment numbers, ``(H, W)``, or ``None``.
        frame: Where the region may lie.
        rng: Random numbers.
        config: Smallest areas, and shares.
        max_area: Largest area as a share of the frame.

    Returns:
        The region, within ``frame``, its area between ``min_area`` and ``max_area`` of the frame (or, for
        ``small_share`` of them, between ``smallest_area`` and ``min_area``) as far as it fits.
    """
    min_area = config.min_area
    if config.small_share and rng.random() < config.small_share:
        min_area, max_area = config.smallest_area, config.min_area
    if labels is not None and rng.random() < config.segment_share:
        shape = _segment(labels, frame, rng, min_area, max_area)
        if shape is not None:
            return shape
    area = np.exp(rng.uniform(np.log(min_area), np.log(max_area)))
    return random_shape(frame, area * frame.height * frame.width, rng)


def random_shape(frame: Frame, area: float, rng: np.random.Generator) -> Shape:
    """A random region of about ``area`` pixels somewhere in ``frame``; smaller if its proportions do not fit.

    Example:
        >>> shape = random_shape(Frame(0, 0, 256, 384), 5000, np.random.default_rng(0))
        >>> bool(4500 < shape.mask.sum() < 5500)
        True
    """
    kind = pick(rng, KINDS, KIND_SHARES)
    points = _outline(kind, rng)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - low) * np.sqrt(area)
    extent = (high - low) * np.sqrt(area)
    points *= min(1.0, (frame.width - 1) / extent[0], (frame.height - 1) / extent[1])
    width, height = (int(side) + 1 for side in np.ceil(points.max(axis=0)))
    width, height = min(width, frame.width), min(height, frame.height)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    top = frame.top + int(rng.integers(frame.height - height + 1))
    left = frame.left + int(rng.integers(frame.width - width + 1))
    return Shape(mask.astype(bool), top, left, kind)


def _outline(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Closed outline of unit area around the origin, ``(P, 2)`` as x, y, turned by a random angle."""
    stretch = np.exp(rng.uniform(-0.45, 0.45))
    if kind == "rectangle":
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
        turn = rng.normal(0.0, 0.15) * (rng.random() < 0.3)  # selections are mostly upright
    elif kind == "polygon":
        corners = int(rng.integers(4, 10))
        angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) / corners
        points = rng.uniform(0.55, 1.0, corners)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        turn = rng.uniform(0.0, 2 * np.pi)
    else:
        angles = np.linspace(0.0, 2 * np.pi, 96, endpoint=False)
        radius = np.ones_like(angles)
        if kind == "blob":  # random Fourier series, falling with frequency: smooth lobes
            for wave in range(2, 8):
                radius += rng.normal(0.0, 0.45 / wave) * np.cos(wave * angles + rng.uniform(0.0, 2 * np.pi))
            radius = np.maximum(radius, 0.25)
        points = radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        turn = rng.uniform(0.0, 2 * np.pi)
    points = points * (stretch, 1.0 / stretch)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    x, y = (points @ rotation).T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return np.asarray(np.stack([x, y], axis=1) / np.sqrt(area))


def _segment(
    labels: np.ndarray, frame: Frame, rng: np.random.Generator, min_area: float, max_area: float
) -> Shape | None:
    """One connected piece of a human segment that looks like an object, cut to ``frame``."""
    inner = labels[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
    areas = np.bincount(inner.ravel()) / inner.size
    fitting = np.flatnonzero((areas >= min_area) & (areas <= max_area))
    for label in rng.permutation(fitting):
        whole = (inner == label).view(np.uint8)
        x, y, w, h = cv2.boundingRect(whole)
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(whole[y : y + h, x : x + w], connectivity=4)
        piece = 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))
        left, top, width, height, area = (int(value) for value in stats[piece])
        mask = pieces[top : top + height, left : left + width] == piece
        if area < min_area * inner.size or _border_contact(mask, y + top, x + left, inner.shape) > MAX_BORDER_CONTACT:
            continue
        return Shape(mask, frame.top + y + top, frame.left + x + left, "segment")
    return None


def _border_contact(mask: np.ndarray, top: int, left: int, size: tuple[int, ...]) -> float:
    """Share of the box's perimeter along which the region touches the picture's border."""
    height, width = mask.shape
    touching = 0
    touching += int(mask[0].sum()) if top == 0 else 0
    touching += int(mask[-1].sum()) if top + height == size[0] else 0
    touching += int(mask[:, 0].sum()) if left == 0 else 0
    touching += int(mask[:, -1].sum()) if left + width == size[1] else 0
    return touching / (2 * (height + width))
