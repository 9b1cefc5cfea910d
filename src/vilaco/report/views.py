"""Pictures of one judged photo, reduced to what a screen shows: the photo, its map, and two classic views beside it."""

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from vilaco.evaluation.baselines.ela import resave_change
from vilaco.evaluation.baselines.noi1 import noi1_map
from vilaco.images import Photo, encode_jpeg, resize_map, resize_pixels
from vilaco.report.overlay import draw_overlay, heat_colours
from vilaco.result import Result

PHOTO_SIDE = 1600
"""Longer side of the photo shown, in pixels: fills a laptop's screen, and keeps a case near a megabyte."""
VIEW_SIDE = 800
"""Longer side of map, ELA and noise, in pixels."""
THUMBNAIL_SIDE = 120
_PREVIEW_SIDE = 160  # EXIF recommends previews of 160 x 120
_PHOTO_QUALITY, _VIEW_QUALITY, _THUMBNAIL_QUALITY = 88, 85, 75
_BRIGHTEST = 99.5  # percentile of the ELA picture that is shown white


class Views(BaseModel):
    """Encoded pictures, all upright.

    Attributes:
        width: Of ``photo`` and ``overlay``, in pixels.
        height: Likewise.
        photo: The photo, JPEG.
        overlay: The photo with heat and outline on its regions, JPEG; for paper.
        map: The localization map as grey levels, PNG: 255 is 1, and levels from 128 on, and no others, are above 0.5.
        mask: The mask, 255 tampered and 0 not, like ``map``, PNG.
        heat: The map in colours, JPEG.
        ela: Error level analysis: what one more JPEG save changes, made bright, JPEG.
        noise: How far the noise is from the photo's own level, in the map's colours, JPEG.
        thumbnail: The overlay, small, JPEG.
        small: The photo, as small as the preview that cameras put into a file, JPEG.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    width: int
    height: int
    photo: bytes
    overlay: bytes
    map: bytes
    mask: bytes
    heat: bytes
    ela: bytes
    noise: bytes
    thumbnail: bytes
    small: bytes


def draw_views(photo: Photo, result: Result) -> Views:
    """Draw all views; traces are computed on the full stored pixels and reduced then.

    Args:
        photo: The photo as loaded.
        result: Of that photo.
    """
    height, width = size = reduced_size(photo.upright_size, PHOTO_SIDE)
    small = resize_pixels(result.pixels, size)
    levels = _levels(result.localization_map)
    map_at_photo = resize_pixels(levels, size)
    mask = result.pred_mask.astype(np.uint8) * 255
    mask_at_photo = resize_pixels(mask, size) > 127
    shown = map_at_photo / np.float32(255) * (mask_at_photo if result.region_thresholds else 1)
    overlay = draw_overlay(small, shown, mask_at_photo)
    view_size = reduced_size(photo.upright_size, VIEW_SIDE)
    map_ = resize_pixels(levels, view_size)
    return Views(
        width=width,
        height=height,
        photo=encode_jpeg(small, _PHOTO_QUALITY, subsampling="4:4:4"),
        overlay=encode_jpeg(overlay, _VIEW_QUALITY),
        map=cv2.imencode(".png", map_)[1].tobytes(),
        mask=cv2.imencode(".png", cv2.resize(mask, view_size[::-1], interpolation=cv2.INTER_NEAREST))[1].tobytes(),
        heat=encode_jpeg(heat_colours(map_ / np.float32(255)), _VIEW_QUALITY),
        ela=encode_jpeg(ela_view(photo, view_size), _VIEW_QUALITY),
        noise=encode_jpeg(noise_view(photo, view_size), _VIEW_QUALITY),
        thumbnail=encode_jpeg(resize_pixels(overlay, reduced_size(size, THUMBNAIL_SIDE)), _THUMBNAIL_QUALITY),
        small=encode_jpeg(resize_pixels(small, reduced_size(size, _PREVIEW_SIDE)), _VIEW_QUALITY),
    )


def ela_view(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    """The change under one more JPEG save, reduced by area and stretched so that the brightest half percent is white.

    Args:
        photo: The photo as loaded.
        size: (height, width) of the view, upright.

    Returns:
        (height, width, 3) uint8 RGB; black if nothing changes.
    """
    change = resize_pixels(photo.upright(resave_change(photo.pixels)), size).astype(np.float32)
    brightest = float(np.percentile(change, _BRIGHTEST))
    return np.clip(change * (255 / brightest if brightest > 0 else 0), 0, 255).astype(np.uint8)


def noise_view(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    """The map of NOI1, in the colours of :func:`~vilaco.report.overlay.heat_colours`.

    Args:
        photo: The photo as loaded.
        size: (height, width) of the view, upright.

    Returns:
        (height, width, 3) uint8 RGB; black for a photo smaller than one tile of 16 pixels.
    """
    return heat_colours(resize_map(photo.upright(noi1_map(photo.pixels)), size))


def reduced_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) with the longer side at most ``side``.

    Example:
        >>> reduced_size((3000, 4000), 1600), reduced_size((20000, 1), 1600), reduced_size((3, 4), 1600)
        ((1200, 1600), (1600, 1), (3, 4))
    """
    share = min(1.0, side / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _levels(localization_map: np.ndarray) -> np.ndarray:
    """A map as 8-bit levels, halves rounded down, so that 0.5 itself is 127."""
    return np.ceil(np.maximum(localization_map * np.float32(255) - np.float32(0.5), 0)).astype(np.uint8)
