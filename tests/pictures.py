"""Pictures that tests make for themselves."""

import io
import struct
import zlib
from collections.abc import Sequence

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


def bmp_with_alpha(rgba: np.ndarray) -> bytes:
    """A BMP of 32 bits whose header says that one byte is alpha, (H, W, 4) uint8."""
    height, width = rgba.shape[:2]
    header = struct.pack("<IiiHHIIiiII", 108, width, -height, 1, 32, 3, rgba.size, 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    body = header + masks + bytes(108 - len(header) - len(masks)) + rgba[..., [2, 1, 0, 3]].tobytes()
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 108) + body


Tags = dict[int, tuple[int, ...]]


def tiff(*folders: tuple[np.ndarray, Tags, Sequence[tuple[np.ndarray, Tags]]], big: bool = False) -> bytes:
    """A TIFF file by hand: pictures in a chain, each with more tags and, below it, pictures of its own."""
    place, count, entry = ("Q", "Q", "<HHQQ") if big else ("I", "H", "<HHII")
    size = struct.calcsize("<" + place)
    out = bytearray(b"II+\0\x08\0\0\0" + bytes(8) if big else b"II*\0" + bytes(4))

    def add(pixels: np.ndarray, extra: Tags, below: Sequence[tuple[np.ndarray, Tags]], link_at: int) -> int:
        """Append a folder, tell the place at ``link_at``; returns where its own link is."""
        offsets = []
        for other, tags in below:
            place_at = len(out)
            out.extend(bytes(size))
            add(other, tags, (), place_at)
            offsets.append(struct.unpack_from("<" + place, out, place_at)[0])
        data_at = len(out)
        out.extend(pixels.tobytes())
        height, width = pixels.shape[:2]
        tags = {256: (width,), 257: (height,), 259: (1,), 262: (2,), 273: (data_at,), 277: (3,), 278: (height,)}
        tags |= {279: (pixels.size,), 258: (8, 8, 8), **({330: tuple(offsets)} if offsets else {}), **extra}
        places = {}
        for tag, values in tags.items():
            if len(values) * size > size:
                places[tag] = len(out)
                out.extend(struct.pack(f"<{len(values)}{place}", *values))
        struct.pack_into("<" + place, out, link_at, len(out))
        out.extend(struct.pack("<" + count, len(tags)))
        kind = 16 if big else 4
        for tag, values in sorted(tags.items()):
            out.extend(struct.pack(entry, tag, kind, len(values), places.get(tag, values[0])))
        out.extend(bytes(size))
        return len(out) - size

    link = len(out) - size
    for pixels, extra, below in folders:
        link = add(pixels, extra, below, link)
    return bytes(out)
