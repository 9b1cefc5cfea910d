"""How a forged patch enters its host: soft edges, and the one rule that makes every mask exact."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vilaco.data.forge.config import ForgeConfig

ALPHA_FLOOR = 0.1
"""Blends weaker than this are dropped, so that the mask is exactly where the patch has any weight. The
outermost rim of a soft edge, which changes a pixel by less than a tenth of the difference, is cut off rather
than left outside the mask."""


@dataclass(frozen=True)
class Patch:
    """Forged pixels and how strongly each one covers the host.

    Attributes:
        pixels: Shape ``(h, w, 3)``, uint8 RGB.
        alpha: Weight of the patch in [0, 1], ``(h, w)`` float32.
        top: Row of its first pixel in the host.
        left: Column of it.
        shape: What the region's outline comes from.
    """

    pixels: np.ndarray
    alpha: np.ndarray
    top: int
    left: int
    shape: str


def soften(mask: np.ndarray, feather: float) -> np.ndarray:
    """Turn a region into blend weights whose edge fades inwards only.

    Args:
        mask: The region, ``(h, w)`` bool; what lies outside the array counts as outside the region.
        feather: Standard deviation of the edge in pixels; 0 keeps it hard.

    Returns:
        Weights in [0, 1], ``(h, w)`` float32, zero outside ``mask``.

    Example:
        >>> soften(np.ones((1, 3), bool), 0.0)
        array([[1., 1., 1.]], dtype=float32)
    """
    if feather == 0.0:
        return mask.astype(np.float32)
    pad = int(np.ceil(3 * feather))
    padded = np.pad(mask.astype(np.float32), pad)
    blurred = cv2.GaussianBlur(padded, (0, 0), feather)[pad:-pad, pad:-pad]
    # Half weight lies on the outline; stretching [1/2, 1] to [0, 1] moves the whole fade inside it.
    return np.where(mask, np.clip(2.0 * blurred - 1.0, 0.0, 1.0), 0.0).astype(np.float32)


def draw_feather(mask: np.ndarray, rng: np.random.Generator, config: ForgeConfig) -> float:
    """Draw an edge softness in pixels that a region of this size can bear; 0 for a hard cut."""
    largest = min(config.max_feather, np.sqrt(np.count_nonzero(mask)) / 12.0)
    if rng.random() >= config.soft_edge_share or largest < 0.5:
        return 0.0
    return float(rng.uniform(0.5, largest))


def blend(host: np.ndarray, patch: Patch) -> tuple[np.ndarray, np.ndarray]:
    """Lay a patch over its host.

    Args:
        host: Shape ``(H, W, 3)``, uint8 RGB; not changed.
        patch: What to lay over it; parts outside the host are cut off.

    Returns:
        The forged picture, like ``host``, and its mask, ``(H, W)`` bool: True where the patch's weight is at
        least :data:`ALPHA_FLOOR`. Pixels outside the mask are bit-identical to the host's.

    Example:
        >>> host = np.zeros((1, 3, 3), np.uint8)
        >>> patch = Patch(host + 200, np.array([[1.0, 0.5, 0.05]], np.float32), 0, 0, "box")
        >>> forged, mask = blend(host, patch)
        >>> forged[0, :, 0].tolist(), mask.tolist()
        ([200, 100, 0], [[True, True, False]])
    """
    patch = _clip_to(patch, host.shape[0], host.shape[1])
    height, width = patch.alpha.shape
    alpha = np.where(patch.alpha >= ALPHA_FLOOR, patch.alpha, 0.0).astype(np.float32)
    forged = host.copy()
    target = forged[patch.top : patch.top + height, patch.left : patch.left + width]
    if alpha.size:  # OpenCV refuses a patch that lies wholly outside
        target[...] = cv2.blendLinear(patch.pixels, target, alpha, 1.0 - alpha)
    mask = np.zeros(host.shape[:2], bool)
    mask[patch.top : patch.top + height, patch.left : patch.left + width] = alpha > 0.0
    return forged, mask


def _clip_to(patch: Patch, height: int, width: int) -> Patch:
    rows = slice(max(0, -patch.top), max(0, height - patch.top))
    columns = slice(max(0, -patch.left), max(0, width - patch.left))
    return replace(
        patch,
        pixels=patch.pixels[rows, columns],
        alpha=patch.alpha[rows, columns],
        top=max(0, patch.top),
        left=max(0, patch.left),
    )
