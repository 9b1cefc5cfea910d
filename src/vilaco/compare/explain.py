"""What the whole picture went through: a curve for each colour, blur, a JPEG save; done to the original in turn."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.compare.jpeg import JpegSave
from vilaco.matching import Floats

Pixels = NDArray[np.uint8]

BLURS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
"""Standard deviations in pixels that are tried."""
_KNOTS = 16  # bins of a curve
_BETTER = 0.85  # times the misfit without blur, below which a blur explains something
_MIN_BIN = 200  # pixels that a bin needs


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """The original as the suspect should look if nothing but the whole was edited.

    Attributes:
        pixels: On the suspect's grid, ``(H, W, 3)`` uint8.
        curves: What became of each grey level, ``(256, 3)`` float32.
        blur: Standard deviation in pixels; 0 where none helps.
        brightness: Mean change of brightness by the curves, in grey levels.
    """

    pixels: Pixels
    curves: Floats
    blur: float
    brightness: float


def explain(suspect: Pixels, over: Pixels, valid: NDArray[np.bool_], save: JpegSave | None) -> Explained:
    """Do to the original what was done to the whole suspect.

    Args:
        suspect: RGB, ``(H, W, 3)``.
        over: The original on its grid, likewise.
        valid: Where it reaches, ``(H, W)``.
        save: The suspect's last save as JPEG, where there was one.
    """
    middle = _middle(valid.shape)

    def saved(pixels: Pixels) -> Pixels:
        return pixels if save is None else save.apply(pixels)

    misfits = {sigma: _misfit(suspect[middle], saved(_blurred(over[middle], sigma)), valid[middle]) for sigma in BLURS}
    best = min(BLURS, key=lambda sigma: misfits[sigma])
    blur = best if misfits[best] < _BETTER * misfits[0.0] else 0.0
    plain = _blurred(over, blur)
    curves = fit_curves(plain, suspect, valid)
    pixels = _curved(plain, curves)

    def left(pixels: Pixels) -> float:
        return float(cv2.absdiff(suspect[middle], saved(pixels[middle]))[valid[middle]].mean())

    if valid[middle].any() and left(plain) <= left(pixels):  # the save alone bends curves a bit
        pixels, curves = plain, np.tile(np.arange(256, dtype=np.float32)[:, None], (1, 3))
    brightness = _mean(pixels, valid) - _mean(over, valid)
    return Explained(saved(np.where(valid[..., None], pixels, suspect)), curves, blur, brightness)


def fit_curves(before: Pixels, after: Pixels, valid: NDArray[np.bool_]) -> Floats:
    """The median of each colour after, for each level before: monotone, and smooth between bins.

    Args:
        before: ``(H, W, 3)``.
        after: Likewise.
        valid: Pixels that count, ``(H, W)``.

    Returns:
        Levels after, ``(256, 3)`` float32; the levels themselves where that is as good.

    Example:
        >>> grey = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3))
        >>> fit_curves(grey, grey, np.ones((256, 256), bool))[[0, 100, 255], 0].tolist()
        [0.0, 100.0, 255.0]
    """
    levels = np.arange(256, dtype=np.float32)
    curves = np.tile(levels[:, None], (1, 3))
    step = max(1, int(np.sqrt(valid.sum() / 1_000_000)))  # a million pixels say enough
    chosen = valid[::step, ::step]
    for channel in range(3):
        x, y = (picture[::step, ::step, channel][chosen].astype(np.float32) for picture in (before, after))
        if not len(x) or (abs(float(np.median(y - x))) < 0.5 and np.percentile(np.abs(y - x), 75) < 2.0):
            continue
        places, values = [], []
        for low in range(0, 256, 256 // _KNOTS):
            inside = (x >= low) & (x < low + 256 // _KNOTS)
            if inside.sum() >= _MIN_BIN:
                places.append(float(x[inside].mean()))
                values.append(float(np.median(y[inside]) - np.median(x[inside]) + places[-1]))
        if len(places) >= 2:
            rising = np.maximum.accumulate(np.array(values))
            slopes = rising[1] - rising[0], rising[-1] - rising[-2]
            gaps = places[1] - places[0], places[-1] - places[-2]
            ends = rising[0] - places[0] * slopes[0] / gaps[0], rising[-1] + (255 - places[-1]) * slopes[1] / gaps[1]
            curves[:, channel] = np.interp(levels, [0.0, *places, 255.0], [ends[0], *rising, ends[1]])
    return np.clip(curves, 0, 255)


def _curved(pixels: Pixels, curves: Floats) -> Pixels:
    tables = np.clip(np.rint(curves), 0, 255).astype(np.uint8)
    return np.asarray(cv2.merge([cv2.LUT(pixels[..., c], tables[:, c]) for c in range(3)]), np.uint8)


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return pixels if sigma == 0.0 else np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _mean(pixels: Pixels, valid: NDArray[np.bool_]) -> float:
    return float(np.mean(cv2.mean(pixels, valid.view(np.uint8))[:3]))


def _middle(size: tuple[int, ...]) -> tuple[slice, slice]:
    """At most a megapixel in the middle of a large picture, on the grid of its JPEG blocks."""
    starts = [max(0, (side // 2 - 512) // 16 * 16) for side in size]
    return slice(starts[0], starts[0] + 1024), slice(starts[1], starts[1] + 1024)


def _misfit(suspect: Pixels, explained: Pixels, valid: NDArray[np.bool_]) -> float:
    """How far fine detail differs: the 70th percentile, in grey levels of a Laplacian."""
    if not valid.any():
        return 0.0
    ours, theirs = (
        cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F) for picture in (suspect, explained)
    )
    return float(np.percentile(np.abs(ours - theirs)[valid], 70))
