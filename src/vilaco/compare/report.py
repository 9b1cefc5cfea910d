"""A comparison as files: pictures and numbers, and a page that needs nothing beside it."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.compare.compare import Comparison, difference_picture
from vilaco.compare.words import put_in_words
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, encode_png, resize_pixels
from vilaco.report.html import render_page
from vilaco.report.overlay import draw_overlay
from vilaco.report.views import reduced_size

SIDE, SMALL_SIDE = 1400, 800
"""Longer side of the overlay and of the other pictures, in pixels."""


def save_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``mask.png``, ``difference.png``, ``overlay.jpg``, ``explained.jpg`` and ``comparison.json``.

    The pictures are of the suspect's own size, upright. ``explained.jpg`` is the original as the suspect should look,
    and is not written where they are not related.

    Args:
        comparison: What was found.
        folder: Made if need be.

    Raises:
        VilacoError: If a file cannot be written.
    """
    write_atomically(folder / "mask.png", encode_png(comparison.mask.astype(np.uint8) * 255))
    difference = cv2.cvtColor(difference_picture(comparison), cv2.COLOR_RGB2BGR)
    write_atomically(folder / "difference.png", cv2.imencode(".png", difference)[1].tobytes())
    write_atomically(folder / "overlay.jpg", encode_jpeg(overlay(comparison), 90))
    if comparison.explained is not None:
        write_atomically(folder / "explained.jpg", encode_jpeg(comparison.explained, 95))
    write_atomically(folder / "comparison.json", comparison.row.model_dump_json(indent=1).encode() + b"\n")


def overlay(comparison: Comparison) -> NDArray[np.uint8]:
    """The suspect with the changed regions tinted and outlined, RGB, at its own size."""
    strength = comparison.mask.astype(np.float32)
    return np.asarray(draw_overlay(comparison.suspect, strength, comparison.mask), np.uint8)


def render_comparison(comparison: Comparison) -> str:
    """The report, for screen and paper alike.

    Args:
        comparison: What was found.
    """
    return render_page(
        "compare.html.jinja",
        None,
        row=comparison.row,
        words=put_in_words(comparison.row),
        overlay=_jpeg(overlay(comparison), SIDE),
        suspect=_jpeg(comparison.suspect, SMALL_SIDE),
        original=_jpeg(comparison.original, SMALL_SIDE),
        difference=_jpeg(difference_picture(comparison), SMALL_SIDE),
        size=comparison.suspect.shape[:2],
        made_at=datetime.now(UTC),
    )


def _jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    return encode_jpeg(resize_pixels(pixels, reduced_size((pixels.shape[0], pixels.shape[1]), side)), 88)
