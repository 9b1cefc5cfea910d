"""Photos and masks in, arrays out; and the two things done to pixels everywhere: resizing and saving as JPEG.

Pixels stay on the grid the file stores, because JPEG blocks and camera patterns line up with it. What is
computed there is turned afterwards to the way a person sees the photo, by `Photo.upright`. How unusual
files are read: `vilaco.decoding`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from vilaco.colours import to_colour_and_alpha, to_rgb
from vilaco.decoding import check_size, decode, open_page, open_source, turn
from vilaco.errors import ImageError

MAX_PIXELS = 100_000_000
"""Largest width times height decoded unless the caller says otherwise: 300 MB of pixels."""

ALL_PAGES: Literal["all"] = "all"
"""In place of a page's number, where each picture of a file is to have a result."""

PageChoice = int | Literal["all"] | None
"""Which picture of a file: its number, from 1; `ALL_PAGES`; the one that the file opens with if ``None``."""

MaskRule = Literal["nonzero", "zero", "green"]
Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]

_SAMPLING_FACTORS = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}
_UNKNOWN = 128  # grey level of what a file does not have
_BLANK_LEVELS, _BLANK_SHARE = 8, 0.001  # what JPEG makes of one colour, and dust
_GREEN_LEAD = 64  # Columbia's greens lead by 200 and 255, less where JPEG blurs them; no other colour does


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One decoded photo.

    Attributes:
        pixels: RGB on the stored grid, (H, W, 3) uint8.
        orientation: EXIF orientation, 1 to 8: how `upright` turns the stored grid.
        source: The file's path as given, ``"<bytes>"`` or what these were called, or ``"<array>"``.
        page: Which of the file's pictures it is, from 1.
        pages: How many there are.
        rows: First stored row that the file has, and the first that it has no more, where it ends too early; the
            others are grey. ``None`` where it has all.
        notes: How the photo differs from what the file stores, or is not all of it; a sentence each.
    """

    pixels: np.ndarray
    orientation: int
    source: str
    page: int = 1
    pages: int = 1
    rows: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the photo the way a person sees it."""
        height, width = self.pixels.shape[:2]
        return (width, height) if self.orientation >= 5 else (height, width)

    @property
    def known(self) -> "Photo":
        """The rows that are there as a photo of their own; the photo itself where all are."""
        return self if self.rows is None else replace(self, pixels=self.pixels[slice(*self.rows)], rows=None)

    def with_unknown(self, values: np.ndarray) -> np.ndarray:
        """A map of the rows that are there, grown to the whole photo by zeros.

        Args:
            values: (h, w), upright, of the size of `known`.

        Returns:
            (H, W), upright; the same array where all rows are there.
        """
        if self.rows is None:
            return values
        there = np.zeros(self.pixels.shape[:2], bool)
        there[slice(*self.rows)] = True
        whole = np.zeros(self.upright_size, values.dtype)
        whole[self.upright(there)] = values.ravel()
        return whole

    def upright(self, array: np.ndarray) -> np.ndarray:
        """Turn an array from the stored grid to the way a person sees the photo.

        Args:
            array: (H, W) or (H, W, C), at the photo's resolution or a coarser one.

        Returns:
            The turned array, contiguous; with ``orientation`` 5 to 8 its sides are swapped.
        """
        return turn(array, self.orientation)


def load_photo(
    source: str | Path | bytes | np.ndarray,
    *,
    max_pixels: int = MAX_PIXELS,
    bytes_name: str = "<bytes>",
    page: int | None = None,
    accept_truncated: bool = False,
) -> Photo:
    """Decode a photo, whatever its file type and mode.

    Args:
        source: A file, its bytes, or decoded pixels, (H, W, 3) uint8 RGB, which are not copied.
        max_pixels: Largest width times height; a larger photo is refused before it is decoded.
        bytes_name: What to call bytes.
        page: Which picture of the file, from 1; the one that the file opens with if ``None``. Pixels have one.
        accept_truncated: Whether the rows that are there of a file that ends too early are a photo; where it lacks no
            more than the last row of JPEG blocks, they always are.

    Returns:
        The photo, its pixels on the stored grid.

    Raises:
        ImageError: If it cannot be read; the ``code`` is ``not_found``, ``not_a_file``, ``unreadable``,
            ``empty``, ``not_an_image``, ``needs_heif``, ``camera_raw``, ``no_such_page``, ``too_many_pixels``,
            ``truncated``, ``bomb``, ``corrupt``, ``unsupported``, ``out_of_memory`` or ``not_rgb_pixels``.

    Example:
        >>> load_photo(np.zeros((2, 3, 3), np.uint8)).upright_size
        (2, 3)
    """
    if isinstance(source, np.ndarray):
        return Photo(_checked_pixels(source, max_pixels), 1, "<array>")
    stream, name = open_source(source, bytes_name=bytes_name)
    with stream:
        decoded = decode(stream, name, max_pixels, page=page, accept_truncated=accept_truncated)
    pixels = to_rgb(decoded.picture, name, decoded.notes)
    if decoded.rows is not None:
        pixels[: decoded.rows[0]] = pixels[decoded.rows[1] :] = _UNKNOWN
    notes = tuple(decoded.notes)
    return Photo(pixels, decoded.orientation, name, decoded.page, decoded.pages, decoded.rows, notes)


def count_pages(source: str | Path | bytes, *, bytes_name: str = "<bytes>") -> int:
    """How many pictures a file holds: pages of a TIFF, frames of an animation, pictures of an MPO or a HEIC.

    Args:
        source: A file, or its bytes.
        bytes_name: What to call bytes.

    Raises:
        ImageError: If it cannot be opened, as for `load_photo`.
    """
    stream, name = open_source(source, bytes_name=bytes_name)
    with stream, open_page(stream, name) as opened:
        return opened.pages


def is_blank(pixels: np.ndarray) -> bool:
    """Whether a picture has one colour, or nearly: there is nothing in it that could be judged.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        Whether all but a thousandth of the pixels are within 8 levels of the middle one of each channel.

    Example:
        >>> is_blank(np.full((9, 9, 3), 255, np.uint8))
        True
    """
    step = max(1, min(pixels.shape[:2]) // 64)
    middle = np.median(pixels[::step, ::step].reshape(-1, 3), axis=0)
    inside = cv2.inRange(pixels, middle - _BLANK_LEVELS, middle + _BLANK_LEVELS)
    return cv2.countNonZero(inside) >= (1 - _BLANK_SHARE) * inside.size


def load_mask(path: str | Path, rule: MaskRule = "nonzero") -> np.ndarray:
    """Read a ground-truth mask, turned the way a person sees it.

    Args:
        path: The mask file.
        rule: Which pixels are tampered: ``"nonzero"``, those with any colour channel above zero;
            ``"zero"``, the others (DSO-1); ``"green"``, those whose green clearly leads (Columbia's bright
            and regular green). Transparency counts only if the whole mask has one colour, so that nothing
            else tells its pixels apart.

    Returns:
        (H, W) bool, True is tampered.

    Raises:
        ImageError: If the file cannot be read, as for `load_photo`.
        ValueError: If the rule is not one of the three.
    """
    if rule not in get_args(MaskRule):
        raise ValueError(f"rule must be one of {', '.join(get_args(MaskRule))}, got {rule!r}.")
    stream, name = open_source(path)
    with stream:
        decoded = decode(stream, name, MAX_PIXELS)
    if decoded.rows is not None:
        raise ImageError(name, "the file ends too early", code="truncated")
    colour, alpha = to_colour_and_alpha(decoded.picture, name)
    if alpha is not None and alpha.min() < alpha.max() and (colour == colour[:1, :1]).all():
        colour = np.broadcast_to(alpha[..., None], colour.shape)
    if rule == "green":
        tampered = colour[..., 1].astype(np.int32) - colour[..., ::2].max(axis=2) >= _GREEN_LEAD
    else:
        tampered = colour.any(axis=2) == (rule == "nonzero")
    return turn(tampered, decoded.orientation)


def mask_is_binary(path: str | Path, rule: MaskRule = "nonzero") -> bool:
    """Whether a ground-truth mask has at most two colours; what is grey between them is tampered by `load_mask`.

    Masks of the rule ``"green"`` are coloured by design and count as binary.

    Raises:
        ImageError: If the file cannot be read, as for `load_photo`.
    """
    if rule == "green":
        return True
    packed = load_photo(path).pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    others = packed[packed != packed.flat[0]]
    return bool(others.size == 0 or (others == others[0]).all())


def resize_pixels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize pixels: by area along sides that shrink, bilinearly along sides that grow.

    Args:
        pixels: (H, W, C) or (H, W) uint8.
        size: The new (height, width).

    Returns:
        uint8 of the new size; the same array where the size is the old one.

    Raises:
        ValueError: If a side is below 1.
    """
    height, width = _checked_size(size)
    shrunk = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    return _resize(_resize(pixels, shrunk, cv2.INTER_AREA), (height, width), cv2.INTER_LINEAR)


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map bilinearly, with half-pixel centres and never past its own extremes.

    The same grid as PyTorch's ``interpolate(mode="bilinear", align_corners=False)``.

    Args:
        values: (h, w), any real type.
        size: The new (height, width).

    Returns:
        (height, width) float32.

    Raises:
        ValueError: If a side is below 1.

    Example:
        >>> resize_map(np.array([[0.0, 1.0]]), (1, 4))
        array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    values = np.asarray(values, np.float32)
    resized = _resize(values, _checked_size(size), cv2.INTER_LINEAR)
    return np.clip(resized, values.min(), values.max())


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture with what surrounds it.

    Attributes:
        outer: Rows and columns, in pixels, that are looked at.
        kept: Rows and columns, in pixels, that this tile stands for.
    """

    outer: tuple[slice, slice]
    kept: tuple[slice, slice]

    def inner(self, stride: int) -> tuple[slice, slice]:
        """Where ``kept`` lies within what was made of ``outer`` at ``stride`` pixels a cell."""
        rows, columns = (
            slice((kept.start - outer.start) // stride, (kept.stop - outer.start) // stride)
            for kept, outer in zip(self.kept, self.outer, strict=True)
        )
        return rows, columns


def tile_rows(height: int, width: int, *, tile: int, halo: int) -> list[list[Tile]]:
    """Cut a picture into tiles that overlap by a halo.

    Args:
        height: Of the picture, in pixels.
        width: Likewise.
        tile: Side of what a tile stands for, in pixels; smaller at the right and lower edge.
        halo: Pixels looked at beyond it on each side, as far as the picture goes.

    Returns:
        Rows of tiles, from the upper left.

    Example:
        >>> [[tile.outer[1] for tile in row] for row in tile_rows(8, 40, tile=16, halo=8)]
        [[slice(0, 24, None), slice(8, 40, None), slice(24, 40, None)]]
    """
    rows, columns = _cuts(height, tile, halo), _cuts(width, tile, halo)
    return [[Tile((outer_y, outer_x), (kept_y, kept_x)) for outer_x, kept_x in columns] for outer_y, kept_y in rows]


def _cuts(length: int, tile: int, halo: int) -> list[tuple[slice, slice]]:
    starts = range(0, length, tile)
    kept = [slice(start, min(length, start + tile)) for start in starts]
    return [(slice(max(0, part.start - halo), min(length, part.stop + halo)), part) for part in kept]


def encode_jpeg(pixels: np.ndarray, quality: int, *, subsampling: Subsampling = "4:2:0") -> bytes:
    """Encode pixels as a baseline JPEG file with libjpeg's standard tables.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        quality: libjpeg's quality, 1 to 100.
        subsampling: Chroma resolution.

    Raises:
        ValueError: If the quality or the subsampling is not one of these.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be in 1..100, got {quality}.")
    if subsampling not in _SAMPLING_FACTORS:
        raise ValueError(f"subsampling must be one of {', '.join(_SAMPLING_FACTORS)}, got {subsampling!r}.")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING_FACTORS[subsampling]]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()


def encode_png(grey: np.ndarray) -> bytes:
    """Encode one channel, (H, W) uint8 or uint16, as a PNG file."""
    return cv2.imencode(".png", grey)[1].tobytes()


def resave_jpeg(pixels: np.ndarray, quality: int, *, subsampling: Subsampling = "4:2:0") -> np.ndarray:
    """Pixels after one trip through a JPEG file: `encode_jpeg`, then `load_photo`."""
    data = encode_jpeg(pixels, quality, subsampling=subsampling)
    return load_photo(data, max_pixels=pixels.shape[0] * pixels.shape[1]).pixels


def _checked_pixels(array: np.ndarray, max_pixels: int) -> np.ndarray:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        reason = f"pixels must be (H, W, 3) uint8 RGB, got {array.shape} {array.dtype}"
        raise ImageError("<array>", reason, code="not_rgb_pixels")
    height, width = array.shape[:2]
    check_size("<array>", width, height, max_pixels)
    return np.ascontiguousarray(array)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < 1:
        raise ValueError(f"size must be (height, width) of at least 1, got {size}.")
    return size


def _resize(array: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    if array.shape[:2] == size:
        return array
    return cv2.resize(array, size[::-1], interpolation=interpolation)
