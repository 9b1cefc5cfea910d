"""A trip through a JPEG file: with the tables that a file names, or with those that its pixels show."""

import io
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vilaco.block_dct import BLOCK, block_dct, luma
from vilaco.evidence.jpeg import JpegEvidence, Steps, standard_tables
from vilaco.images import load_photo

Pixels = NDArray[np.uint8]

MAX_SIDE = 65_500 - 15
"""Pixels: what libjpeg writes, wherever on its grid a picture begins."""
BETTER = 0.75
"""Times the misfit without a save, below which a save explains something; one that never was adds to the misfit."""
QUALITIES = range(30, 99)
"""Of the saves that are looked for: above, rounding leaves nothing to see."""
_SIDE = 512  # pixels of the middle that are looked at
_LEAST_SIDE = 32
_ZERO = 0.6  # of a coefficient: what rounding of pixels leaves
_SUBSAMPLINGS = ("grey", "4:2:0", "4:2:2", "4:4:4")


@dataclass(frozen=True, slots=True)
class JpegSave:
    """A save as JPEG.

    Attributes:
        luma: Quantisation steps of brightness, 64, row by row.
        chroma: Of colours, likewise; empty where there are none.
        subsampling: Of colours: ``"4:4:4"``, ``"4:2:2"`` or ``"4:2:0"``; ``"grey"`` where there are none.
        corner: x, y of the first pixel on the grid of 16 x 16 pixels that it was saved on, each 0 to 15.
    """

    luma: Steps
    chroma: Steps
    subsampling: str
    corner: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, jpeg: JpegEvidence) -> Self | None:
        """As a file says; ``None`` for what Pillow cannot write."""
        if jpeg.subsampling not in _SUBSAMPLINGS:
            return None
        return cls(jpeg.luma, jpeg.chroma, jpeg.subsampling)

    @classmethod
    def standard(cls, quality: int, subsampling: str, corner: tuple[int, int]) -> Self:
        """With the tables of libjpeg."""
        return cls(*standard_tables(quality), subsampling, corner)

    def apply(self, pixels: Pixels) -> Pixels:
        """Save and read again.

        Args:
            pixels: RGB, ``(H, W, 3)``.
        """
        x, y = self.corner
        framed = np.pad(pixels, ((y, 0), (x, 0), (0, 0)), "edge") if x or y else pixels
        stream = io.BytesIO()
        if self.subsampling == "grey":
            Image.fromarray(framed).convert("L").save(stream, "JPEG", qtables=[self.luma])
        else:
            tables = [self.luma, self.chroma]
            Image.fromarray(framed).save(stream, "JPEG", qtables=tables, subsampling=self.subsampling)
        read = load_photo(stream.getvalue(), max_pixels=framed.shape[0] * framed.shape[1])
        return np.asarray(read.pixels[y:, x:], np.uint8)


class Guess(NamedTuple):
    """A save that pixels show.

    Attributes:
        save: Which.
        quality: Of libjpeg's tables, 1 to 100.
        misfit: Mean difference of all colours that it leaves, in grey levels.
    """

    save: JpegSave
    quality: int
    misfit: float


def guess_save(suspect: Pixels, explained: Pixels, valid: NDArray[np.bool_]) -> Guess | None:
    """The save at a standard quality that brings what explains a suspect closest to it.

    What a save leaves behind is the rounding of its coefficients. Where the picture before the save is known, doing the
    same to it brings that back, and no other quality or grid does.

    Args:
        suspect: RGB, ``(H, W, 3)``.
        explained: What it should look like without the save, likewise.
        valid: Where that is known, ``(H, W)``.

    Returns:
        ``None`` where no save explains much.
    """
    top, left = (max(0, (side - _SIDE) // 2 // 16 * 16) for side in valid.shape)
    part = slice(top, top + _SIDE), slice(left, left + _SIDE)
    ours, theirs, known = suspect[part], explained[part], valid[part]
    if min(known.shape) < _LEAST_SIDE or not known.any():
        return None
    corner = grid_corner(luma(ours))

    def misfit(explained: Pixels) -> float:  # of brightness, which subsampling hardly touches
        return float(cv2.absdiff(grey, cv2.cvtColor(explained, cv2.COLOR_RGB2GRAY))[known].mean())

    grey = cv2.cvtColor(ours, cv2.COLOR_RGB2GRAY)
    misfits = [misfit(JpegSave.standard(quality, "4:4:4", corner).apply(theirs)) for quality in QUALITIES]
    best = QUALITIES[int(np.argmin(misfits))]
    if min(misfits) >= BETTER * misfit(theirs):
        return None
    grids = {"4:2:0": product((0, 8), (0, 8)), "4:2:2": product((0, 8), (0,)), "4:4:4": product((0,), (0,))}
    saves = [
        JpegSave.standard(best, subsampling, (corner[0] + x, corner[1] + y))
        for subsampling, places in grids.items()
        for x, y in places
    ]
    left_over = [float(cv2.absdiff(ours, save.apply(theirs))[known].mean()) for save in saves]
    return Guess(saves[int(np.argmin(left_over))], best, min(left_over))


def grid_corner(brightness: NDArray[np.float32]) -> tuple[int, int]:
    """Where on the grid of 8 x 8 blocks a picture begins: on its own grid a save left the most coefficients at zero.

    Args:
        brightness: ``(H, W)``, at least 16 a side.

    Returns:
        x, y of the first pixel in its block, each 0 to 7; of no meaning where there was no save.

    Example:
        >>> blocks = np.kron(np.arange(12.0).reshape(3, 4) ** 2 % 7, np.ones((8, 8)))
        >>> grid_corner(blocks[3:, 5:].astype(np.float32))
        (5, 3)
    """
    corners = list(product(range(BLOCK), range(BLOCK)))
    zeros = [(np.abs(block_dct(brightness[-y % BLOCK :, -x % BLOCK :])) < _ZERO).mean() for x, y in corners]
    return corners[int(np.argmax(zeros))]
