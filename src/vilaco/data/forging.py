"""Training examples of two kinds in one stream: forgeries made on the spot, and the user's own images.

Forged examples come with their mask, which the forge knows because it drew it. Real images come with their label, and
in rounds of self-training with a pseudo-mask that an earlier model drew; :class:`WeakRecord` has no mask field. All
examples of a batch have one size, so that real images are re-scaled as freely as forged ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vilaco.data.forge import ForgeConfig, PhotoPool, make_example
from vilaco.data.forge.config import Share, Weight
from vilaco.data.loading import WeakRecord
from vilaco.data.records import TAMPERED
from vilaco.images import load_photo, resave_jpeg, resize_pixels
from vilaco.matching import self_matches

AUTHENTIC_PIXEL, TAMPERED_PIXEL, UNKNOWN_PIXEL = 0, 1, 255
"""What a mask says of a pixel; unknown ones count in no pixel loss."""

DECODED_BYTES = 1 << 30
"""Of photos, and again of real images, kept decoded, per process; those beyond it are decoded anew each time."""

Side = Annotated[int, Field(ge=64, multiple_of=8)]


class StreamForgeConfig(ForgeConfig):
    """How forgeries are drawn where a network is to learn from them; ``size`` is the batch's, see ``sizes``."""

    tampered_share: Share = 0.75
    """An authentic example teaches less: most of a forged one is authentic too."""
    copy_move: Weight = 0.36
    splice: Weight = 0.42
    removal: Weight = 0.1
    retouch: Weight = 0.09
    text: Weight = 0.03

    @field_validator("size")
    @classmethod
    def _of_the_batch(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None:
            raise ValueError("is that of the batch; set stream.sizes")
        return value


class StreamConfig(BaseModel):
    """How the examples of a batch are drawn."""

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
    real_share: float = Field(0.5, ge=0, le=1)  # of each batch, where real images are trained on
    resave_share: float = Field(0.75, ge=0, le=1)  # of the real images that are saved as JPEG once more
    forge: StreamForgeConfig = StreamForgeConfig()


@dataclass(frozen=True)
class RealImage:
    """A user's image as training sees it.

    Attributes:
        record: File and label.
        pseudo_mask: What an earlier model drew, at any size, ``(h, w)`` uint8 of the three values above; ``None`` where
            there is none yet. Not looked at in authentic images, which are authentic everywhere.
    """

    record: WeakRecord
    pseudo_mask: np.ndarray | None = None


class ForgedAndReal:
    """Map-style data set of example number to tensors; the number alone fixes an example.

    Args:
        photos: Authentic photos that forgeries are made from. All can be read: an example drawn from the others
            would be another one.
        real: The user's images; none at first.
        view_size: Side of the squashed view, in pixels.
        config: See :class:`StreamConfig`.
        seed: Fixes everything together with the example's number.
        segments: Human segmentations of the photos, if any.
    """

    def __init__(
        self,
        photos: Sequence[Path],
        real: Sequence[RealImage],
        *,
        view_size: int,
        config: StreamConfig,
        seed: int,
        segments: Path | None = None,
    ) -> None:
        self.config, self.view_size, self.seed = config, view_size, seed
        self.photos = PhotoPool(
            photos,
            segments=segments,
            group_size=32,
            max_side=config.forge.max_side,
            cache_bytes=DECODED_BYTES,
            must_read=True,
        )
        self.real: Mapping[tuple[bool, int], list[RealImage]] = _by_shape_and_label(real)
        self.real_per_batch = round(config.real_share * config.batch_size) if real else 0
        self._decoded: dict[Path, np.ndarray] = {}
        self._decoded_bytes = 0

    def __getitem__(self, number: int) -> dict[str, np.ndarray | int]:
        """One example.

        Returns:
            ``view`` (3, S, S) and ``pixels`` (3, H, W) uint8, ``matches`` (5, H / 8, W / 8) float32, ``mask`` (H, W)
            uint8, ``label`` and ``real`` (0 or 1).

        Raises:
            ImageError: If a file it is made of cannot be read any more.
        """
        step, place = divmod(number, self.config.batch_size)
        size = self.config.sizes[int(np.random.default_rng([self.seed, 0, step]).integers(len(self.config.sizes)))]
        rng = np.random.default_rng([self.seed, 1, number])
        if place < self.real_per_batch:
            label = (place + place // 2) % 2  # 0 1 1 0: both labels on each of two devices
            pixels, mask, label = self._real(label, size, rng)
        else:
            config = self.config.forge.model_copy(update={"size": size})
            example = make_example(self.photos, rng, config)
            pixels, mask, label = example.pixels, example.mask.astype(np.uint8), example.label
        return {
            "view": resize_pixels(pixels, (self.view_size, self.view_size)).transpose(2, 0, 1).copy(),
            "pixels": pixels.transpose(2, 0, 1).copy(),
            "matches": self_matches(pixels),
            "mask": mask,
            "label": label,
            "real": int(place < self.real_per_batch),
        }

    def _real(self, label: int, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        """A real image brought to ``size``, in a history drawn without a look at its label."""
        mask: np.ndarray
        fitting = self.real.get((size[0] > size[1], label)) or self.real.get((size[0] <= size[1], label))
        assert fitting, "training has checked that both labels are there"
        image = fitting[int(rng.integers(len(fitting)))]
        pixels = self._pixels(image.record.path)
        mask = np.zeros(pixels.shape[:2], np.uint8)
        if label == TAMPERED:
            drawn = image.pseudo_mask
            unknown = np.full(pixels.shape[:2], UNKNOWN_PIXEL, np.uint8)
            whole = (pixels.shape[1], pixels.shape[0])
            mask = unknown if drawn is None else np.asarray(cv2.resize(drawn, whole, interpolation=cv2.INTER_NEAREST))
        pixels, mask = _crop_to_shape(pixels, mask, size, rng)
        if rng.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        pixels = resize_pixels(np.ascontiguousarray(pixels), size)
        mask = np.asarray(cv2.resize(np.ascontiguousarray(mask), size[::-1], interpolation=cv2.INTER_NEAREST))
        if label == TAMPERED and not (mask == TAMPERED_PIXEL).any():
            mask[...] = UNKNOWN_PIXEL  # the crop may have cut the forgery off
        if rng.random() < self.config.resave_share:
            pixels = resave_jpeg(pixels, int(rng.integers(60, 96)))
        return pixels, mask, label

    def _pixels(self, path: Path) -> np.ndarray:
        if path in self._decoded:
            return self._decoded[path]
        pixels = load_upright(path)
        if self._decoded_bytes + pixels.nbytes <= DECODED_BYTES:
            self._decoded[path] = pixels
            self._decoded_bytes += pixels.nbytes
        return pixels


def batches(config: StreamConfig, *, first_step: int, steps: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Example numbers of each step's batch, for one of ``world`` devices.

    Example:
        >>> batches(StreamConfig(batch_size=4), first_step=1, steps=3)
        [[4, 5, 6, 7], [8, 9, 10, 11]]
    """
    size = config.batch_size
    return [list(range(step * size + rank, (step + 1) * size, world)) for step in range(first_step, steps)]


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


def _by_shape_and_label(real: Sequence[RealImage]) -> dict[tuple[bool, int], list[RealImage]]:
    """Images by whether they are taller than wide, and label."""
    sorted_out: dict[tuple[bool, int], list[RealImage]] = {}
    for image in real:
        height, width = load_photo(image.record.path).upright_size
        sorted_out.setdefault((height > width, image.record.label), []).append(image)
    return sorted_out


def load_upright(path: Path) -> np.ndarray:
    """Pixels the way a person sees them, as masks and maps have them, ``(H, W, 3)`` uint8."""
    photo = load_photo(path)
    return photo.upright(photo.pixels)
