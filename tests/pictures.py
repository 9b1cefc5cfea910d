"""Pictures that tests make for themselves."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


def make_photo(rng: np.random.Generator, height: int = 72, width: int = 96) -> np.ndarray:
    """A smooth colourful picture, shape ``(height, width, 3)``, uint8."""
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def make_textured(rng: np.random.Generator, height: int = 256, width: int = 384) -> np.ndarray:
    """A picture with detail of every size from 2 pixels on, as leaves and gravel have, and no repetition."""
    layers = [
        cv2.resize(rng.standard_normal((-(-height // cell) + 1, -(-width // cell) + 1)), (width, height)) * cell**0.4
        for cell in (2, 4, 8, 16, 32)
    ]
    grey = np.sum(layers, axis=0)
    coloured = grey[..., None] * 20 + make_photo(rng, height, width) * 0.3 + 80
    return np.clip(coloured, 0, 255).astype(np.uint8)


def smooth(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth picture that uses most levels, shape ``(height, width, 3)``, uint8."""
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 20, 235, cv2.NORM_MINMAX)


def encoded(picture: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """A picture as an image file; ``kind`` is Pillow's name of the format."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    stream = io.BytesIO()
    picture.copy().save(stream, kind, **options)  # a saved picture remembers how, which the next format trips over
    return stream.getvalue()


def exif_with(preview: bytes, orientation: int = 1) -> bytes:
    """An EXIF block that ends in a preview, as cameras write it."""
    header = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    first = struct.pack("<HHHIII", 1, 0x0112, 3, 1, orientation, 26)  # the picture's tags, then where the preview's are
    second = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, len(preview), 0)
    return header + first + second + preview


def png(width: int, height: int, *, extra: bytes = b"", pixels: bytes | None = None) -> bytes:
    """A grey PNG by hand: any size in the header, with or without the pixels for it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes((width + 1) * height) if pixels is None else pixels)
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
