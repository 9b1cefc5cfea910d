"""A search for reuse as pages: the summary of all pairs, and the report of one to hand on."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vilaco.images import encode_jpeg, resize_pixels
from vilaco.report.html import render_page
from vilaco.reuse.describe import PictureRow
from vilaco.reuse.finding import Outline, SharedRegion
from vilaco.reuse.words import Sentences, put_in_words
from vilaco.scan.judge import fit

if TYPE_CHECKING:
    from vilaco.reuse.results import Pair

CARD_SIDE, REPORT_SIDE, CLOSE_SIDE = 420, 1400, 480
"""Longer side of a picture on the page, in a report, and of a close-up, in pixels."""
SHOWN_GROUPS, NAMED_OF_A_GROUP, SHOWN_OF_A_GROUP, NAMED_FAILURES = 20, 100, 6, 50

Read = Callable[[str], np.ndarray | None]


@dataclass(frozen=True)
class Sheet:
    """One picture with outlines.

    Attributes:
        path: What it is called.
        jpeg: Reduced, or ``None`` where the file has gone.
        width: In the file's own pixels.
        height: Likewise.
        outlines: Points of polygons as SVG has them, in the file's own pixels, and a number for each.
        stroke: Width of a line, in the file's own pixels.
    """

    path: str
    jpeg: bytes | None
    width: int
    height: int
    outlines: tuple[tuple[str, int], ...]
    stroke: float


@dataclass(frozen=True)
class Card:
    """One pair as the page shows it."""

    pair: "Pair"
    words: Sentences
    sheets: tuple[Sheet, ...]


def render_summary(
    pairs: Sequence["Pair"],
    total: int,
    groups: Sequence[Sequence[str]],
    rows: Mapping[str, PictureRow],
    roles: tuple[set[str], set[str]],
    read: Read,
) -> str:
    """The page of all pairs, in the order given.

    Args:
        pairs: Those shown.
        total: How many there are.
        groups: Of copies.
        rows: Of the pictures, by path.
        roles: Paths searched for, and searched in.
        read: Gives the pixels of a picture.
    """
    strips = [
        (group[:NAMED_OF_A_GROUP], len(group), [_sheet(path, (), rows, read, 160) for path in group[:SHOWN_OF_A_GROUP]])
        for group in groups[:SHOWN_GROUPS]
    ]
    failures = [row for row in rows.values() if row.error_code is not None]
    return render_page(
        "reuse.html.jinja",
        "reuse.js",
        cards=[Card(pair, put_in_words(pair), _sheets(pair, rows, read, CARD_SIDE)) for pair in pairs],
        total=total,
        groups=groups,
        strips=strips,
        pictures=len(rows),
        against=0 if roles[0] == roles[1] else len(roles[1]),
        failures=failures[:NAMED_FAILURES],
        failed=len(failures),
        counts=Counter(pair.strength for pair in pairs),
        kinds=Counter(pair.kind for pair in pairs),
        made_at=datetime.now(UTC),
    )


def render_pair(pair: "Pair", rows: Mapping[str, PictureRow], read: Read, *, interactive: bool) -> str:
    """The report of one pair, a page that needs nothing beside it.

    Args:
        pair: Which.
        rows: Of the pictures, by path.
        read: Gives the pixels of a picture.
        interactive: Whether it is for a screen.
    """
    return render_page(
        "pair.html.jinja",
        None,
        pair=pair,
        words=put_in_words(pair),
        sheets=_sheets(pair, rows, read, REPORT_SIDE),
        close=close_up(pair, read),
        files=[rows[path] for path in dict.fromkeys((pair.first, pair.second))],
        on_screen=interactive,
        made_at=datetime.now(UTC),
    )


def close_up(pair: "Pair", read: Read) -> tuple[bytes, bytes, bytes] | None:
    """The surest region of both pictures laid over each other, and their difference made bright; JPEGs."""
    if not pair.regions:
        return None
    first, second = read(pair.first), read(pair.second)
    if first is None or second is None:
        return None
    region = pair.regions[0]
    x, y, width, height = region.first.box
    margin = max(8, max(width, height) // 8)
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(first.shape[1], x + width + margin), min(first.shape[0], y + height + margin)
    if right <= left or bottom <= top:
        return None
    zoom = min(4.0, CLOSE_SIDE / max(right - left, bottom - top))
    size = max(1, round((right - left) * zoom)), max(1, round((bottom - top) * zoom))
    step = np.array([(right - left) / size[0], (bottom - top) / size[1]])
    to_first = np.hstack([np.diag(step), (0.5 * step - 0.5 + (left, top))[:, None]])
    matrix = np.array(region.matrix)
    to_second = np.hstack([matrix[:, :2] @ to_first[:, :2], (matrix[:, :2] @ to_first[:, 2] + matrix[:, 2])[:, None]])
    ours, theirs = _cut(first, to_first, size), _cut(second, to_second, size)
    difference = cv2.absdiff(ours, theirs).astype(np.float32) * 3.0
    return (
        encode_jpeg(ours, 90),
        encode_jpeg(theirs, 90),
        encode_jpeg(np.clip(difference, 0, 255).astype(np.uint8), 85),
    )


def _cut(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A part of a picture on another grid; reduced by area first where it shrinks."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale > 1.5:
        small = max(1, round(pixels.shape[0] / scale)), max(1, round(pixels.shape[1] / scale))
        factors = np.array([small[1] / pixels.shape[1], small[0] / pixels.shape[0]])
        pixels = resize_pixels(pixels, small)
        matrix = matrix * factors[:, None]
        matrix[:, 2] += 0.5 * factors - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(pixels, matrix, size, flags=flags), np.uint8)


def _sheets(pair: "Pair", rows: Mapping[str, PictureRow], read: Read, side: int) -> tuple[Sheet, ...]:
    regions: tuple[SharedRegion, ...] = pair.regions
    firsts, seconds = [region.first for region in regions], [region.second for region in regions]
    if pair.first == pair.second:
        return (_sheet(pair.first, (*firsts, *seconds), rows, read, side, pairs=len(regions)),)
    return _sheet(pair.first, firsts, rows, read, side), _sheet(pair.second, seconds, rows, read, side)


def _sheet(
    path: str, outlines: Sequence[Outline], rows: Mapping[str, PictureRow], read: Read, side: int, *, pairs: int = 0
) -> Sheet:
    pixels = read(path)
    row = rows[path]
    width, height = row.width or 1, row.height or 1
    jpeg = None if pixels is None else encode_jpeg(resize_pixels(pixels, fit(pixels.shape[:2], side)), 82)
    points = tuple(
        (" ".join(f"{x:g},{y:g}" for x, y in outline.polygon), index % (pairs or len(outlines)) + 1)
        for index, outline in enumerate(outlines)
    )
    return Sheet(path, jpeg, width, height, points, max(width, height) / 160)
