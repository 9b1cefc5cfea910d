"""A contact sheet: forgeries beside themselves with their masks outlined, to judge by eye."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vilaco.data.forge.history import decode
from vilaco.images import resize_pixels

TILE = (160, 240)
"""(height, width) in pixels that a picture is fitted into."""
COLUMNS = 4
GAP = 4
CAPTION = 18
OUTLINE = (255, 0, 255)


@dataclass(frozen=True)
class SheetEntry:
    """One forgery of the sheet: its picture, its mask and the words below it."""

    image: Path
    mask: Path
    caption: str


def contact_sheet(entries: Sequence[SheetEntry]) -> np.ndarray:
    """Lay forgeries out in rows of four, each as it is and, to its right, with the mask's outline.

    Args:
        entries: At least one.

    Returns:
        The sheet, ``(H, W, 3)`` uint8 RGB.
    """
    cells = [_cell(entry) for entry in entries]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % COLUMNS if len(cells) > COLUMNS else 0)
    rows = [np.hstack(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    return np.vstack(rows)


def _cell(entry: SheetEntry) -> np.ndarray:
    pixels = decode(entry.image.read_bytes())
    mask = decode(entry.mask.read_bytes())[..., 0] > 0
    factor = min(TILE[0] / mask.shape[0], TILE[1] / mask.shape[1])
    size = (max(1, round(mask.shape[0] * factor)), max(1, round(mask.shape[1] * factor)))
    plain = resize_pixels(pixels, size)
    small = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) >= 0.5
    outlined = plain.copy()
    contours, _ = cv2.findContours(small.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outlined, contours, -1, OUTLINE, 1)
    cell = np.full((TILE[0] + CAPTION + GAP, 2 * TILE[1] + 3 * GAP, 3), 255, np.uint8)
    top = (TILE[0] - size[0]) // 2
    for place, picture in enumerate((plain, outlined)):
        left = GAP + place * (TILE[1] + GAP) + (TILE[1] - size[1]) // 2
        cell[top : top + size[0], left : left + size[1]] = picture
    baseline = (GAP, TILE[0] + CAPTION - 5)
    cv2.putText(cell, entry.caption, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return cell
