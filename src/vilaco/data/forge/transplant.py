"""Copy-move and splice: a region cut out of a picture, turned, scaled, fitted in colour, and pasted."""

import cv2
import numpy as np

from vilaco.data.forge.blending import Patch, draw_feather, soften
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.shapes import Frame, Shape

MIN_MOVE = 0.35
"""A copy moves by at least this share of the region's own side, else most of it would cover itself."""


def transplant(
    donor: np.ndarray,
    shape: Shape,
    host: np.ndarray,
    frame: Frame,
    rng: np.random.Generator,
    config: ForgeConfig,
    *,
    same_picture: bool,
) -> Patch | None:
    """Cut ``shape`` out of ``donor`` and lay it somewhere into ``host``.

    Args:
        donor: Where the region comes from, ``(H, W, 3)`` uint8 RGB.
        shape: The region, in the donor's pixels.
        host: Where it goes, ``(H, W, 3)`` uint8 RGB.
        frame: Where in the host it may lie.
        rng: Random numbers.
        config: Shares of scaling, turning, flipping, softening and fitting.
        same_picture: Copy-move: an unscaled copy must move away from its source.

    Returns:
        The patch, or ``None`` where a copy found no place away from its source.
    """
    height, width = shape.mask.shape
    scale = 1.0
    if rng.random() < config.scale_share:
        scale = float(np.exp(rng.uniform(np.log(config.min_scale), np.log(config.max_scale))))
    turn = float(rng.uniform(-1.0, 1.0) * config.max_rotation) if rng.random() < config.rotate_share else 0.0
    flip = rng.random() < config.flip_share
    area = np.count_nonzero(shape.mask)
    scale = min(scale, float(np.sqrt(config.max_area * frame.height * frame.width / area)))

    linear = _rotation(turn) @ np.diag([-1.0 if flip else 1.0, 1.0])
    extent = np.abs(linear) @ (width, height)
    scale = min(scale, frame.width / extent[0], frame.height / extent[1])
    if not (turn or scale != 1.0):
        box_width, box_height = width, height
    else:
        box_width = min(frame.width, int(np.ceil(extent[0] * scale)))
        box_height = min(frame.height, int(np.ceil(extent[1] * scale)))
    left = frame.left + int(rng.integers(frame.width - box_width + 1))
    top = frame.top + int(rng.integers(frame.height - box_height + 1))
    if same_picture and scale == 1.0 and not turn:
        moved = max(abs(left - shape.left) / width, abs(top - shape.top) / height)
        if moved < MIN_MOVE:
            return None

    pixels, mask = _warp(donor, shape, linear * scale, (box_height, box_width), rng)
    alpha = soften(mask, draw_feather(mask, rng, config))
    under = host[top : top + box_height, left : left + box_width]
    if not same_picture and rng.random() < config.match_colour_share:
        pixels = match_colour(pixels, under, mask, strength=float(rng.uniform(0.3, 0.9)))
    if rng.random() < config.match_noise_share:
        pixels = _match_texture(pixels, rng)
    return Patch(pixels, alpha, top, left, shape.kind)


def match_colour(pixels: np.ndarray, under: np.ndarray, mask: np.ndarray, *, strength: float) -> np.ndarray:
    """Move the mean and spread of a region's colours towards those of what it will cover.

    Per channel, after Reinhard et al. 2001 ("Color transfer between images"), in RGB and with the gain held
    within [0.7, 1.4], so that flat surroundings do not wash the object out.

    Args:
        pixels: The patch, ``(h, w, 3)`` uint8.
        under: The host below it, ``(h, w, 3)`` uint8.
        mask: Which pixels count in the patch, ``(h, w)`` bool.
        strength: 0 changes nothing, 1 takes over mean and spread.

    Returns:
        The fitted patch, ``(h, w, 3)`` uint8.

    Example:
        >>> dark, bright = np.full((2, 2, 3), 50, np.uint8), np.full((2, 2, 3), 150, np.uint8)
        >>> match_colour(dark, bright, np.ones((2, 2), bool), strength=0.5)[0, 0].tolist()
        [100, 100, 100]
    """
    chosen = mask.astype(np.uint8)
    mean, spread = (statistic.ravel() for statistic in cv2.meanStdDev(pixels, mask=chosen))
    mean_under, spread_under = (statistic.ravel() for statistic in cv2.meanStdDev(under))
    gain = np.clip((spread_under + 1e-3) / (spread + 1e-3), 0.7, 1.4) ** strength
    offset = mean + strength * (mean_under - mean) - gain * mean
    levels = np.arange(256, dtype=np.float64)[:, None] * gain + offset
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]))


def _rotation(degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def _warp(
    donor: np.ndarray, shape: Shape, linear: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Map the shape's box, by ``linear`` around its centre, into a box of ``size``; pixels and region."""
    height, width = shape.mask.shape
    if np.array_equal(np.abs(linear), np.eye(2)):  # no resampling: the very pixels, as a plain paste keeps them
        pixels = donor[shape.top : shape.top + height, shape.left : shape.left + width]
        mirrored = slice(None, None, -1) if linear[0, 0] < 0 else slice(None)
        return pixels[:, mirrored].copy(), shape.mask[:, mirrored]
    centre = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    offset = np.array([(size[1] - 1) / 2.0, (size[0] - 1) / 2.0]) - linear @ centre
    matrix = np.hstack([linear, offset[:, None]])
    method = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    target = (size[1], size[0])
    box = donor[shape.top : shape.top + height, shape.left : shape.left + width]
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    if scale < 0.75:  # take away what would alias
        box = cv2.GaussianBlur(box, (0, 0), 0.35 / scale)
    pixels = cv2.warpAffine(box, matrix, target, flags=method, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(shape.mask.astype(np.uint8) * 255, matrix, target, flags=cv2.INTER_LINEAR)
    return pixels, weight >= 128


def _match_texture(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slight blur or some grain, as one gives a pasted part that looks too sharp or too clean."""
    if rng.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.1)))
    grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32) * np.float32(rng.uniform(1.5, 5.0))
    return np.clip(np.rint(pixels + grain[..., None]), 0, 255).astype(np.uint8)
