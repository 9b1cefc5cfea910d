"""Pictures to learn from, a batch at a time: forgeries made from authentic photos, and the user's own images.

Forged pictures come with their mask, which the forge knows because it drew it. Real images come with their label, and
boxes where a run asks for them; :class:`WeakRecord` has no mask field. All pictures of a batch have one size, so that
real images are re-scaled as freely as forged ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vilaco.data.boxes import inside_boxes
from vilaco.data.forge import ForgeConfig, PhotoPool, make_example
from vilaco.data.forge.config import Share, Weight
from vilaco.data.forge.photos import load_autoencoder
from vilaco.data.loading import WeakRecord
from vilaco.data.records import AUTHENTIC, TAMPERED
from vilaco.errors import DataError
from vilaco.images import load_photo, resave_jpeg, resize_pixels
from vilaco.matching import self_matches

DECODED_BYTES = 1 << 30
"""Of photos, and again of real images, kept decoded, per process; those beyond it are decoded anew each time."""

Side = Annotated[int, Field(ge=64, multiple_of=8)]


class StreamForgeConfig(ForgeConfig):
    """How forgeries are drawn where a network is to learn from them; ``size`` and labels are the batch's."""

    max_side: Annotated[int, Field(ge=64)] = 8192
    """Camera originals are cut at their own scale as well as shrunk: a model must know the pixels of both."""
    copy_move: Weight = 0.36
    splice: Weight = 0.42
    removal: Weight = 0.1
    retouch: Weight = 0.09
    text: Weight = 0.03
    small_share: Share = 0.2
    max_area: Share = 0.4
    more_edits_share: Share = 0.1
    webp_share: Share = 0.06
    avif_share: Share = 0.04
    passed_on_share: Share = 0.2
    redraw: Weight = 0.08

    @model_validator(mode="after")
    def _of_the_batch(self) -> Self:
        for name, instead in (("size", "sizes"), ("tampered_share", "twin_share")):
            if getattr(self, name) != ForgeConfig.model_fields[name].default:
                raise ValueError(f"{name} is that of the batch; set stream.{instead}")
        return self


class StreamConfig(BaseModel):
    """How the pictures of a batch are drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(8, ge=2)  # over all devices
    sizes: Annotated[
        tuple[tuple[Side, Side], ...], Field(min_length=1)
    ] = (  # (height, width); around the 384 x 256 of the field's web-sized photos
        (256, 384),
        (384, 256),
        (256, 384),
        (384, 256),
        (192, 288),
        (288, 192),
        (224, 336),
        (336, 224),
        (320, 320),
        (320, 480),
    )
    twin_share: float = Field(0.375, ge=0, le=0.5)
    """Of the forged pictures of a batch: the same views through the same histories, left authentic."""
    real_share: float = Field(0.5, ge=0, le=1)  # of each batch, where real images are trained on
    resave_share: float = Field(0.75, ge=0, le=1)  # of the real images that are saved as JPEG once more
    forge: StreamForgeConfig = StreamForgeConfig()

    def size(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw the size of a batch's pictures, (height, width)."""
        return self.sizes[int(rng.integers(len(self.sizes)))]


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of one size.

    Attributes:
        pixels: RGB, ``(B, 3, H, W)`` uint8.
        matches: From :func:`vilaco.matching.self_matches`, ``(B, 5, H / 8, W / 8)`` float32.
        mask: Of a forged picture 1 where it is tampered with; of a real one, 1 where it may be. ``(B, H, W)`` uint8.
        label: 1 tampered, 0 authentic, ``(B,)`` int64.
        operations: What was done to each, ``""`` for authentic and real ones.
        histories: What each went through, in words, steps separated by commas; ``""`` for real ones.
        hosts: Which photo each forged one was made from, as a place in those given; none for real ones.
        unsaved: ``pixels`` of real ones as they were before the last save, ``(B, 3, H, W)`` uint8.
    """

    pixels: np.ndarray
    matches: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    operations: tuple[str, ...]
    histories: tuple[str, ...]
    hosts: tuple[int, ...] = ()
    unsaved: np.ndarray | None = None


class ForgedPictures:
    """Batches of forgeries and their authentic twins; a batch's number alone fixes it.

    Args:
        photos: Authentic photos that forgeries are made from. All can be read: a picture drawn from the others would be
            another one.
        config: See :class:`StreamConfig`.
        seed: Fixes everything together with a batch's number.
        segments: Folders with segmentations of the photos, if any.
        autoencoder: Folder of one that re-draws regions, if any.
        weights: How often each photo is a host, like ``photos``; alike if ``None``.
    """

    def __init__(
        self,
        photos: Sequence[Path],
        *,
        config: StreamConfig,
        seed: int,
        segments: Sequence[Path] = (),
        autoencoder: Path | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.config, self.seed = config, seed
        self.photos = PhotoPool(
            photos,
            segments=segments,
            autoencoder=load_autoencoder(autoencoder),
            group_size=32,
            max_side=config.forge.max_side,
            cache_bytes=DECODED_BYTES,
            must_read=True,
        )
        self._given = {Path(path): place for place, path in enumerate(photos)}
        weight_of = dict(zip(map(Path, photos), weights or [1.0] * len(photos), strict=True))
        weights = [weight_of[path] for path in self.photos.paths]
        self._ends = np.cumsum(weights)
        self._hosts = {index for index, weight in enumerate(weights) if weight}

    def batch(self, number: int, count: int) -> PictureBatch:
        """Make a batch.

        Args:
            number: Which one.
            count: Pictures in it; the last ``twin_share`` are authentic twins of the first.

        Raises:
            ImageError: If a photo cannot be read any more.
            DataError: If all of them are too small.
        """
        size = self.config.size(np.random.default_rng([self.seed, 0, number]))
        config = self.config.forge.model_copy(update={"size": size})
        forged = count - round(self.config.twin_share * count)
        examples, hosts = [], []
        for place in range(count):
            rng = np.random.default_rng([self.seed, 1, number, place % forged])
            label = TAMPERED if place < forged else AUTHENTIC
            host = self._draw_host(rng)
            hosts.append(self._given[self.photos.paths[host]])
            examples.append(make_example(self.photos, rng, config, host=host, label=label))
        pixels = [example.pixels for example in examples]
        return PictureBatch(
            pixels=np.stack(pixels).transpose(0, 3, 1, 2).copy(),
            matches=np.stack([self_matches(picture) for picture in pixels]),
            mask=np.stack([example.mask for example in examples]).astype(np.uint8),
            label=np.array([example.label for example in examples]),
            operations=tuple(example.operation or "" for example in examples),
            histories=tuple(", ".join(example.history) for example in examples),
            hosts=tuple(hosts),
        )

    def _draw_host(self, rng: np.random.Generator) -> int:
        """A photo that can be used, drawn by weight."""
        while True:
            index = int(np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right"))
            if self.photos.pixels(index) is not None:
                return index
            if self._hosts <= self.photos.unreadable.keys():
                reason = self.photos.unreadable[index]
                raise DataError(f"none of the photos can be forged; {self.photos.paths[index]} is {reason}")


class RealPictures:
    """Batches of the user's images; a batch's number and its pictures' size fix it.

    Args:
        images: The images, of both labels or authentic ones alone.
        config: See :class:`StreamConfig`.
        seed: Fixes everything together with a batch's number.
    """

    def __init__(self, images: Sequence[WeakRecord], *, config: StreamConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.images: Mapping[tuple[bool, int], list[WeakRecord]] = _by_shape_and_label(images)
        self._labels = sorted({image.label for image in images})
        self._decoded: dict[Path, np.ndarray] = {}
        self._decoded_bytes = 0

    def batch(self, number: int, count: int, size: tuple[int, int]) -> PictureBatch:
        """Draw a batch: labels 0 1 1 0, both of them on each of two devices; 0 alone where there are no others.

        A crop of a photo with boxes that shows none of them is authentic, and so is its label.

        Args:
            number: Which one.
            count: Pictures in it.
            size: Their height and width.

        Raises:
            ImageError: If an image cannot be read any more.
        """
        drawn = [
            self._draw(
                self._labels[(place + place // 2) % len(self._labels)],
                size,
                np.random.default_rng([self.seed, 2, number, place]),
            )
            for place in range(count)
        ]
        pixels, unsaved, masks = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return PictureBatch(
            pixels=pixels.transpose(0, 3, 1, 2).copy(),
            matches=np.stack([self_matches(picture) for picture in pixels]),
            mask=masks,
            label=np.array([mask.any() for mask in masks], np.int64),
            operations=("",) * count,
            histories=("",) * count,
            unsaved=unsaved.transpose(0, 3, 1, 2).copy(),
        )

    def _draw(
        self, label: int, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A real image brought to ``size`` in a history drawn without a look at its label, before it, and its mask."""
        fitting = self.images.get((size[0] > size[1], label)) or self.images.get((size[0] <= size[1], label))
        assert fitting, "there is one of each label"
        image = fitting[int(rng.integers(len(fitting)))]
        pixels = self._pixels(image.path)
        may_be = inside_boxes(image.boxes, pixels.shape[:2]) if image.boxes else np.full(pixels.shape[:2], bool(label))
        pixels, mask = _crop_to_shape(pixels, may_be.view(np.uint8), size, rng)
        if rng.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        unsaved = resize_pixels(np.ascontiguousarray(pixels), size)
        covered = cv2.resize(np.ascontiguousarray(mask, np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        mask = (np.asarray(covered) > 0).view(np.uint8)  # a box that is smaller than a pixel stays
        resaved = rng.random() < self.config.resave_share
        return resave_jpeg(unsaved, int(rng.integers(60, 96))) if resaved else unsaved, unsaved, mask

    def _pixels(self, path: Path) -> np.ndarray:
        if path in self._decoded:
            return self._decoded[path]
        pixels = load_upright(path)
        if self._decoded_bytes + pixels.nbytes <= DECODED_BYTES:
            self._decoded[path] = pixels
            self._decoded_bytes += pixels.nbytes
        return pixels


def _crop_to_shape(
    pixels: np.ndarray, mask: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The largest window with the proportions of ``size``, anywhere."""
    height, width = pixels.shape[:2]
    scale = min(height / size[0], width / size[1])
    wanted_h, wanted_w = (
        min(side, max(1, round(wanted * scale))) for side, wanted in zip((height, width), size, strict=True)
    )
    top, left = int(rng.integers(height - wanted_h + 1)), int(rng.integers(width - wanted_w + 1))
    window = np.s_[top : top + wanted_h, left : left + wanted_w]
    return pixels[window], mask[window]


def _by_shape_and_label(real: Sequence[WeakRecord]) -> dict[tuple[bool, int], list[WeakRecord]]:
    """Images by whether they are taller than wide, and label."""
    sorted_out: dict[tuple[bool, int], list[WeakRecord]] = {}
    for image in real:
        height, width = load_photo(image.path).upright_size
        sorted_out.setdefault((height > width, image.label), []).append(image)
    return sorted_out


def load_upright(path: Path) -> np.ndarray:
    """Pixels the way a person sees them, as masks and maps have them, ``(H, W, 3)`` uint8."""
    photo = load_photo(path)
    return photo.upright(photo.pixels)
