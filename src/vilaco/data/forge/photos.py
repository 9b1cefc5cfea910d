"""The authentic photos that forgeries are made from: read once, kept in scenes, with their segmentations."""

import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vilaco.data.forge.segments import ENDINGS, read_segmentation
from vilaco.errors import DataError, ImageError
from vilaco.images import load_photo, resize_pixels

MIN_SIDE = 64
"""Photos with a shorter side hold no region worth forging; they are named and skipped."""


class PhotoPool:
    """Authentic photos in groups; a forgery's host and donor always come from the same group.

    A splice shows two scenes. If any photo could donate to any other, one chain of splices would tie all
    pictures together and no split could keep scenes apart. So the photos, sorted by path, are cut into
    groups of neighbours (files named alike are often of one scene), donors stay within the host's group, and
    the group is what a split goes by.

    Args:
        paths: Authentic photos; the order and repetitions do not matter.
        segments: Folders with segmentations, named like their photos (:func:`match_segments`).
        group_size: Photos in a group; ``None`` takes 8, or fewer where that would leave less than ten
            groups, at least 2.
        max_side: Photos are shrunk to this long side, in pixels.
        cache_bytes: Of photos kept decoded; those used last stay.
        must_read: Raise where a photo cannot be read, in place of leaving it out.

    Raises:
        DataError: If there are no photos, or a folder of ``segments`` has no segmentation of any of them.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        segments: Sequence[Path] = (),
        group_size: int | None = None,
        max_side: int = 1024,
        cache_bytes: int = 100 << 20,
        must_read: bool = False,
    ) -> None:
        self.paths = tuple(sorted({Path(path) for path in paths}, key=os.fspath))
        if not self.paths:
            raise DataError("no photos to forge from.")
        size = group_size or int(np.clip(len(self.paths) // 10, 2, 8))
        starts = range(0, len(self.paths), size)
        self.groups = tuple(tuple(range(s, min(s + size, len(self.paths)))) for s in starts)
        if len(self.groups) > 1 and len(self.groups[-1]) == 1:  # a photo alone could not take part in a splice
            self.groups = (*self.groups[:-2], self.groups[-2] + self.groups[-1])
        self._group_of = {index: group for group, members in enumerate(self.groups) for index in members}
        self._segments = match_segments(self.paths, segments)
        self._max_side = max_side
        self._cache_bytes = cache_bytes
        self._must_read = must_read
        self._pixels: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._usable: set[int] = set()
        self.unreadable: dict[int, str] = {}
        self.notes: dict[int, tuple[str, ...]] = {}

    def group_of(self, index: int) -> int:
        """Group of a photo."""
        return self._group_of[index]

    def pixels(self, index: int) -> np.ndarray | None:
        """Pixels of a photo on the grid its file stores, shrunk to ``max_side``.

        A phone's portrait may therefore lie on its side, as it does before a model that reads traces of the file
        (:class:`~vilaco.localizer.Localizer` shows such a model the stored grid too, and turns the map).

        Returns:
            Shape ``(H, W, 3)``, uint8 RGB; ``None`` if it cannot be used, and :attr:`unreadable` says why. How they
            differ from what the file stores is in :attr:`notes`.

        Raises:
            ImageError: If it cannot be read and must be.
        """
        if index in self.unreadable:
            return None
        if index in self._pixels:
            self._pixels.move_to_end(index)
            return self._pixels[index]
        try:
            photo = load_photo(self.paths[index])
        except ImageError as error:
            if self._must_read:
                raise
            self.unreadable[index] = error.reason
            return None
        pixels, self.notes[index] = photo.pixels, photo.notes
        if min(pixels.shape[:2]) < MIN_SIDE:
            self.unreadable[index] = f"smaller than {MIN_SIDE} pixels a side ({pixels.shape[1]}x{pixels.shape[0]})"
            return None
        factor = self._max_side / max(pixels.shape[:2])
        if factor < 1.0:
            height, width = (max(MIN_SIDE, round(side * factor)) for side in pixels.shape[:2])
            pixels = resize_pixels(pixels, (height, width))
        self._usable.add(index)
        self._pixels[index] = pixels
        self._cached_bytes += pixels.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._pixels) > 1:
            self._cached_bytes -= self._pixels.popitem(last=False)[1].nbytes
        return pixels

    def members(self, group: int) -> list[int]:
        """The photos of a group that can be used."""
        return [index for index in self.groups[group] if index in self._usable or self.pixels(index) is not None]

    def segmentation(self, index: int, rng: np.random.Generator) -> np.ndarray | None:
        """Segment numbers by one of a photo's annotators, ``(h, w)`` uint16; ``None`` if it has none."""
        file = self._segments.get(index)
        return None if file is None else read_segmentation(file, rng)


@dataclass(frozen=True)
class View:
    """A part of a photo, brought to a wanted size.

    Attributes:
        index: The photo's place in its pool.
        pixels: Shape ``(H, W, 3)``, uint8 RGB.
        window: Where it was cut out: top, left, height and width as shares of the photo.
    """

    index: int
    pixels: np.ndarray
    window: tuple[float, float, float, float]

    def labels(self, photos: PhotoPool, rng: np.random.Generator) -> np.ndarray | None:
        """One annotator's segments in this view, ``(H, W)`` uint16, or ``None`` where the photo has none."""
        labels = photos.segmentation(self.index, rng)
        if labels is None:
            return None
        height, width = labels.shape
        top, left = round(self.window[0] * height), round(self.window[1] * width)
        bottom = max(top + 1, round((self.window[0] + self.window[2]) * height))
        right = max(left + 1, round((self.window[1] + self.window[3]) * width))
        size = (self.pixels.shape[1], self.pixels.shape[0])
        return np.asarray(cv2.resize(labels[top:bottom, left:right], size, interpolation=cv2.INTER_NEAREST))


def draw_view(
    photos: PhotoPool, index: int, size: tuple[int, int], rng: np.random.Generator, *, whole_share: float
) -> View:
    """Cut a window with the proportions of ``size`` out of a readable photo and bring it to that size.

    Where the photo is large enough the window is either cut at the photo's own scale, which keeps its pixels
    and their JPEG traces, or (with probability ``whole_share``) is a larger one that is shrunk. A smaller
    photo is enlarged.

    Args:
        photos: The pool.
        index: A photo of it that can be read.
        size: (height, width) wanted.
        rng: Random numbers.
        whole_share: Probability of a shrunk window.

    Returns:
        The view, its pixels a copy.
    """
    pixels = photos.pixels(index)
    assert pixels is not None, "callers draw from PhotoPool.members"
    height, width = pixels.shape[:2]
    largest = min(height / size[0], width / size[1])
    zoom = largest
    if largest >= 1.0:
        zoom = rng.uniform(1.0, largest) if rng.random() < whole_share else 1.0
    window_height, window_width = min(height, round(size[0] * zoom)), min(width, round(size[1] * zoom))
    top = int(rng.integers(height - window_height + 1))
    left = int(rng.integers(width - window_width + 1))
    part = pixels[top : top + window_height, left : left + window_width]
    part = part.copy() if part.shape[:2] == size else resize_pixels(part, size)
    return View(index, part, (top / height, left / width, window_height / height, window_width / width))


def match_segments(paths: Sequence[Path], folders: Sequence[Path]) -> dict[int, Path]:
    """Find the segmentation of each photo: the ``.mat`` or ``.png`` file of the same name.

    Where folders were flattened into names (``photos__0001.jpg``), what follows the last ``__`` is the name, if it is
    one photo's alone.

    Args:
        paths: The photos.
        folders: Searched to the bottom; of two segmentations of a photo, the one of the later folder counts.

    Returns:
        Index of a photo to its segmentation.

    Raises:
        DataError: If a folder does not exist, or fits none of the photos.
    """
    names = Counter(_name(path) for path in paths)
    photo_of = {_name(path): index for index, path in enumerate(paths) if names[_name(path)] == 1}
    photo_of |= {path.stem: index for index, path in enumerate(paths)}
    matched: dict[int, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of segmentations.")
        files = sorted((file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS), key=os.fspath)
        fitting = {photo_of.get(file.stem, photo_of.get(_name(file))): file for file in files}
        fitting.pop(None, None)
        if not fitting:
            raise DataError(f"{folder}: none of its {len(files)} segmentations is named like one of the photos.")
        matched |= {index: file for index, file in fitting.items() if index is not None}
    return matched


def has_segments(paths: Sequence[Path], folder: Path) -> bool:
    """Whether a folder has a segmentation of any of the photos."""
    try:
        return bool(match_segments(paths, [folder]))
    except DataError:
        return False


def _name(path: Path) -> str:
    return path.stem.rsplit("__", 1)[-1]
