"""A comparison as a page that needs nothing beside it."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from vilaco.compare.compare import Comparison, difference_picture, in_words
from vilaco.images import encode_jpeg, resize_pixels
from vilaco.report.html import render_page
from vilaco.report.overlay import draw_overlay
from vilaco.report.views import reduced_size

SIDE, SMALL_SIDE = 1400, 800
"""Longer side of the overlay and of the other pictures, in pixels."""


def overlay(comparison: Comparison) -> NDArray[np.uint8]:
    """The suspect with the changed regions tinted and outlined, RGB, at its own size."""
    strength = comparison.mask.astype(np.float32)
    return np.asarray(draw_overlay(comparison.suspect, strength, comparison.mask), np.uint8)


def render_comparison(comparison: Comparison) -> str:
    """The report, for screen and paper alike.

    Args:
        comparison: What was found.
    """
    headline, sentences = in_words(comparison.row)
    return render_page(
        "compare.html.jinja",
        None,
        row=comparison.row,
        headline=headline,
        sentences=sentences,
        overlay=_jpeg(overlay(comparison), SIDE),
        suspect=_jpeg(comparison.suspect, SMALL_SIDE),
        original=_jpeg(comparison.original, SMALL_SIDE),
        difference=_jpeg(difference_picture(comparison), SMALL_SIDE),
        size=comparison.suspect.shape[:2],
        made_at=datetime.now(UTC),
    )


def _jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    return encode_jpeg(resize_pixels(pixels, reduced_size((pixels.shape[0], pixels.shape[1]), side)), 88)
