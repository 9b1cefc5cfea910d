"""Traits of a photo that bear on how far a verdict on it can be trusted, and whether they are usual.

A rate that was promised on one kind of photo says nothing of another. So the traits of the pictures that a model is
calibrated on are kept with it, and a photo that lies beyond nearly all of them in one is said to.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import cv2
import numpy as np

from vilaco.block_dct import block_dct, luma

Ranges = dict[str, tuple[float, float]]
"""Of each trait, the lowest and the highest value that are usual."""

BEYOND = 0.005
"""Of the pictures calibrated on, so many lie below a range, and as many above."""
_SIDE = 512  # pixels of the middle that are looked at
_ZERO = 0.6  # of a coefficient: what rounding of pixels leaves
_BLACK, _WHITE = 2, 253

_BELOW = {
    "side": "it is smaller ({:.0f} pixels on its shorter side)",
    "detail": "it has less fine detail, as after a strong save, a blur or an enlargement",
    "colour": "it has less colour",
}
_ABOVE = {
    "side": "it is larger ({:.0f} pixels on its shorter side)",
    "detail": "it has more fine detail, as after sharpening, or from noise",
    "flat": "more of it ({:.0%}) has one colour, as on screenshots and drawings",
    "clipped": "more of it ({:.0%}) is black or burnt out",
}


@dataclass(frozen=True, slots=True)
class Traits:
    """What is measured.

    Attributes:
        side: The shorter one, in pixels.
        detail: Share of the coefficients of the 8 x 8 block DCT of brightness, on the stored grid, that are not zero.
        flat: Share of blocks all of whose coefficients but the first are zero.
        clipped: Share of pixels that are black or burnt out in every colour.
        colour: Mean distance of Cb and Cr from grey, in grey levels.
    """

    side: float
    detail: float
    flat: float
    clipped: float
    colour: float

    @classmethod
    def of(cls, pixels: np.ndarray) -> Self:
        """Measure a photo's middle, 512 pixels a side.

        Args:
            pixels: ``(H, W, 3)`` uint8 RGB on the stored grid; at least 8 pixels a side tell of detail.

        Example:
            >>> Traits.of(np.zeros((16, 24, 3), np.uint8))
            Traits(side=16.0, detail=0.0, flat=1.0, clipped=1.0, colour=0.0)
        """
        top, left = (max(0, (side - _SIDE) // 2 // 8 * 8) for side in pixels.shape[:2])
        middle = np.ascontiguousarray(pixels[top : top + _SIDE, left : left + _SIDE])
        kept = np.abs(block_dct(luma(middle))).reshape(-1, 64)[:, 1:] >= _ZERO
        chroma = cv2.cvtColor(middle, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32)
        clipped = (middle <= _BLACK).all(axis=2) | (middle >= _WHITE).all(axis=2)
        return cls(
            side=float(min(pixels.shape[:2])),
            detail=float(kept.mean()) if kept.size else 0.0,
            flat=float(1 - kept.any(axis=1).mean()) if kept.size else 0.0,
            clipped=float(clipped.mean()),
            colour=float(np.abs(chroma - 128).mean()),
        )

    def unusual(self, ranges: Ranges) -> tuple[str, ...]:
        """In what the photo lies beyond the usual, compared to nearly all photos that had it.

        Example:
            >>> Traits(side=90, detail=0.3, flat=0, clipped=0, colour=9).unusual({"side": (200, 800), "flat": (0, 0.2)})
            ('it is smaller (90 pixels on its shorter side)',)
        """
        words = []
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            beyond = _BELOW.get(name) if value < low else _ABOVE.get(name) if value > high else None
            words += [beyond.format(value)] if beyond else []
        return tuple(words)


def usual_ranges(pictures: Sequence[Traits]) -> Ranges:
    """The range of each trait that all pictures but the lowest and the highest few lie in; see :data:`BEYOND`.

    Args:
        pictures: Any number.

    Returns:
        No range where the pictures are too few to tell what is rarer than :data:`BEYOND`.

    Example:
        >>> usual_ranges([Traits(side, 0.5, 0, 0, 9) for side in range(1, 1001)])["side"]
        (6.0, 995.0)
    """
    few = int(BEYOND * len(pictures))
    if not few:
        return {}
    columns = {name: np.sort([asdict(picture)[name] for picture in pictures]) for name in asdict(pictures[0])}
    return {name: (round(float(values[few]), 6), round(float(values[-1 - few]), 6)) for name, values in columns.items()}
