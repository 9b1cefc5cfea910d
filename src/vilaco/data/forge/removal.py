"""Removal: a region filled from its surroundings, by inpainting, healing with nearby texture, or a clone brush."""

import cv2
import numpy as np

from vilaco.data.forge.blending import Patch, draw_feather, soften
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.shapes import Frame, Shape

MARGIN = 12
"""Pixels around the region that a fill looks at."""
INPAINT_PIXELS = 1500
"""Larger regions are healed: inpainting without texture leaves a smear there, and its time goes with the
area."""
BRUSHED = 0.25
"""Of the larger regions: painted over with a clone brush."""
STROKES = 2, 5
"""At least two of them, fewer than five."""
CANDIDATES = 12
"""Places looked at for texture; the one that continues the region's surroundings best is taken."""


def remove(host: np.ndarray, shape: Shape, frame: Frame, rng: np.random.Generator, config: ForgeConfig) -> Patch | None:
    """Fill a region of ``host`` as if what was there had been taken out.

    Small regions are mostly inpainted by OpenCV (Telea 2004, or Navier-Stokes: Bertalmio et al. 2001), with
    grain like the surroundings'. The others are healed, with texture from elsewhere brought to the colours
    around, or painted over by hand.

    Args:
        host: Shape ``(H, W, 3)``, uint8 RGB.
        shape: The region to fill.
        frame: The part of the host that may be looked at and changed.
        rng: Random numbers.
        config: Edge softness.

    Returns:
        The patch, or ``None`` where no texture was found; a segment's region is first grown by 2 pixels, as
        one selects an object to take it out.
    """
    top, left = max(frame.top, shape.top - MARGIN), max(frame.left, shape.left - MARGIN)
    bottom = min(frame.top + frame.height, shape.top + shape.mask.shape[0] + MARGIN)
    right = min(frame.left + frame.width, shape.left + shape.mask.shape[1] + MARGIN)
    around = host[top:bottom, left:right]
    mask = np.zeros(around.shape[:2], np.uint8)
    row, column = shape.top - top, shape.left - left
    mask[row : row + shape.mask.shape[0], column : column + shape.mask.shape[1]] = shape.mask
    if shape.kind == "segment":
        mask[...] = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    region = mask.astype(bool)
    filled: np.ndarray | None
    if np.count_nonzero(region) <= INPAINT_PIXELS and rng.random() < 0.6:
        filled = inpaint(around, region, rng)
    elif rng.random() < BRUSHED:
        filled = brush(host, region, (top, left), frame, rng)
    else:
        filled = heal(host, region, (top, left), frame, rng)
    if filled is None:
        return None
    return Patch(filled, soften(region, draw_feather(region, rng, config)), top, left, shape.kind)


def heal(
    host: np.ndarray, region: np.ndarray, corner: tuple[int, int], frame: Frame, rng: np.random.Generator
) -> np.ndarray | None:
    """Fill a region with texture from beside it, its colours led smoothly to those on the region's rim.

    The difference between the host and the moved texture is known around the region; its smooth continuation
    into the region (a normalized Gaussian blur) is added to the texture, so no step is left at the rim.

    Args:
        host: Shape ``(H, W, 3)``, uint8.
        region: What to fill, ``(h, w)`` bool, within a box of the host with some margin.
        corner: Top and left of that box.
        frame: Where texture may be taken from.
        rng: Random numbers.

    Returns:
        The filled box, ``(h, w, 3)`` uint8, or ``None`` where no box beside the region fits into the frame.
    """
    height, width = region.shape
    top, left = corner
    known = (~region).astype(np.float32)
    target = host[top : top + height, left : left + width].astype(np.float32)
    best, best_step = None, np.inf
    for _ in range(CANDIDATES):
        row = int(rng.integers(frame.top, frame.top + frame.height - height + 1))
        column = int(rng.integers(frame.left, frame.left + frame.width - width + 1))
        if abs(row - top) < 0.6 * height and abs(column - left) < 0.6 * width:
            continue
        texture = host[row : row + height, column : column + width].astype(np.float32)
        step = float((np.abs(target - texture).mean(axis=2) * known).sum())
        if step < best_step:
            best, best_step = texture, step
    if best is None:
        return None
    spread = max(4.0, np.sqrt(np.count_nonzero(region)) / 5.0)
    gap = (target - best) * known[..., None]
    shrink = max(1, int(spread / 3.0))  # so smooth a field needs few samples
    small = (max(1, width // shrink), max(1, height // shrink))
    difference = cv2.resize(gap, small, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(known, small, interpolation=cv2.INTER_AREA)
    sigma = spread / shrink
    smooth = cv2.GaussianBlur(difference, (0, 0), sigma) / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-4)[..., None]
    smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(best + smooth), 0, 255).astype(np.uint8)


def brush(
    host: np.ndarray, region: np.ndarray, corner: tuple[int, int], frame: Frame, rng: np.random.Generator
) -> np.ndarray | None:
    """Paint a region over with pixels from beside it, as one does by hand with a clone brush.

    There are a few strokes, each from a place of its own.

    Args:
        host: Shape ``(H, W, 3)``, uint8.
        region: What to fill, ``(h, w)`` bool, within a box of the host with some margin.
        corner: Top and left of that box.
        frame: Where pixels may be taken from.
        rng: Random numbers.

    Returns:
        The filled box, ``(h, w, 3)`` uint8, or ``None`` where a stroke found no place beside the region.
    """
    places = np.argwhere(region)
    starts = places[rng.integers(len(places), size=int(rng.integers(*STROKES)))]
    away = np.stack([np.hypot(*(np.indices(region.shape) - start[:, None, None])) for start in starts])
    softness = float(rng.uniform(1.0, 4.0))
    painted, weights = np.zeros((*region.shape, 3), np.float32), np.full((*region.shape, 1), 1e-6, np.float32)
    for stroke in range(len(starts)):
        part = region & (away.argmin(axis=0) == stroke)
        source = _beside(host, region, part, corner, frame, rng)
        if source is None:
            return None
        weight = cv2.GaussianBlur(part.astype(np.float32), (0, 0), softness)[..., None]
        painted += weight * source
        weights += weight
    return np.clip(np.rint(painted / weights), 0, 255).astype(np.uint8)


def _beside(
    host: np.ndarray,
    region: np.ndarray,
    part: np.ndarray,
    corner: tuple[int, int],
    frame: Frame,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """The box of the host near ``corner`` that fits best around the region and, at ``part``, lies outside it."""
    height, width = region.shape
    taken = np.zeros(host.shape[:2], bool)
    taken[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = region
    here = host[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    known = (~region).view(np.uint8)
    best, least = None, np.inf
    for _ in range(CANDIDATES):
        row, column = (
            int(np.clip(rng.normal(start, side), low, low + available - side))
            for start, side, low, available in zip(
                corner, region.shape, (frame.top, frame.left), (frame.height, frame.width), strict=True
            )
        )
        box = np.s_[row : row + height, column : column + width]
        if taken[box][part].any():
            continue
        step = cv2.norm(host[box], here, cv2.NORM_L1, known)
        if step < least:
            best, least = host[box], step
    return best


def inpaint(around: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fill a region by OpenCV's inpainting, then give it the grain of its surroundings.

    Args:
        around: The region's box with some margin, ``(h, w, 3)`` uint8.
        region: What to fill, ``(h, w)`` bool.
        rng: Random numbers.

    Returns:
        The filled box, like ``around``.
    """
    method = cv2.INPAINT_TELEA if rng.random() < 0.5 else cv2.INPAINT_NS
    filled = cv2.inpaint(around, region.astype(np.uint8), 3, method)
    detail = around.astype(np.float32) - cv2.GaussianBlur(around, (0, 0), 1.0)
    level = 1.48 * float(np.median(np.abs(detail[~region]))) if not region.all() else 1.0
    grain = rng.standard_normal(region.shape, dtype=np.float32) * np.float32(min(level, 4.0))
    return np.clip(np.rint(filled + grain[..., None]), 0, 255).astype(np.uint8)
