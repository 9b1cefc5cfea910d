"""What training sees of a data set: images and one label each, and boxes only where a run asks for them.

A :class:`WeakRecord` has no mask field, so no mask can reach a loss, a crop or a checkpoint choice.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vilaco.data.boxes import Box, box_fault
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError, ImageError
from vilaco.images import load_photo, resave_jpeg, resize_pixels

CLEAN_VIEW = 0


@dataclass(frozen=True, slots=True)
class WeakRecord:
    """An image and its label.

    Attributes:
        path: The file.
        label: 1 tampered, 0 authentic.
        sha256: Of the file's bytes.
        notes: How the picture differs from what the file stores, a sentence each.
        boxes: Around what was tampered with; none in a run that is weakly supervised.
    """

    path: Path
    label: int
    sha256: str
    notes: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


class AugmentationConfig(BaseModel):
    """How a training view of an image is drawn; none of it looks at more than the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: bool = True  # left-right, one time in two
    min_crop: float = Field(0.8, gt=0, le=1)  # share of each side kept; a small crop could lose the forgery
    rescale: float = Field(0.0, ge=0, le=1)  # probability of a 0.5 to 1.0 down-scale, which hides JPEG history
    resave: float = Field(0.0, ge=0, le=1)  # probability of a JPEG re-save at quality 60 to 95, after the rescale


def view_pixels(
    pixels: np.ndarray, view: int, *, size: int, config: AugmentationConfig, seed: Sequence[int]
) -> np.ndarray:
    """Draw one view of an image: crop, flip, history, then the squash to the network's size.

    Args:
        pixels: Upright RGB, shape ``(H, W, 3)``, uint8.
        view: 0 is the clean image; each other number is another draw, the same every time.
        size: Side of the square that the network sees, in pixels.
        config: What may be drawn.
        seed: Fixes the draws together with ``view``.

    Returns:
        Shape ``(size, size, 3)``, uint8.
    """
    if view != CLEAN_VIEW:
        rng = np.random.default_rng([*seed, view])
        height, width = pixels.shape[:2]
        crop_h, crop_w = (max(1, round(side * rng.uniform(config.min_crop, 1.0))) for side in (height, width))
        top, left = rng.integers(height - crop_h + 1), rng.integers(width - crop_w + 1)
        pixels = pixels[top : top + crop_h, left : left + crop_w]
        if config.flip and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if rng.random() < config.rescale:
            factor = rng.uniform(0.5, 1.0)
            pixels = resize_pixels(pixels, (max(1, round(crop_h * factor)), max(1, round(crop_w * factor))))
        if rng.random() < config.resave:
            pixels = resave_jpeg(np.ascontiguousarray(pixels), int(rng.integers(60, 96)))
    return resize_pixels(np.ascontiguousarray(pixels), (size, size))


def weaken(
    records: Sequence[Record], *, boxes: bool = False, progress: Callable[[], None] = lambda: None
) -> tuple[list[WeakRecord], list[ImageError]]:
    """Keep what training may see, and find out which images can be read at all.

    Args:
        records: Labelled images.
        boxes: Whether training may see boxes too, and is then not weakly supervised any more.
        progress: Called once an image.

    Returns:
        The readable images, in order, and one error for each of the others.

    Raises:
        DataError: If an image has no label, or boxes are asked for and one reaches out of its photo or is on an
            authentic one.
    """
    usable, errors = [], []
    for record in records:
        if record.label is None:
            raise DataError(f"{record.path}: no label; training needs 0 (authentic) or 1 (tampered) for every image")
        try:
            photo = load_photo(record.path)
        except ImageError as error:
            errors.append(error)
        else:
            seen = record.boxes if boxes else ()
            if seen and record.label == AUTHENTIC:
                raise DataError(f"{record.path}: has boxes, but is labelled authentic")
            if fault := box_fault(seen, photo.upright_size):
                raise DataError(f"{record.path}: {fault}")
            sha256 = hashlib.sha256(record.path.read_bytes()).hexdigest()
            usable.append(WeakRecord(record.path, record.label, sha256, photo.notes, seen))
        progress()
    return usable, errors


def balanced_batches(
    labels: Sequence[int], *, batch_size: int, num_views: int | None, seed: int, epoch: int
) -> list[list[tuple[int, int]]]:
    """Plan one epoch: every batch half authentic and half tampered, each image of the larger class once.

    Args:
        labels: Label of each image, both classes present.
        batch_size: Even number of images in a batch.
        num_views: Views to draw from per image; ``None`` means a fresh view every epoch.
        seed: Fixes the plan together with ``epoch``, so an interrupted training goes on with the same plan.
        epoch: Epochs done.

    Returns:
        Batches of ``(image index, view)``.

    Raises:
        DataError: If a class is missing.
    """
    rng = np.random.default_rng([seed, epoch])
    by_class = [np.flatnonzero(np.asarray(labels) == label) for label in (AUTHENTIC, TAMPERED)]
    if not all(len(indices) for indices in by_class):
        raise DataError("training needs authentic and tampered images; one of the two is missing")
    half = batch_size // 2
    num_batches = -(-max(map(len, by_class)) // half)
    drawn = [_repeat_shuffled(indices, num_batches * half, rng) for indices in by_class]
    batches = []
    for start in range(0, num_batches * half, half):
        indices = [int(i) for one_class in drawn for i in one_class[start : start + half]]
        views = rng.integers(num_views, size=len(indices)) if num_views else np.full(len(indices), epoch + 1)
        batches.append(list(zip(indices, views.tolist(), strict=True)))
    return batches


def _repeat_shuffled(indices: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    rounds = -(-count // len(indices))
    return np.concatenate([rng.permutation(indices) for _ in range(rounds)])[:count]


class WeakImages:
    """Map-style data set of ``(image index, view)`` to pixels and label.

    Args:
        records: The images.
        size: Side of the square that the network sees, in pixels.
        config: How views are drawn.
        seed: Fixes the views.
    """

    def __init__(self, records: Sequence[WeakRecord], *, size: int, config: AugmentationConfig, seed: int) -> None:
        self.records, self.size, self.config, self.seed = records, size, config, seed

    def pixels(self, index: int, view: int) -> np.ndarray:
        """View of an image, shape ``(size, size, 3)``, uint8."""
        record = self.records[index]
        photo = load_photo(record.path)
        seed = (self.seed, int(record.sha256[:8], 16))
        return view_pixels(photo.upright(photo.pixels), view, size=self.size, config=self.config, seed=seed)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, np.ndarray | int]:
        """``pixels`` as ``(3, size, size)`` uint8, and ``label``."""
        index, view = key
        return {
            "pixels": self.pixels(index, view).transpose(2, 0, 1).copy(),
            "label": self.records[index].label,
        }

    def __len__(self) -> int:
        return len(self.records)
