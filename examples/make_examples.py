"""Forges the example photos of ``make demo`` from photos that scikit-image and scikit-learn carry.

    python examples/make_examples.py

writes ``photos/authentic/``, ``photos/tampered/`` and ``masks/`` beside this file. Where each photo comes from and
what was done to it: ``README.md`` there. Nothing is drawn at random but the grain of one fill, whose seed is fixed, so
every run writes the same pictures. Each photo keeps the size it comes in; authentic and tampered ones are saved once,
and each JPEG quality has the same share of both, so that neither size nor quality tells them apart.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from skimage import data
from sklearn.datasets import load_sample_image

from vilaco.data.forge.blending import Patch, blend, soften
from vilaco.data.forge.history import encode_png
from vilaco.data.forge.removal import inpaint
from vilaco.data.forge.transplant import match_colour
from vilaco.files import write_atomically
from vilaco.images import encode_jpeg, resize_map, resize_pixels

HERE = Path(__file__).resolve().parent
QUALITIES = (75, 85, 95)
SOURCES: dict[str, Callable[[], np.ndarray]] = {
    "astronaut": data.astronaut,
    "chelsea": data.chelsea,
    "china": lambda: load_sample_image("china.jpg"),
    "coffee": data.coffee,
    "flower": lambda: load_sample_image("flower.jpg"),
    "rocket": data.rocket,
}
Forgery = tuple[np.ndarray, np.ndarray]
"""Forged pixels (H, W, 3) uint8 RGB, and their mask (H, W) bool."""


@dataclass(frozen=True)
class Example:
    """One picture as it is written.

    Attributes:
        name: File name without its ending.
        pixels: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, True is tampered; ``None`` for an authentic photo.
        quality: JPEG quality.
    """

    name: str
    pixels: np.ndarray
    mask: np.ndarray | None
    quality: int


def make_examples() -> list[Example]:
    """All example photos: the authentic ones, then the tampered ones."""
    authentic = ("china", "coffee", "rocket")
    tampered = (two_dahlias, dahlia_on_saucer, rocket_by_the_lake, no_mission_patch, blue_eyes, two_rockets)
    examples = [
        Example(name, SOURCES[name](), None, quality) for name, quality in zip(authentic, QUALITIES, strict=True)
    ]
    for index, forge in enumerate(tampered):
        examples.append(Example(forge.__name__, *forge(), QUALITIES[index % len(QUALITIES)]))
    return examples


def two_dahlias() -> Forgery:
    """Copy-move: the dahlia once more, smaller, mirrored and a little darker, in the dark upper left."""
    photo = SOURCES["flower"]()
    return blend(photo, _cut(photo, _dahlia(photo), to=(28, 26), scale=0.58, mirror=True, feather=1.0, gain=0.8))


def dahlia_on_saucer() -> Forgery:
    """Splice: the dahlia's head laid on the saucer with a shadow, in the colours of the coffee photo."""
    flower, host = SOURCES["flower"](), SOURCES["coffee"]()
    patch = _cut(flower, _dahlia(flower), to=(228, 117), scale=0.36, feather=0.8)
    alpha = 0.7 * cv2.GaussianBlur(np.pad(patch.alpha, 20), (0, 0), 5.0)
    shade = Patch(np.zeros((*alpha.shape, 3), np.uint8), alpha, patch.top - 14, patch.left - 15, "outline")
    shaded, shadow = blend(host, shade)
    forged, mask = blend(shaded, _in_the_light_of(host, patch, strength=0.35))
    return forged, mask | shadow


def rocket_by_the_lake() -> Forgery:
    """Splice: the upper part of the rocket behind the trees at the lake, greyed by the haze."""
    rocket, host = SOURCES["rocket"](), SOURCES["china"]()
    outline = [(313, 135), (317, 129), (319, 127), (321, 127), (324, 129), (327, 134), (330, 145), (331, 152)]
    outline += [(331, 176), (328, 180), (328, 345), (311, 345), (311, 180), (309, 176), (309, 152), (310, 145)]
    patch = _cut(rocket, _polygon(rocket, outline), to=(112, 440), scale=0.95, feather=0.8)
    rows, columns = _place(patch)
    below = cv2.GaussianBlur(host, (0, 0), 0.7)[rows, columns].min(axis=2)
    trees = (np.arange(rows.start, rows.stop)[:, None] > 278) & (below < 130)
    patch = _in_the_light_of(host, patch, strength=0.45)
    return blend(host, replace(patch, alpha=patch.alpha * ~trees))


def no_mission_patch() -> Forgery:
    """Removal: the mission patch taken off the suit, down to the cloth disc that it was sewn on."""
    photo = SOURCES["astronaut"]()
    region = _ellipses(photo, [(169, 385, 40, 40)])
    rows, columns = slice(333, 438), slice(117, 222)
    filled = inpaint(photo[rows, columns], region[rows, columns], np.random.default_rng(0))
    return blend(photo, Patch(filled, soften(region[rows, columns], 1.5), rows.start, columns.start, "ellipse"))


def blue_eyes() -> Forgery:
    """Local retouch: the irises turned from green to blue."""
    photo = SOURCES["chelsea"]()
    hue, saturation, value = cv2.split(cv2.cvtColor(photo, cv2.COLOR_RGB2HSV))
    turned = ((hue.astype(np.int16) + 84) % 180).astype(np.uint8)  # OpenCV counts hue in steps of 2 degrees
    blue = cv2.cvtColor(cv2.merge([turned, saturation // 3 * 2, value]), cv2.COLOR_HSV2RGB)
    irises = _ellipses(photo, [(169, 114, 32, 29), (316, 137, 23, 26)])
    return blend(photo, Patch(blue, soften(irises, 1.5), 0, 0, "ellipse"))


def two_rockets() -> Forgery:
    """Copy-move: the rocket with its scaffold and pad once more, to the left of itself."""
    photo = SOURCES["rocket"]()
    outline = [(304, 122), (336, 122), (336, 345), (357, 360), (357, 426), (266, 426), (266, 398), (282, 398)]
    outline += [(282, 360), (304, 345)]
    return blend(photo, _cut(photo, _polygon(photo, outline), to=(122, 192), feather=2.5))


def _dahlia(photo: np.ndarray) -> np.ndarray:
    """The large flower of flower.jpg: orange, where all around is green, and above the second one."""
    orange = photo[..., 0].astype(np.int16) > photo[..., 1:].max(axis=2).astype(np.int16) + 20
    orange[363:] = False
    count, parts, stats, _ = cv2.connectedComponentsWithStats(orange.astype(np.uint8))
    largest = parts == 1 + np.argmax(stats[1:count, cv2.CC_STAT_AREA])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    closed = cv2.morphologyEx(largest.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel).astype(bool)


def _polygon(photo: np.ndarray, points: Sequence[tuple[int, int]]) -> np.ndarray:
    """A filled outline, its corners as x, y."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(points, np.int32)], 1)
    return mask.astype(bool)


def _ellipses(photo: np.ndarray, ellipses: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """Upright ellipses, each its centre x, y and its half axes along x and y."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    for x, y, a, b in ellipses:
        cv2.ellipse(mask, (x, y), (a, b), 0.0, 0.0, 360.0, 1, cv2.FILLED)
    return mask.astype(bool)


def _cut(
    photo: np.ndarray,
    region: np.ndarray,
    *,
    to: tuple[int, int],
    scale: float = 1.0,
    mirror: bool = False,
    feather: float,
    gain: float = 1.0,
) -> Patch:
    """Cut a region out, scale, mirror and darken it, and have it lie with its top left corner at ``to`` (y, x)."""
    x, y, width, height = cv2.boundingRect(region.astype(np.uint8))
    size = max(1, round(scale * height)), max(1, round(scale * width))
    pixels = resize_pixels(np.ascontiguousarray(photo[y : y + height, x : x + width]), size)
    mask = resize_map(region[y : y + height, x : x + width], size) > 0.5
    step = -1 if mirror else 1
    pixels = np.rint(pixels[:, ::step] * gain).astype(np.uint8)
    return Patch(pixels, soften(mask[:, ::step], feather), *to, "outline")


def _place(patch: Patch) -> tuple[slice, slice]:
    """Rows and columns of the host that the patch covers."""
    height, width = patch.alpha.shape
    return slice(patch.top, patch.top + height), slice(patch.left, patch.left + width)


def _in_the_light_of(host: np.ndarray, patch: Patch, *, strength: float) -> Patch:
    """Lead the patch's colours towards those that it covers."""
    return replace(patch, pixels=match_colour(patch.pixels, host[_place(patch)], patch.alpha > 0, strength=strength))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write into (default: %(default)s)")
    out = parser.parse_args().out
    for example in make_examples():
        folder = "authentic" if example.mask is None else "tampered"
        write_atomically(out / "photos" / folder / f"{example.name}.jpg", encode_jpeg(example.pixels, example.quality))
        if example.mask is not None:
            mask = encode_png(example.mask.astype(np.uint8) * 255)
            write_atomically(out / "masks" / f"{example.name}.png", mask)
    print(f"{out / 'photos'} and {out / 'masks'} written")


if __name__ == "__main__":
    main()
