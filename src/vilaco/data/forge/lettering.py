"""Text overlay: a date, a price, a name or a headline written onto a picture."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vilaco.data.forge.blending import Patch
from vilaco.data.forge.shapes import Frame, pick

HEADLINES = (
    "BREAKING NEWS", "EXCLUSIVE", "SOLD OUT", "For sale", "CLOSED", "Wanted", "NO ENTRY", "Paid in full",
    "APPROVED", "Private property", "Welcome", "Grand opening", "Live", "Vote today", "Free entry", "Police",
"Danger", "Platform 4", )  # fmt: skip
PLACES = ("Berlin", "Lagos", "Lima", "Oslo", "Pune", "Quito", "Seoul", "Tunis", "Vienna", "Wellington")
COLOURS = ((255, 255, 255), (20, 20, 20), (255, 220, 60), (255, 150, 40), (210, 30, 40), (40, 70, 160))
COLOUR_SHARES = (0.4, 0.2, 0.12, 0.1, 0.1, 0.08)


def write(frame: Frame, rng: np.random.Generator) -> Patch:
    """Draw a line of text as a patch.

    Its weights are the glyphs' coverage, so the mask is the ink and not a box.

    The font is the one Pillow carries within itself (Aileron, CC0), so that every machine draws the same
    pixels.

    Args:
        frame: Where the text may lie.
        rng: Random numbers.

    Returns:
        The patch, in one colour, sometimes with a shadow or turned by a few degrees.
    """
    words = _words(rng)
    height = float(rng.uniform(0.055, 0.16)) * frame.height
    ink = _ink(words, max(14, round(height)))
    fit = min(1.0, 0.94 * frame.width / ink.shape[1], 0.9 * frame.height / ink.shape[0])
    ink = cv2.resize(ink, None, fx=fit, fy=fit, interpolation=cv2.INTER_AREA) if fit < 1.0 else ink
    if rng.random() < 0.3:
        ink = _turned(ink, float(rng.normal(0.0, 6.0)))
    colour = np.array(pick(rng, COLOURS, COLOUR_SHARES), np.float32)
    weight, pixels = ink, np.broadcast_to(colour, (*ink.shape, 3))
    if rng.random() < 0.35:
        weight, pixels = _with_shadow(ink, colour, offset=max(1, round(height / 16)))
    opacity = np.float32(rng.uniform(0.75, 1.0))
    rows, columns = weight.shape
    top = frame.top + int(rng.integers(max(1, frame.height - rows + 1)))
    left = frame.left + int(rng.integers(max(1, frame.width - columns + 1)))
    return Patch(np.rint(pixels).astype(np.uint8), weight * opacity, top, left, "glyphs")


def _words(rng: np.random.Generator) -> str:
    day, month, year = (int(rng.integers(low, high)) for low, high in ((1, 29), (1, 13), (1998, 2027)))
    place = PLACES[rng.integers(len(PLACES))]
    choices = (
        f"{day:02d}.{month:02d}.{year}",
        f"{year}/{month:02d}/{day:02d} {int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}",
        f"{place}, {year}",
        f"{int(rng.integers(1, 1000))}.{int(rng.integers(100)):02d}",
        f"{place[:2].upper()} {int(rng.integers(1000, 9999))}",
        HEADLINES[rng.integers(len(HEADLINES))],
        HEADLINES[rng.integers(len(HEADLINES))],
    )
    return choices[rng.integers(len(choices))]


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _ink(words: str, size: int) -> np.ndarray:
    """Coverage of the glyphs in [0, 1], cut to their box, ``(h, w)`` float32."""
    font = _font(size)
    left, top, right, bottom = font.getbbox(words)
    canvas = Image.new("L", (int(np.ceil(right - left)) + 2, int(np.ceil(bottom - top)) + 2))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), words, fill=255, font=font)
    return np.asarray(canvas, np.float32) / 255.0


def _turned(ink: np.ndarray, degrees: float) -> np.ndarray:
    height, width = ink.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), degrees, 1.0)
    box = np.ceil(np.abs(matrix[:, :2]) @ (width, height)).astype(int)
    matrix[:, 2] += (box - (width, height)) / 2.0
    return np.asarray(cv2.warpAffine(ink, matrix, (int(box[0]), int(box[1])), flags=cv2.INTER_LINEAR))


def _with_shadow(ink: np.ndarray, colour: np.ndarray, *, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Ink over its own dark shadow: joint coverage and colour."""
    front = np.pad(ink, ((0, offset), (0, offset)))
    shadow = 0.6 * np.pad(ink, ((offset, 0), (offset, 0)))
    weight = front + (1.0 - front) * shadow
    share = np.divide(front, weight, out=np.zeros_like(front), where=weight > 0.0)
    return weight.astype(np.float32), share[..., None] * colour
