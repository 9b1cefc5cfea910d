"""Kinds of forgery that ``vilaco.data.forge`` does not make, and piles of them.

Each changes one region of a view between camera and web: view, camera, region and history come from the forge's own
draws, so that a forged picture and an authentic one differ by the forgery alone.
"""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from vilaco.data.forge import ForgeConfig, PhotoPool
from vilaco.data.forge.engine import MIN_DIFFERENCE, MIN_PIXELS, draw_scene
from vilaco.data.forge.history import encode_png
from vilaco.data.forge.shapes import Frame, draw_shape
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.files import write_atomically

CONFIG = ForgeConfig(min_area=0.03)
Kind = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""A view ``(H, W, 3)`` uint8, the region ``(H, W)`` bool, random numbers -> the view changed as if everywhere."""


def warp(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of a body pushed, swollen or shrunk: a displacement that grows towards the middle of the region."""
    depth = cv2.distanceTransform(np.pad(region.view(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    reach = float(depth.max())
    lift = np.sin(np.pi / 2 * depth / reach) ** 2
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    if rng.random() < 0.5:
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.4) * reach
        by = (length * np.sin(angle) * lift, length * np.cos(angle) * lift)
    else:
        centre = np.argwhere(depth == reach)[0]
        scale = rng.choice([-1.0, 1.0]) * rng.uniform(0.25, 0.45) * lift
        by = ((rows - centre[0]) * scale, (columns - centre[1]) * scale)
    where = [(axis + shift).astype(np.float32) for axis, shift in zip((columns, rows), by[::-1], strict=True)]
    return np.asarray(cv2.remap(pixels, *where, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def smoothing(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Skin smoothing that spares edges: a bilateral filter, twice."""
    levels, reach = rng.uniform(25, 50), rng.uniform(2, 4)
    once = cv2.bilateralFilter(pixels, 0, levels, reach)
    return np.asarray(cv2.bilateralFilter(once, 0, levels, reach))


def detail(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clarity brush: the region's local contrast and edges brought out."""
    amount, sigma = rng.uniform(0.8, 1.8), rng.uniform(0.8, 2.0)
    return np.asarray(cv2.addWeighted(pixels, 1 + amount, cv2.GaussianBlur(pixels, (0, 0), sigma), -amount, 0))


def codec(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part that went through another program's WebP, as generated or sent pictures do, and was laid back in place."""
    quality = int(rng.integers(15, 50))
    encoded = cv2.imencode(".webp", pixels[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


def upscaled(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part restored from a smaller picture: shrunk, enlarged and sharpened."""
    height, width = pixels.shape[:2]
    factor = rng.uniform(0.4, 0.65)
    small = cv2.resize(pixels, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(cv2.addWeighted(large, 1.6, cv2.GaussianBlur(large, (0, 0), 1.2), -0.6, 0))


KINDS: dict[str, Kind] = {
    "warp": warp,
    "smoothing": smoothing,
    "detail": detail,
    "codec": codec,
    "upscaled": upscaled,
}


def make_picture(
    photos: PhotoPool, host: int, kind: Kind, label: int, seed: Sequence[int]
) -> tuple[bytes, str, np.ndarray]:
    """One finished picture.

    Args:
        photos: The pool.
        host: A readable photo of it.
        kind: What a tampered picture is tampered with.
        label: 1 tampered, 0 authentic; pictures of one seed differ by it alone.
        seed: Fixes the picture.

    Returns:
        The file's bytes, its suffix, and what was changed, bool, all False for an authentic one.
    """
    scene_rng, rng = np.random.default_rng(seed).spawn(2)
    scene = draw_scene(photos, host, scene_rng, CONFIG)
    pixels, history = scene.view.pixels, scene.history
    if label == AUTHENTIC:
        return *history.publish(pixels), np.zeros(history.size, bool)
    while True:
        region = _draw_region(pixels.shape[:2], history.frame, rng)
        changed = kind(pixels, region, rng)
        difference = cv2.absdiff(changed, pixels)[region].mean()
        mask = history.publish_mask(region)
        if difference >= MIN_DIFFERENCE and mask.sum() >= MIN_PIXELS:
            return *history.publish(np.where(region[..., None], changed, pixels)), mask


def _draw_region(size: tuple[int, ...], frame: Frame, rng: np.random.Generator) -> np.ndarray:
    shape = draw_shape(None, frame, rng, CONFIG, max_area=CONFIG.max_area)
    region = np.zeros(size, bool)
    height, width = shape.mask.shape
    region[shape.top : shape.top + height, shape.left : shape.left + width] = shape.mask
    return region


def write_piles(
    authentic: Sequence[Record], tampered: Sequence[Record], kind: str, out: Path, *, seed: int, masks: bool
) -> Path:
    """Write two piles and the manifest of both.

    Args:
        authentic: Authentic photos, of each a picture that stays so.
        tampered: Authentic photos, of each a picture that is tampered with.
        kind: Key of :data:`KINDS`.
        out: Folder; what is there already is used again.
        seed: A photo that is in both piles gives twins.
        masks: Whether masks are written, which evaluation alone needs.

    Returns:
        The manifest.
    """
    manifest = out / "manifest.csv"
    if manifest.exists():
        return manifest
    rows = []
    for label, records in ((AUTHENTIC, authentic), (TAMPERED, tampered)):
        for record in records:
            photos, name = PhotoPool([record.path]), f"{record.path.stem}_{label}"
            number = int.from_bytes(record.path.name.encode(), "little")
            encoded, suffix, mask = make_picture(photos, 0, KINDS[kind], label, [seed, number])
            write_atomically(out / f"{name}{suffix}", encoded)
            row = {"path": f"{name}{suffix}", "label": label, "group": record.group, "mask": ""}
            if masks and label == TAMPERED:
                row["mask"] = f"masks/{name}.png"
                write_atomically(out / row["mask"], encode_png(mask.view(np.uint8) * 255))
            rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["path", "label", "group", "mask"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(manifest, text.getvalue().encode())
    return manifest
