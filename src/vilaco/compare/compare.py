"""Compare a suspect with its original, and say in words and numbers what was found."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from vilaco.compare.changes import MARKED, changed_mask, deviation
from vilaco.compare.explain import explain
from vilaco.compare.register import covered, lay_over, register
from vilaco.evidence.reading import read_evidence
from vilaco.images import MAX_PIXELS, load_photo
from vilaco.matching import Floats
from vilaco.names import one_line
from vilaco.result import Region, find_regions


class ComparisonRow(BaseModel):
    """What `vilaco compare --json` prints.

    Attributes:
        suspect: Path as given.
        original: Likewise.
        related: Whether the one is seen in the other at all; all that follows is ``None`` or empty if not.
        same_pixels: Whether every pixel that both have is the same, as they lie.
        matrix: Takes x, y of the suspect to the original, upright pixels: two rows of three.
        scale: Length in the suspect of what is 1 long in the original.
        rotation: Degrees by which the suspect was turned, clockwise as seen.
        mirrored: Whether it was mirrored.
        seen: Share of the original that the suspect shows, in [0, 1].
        covered: Share of the suspect that the original explains.
        brightness: Mean change by the curves, in grey levels.
        blur: Standard deviation in pixels of the blur that explains most.
        jpeg_quality: Of the suspect's own tables, where it is a JPEG.
        difference: Median difference that is left, in grey levels.
        regions: What is not explained, the largest first; ``mean_score`` is the strength in [0, 1].
        matches: Keypoints that agree.
        seconds: That it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suspect: str
    original: str
    related: bool
    same_pixels: bool = False
    matrix: tuple[tuple[float, ...], ...] | None = None
    scale: float | None = None
    rotation: float | None = None
    mirrored: bool | None = None
    seen: float | None = None
    covered: float | None = None
    brightness: float | None = None
    blur: float | None = None
    jpeg_quality: int | None = None
    difference: float | None = None
    regions: tuple[Region, ...] = ()
    matches: int = 0
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A suspect beside its original.

    Attributes:
        row: What was found, in numbers.
        suspect: Upright pixels.
        original: Likewise.
        explained: The original as the suspect should look; ``None`` where they are not related.
        difference: Of each place, in grey levels, ``(H, W)``.
        mask: What is not explained, ``(H, W)`` bool.
    """

    row: ComparisonRow
    suspect: NDArray[np.uint8]
    original: NDArray[np.uint8]
    explained: NDArray[np.uint8] | None
    difference: Floats
    mask: NDArray[np.bool_]


def compare(suspect: str | Path, original: str | Path, *, max_pixels: int = MAX_PIXELS) -> Comparison:
    """Find what of a suspect its original does not explain.

    Args:
        suspect: The file in question.
        original: The file that it may have been made from.
        max_pixels: Larger pictures are refused.

    Raises:
        ImageError: If one of them cannot be read.
    """
    started = time.perf_counter()
    photo, source = (load_photo(path, max_pixels=max_pixels) for path in (suspect, original))
    ours, theirs = (np.asarray(each.upright(each.pixels), np.uint8) for each in (photo, source))
    names: dict[str, Any] = {"suspect": str(suspect), "original": str(original)}
    size = (ours.shape[0], ours.shape[1])
    laid = register(ours, theirs)
    if laid is None and ours.shape == theirs.shape and np.array_equal(ours, theirs):
        matrix, matches = np.eye(2, 3), 0
    elif laid is None:
        row = ComparisonRow(**names, related=False, seconds=round(time.perf_counter() - started, 3))
        nothing = np.zeros(size, np.float32)
        return Comparison(row, ours, theirs, None, nothing, nothing > 0)
    else:
        matrix, matches = laid.matrix, laid.inliers
    over, valid = lay_over(theirs, matrix, size), covered(theirs.shape, matrix, size)
    same = bool((ours[valid] == over[valid]).all())
    evidence = read_evidence(suspect, photo)
    tables, subsampling = _tables(suspect) if photo.orientation == 1 else (None, 0)
    explained = explain(ours, over, valid, None if same else tables, subsampling)
    difference, above = deviation(ours, explained.pixels, valid)
    mask = changed_mask(difference, above)
    linear = matrix[:, :2]
    mirrored = bool(np.linalg.det(linear) < 0)
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    turn = np.degrees(np.arctan2(-linear[1, 0], -linear[0, 0] if mirrored else linear[0, 0]))
    shown = valid.sum() * abs(np.linalg.det(linear)) / (theirs.shape[0] * theirs.shape[1])
    row = ComparisonRow(
        **names,
        related=True,
        same_pixels=same,
        matrix=tuple(tuple(round(float(value), 6) for value in line) for line in matrix),
        scale=round(1.0 / scale, 4),
        rotation=round(float(turn), 2) + 0.0,
        mirrored=mirrored,
        seen=round(min(1.0, float(shown)), 4),
        covered=round(float(valid.mean()), 4),
        brightness=round(explained.brightness, 2),
        blur=explained.blur,
        jpeg_quality=evidence.jpeg.quality if evidence.jpeg is not None else None,
        difference=round(float(np.median(difference[valid])), 3) if valid.any() else None,
        regions=find_regions(mask, np.clip(above / (4 * MARKED), 0, 1).astype(np.float32)),
        matches=matches,
        seconds=round(time.perf_counter() - started, 3),
    )
    return Comparison(row, ours, theirs, explained.pixels, difference, mask)


def in_words(row: ComparisonRow) -> tuple[str, tuple[str, ...]]:
    """A headline, and sentences on what was found."""
    if not row.related:
        return "Not the same picture", (
            "Too few details agree for the one to have been made from the other, as far as this can see: very small, "
            "blank or strongly distorted pictures cannot be told.",
        )
    sentences = []
    if row.same_pixels:
        sentences.append("Every pixel that both have is the same.")
    else:
        did = []
        if row.seen is not None and row.seen < 0.98:
            did.append(f"cropped to {100 * row.seen:.0f}% of the original")
        if row.scale is not None and abs(row.scale - 1) > 0.005:
            did.append(f"scaled to {row.scale:.3g} times the size")
        if row.rotation is not None and abs(row.rotation) > 0.1:
            did.append(f"turned by {row.rotation:.1f}°")
        did += ["mirrored"] if row.mirrored else []
        if row.brightness is not None and abs(row.brightness) >= 1:
            did.append(f"made {'brighter' if row.brightness > 0 else 'darker'} by {abs(row.brightness):.0f} levels")
        if row.blur:
            did.append(f"softened (about {row.blur:g} pixels)")
        if row.jpeg_quality is not None:
            did.append(f"saved as JPEG at about quality {row.jpeg_quality}")
        sentences.append(
            f"The whole picture was {', '.join(did)}." if did else "Nothing was done to the whole picture."
        )
    count = len(row.regions)
    if not count:
        return "Nothing is left unexplained", (*sentences, "No region differs by more than that leaves.")
    area = sum(region.area for region in row.regions)
    regions = "One region differs" if count == 1 else f"{count} regions differ"
    return (
        "One region is changed" if count == 1 else f"{count} regions are changed",
        (*sentences, f"{regions} by more than that leaves, {area:,} pixels in all."),
    )


def difference_picture(comparison: Comparison) -> NDArray[np.uint8]:
    """What is left between the suspect and what explains it, four times as bright, RGB."""
    if comparison.explained is None:
        return np.zeros_like(comparison.suspect)
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(comparison.suspect, comparison.explained), alpha=4.0), np.uint8)


def text_line(row: ComparisonRow) -> str:
    """One line for the terminal."""
    headline, sentences = in_words(row)
    return one_line(f"{headline}. {' '.join(sentences)}")


def _tables(path: str | Path) -> tuple[dict[int, list[int]] | None, int]:
    """Quantisation tables and subsampling of a colour JPEG; its pixels lie on the grid that they were made for."""
    with Image.open(path) as picture:
        if picture.format not in ("JPEG", "MPO") or picture.mode != "RGB":
            return None, 0
        from PIL import JpegImagePlugin

        sampling = JpegImagePlugin.get_sampling(picture)
        tables = {number: list(table) for number, table in picture.quantization.items()}  # type: ignore[attr-defined]
        return tables, sampling if sampling >= 0 else 0
