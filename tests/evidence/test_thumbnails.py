"""Previews inside files: of the same picture, of another one, and of another shape."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from pictures import exif_with, make_photo, make_textured
from vilaco.evidence import EmbeddedThumbnail, read_evidence
from vilaco.evidence.thumbnails import largest_difference, without_bars
from vilaco.images import encode_jpeg, load_photo, resize_pixels


def with_preview(pixels: np.ndarray, preview: bytes, orientation: int = 1) -> bytes:
    """A JPEG whose EXIF block ends in a preview, as cameras write it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92, exif=exif_with(preview, orientation))
    return buffer.getvalue()


def preview_of(data: bytes) -> EmbeddedThumbnail:
    found = read_evidence(data, load_photo(data))
    assert found.problems == ()
    [thumbnail] = found.thumbnails
    return thumbnail


@pytest.mark.parametrize("make", [make_photo, make_textured])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("quality", [40, 85])
def test_a_preview_of_the_same_picture_does_not_differ(make, seed: int, quality: int) -> None:  # type: ignore[no-untyped-def]
    pixels = make(np.random.default_rng(seed), 480, 640)
    small = resize_pixels(pixels, (120, 160)).astype(np.float32)
    brighter = np.clip(small * 0.9 + 18, 0, 255).astype(np.uint8)  # cameras give previews a tone of their own
    thumbnail = preview_of(with_preview(pixels, encode_jpeg(brighter, quality)))
    assert (thumbnail.width, thumbnail.height, thumbnail.source) == (160, 120, "EXIF")
    assert not thumbnail.differs
    assert thumbnail.difference is not None
    assert thumbnail.difference < 15


@pytest.mark.parametrize("seed", range(4))
def test_a_pasted_object_shows_against_the_old_preview(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = make_textured(rng, 480, 640)
    preview = encode_jpeg(resize_pixels(pixels, (120, 160)), 80)
    pixels[200:330, 300:420] = (240, 30, 30)
    thumbnail = preview_of(with_preview(pixels, preview))
    assert thumbnail.differs
    assert not thumbnail.other_shape


def test_black_bars_are_no_difference_and_a_crop_is() -> None:
    pixels = make_photo(np.random.default_rng(0), 400, 600)
    barred = np.zeros((120, 160, 3), np.uint8)
    barred[7:113] = resize_pixels(pixels, (106, 160))
    assert not preview_of(with_preview(pixels, encode_jpeg(barred, 85))).differs
    cropped = preview_of(with_preview(pixels[:, :300].copy(), encode_jpeg(resize_pixels(pixels, (107, 160)), 85)))
    assert (cropped.other_shape, cropped.difference, cropped.differs) == (True, None, True)


@pytest.mark.parametrize("turned", [False, True])
def test_a_preview_may_be_turned_or_not(turned: bool) -> None:
    pixels = make_photo(np.random.default_rng(0), 300, 400)
    preview = resize_pixels(pixels, (120, 160))
    if turned:
        preview = np.ascontiguousarray(cv2.rotate(preview, cv2.ROTATE_90_CLOCKWISE))
    thumbnail = preview_of(with_preview(pixels, encode_jpeg(preview, 90), orientation=6))
    assert (thumbnail.width, thumbnail.height, thumbnail.differs) == (120, 160, False)


def test_a_large_preview_is_compared_whole_and_kept_small() -> None:
    pixels = make_photo(np.random.default_rng(0), 480, 640)
    preview = encode_jpeg(resize_pixels(pixels, (960, 1280)), 80)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif_with(preview))
    thumbnail = preview_of(buffer.getvalue())
    assert (thumbnail.width, thumbnail.height, thumbnail.differs) == (1280, 960, False)
    assert load_photo(thumbnail.jpeg).pixels.shape == (384, 512, 3)


def test_a_damaged_preview_is_named() -> None:
    pixels = make_photo(np.random.default_rng(0))
    data = with_preview(pixels, b"\xff\xd8\xff\xe0 no more")
    found = read_evidence(data, load_photo(data))
    assert found.thumbnails == ()
    assert ["EXIF preview" in problem for problem in found.problems] == [True]


def test_flat_pictures_and_tiny_ones() -> None:
    flat = np.full((40, 60, 3), 90, np.uint8)
    assert largest_difference(flat[:4, :6], flat) < 0.01
    assert largest_difference(flat[:1, :1], flat) < 0.01
    assert without_bars(flat[:1, :2], 50.0).size > 0
