"""Pictures of a localization map: laid over the photo, and beside it."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vilaco.images import resize_map, resize_pixels

_TINT = np.array([255, 0, 128], np.uint8)  # magenta
_TINT_FROM, _TINT_FULL = 0.25, 0.75  # map values where the tint starts and where it is fullest
_ROWS = 256  # the tint is mixed in bands of rows, so that a large photo needs no float copy of itself


def heat_colours(localization_map: np.ndarray) -> np.ndarray:
    """Colour a map from black (0) over purple and orange to pale yellow (1).

    The scale is matplotlib's inferno, whose lightness grows evenly: it survives grey printing and colour
    blindness.

    Args:
        localization_map: (H, W) in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    levels = np.rint(np.clip(localization_map, 0, 1) * np.float32(255)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def draw_overlay(
    pixels: np.ndarray, localization_map: np.ndarray, pred_mask: np.ndarray, *, opacity: float = 0.5
) -> np.ndarray:
    """Tint the photo where the map is high, and outline the mask.

    One colour, rare in photos, and the more of it the higher the map: nothing below 0.25, then evenly up to
    ``opacity`` at 0.75. The outline is white between dark rims, so that it shows on light and dark ground,
    and grows with the photo.

    Args:
        pixels: (H, W, 3) uint8 RGB; not changed.
        localization_map: (H, W) in [0, 1].
        pred_mask: (H, W) bool.
        opacity: Share of the tint where the map is highest, in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture = pixels.copy()
    for top in range(0, len(pixels), _ROWS):
        rows = slice(top, top + _ROWS)
        strength = np.clip((localization_map[rows] - _TINT_FROM) / (_TINT_FULL - _TINT_FROM), 0, 1)
        share = (opacity * strength).astype(np.float32)
        picture[rows] = cv2.blendLinear(pixels[rows], np.full_like(pixels[rows], _TINT), 1 - share, share)
    outlines, _ = cv2.findContours(pred_mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    width = max(1, round(min(pixels.shape[:2]) / 300))
    line = cv2.LINE_AA if width < 4 else cv2.LINE_8  # smoothing a wide line is slow and changes little
    cv2.drawContours(picture, outlines, -1, (0, 0, 0), width + 2 * max(1, width // 2), line)
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), width, line)
    return picture


def side_by_side(
    pixels: np.ndarray, localization_map: np.ndarray, pred_mask: np.ndarray, *, height: int = 320
) -> np.ndarray:
    """The photo, its overlay and its map in one titled row.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        localization_map: (H, W) in [0, 1].
        pred_mask: (H, W) bool.
        height: Height of each picture in the row, in pixels.

    Returns:
        uint8 RGB, ``height`` and a title line high.
    """
    size = height, max(1, round(height * pixels.shape[1] / pixels.shape[0]))
    small = resize_pixels(pixels, size)
    values = resize_map(localization_map, size)
    mask = resize_map(pred_mask, size) > 0.5
    return titled_row([("photo", small), ("overlay", draw_overlay(small, values, mask)), ("map", heat_colours(values))])


def titled_row(pictures: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Put pictures of one height beside each other on white, each under its title.

    Args:
        pictures: (title, (H, W, 3) uint8 RGB) from left to right.

    Returns:
        uint8 RGB.
    """
    height = pictures[0][1].shape[0]
    gap, line = max(4, height // 40), max(16, height // 12)
    width = sum(picture.shape[1] + gap for _, picture in pictures) + gap
    row = Image.new("RGB", (width, gap + line + height + gap), "white")
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(round(0.7 * line))
    left = gap
    for title, picture in pictures:
        draw.text((left, gap + line // 2), title, fill="black", font=font, anchor="lm")
        row.paste(Image.fromarray(picture), (left, gap + line))
        left += picture.shape[1] + gap
    return np.array(row)
