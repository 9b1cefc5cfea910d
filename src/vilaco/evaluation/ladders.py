"""Robustness ladders: named series of degradations, each rung a pure function from photo to photo.

Degradations apply to the stored pixel grid at native size, before any method resizes anything. A rung draws
its randomness from the photo's own pixels and the rung's name, so a photo is degraded alike whatever the
order, the number of workers or the rest of the data set.

- ``benco``: the steps of IMDLBenCo (Ma et al., NeurIPS 2024 Datasets and Benchmarks): Gaussian blur,
  Gaussian noise, JPEG.
- ``social``: what messengers and screenshots do: shrink to a long side, then JPEG; or be scaled on a screen
  and saved without loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.images import Photo, resave_jpeg, resize_pixels

Degrade = Callable[[Photo], Photo]

BLUR_KERNELS = (3, 7, 11, 15, 19, 23)
"""Side of the Gaussian kernel in pixels; kernel 0 is the clean point."""
NOISE_VARIANCES = (3, 7, 11, 15, 19, 23)
"""Variance in squared 8-bit units: 23 is a standard deviation of 4.8 grey levels."""
JPEG_QUALITIES = (100, 90, 80, 70, 60, 50)
LONG_SIDES = (2048, 1280, 960)
MESSENGER_QUALITIES = (85, 75, 60)
SCREEN_SIZE = (1080, 1920)
SCREEN_ZOOM = 1.25
"""Usual display scaling of a laptop: enlarges a small photo; a large one is fitted to the screen instead."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder.

    Attributes:
        family: What is done: ``"clean"``, ``"blur"``, ``"noise"``, ``"jpeg"``; one line in the plot.
        level: How much, in the family's own unit; ``None`` where there is only one.
        degrade: The photo as it arrives. Keeps the EXIF orientation; the size may change.
    """

    family: str
    level: int | None
    degrade: Degrade

    @property
    def name(self) -> str:
        """Family and level, e.g. ``"jpeg-80"``."""
        return self.family if self.level is None else f"{self.family}-{self.level}"


@dataclass(frozen=True, slots=True)
class Ladder:
    """A named series of rungs; the clean point always comes first.

    Attributes:
        name: How the command line and the tables call it.
        rungs: Uniquely named, ``rungs[0]`` is clean.
    """

    name: str
    rungs: tuple[Rung, ...]


def _with_pixels(photo: Photo, pixels: NDArray[np.uint8]) -> Photo:
    return replace(photo, pixels=np.ascontiguousarray(pixels))


def clean(photo: Photo) -> Photo:
    """The photo itself."""
    return photo


def blur(photo: Photo, *, kernel: int) -> Photo:
    """Gaussian blur with an odd kernel; sigma is what OpenCV gives to that kernel.

    ``0.3 ((kernel - 1) / 2 - 1) + 0.8``, with tables of its own up to a kernel of 7.
    """
    return _with_pixels(photo, np.asarray(cv2.GaussianBlur(photo.pixels, (kernel, kernel), 0), np.uint8))


def noise(photo: Photo, *, variance: float, seed: int = 0) -> Photo:
    """Independent Gaussian noise on every pixel and channel.

    Args:
        photo: Any photo.
        variance: In squared 8-bit units.
        seed: Mixed with the photo's pixels and the variance; the same three give the same noise.

    Returns:
        The photo plus noise, rounded and clipped to [0, 255].
    """
    drawn = _generator(photo, f"noise-{variance}-{seed}").standard_normal(photo.pixels.shape, dtype=np.float32)
    noisy = np.rint(photo.pixels + np.float32(variance**0.5) * drawn)
    return _with_pixels(photo, np.clip(noisy, 0, 255).astype(np.uint8))


def jpeg(photo: Photo, *, quality: int) -> Photo:
    """Save as JPEG (4:2:0) and read back."""
    return _with_pixels(photo, resave_jpeg(photo.pixels, quality))


def messenger(photo: Photo, *, long_side: int, quality: int) -> Photo:
    """Shrink until the long side fits (a smaller photo keeps its size), then save as JPEG (4:2:0)."""
    scale = min(1.0, long_side / max(photo.pixels.shape[:2]))
    return jpeg(_scaled(photo, scale), quality=quality)


def screenshot(photo: Photo) -> Photo:
    """Show on a 1920x1080 screen at 125% (or as large as fits) and keep those pixels, as PNG would."""
    shown = photo.upright(photo.pixels).shape[:2]
    return _scaled(photo, min(SCREEN_ZOOM, SCREEN_SIZE[0] / shown[0], SCREEN_SIZE[1] / shown[1]))


def _scaled(photo: Photo, scale: float) -> Photo:
    height, width = (max(1, round(side * scale)) for side in photo.pixels.shape[:2])
    if (height, width) == photo.pixels.shape[:2]:
        return photo
    return _with_pixels(photo, resize_pixels(photo.pixels, (height, width)))


def _generator(photo: Photo, purpose: str) -> np.random.Generator:
    digest = blake2b(purpose.encode(), digest_size=16)
    digest.update(repr(photo.pixels.shape).encode())
    digest.update(photo.pixels.tobytes())
    return np.random.default_rng(int.from_bytes(digest.digest(), "little"))


_CLEAN = Rung("clean", None, clean)

LADDERS: dict[str, Ladder] = {
    ladder.name: ladder
    for ladder in (
        Ladder(
            "benco",
            (
                _CLEAN,
                *(Rung("blur", kernel, partial(blur, kernel=kernel)) for kernel in BLUR_KERNELS),
                *(Rung("noise", variance, partial(noise, variance=variance)) for variance in NOISE_VARIANCES),
                *(Rung("jpeg", quality, partial(jpeg, quality=quality)) for quality in JPEG_QUALITIES),
            ),
        ),
        Ladder(
            "social",
            (
                _CLEAN,
                *(
                    Rung(f"resize-{side}-jpeg", quality, partial(messenger, long_side=side, quality=quality))
                    for side in LONG_SIDES
                    for quality in MESSENGER_QUALITIES
                ),
                Rung("screenshot", None, screenshot),
            ),
        ),
    )
}
"""Every ladder by name."""
