"""Local retouch: a region blurred, sharpened, smoothed, grained, recoloured, warped, enlarged or shrunk in place."""

import cv2
import numpy as np

from vilaco.data.forge.blending import Patch, draw_feather, soften
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.shapes import Shape

METHODS = ("blur", "noise", "colour", "rescale", "sharpen", "smooth", "warp")


def retouch(
    host: np.ndarray,
    shape: Shape,
    rng: np.random.Generator,
    config: ForgeConfig,
    *,
    method: str | None = None,
) -> tuple[Patch, str]:
    """Change a region of ``host`` where it is.

    Args:
        host: Shape ``(H, W, 3)``, uint8 RGB.
        shape: The region.
        rng: Random numbers.
        config: Edge softness.
        method: One of :data:`METHODS`; ``None`` draws one.

    Returns:
        The patch and the method.
    """
    chosen = method or str(rng.choice(METHODS))
    height, width = shape.mask.shape
    box = host[shape.top : shape.top + height, shape.left : shape.left + width]
    change = {
        "blur": _blur,
        "noise": _noise,
        "colour": _recolour,
        "rescale": _rescale,
        "sharpen": _sharpen,
        "smooth": _smooth,
        "warp": _warp,
    }[chosen]
    alpha = soften(shape.mask, draw_feather(shape.mask, rng, config))
    return Patch(change(box, rng), alpha, shape.top, shape.left, shape.kind), chosen


def _blur(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A soft-focus or smoothing brush: Gaussian, standard deviation 1.2 to 4 pixels."""
    return np.asarray(cv2.GaussianBlur(box, (0, 0), rng.uniform(1.2, 4.0)))


def _sharpen(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An unsharp mask of 0.8 to 2 pixels and 60 to 200 per cent."""
    amount = rng.uniform(0.6, 2.0)
    return np.asarray(
        cv2.addWeighted(box, 1 + amount, cv2.GaussianBlur(box, (0, 0), rng.uniform(0.8, 2.0)), -amount, 0)
    )


def _smooth(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A skin filter: takes the texture away and keeps the edges."""
    return np.asarray(cv2.bilateralFilter(box, 7, rng.uniform(15.0, 50.0), rng.uniform(2.0, 5.0)))


def _warp(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pushes the middle aside, out or in, as a beauty filter does with noses and waists; the rim stays."""
    height, width = box.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : complex(height), -1 : 1 : complex(width)].astype(np.float32)
    fade = np.clip(1 - rows**2 - columns**2, 0, 1) ** 2
    push = rng.uniform(-0.18, 0.18, 2).astype(np.float32) * (height, width)
    swell = np.float32(rng.uniform(-0.35, 0.35))
    across = np.arange(width, dtype=np.float32) + fade * (push[1] + swell * columns * width / 2)
    down = np.arange(height, dtype=np.float32)[:, None] + fade * (push[0] + swell * rows * height / 2)
    moved = cv2.remap(
        box, across.astype(np.float32), down.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved)


def _noise(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grain of 4 to 14 grey levels, of the luminance or of each channel, sometimes coarser than a pixel."""
    channels = 3 if rng.random() < 0.4 else 1
    grain = rng.standard_normal((*box.shape[:2], channels), dtype=np.float32)
    if rng.random() < 0.4:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.7).reshape(grain.shape) * np.float32(2.0)
    grain *= np.float32(rng.uniform(4.0, 14.0))
    return np.clip(np.rint(box + grain), 0, 255).astype(np.uint8)


def _recolour(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turns the hue, changes saturation and brightness: a repainted car, a greener field."""
    hue, saturation, value = cv2.split(cv2.cvtColor(box, cv2.COLOR_RGB2HSV))
    turn = int(rng.choice([-1, 1]) * rng.integers(8, 60)) if rng.random() < 0.6 else 0
    levels = np.arange(256, dtype=np.float64)
    hue = ((hue.astype(np.int16) + turn) % 180).astype(np.uint8)  # OpenCV counts hue in steps of 2 degrees
    richer = np.clip(levels * np.exp(rng.uniform(-0.7, 0.7)), 0, 255).astype(np.uint8)
    lighter = np.clip(255.0 * (levels / 255.0) ** np.exp(rng.uniform(-0.5, 0.5)), 0, 255).astype(np.uint8)
    merged = cv2.merge([hue, cv2.LUT(saturation, richer), cv2.LUT(value, lighter)])
    return np.asarray(cv2.cvtColor(merged, cv2.COLOR_HSV2RGB))


def _rescale(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarges the content around the region's centre by 8 to 40 per cent, or shrinks it by as much."""
    height, width = box.shape[:2]
    scale = float(rng.uniform(1.08, 1.4) ** rng.choice([-1, 1], p=[0.3, 0.7]))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), 0.0, scale)
    return np.asarray(
        cv2.warpAffine(box, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    )
