"""ELA, error level analysis: what changes when the image is saved once more.

Source: N. Krawetz, "A picture's worth: digital image analysis and forensics", Black Hat 2007. A region that
has been through JPEG before changes little when saved again; a pasted one may change more than its
surroundings.

ELA has no scale of its own, and how much an image changes depends on its content and quality, so each place
is compared with the image's own mean: the map is ``error / (error + mean error)`` and 0.5 means "as much as
the rest". Krawetz gives a picture to look at and no number for an image. As no image's highest places lie below
its mean, the mean of the largest sixteenth is never below 0.5, so the score stretches [0.5, 1] to [0, 1]: 0 for
an even image, 0.5 where those places change three times as much as the rest.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.evaluation.baselines.map_baseline import top_share_mean
from vilaco.images import resave_jpeg

QUALITY = 90
WINDOW = 17
"""Side of the averaging window in pixels: two JPEG blocks, made odd so that it has a centre."""


def ela_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Local mean of the change under one more JPEG save at quality 90 (4:4:4), relative to the whole image's.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        ``error / (error + mean error)``, shape ``(H, W)``, in [0, 1); zeros if nothing changes at all.
    """
    change = resave_change(pixels).astype(np.float32).mean(axis=2)
    level = float(change.mean(dtype=np.float64))
    if level == 0.0:
        return change
    error = np.maximum(cv2.boxFilter(change, -1, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT), 0.0)
    return (error / (error + np.float32(level))).astype(np.float32)


def resave_change(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much each pixel changes under one more JPEG save at quality 90 (4:4:4): ELA's picture as people know it.

    Args:
        pixels: RGB, shape ``(H, W, 3)``.

    Returns:
        Absolute differences, the same shape; dark, as most are below 10.
    """
    saved = resave_jpeg(pixels, QUALITY, subsampling="4:4:4")
    return np.asarray(cv2.absdiff(pixels, saved), np.uint8)


def ela_score(localization_map: NDArray[np.float32]) -> float:
    """Image score of an :func:`ela_map`: its largest sixteenth, from "as much as the rest" (0) upwards.

    Example:
        >>> ela_score(np.full((4, 4), 0.5, np.float32)), ela_score(np.full((4, 4), 0.75, np.float32))
        (0.0, 0.5)
    """
    return max(0.0, 2.0 * top_share_mean(localization_map) - 1.0)
