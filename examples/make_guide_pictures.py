"""Draw pictures of the docs from the example photos: what the shipped model finds and where it fails, reuse, comparing.

    python examples/make_guide_pictures.py

Writes ``overview.jpg``, ``failures.jpg``, ``reuse.jpg`` and ``compare.jpg`` to ``docs/images/``.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from demo import judge_examples, overview

from vilaco.compare import compare
from vilaco.compare.compare import difference_picture
from vilaco.compare.report import overlay
from vilaco.images import encode_jpeg, load_photo, resize_pixels
from vilaco.localizer import Localizer
from vilaco.report.overlay import titled_row
from vilaco.reuse.features import MAX_PIXELS, extract, reduced_grey
from vilaco.reuse.finding import Outline, find
from vilaco.reuse.register import lay

ROOT = Path(__file__).parents[1]
IMAGES, PHOTOS = ROOT / "docs/images", ROOT / "examples/photos/authentic"
FOUND, FAILED = ("blue_eyes", "two_dahlias"), ("coffee", "dahlia_on_saucer", "no_mission_patch", "two_rockets")


def shown(pixels: np.ndarray, height: int) -> np.ndarray:
    return resize_pixels(pixels, (height, round(pixels.shape[1] * height / pixels.shape[0])))


def outlined(pixels: np.ndarray, outline: Outline) -> np.ndarray:
    picture, points = pixels.copy(), np.array(outline.polygon, np.int32)
    cv2.polylines(picture, [points], True, (0, 0, 0), 7)
    cv2.polylines(picture, [points], True, (255, 212, 59), 4)
    return picture


def draw_compare(original: Path) -> np.ndarray:
    """A disc of the photo pasted elsewhere in it, made smaller and saved at JPEG 80."""
    pixels = load_photo(original).pixels
    height, width = pixels.shape[:2]
    disc = cv2.circle(np.zeros((90, 90), np.uint8), (45, 45), 40, 255, -1)
    weight = cv2.GaussianBlur(disc, (0, 0), 2)[..., None] / 255
    suspect = pixels.copy()
    there = np.s_[height // 3 : height // 3 + 90, int(width * 0.65) : int(width * 0.65) + 90]
    here = np.s_[height // 2 : height // 2 + 90, width // 4 : width // 4 + 90]
    suspect[there] = (weight * pixels[here] + (1 - weight) * suspect[there]).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "suspect.jpg")
        file.write_bytes(encode_jpeg(resize_pixels(suspect, (int(height * 0.75), int(width * 0.75))), 80))
        found = compare(file, original)
    return titled_row(
        [
            ("suspect", shown(found.suspect, 300)),
            ("original", shown(pixels, 300)),
            ("difference left, four times as bright", shown(difference_picture(found), 300)),
            ("marked", shown(overlay(found), 300)),
        ]
    )


def draw_reuse(first: Path, second: Path) -> np.ndarray:
    """A part of one photo in another, mirrored and 1.2 times as large, saved at JPEG 85."""
    donor, host = load_photo(first).pixels, load_photo(second).pixels.copy()
    side = host.shape[0] // 3
    part = donor[donor.shape[0] // 3 :, donor.shape[1] // 3 :][:side, :side][:, ::-1]
    part = resize_pixels(np.ascontiguousarray(part), (int(side * 1.2), int(side * 1.2)))
    host[20 : 20 + len(part), 20 : 20 + len(part)] = part
    host = load_photo(encode_jpeg(host, 85)).pixels
    (ours, factor), (theirs, other) = reduced_grey(donor, MAX_PIXELS), reduced_grey(host, MAX_PIXELS)
    found = find(ours, theirs, lay(extract(donor), extract(host), mirrored=True), factor, other)
    assert found is not None
    best = found.best
    title = f"another: {best.strength}, {best.origin}, mirrored, {best.scale:.1f} times the size"
    return titled_row(
        [("a photo", shown(outlined(donor, best.first), 360)), (title, shown(outlined(host, best.second), 360))]
    )


def draw_verdicts(names: Sequence[str]) -> np.ndarray:
    """Rows of the demo's overview."""
    with tempfile.TemporaryDirectory() as folder:
        judged = judge_examples(Localizer.load(), Path(folder))
    return overview([one for one in judged if one.name.name in names])


def main() -> None:
    for picture, names in (("overview", FOUND), ("failures", FAILED)):
        (IMAGES / f"{picture}.jpg").write_bytes(encode_jpeg(draw_verdicts(names), 88))
    (IMAGES / "compare.jpg").write_bytes(encode_jpeg(draw_compare(PHOTOS / "china.jpg"), 88))
    (IMAGES / "reuse.jpg").write_bytes(encode_jpeg(draw_reuse(PHOTOS / "china.jpg", PHOTOS / "rocket.jpg"), 88))


if __name__ == "__main__":
    main()
