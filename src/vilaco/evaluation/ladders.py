"""Robustness ladders: named series of degradations, each rung a pure function from photo to photo.

Degradations apply to the stored pixel grid at native size, before any method resizes anything. A rung draws
its randomness from the photo's own pixels and the rung's name, so a photo is degraded alike whatever the
order, the number of workers or the rest of the data set.

- ``benco``: the steps of IMDLBenCo (Ma et al., NeurIPS 2024 Datasets and Benchmarks): Gaussian blur,
  Gaussian noise, JPEG.
- ``social``: what social networks and screenshots do: shrink to a long side, then JPEG; or be scaled on a screen
  and saved without loss.
- ``messenger``: what messengers do, once and when a photo is passed on: shrink to 1600 or 2048, then JPEG of quality 70
  to 85 with chroma at half the resolution. Metadata go in every rung of every ladder: a rung is pixels.
- ``web``: the file types that web sites turn photos into: WebP and AVIF.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vilaco.images import Photo, load_photo, resave_jpeg, resize_pixels

Degrade = Callable[[Photo], Photo]

BLUR_KERNELS = (3, 7, 11, 15, 19, 23)
"""Side of the Gaussian kernel in pixels; kernel 0 is the clean point."""
NOISE_VARIANCES = (3, 7, 11, 15, 19, 23)
"""Variance in squared 8-bit units: 23 is a standard deviation of 4.8 grey levels."""
JPEG_QUALITIES = (100, 90, 80, 70, 60, 50)
WEB_QUALITIES = {"WEBP": (90, 75, 50), "AVIF": (80, 60, 40)}
"""Of libwebp and libaom; 75 is the default of both Pillow writers, sites go lower."""
LONG_SIDES = (2048, 1280, 960)
MESSENGER_QUALITIES = (85, 75, 60)
CHAIN_SIDES = {1600: "a messenger's usual size", 2048: "a messenger's HD size"}
CHAIN_QUALITIES = (85, 80, 75, 70)
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
        stands_for: What happens to photos so, in words.
    """

    family: str
    level: int | None
    degrade: Degrade
    stands_for: str

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
    """The photo with other pixels; of another size, none of its rows is known to be missing."""
    rows = photo.rows if pixels.shape == photo.pixels.shape else None
    return replace(photo, pixels=np.ascontiguousarray(pixels), rows=rows)


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


def passed_on(photo: Photo, *, long_side: int, quality: int) -> Photo:
    """Sent by `messenger`, and then once more: the second save lies on the grid of the first."""
    once = messenger(photo, long_side=long_side, quality=quality)
    return messenger(once, long_side=long_side, quality=quality)


def recode(photo: Photo, *, kind: str, quality: int) -> Photo:
    """Save as WebP or AVIF, as Pillow does by default, and read back.

    Args:
        photo: Any photo.
        kind: ``"WEBP"`` or ``"AVIF"``.
        quality: Of that encoder, 0 to 100.
    """
    file = io.BytesIO()
    Image.fromarray(photo.pixels).save(file, kind, quality=quality)
    return _with_pixels(photo, load_photo(file.getvalue(), max_pixels=photo.pixels.size).pixels)


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


_CLEAN = Rung("clean", None, clean, "the photo as it is")

LADDERS: dict[str, Ladder] = {
    ladder.name: ladder
    for ladder in (
        Ladder(
            "benco",
            (
                _CLEAN,
                *(Rung("blur", k, partial(blur, kernel=k), f"Gaussian blur, kernel {k}") for k in BLUR_KERNELS),
                *(Rung("noise", v, partial(noise, variance=v), f"noise of variance {v}") for v in NOISE_VARIANCES),
                *(Rung("jpeg", q, partial(jpeg, quality=q), f"saved again as JPEG {q}") for q in JPEG_QUALITIES),
            ),
        ),
        Ladder(
            "social",
            (
                _CLEAN,
                *(
                    Rung(
                        f"resize-{side}-jpeg",
                        quality,
                        partial(messenger, long_side=side, quality=quality),
                        f"uploaded to a site that shows {side} pixels and saves JPEG {quality}",
                    )
                    for side in LONG_SIDES
                    for quality in MESSENGER_QUALITIES
                ),
                Rung("screenshot", None, screenshot, "a screenshot of it at 125% on a screen of 1920 x 1080"),
            ),
        ),
        Ladder(
            "messenger",
            (
                _CLEAN,
                *(
                    Rung(
                        f"{name}-{side}-jpeg",
                        quality,
                        partial(send, long_side=side, quality=quality),
                        f"{done} in {size}, {side} pixels, saved as JPEG {quality}",
                    )
                    for name, send, done in (
                        ("sent", messenger, "sent once"),
                        ("passed-on", passed_on, "sent and passed on"),
                    )
                    for side, size in CHAIN_SIDES.items()
                    for quality in CHAIN_QUALITIES
                ),
            ),
        ),
        Ladder(
            "web",
            (
                _CLEAN,
                *(
                    Rung(
                        kind.lower(),
                        quality,
                        partial(recode, kind=kind, quality=quality),
                        f"shown by a web site as {kind}, quality {quality}",
                    )
                    for kind, qualities in WEB_QUALITIES.items()
                    for quality in qualities
                ),
            ),
        ),
    )
}
"""Every ladder by name."""
