"""What two pictures have in common, in words and numbers: the kind, how they lie over each other, regions, strength."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vilaco.reuse.agree import Agreement, agreements
from vilaco.reuse.register import MIN_SHIFT, Laid, invert

Kind = Literal["copy", "shared region", "repeat"]
Origin = Literal["same pixels", "same scene", "cannot tell"]
Strength = Literal["strong", "moderate", "weak"]

COPY_SHARE, COPY_OVERLAP = 0.6, 0.25
"""How much of what has texture agrees where copies overlap; and how much of the smaller one overlaps."""
SAME_FINE, SAME_HELD = 0.75, 0.6
"""Fine detail of the same pixels correlates so; and of the matches at least this share lies where they agree."""
COPY_FINE = 0.55
"""As `SAME_FINE`, where as much agrees as in copies: reduced or strongly compressed ones keep little fine detail."""
SCENE_MATCHES, SCENE_HELD = 16, 0.5
"""So many matches, of which less than this share lies where pixels agree: the same things, from another shot."""
STRONG_MATCHES, MODERATE_MATCHES = 10, 6
STRONG_AREA = 900
"""Pixels of the coarser picture."""
MAX_OVERLAP = 0.25
"""Intersection over union of the boxes of a repeat, from which on it is a pattern laid over itself."""
DRAWN = 0.8
"""Share of a region near blank ground from which on it is lettering, lines or scales, which repeat by nature."""
RECURRING = 5
"""Pictures, copies of one counted once, from which on what lies in them all is taken for a logo, a header or a mark."""
_MOST_REGIONS = 10
_MOST_CORNERS = 40


class Outline(BaseModel):
    """A region in one picture, in that file's own pixels, upright.

    Attributes:
        box: x, y, width, height.
        polygon: x, y of its corners, clockwise or counter-clockwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: tuple[int, int, int, int]
    polygon: tuple[tuple[float, float], ...]


class SharedRegion(BaseModel):
    """A region that two pictures, or two places of one, have in common.

    Attributes:
        first: Its outline in the first picture.
        second: In the second.
        matrix: Takes x, y of the first to the second, both in their files' own pixels: two rows of three.
        mirrored: Whether it is turned over.
        scale: Length in the second of what is 1 long in the first.
        rotation: Degrees, clockwise as seen.
        matches: Keypoints in it that agree.
        laid: Keypoints that agree on this way of laying the pictures over each other, in the region or not.
        area: Pixels of the coarser picture, as it was looked at.
        correlation: Of small windows where they agree, in [0, 1].
        fine_correlation: Of what is finer than a pixel or two, in [-1, 1]; ``None`` where there is none.
        share: Of what has texture where the pictures overlap, how much agrees, in [0, 1].
        overlap: Share of the smaller picture that the other covers.
        drawn: Share of what agrees that lies close to blank ground: lettering, lines, scales.
        origin: The same pixels, the same scene shot again, or cannot tell.
        recurs: Pictures of the collection in which at least half of it lies, copies of one counted once; 0 until all
            pairs are known.
        strength: How sure it is; what "strong" was worth on a benchmark is in the guide.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Outline
    second: Outline
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    mirrored: bool
    scale: float
    rotation: float
    matches: int
    laid: int
    area: int
    correlation: float
    fine_correlation: float | None
    share: float
    overlap: float
    drawn: float
    origin: Origin
    recurs: int = 0
    strength: Strength


class Finding(BaseModel):
    """What two pictures have in common.

    Attributes:
        kind: Copy, shared region, or a repeat within one picture.
        regions: At least one, the surest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    regions: tuple[SharedRegion, ...]

    @property
    def best(self) -> SharedRegion:
        """The region that the finding is judged by."""
        return self.regions[0]


def rank(region: SharedRegion) -> tuple[int, int, float]:
    """Sorts the surest first."""
    order = {"strong": 0, "moderate": 1, "weak": 2}
    origins = {"same pixels": 0, "cannot tell": 1, "same scene": 2}
    return order[region.strength], origins[region.origin], -region.matches * max(region.fine_correlation or 0.0, 0.1)


def find(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    ways: Sequence[Laid],
    first_factor: float,
    second_factor: float,
    *,
    itself: bool = False,
) -> Finding | None:
    """Look where two pictures agree, laid over each other in several ways.

    Args:
        first: Grey levels of the one picture, as it is looked at, ``(H, W)``.
        second: Of the other.
        ways: How they may lie over each other, in their files' own pixels.
        first_factor: By which the sides of the first were reduced.
        second_factor: Likewise of the second.
        itself: Whether both are the same picture.

    Returns:
        ``None`` where they have nothing in common.
    """
    found: list[SharedRegion] = []
    whole = False
    for way in ways:
        reduced = _reduced(way, first_factor, second_factor)
        if itself and (_hardly_moves(reduced) or _known(way, found)):
            continue
        agreed = agreements(first, second, reduced)
        held = sum(each.inliers for each in agreed)
        for each in agreed:
            found.append(_region(each, way.inliers, held, first_factor, second_factor))
            whole |= each.share >= COPY_SHARE and each.overlap >= COPY_OVERLAP
        if not agreed and way.inliers >= SCENE_MATCHES and not itself:
            found.append(_scene(reduced, first.shape, first_factor, second_factor))
        if whole:
            break
    if itself:  # what is weak or lies over itself here is everyday repetition: windows, leaves, letters, blinds
        found = [region for region in found if region.strength != "weak" and _overlap(region) < MAX_OVERLAP]
    if not found:
        return None
    regions = tuple(sorted(found, key=rank)[:_MOST_REGIONS])
    kind: Kind = "repeat" if itself else "copy" if whole and regions[0].origin != "same scene" else "shared region"
    return Finding(kind=kind, regions=regions)


def judge_origin(*, held: int, laid: int, fine: float | None, share: float) -> Origin:
    """Tell the same pixels from the same scene.

    Of two shots of one scene the matches agree from edge to edge, while pixels agree in spots only, and their noise and
    finest detail nowhere.

    Args:
        held: Matches in all regions of this way of laying the pictures over each other.
        laid: Matches that agree on this way.
        fine: Correlation of fine detail.
        share: Of what has texture where the pictures overlap, how much agrees.

    Example:
        >>> judge_origin(held=95, laid=100, fine=0.9, share=0.1)
        'same pixels'
        >>> judge_origin(held=12, laid=160, fine=0.5, share=0.1)
        'same scene'
    """
    if laid >= SCENE_MATCHES and held < SCENE_HELD * laid:
        return "same scene"
    needed = COPY_FINE if share >= COPY_SHARE else SAME_FINE
    if fine is not None and fine >= needed and held >= SAME_HELD * laid:
        return "same pixels"
    return "cannot tell"


def judge_strength(*, origin: Origin, matches: int, area: int, drawn: float) -> Strength:
    """How sure a region is.

    Example:
        >>> judge_strength(origin="same pixels", matches=40, area=5000, drawn=0.2)
        'strong'
        >>> judge_strength(origin="same pixels", matches=40, area=5000, drawn=0.95)
        'weak'
    """
    telling = matches * (1.0 - drawn)
    if drawn >= DRAWN or telling < MODERATE_MATCHES:
        return "weak"
    if origin == "same pixels" and telling >= STRONG_MATCHES and area * (1.0 - drawn) >= STRONG_AREA:
        return "strong"
    return "moderate"


def _overlap(region: SharedRegion) -> float:
    """Intersection over union of a region's two boxes in one picture."""
    (x, y, width, height), (left, top, across, down) = region.first.box, region.second.box
    shared = max(0, min(x + width, left + across) - max(x, left)) * max(0, min(y + height, top + down) - max(y, top))
    return shared / (width * height + across * down - shared)


def _region(each: Agreement, laid: int, held: int, first_factor: float, second_factor: float) -> SharedRegion:
    area = int(each.mask.sum())
    origin = judge_origin(held=held, laid=laid, fine=each.fine, share=each.share)
    matrix = _full_size(each.matrix, first_factor, second_factor)
    own, factor = _contour(each.mask), first_factor if each.in_first else second_factor
    corners = (own + 0.5) / factor - 0.5
    across = matrix if each.in_first else invert(matrix)
    theirs = corners @ across[:, :2].T + across[:, 2]
    outlines = (corners, theirs) if each.in_first else (theirs, corners)
    return _shared(
        outlines,
        matrix,
        matches=each.inliers,
        laid=laid,
        area=area,
        correlation=each.correlation,
        fine=each.fine,
        share=each.share,
        overlap=each.overlap,
        drawn=each.drawn,
        origin=origin,
    )


def _scene(way: Laid, size: tuple[int, ...], first_factor: float, second_factor: float) -> SharedRegion:
    """The hull of matches of two pictures whose pixels agree nowhere."""
    hull = cv2.convexHull(way.points.astype(np.float32))[:, 0].astype(np.float64)
    corners = (hull + 0.5) / first_factor - 0.5
    matrix = _full_size(way.matrix, first_factor, second_factor)
    theirs = corners @ matrix[:, :2].T + matrix[:, 2]
    area = cv2.contourArea(hull.astype(np.float32))
    return _shared(
        (corners, theirs),
        matrix,
        matches=way.inliers,
        laid=way.inliers,
        area=int(area),
        correlation=0.0,
        fine=None,
        share=0.0,
        overlap=float(min(1.0, area / (size[0] * size[1]))),
        drawn=0.0,
        origin="same scene",
    )


def _shared(
    outlines: tuple[NDArray[np.float64], NDArray[np.float64]],
    matrix: NDArray[np.float64],
    *,
    matches: int,
    laid: int,
    area: int,
    correlation: float,
    fine: float | None,
    share: float,
    overlap: float,
    drawn: float,
    origin: Origin,
) -> SharedRegion:
    way = Laid(matrix, np.zeros((0, 2)))
    rows = [[round(float(value), 5) for value in row] for row in matrix]
    return SharedRegion(
        first=_outline(outlines[0]),
        second=_outline(outlines[1]),
        matrix=(tuple(rows[0]), tuple(rows[1])),
        mirrored=way.mirrored,
        scale=round(way.scale, 4),
        rotation=round(way.rotation, 2),
        matches=matches,
        laid=laid,
        area=area,
        correlation=round(correlation, 4),
        fine_correlation=None if fine is None else round(fine, 4),
        share=round(share, 4),
        overlap=round(overlap, 4),
        drawn=round(drawn, 4),
        origin=origin,
        strength=judge_strength(origin=origin, matches=matches, area=area, drawn=drawn),
    )


def _outline(corners: NDArray[np.float64]) -> Outline:
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    box = (int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1))
    return Outline(box=box, polygon=tuple((round(float(x), 1), round(float(y), 1)) for x, y in corners))


def _contour(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The outer outline of a region's largest part, with few corners, ``(N, 2)``."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(outlines, key=cv2.contourArea)
    slack = 1.0
    while len(largest) > _MOST_CORNERS:
        largest = cv2.approxPolyDP(largest, slack, closed=True)
        slack *= 1.5
    return np.asarray(largest[:, 0], np.float64)


def _reduced(way: Laid, first_factor: float, second_factor: float) -> Laid:
    """From files' own pixels to those that are looked at."""
    return Laid(
        _full_size(way.matrix, 1.0 / first_factor, 1.0 / second_factor),
        (way.points + 0.5) * first_factor - 0.5,
    )


def _full_size(matrix: NDArray[np.float64], first_factor: float, second_factor: float) -> NDArray[np.float64]:
    """A matrix between reduced pictures as one between the files' own pixels, whose centres lie at half."""
    linear = matrix[:, :2] * (first_factor / second_factor)
    shift = (matrix[:, :2] @ np.full(2, 0.5 * first_factor - 0.5) + matrix[:, 2] + 0.5) / second_factor - 0.5
    return np.hstack([linear, shift[:, None]])


def _hardly_moves(way: Laid) -> bool:
    """Whether a picture is laid over itself as it is."""
    moved = way.points @ way.matrix[:, :2].T + way.matrix[:, 2] - way.points
    return bool(np.linalg.norm(moved, axis=1).mean() < MIN_SHIFT)


def _known(way: Laid, found: Sequence[SharedRegion]) -> bool:
    """Whether a repeat was found from its other end."""
    there = way.points @ way.matrix[:, :2].T + way.matrix[:, 2]
    for region in found:
        matrix = np.array(region.matrix)
        back = there @ matrix[:, :2].T + matrix[:, 2]
        if np.linalg.norm(back - way.points, axis=1).mean() < MIN_SHIFT / 2:
            return True
    return False
