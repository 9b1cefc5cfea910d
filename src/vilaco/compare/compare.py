"""Compare a suspect with its original."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.compare.changes import MARKED, changed_mask, deviation, largest_difference
from vilaco.compare.explain import explain
from vilaco.compare.jpeg import MAX_SIDE, JpegSave, guess_save
from vilaco.compare.register import covered, lay_over, register
from vilaco.compare.row import ComparisonRow
from vilaco.evidence.jpeg import JpegEvidence
from vilaco.evidence.reading import read_evidence
from vilaco.images import MAX_PIXELS, Photo, load_photo
from vilaco.matching import Floats
from vilaco.result import find_regions


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
    photo, source = (load_photo(path, max_pixels=max_pixels) for path in (suspect, original))
    return compare_photos(photo, source, read_evidence(suspect, photo).jpeg)


def compare_photos(photo: Photo, source: Photo, jpeg: JpegEvidence | None) -> Comparison:
    """Find what of a suspect its original does not explain, once both are decoded.

    Args:
        photo: The suspect.
        source: The original.
        jpeg: How the suspect's file was saved last, where it is a JPEG.
    """
    started = time.perf_counter()
    ours, theirs = (np.asarray(each.upright(each.pixels), np.uint8) for each in (photo, source))
    size = (ours.shape[0], ours.shape[1])
    known: dict[str, Any] = {
        "suspect": photo.source,
        "original": source.source,
        "height": size[0],
        "width": size[1],
        "notes": tuple(
            f"{name}: {note}" for name, each in (("suspect", photo), ("original", source)) for note in each.notes
        ),
    }
    laid = register(ours, theirs)
    if laid is None and ours.shape == theirs.shape and np.array_equal(ours, theirs):
        matrix, matches = np.eye(2, 3), 0
    elif laid is None:
        row = ComparisonRow(**known, related=False, seconds=round(time.perf_counter() - started, 3))
        return Comparison(row, ours, theirs, None, np.zeros(size, np.float32), np.zeros(size, bool))
    else:
        matrix, matches = laid.matrix, laid.inliers
    over, valid = lay_over(theirs, matrix, size), covered(theirs.shape, matrix, size)
    same = not largest_difference(ours, over)[valid].any()
    greyed = _is_grey(ours) and not _is_grey(theirs)
    if greyed:
        over = np.asarray(cv2.cvtColor(cv2.cvtColor(over, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    told = jpeg is not None and photo.orientation == 1 and max(size) <= MAX_SIDE and not same
    save = JpegSave.of(jpeg) if jpeg is not None and told else None
    explained = explain(ours, over, valid, save)
    guess = None
    if jpeg is None and max(size) <= MAX_SIDE and not same:  # a blur or a curve may have stood in for the save
        guesses = [guess_save(ours, base, valid) for base in (over, explained.pixels)]
        guess = min((each for each in guesses if each is not None), key=lambda each: each.misfit, default=None)
    if guess is not None:
        explained = explain(ours, over, valid, guess.save)
    difference, above = deviation(ours, explained.pixels, valid)
    mask = changed_mask(difference, above)
    linear = matrix[:, :2]
    mirrored = bool(np.linalg.det(linear) < 0)
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    turn = np.degrees(np.arctan2(-linear[1, 0], -linear[0, 0] if mirrored else linear[0, 0]))
    shown = valid.sum() * abs(np.linalg.det(linear)) / (theirs.shape[0] * theirs.shape[1])
    quality = jpeg.quality if jpeg is not None else guess.quality if guess is not None else None
    row = ComparisonRow(
        **known,
        related=True,
        same_pixels=same,
        matrix=tuple(tuple(round(float(value), 6) for value in line) for line in matrix),
        scale=round(1.0 / scale, 4),
        rotation=round(float(turn), 2) + 0.0,
        mirrored=mirrored,
        seen=round(min(1.0, float(shown)), 4),
        covered=round(float(valid.mean()), 4),
        greyed=greyed,
        brightness=round(explained.brightness, 2),
        blur=explained.blur,
        jpeg_quality=quality,
        jpeg_seen_in=None if quality is None else "tables" if jpeg is not None else "pixels",
        difference=round(float(np.median(difference[valid])), 3) if valid.any() else None,
        regions=find_regions(mask, np.clip(above / (4 * MARKED), 0, 1).astype(np.float32), min_share=0.0),
        matches=matches,
        seconds=round(time.perf_counter() - started, 3),
    )
    return Comparison(row, ours, theirs, explained.pixels, difference, mask)


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    red, green, blue = cv2.split(pixels)
    return bool(np.array_equal(red, green) and np.array_equal(red, blue))


def difference_picture(comparison: Comparison) -> NDArray[np.uint8]:
    """What is left between the suspect and what explains it, four times as bright, RGB."""
    if comparison.explained is None:
        return np.zeros_like(comparison.suspect)
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(comparison.suspect, comparison.explained), alpha=4.0), np.uint8)
