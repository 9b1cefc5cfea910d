"""Boxes around what was tampered with, as a person draws them: a coarser truth than a mask, a finer one than a label.

Training looks at them only where it is asked to; see :func:`~vilaco.data.loading.weaken`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle of whole pixels in an upright photo.

    Attributes:
        x: Columns left of it.
        y: Rows above it.
        width: Columns, at least 1.
        height: Rows, at least 1.
    """

    x: int
    y: int
    width: int
    height: int


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Read boxes as a manifest has them.

    Args:
        text: ``"x y w h"`` in pixels, several divided by ``;``; empty is none.

    Raises:
        ValueError: Naming the box that is not four whole numbers, the first two from 0 and the last two from 1.

    Example:
        >>> parse_boxes("10 20 30 40; 0 0 5 5")
        (Box(x=10, y=20, width=30, height=40), Box(x=0, y=0, width=5, height=5))
    """
    boxes = []
    for part in text.split(";") if text.strip() else []:
        numbers = [int(word) if word.isdecimal() else -1 for word in part.split()]
        if len(numbers) != 4 or min(numbers) < 0 or 0 in numbers[2:]:
            raise ValueError(f"box '{part.strip()}' is not 'x y width height' in whole pixels")
        boxes.append(Box(*numbers))
    return tuple(boxes)


def format_boxes(boxes: Sequence[Box]) -> str:
    """Write boxes as a manifest has them.

    Example:
        >>> format_boxes([Box(10, 20, 30, 40), Box(0, 0, 5, 5)])
        '10 20 30 40; 0 0 5 5'
    """
    return "; ".join(" ".join(map(str, box)) for box in boxes)


def box_fault(boxes: Sequence[Box], size: tuple[int, int]) -> str | None:
    """What is wrong with the boxes of a photo of ``size``, (height, width) in pixels; ``None`` where all lie inside.

    Example:
        >>> box_fault([Box(90, 0, 20, 5)], (50, 100))
        "box '90 0 20 5' reaches out of the photo, which is 100x50 pixels"
    """
    height, width = size
    for box in boxes:
        if box.x + box.width > width or box.y + box.height > height:
            return f"box '{format_boxes([box])}' reaches out of the photo, which is {width}x{height} pixels"
    return None


def inside_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """Pixels that lie in any of the boxes, ``(H, W)`` bool, of a photo of ``size`` (H, W)."""
    inside = np.zeros(size, bool)
    for box in boxes:
        inside[box.y : box.y + box.height, box.x : box.x + box.width] = True
    return inside
