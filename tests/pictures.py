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


_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
"""Bytes of a value of the types that tags of a TIFF file have."""


def tiff_with_folder_first(data: bytes) -> bytes:
    """A TIFF file of one picture, as libtiff saves it with the folder behind the pixels, with it in front of them."""
    at = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    tags: dict[int, tuple[int, int, bytes]] = {}
    for number in range(count):
        tag, kind, values, place = struct.unpack_from("<HHI4s", data, at + 2 + 12 * number)
        size = values * _SIZES[kind]
        start = struct.unpack("<I", place)[0]
        tags[tag] = kind, values, place[:size] if size <= 4 else data[start : start + size]
    offsets, sizes = (
        struct.unpack(f"<{tags[tag][1]}{'H' if tags[tag][0] == 3 else 'I'}", tags[tag][2]) for tag in (273, 279)
    )
    strips = [data[start : start + size] for start, size in zip(offsets, sizes, strict=True)]
    tags[273] = 4, len(strips), bytes(4 * len(strips))
    values_at = 8 + 2 + 12 * count + 4
    end = values_at + sum(len(value) for _, _, value in tags.values() if len(value) > 4)
    starts = [end + sum(map(len, strips[:number])) for number in range(len(strips))]
    tags[273] = 4, len(strips), struct.pack(f"<{len(strips)}I", *starts)
    folder, values = bytearray(struct.pack("<H", count)), bytearray()
    for tag, (kind, number, value) in sorted(tags.items()):
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", values_at + len(values))
        folder += struct.pack("<HHI", tag, kind, number) + place
        values += value if len(value) > 4 else b""
    return b"II*\0" + struct.pack("<I", 8) + folder + bytes(4) + values + b"".join(strips)


def mpo(photo: bytes, other: bytes, kind: int) -> bytes:
    """A JPEG file with another one behind it; ``kind`` says what that is (CIPA DC-007, 5.2.3.3.1)."""

    def index(length: int) -> bytes:
        tags = struct.pack("<HHI4sHHIIHHII", 0xB000, 7, 4, b"0100", 0xB001, 4, 1, 2, 0xB002, 7, 32, 50)
        whole = len(photo) + length
        entries = struct.pack("<IIIHHIIIHH", 0x20030000, whole, 0, 0, 0, kind, len(other), whole - 10, 0, 0)
        return b"MPF\0II*\0" + struct.pack("<IH", 8, 3) + tags + bytes(4) + entries

    length = len(index(0)) + 4
    return photo[:2] + b"\xff\xe2" + struct.pack(">H", length - 2) + index(length) + photo[2:] + other


def with_segment(jpeg: bytes, content: bytes) -> bytes:
    """A JPEG file with an APP1 segment more."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]
