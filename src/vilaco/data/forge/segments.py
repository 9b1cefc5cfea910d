"""Human segmentations of BSDS500 (Arbelaez et al. 2011), read from MATLAB's file format, level 5.

Such a file holds one variable, ``groundTruth``: a cell array with a struct for each annotator, in it
``Segmentation``, an image of segment numbers, and ``Boundaries``. A forgery wants one annotator's image, so
unpacking stops there; and a worker process starts in half the time without ``scipy.io``.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vilaco.errors import DataError

Read = Callable[[int], bytes]
"""The next so many bytes."""

HEADER = 128
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
"""Data types of the format (its manual's table 1-1) that can hold segment numbers."""


def read_segmentation(path: Path, rng: np.random.Generator) -> np.ndarray:
    """Read what one annotator, drawn at random, took for the parts of a photo.

    Args:
        path: A ``.mat`` file of BSDS500's ``groundTruth`` folder.
        rng: Draws the annotator.

    Returns:
        Segment numbers, ``(H, W)`` uint16.

    Raises:
        DataError: If the file is not such a file.
    """
    try:
        return _read_segmentation(path.read_bytes(), rng)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except (struct.error, zlib.error, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a BSDS500 segmentation ({type(error).__name__}: {error}).") from error


def _read_segmentation(file: bytes, rng: np.random.Generator) -> np.ndarray:
    kind, size = struct.unpack_from("<II", file, HEADER)
    body = file[HEADER + 8 : HEADER + 8 + size]
    read = _inflating(body) if kind == COMPRESSED else io.BytesIO(file[HEADER:]).read
    people, name = _open_matrix(read)
    if name != b"groundTruth":
        raise ValueError(f"the variable is called {name!r}")
    for _ in range(rng.integers(math.prod(people))):
        _element(read)
    _open_matrix(read)
    (width,) = struct.unpack("<i", _element(read)[1])
    names = _element(read)[1]
    fields = [names[start : start + width].rstrip(b"\0") for start in range(0, len(names), width)]
    for _ in range(fields.index(b"Segmentation")):
        _element(read)
    (height, columns), _ = _open_matrix(read)
    kind, data = _element(read)
    return np.frombuffer(data, NUMBERS[kind]).reshape(columns, height).T.astype(np.uint16)


def _inflating(packed: bytes) -> Read:
    inflater, rest = zlib.decompressobj(), packed

    def read(size: int) -> bytes:
        nonlocal rest
        data = inflater.decompress(rest, size) if size else b""
        rest = inflater.unconsumed_tail
        return data

    return read


def _open_matrix(read: Read) -> tuple[tuple[int, ...], bytes]:
    """Read a matrix up to its content: its shape and name."""
    kind, _ = struct.unpack("<II", read(8))
    if kind != MATRIX:
        raise ValueError(f"data type {kind} where a matrix should be")
    _, shape, name = (_element(read)[1] for _ in range(3))
    return struct.unpack(f"<{len(shape) // 4}i", shape), name


def _element(read: Read) -> tuple[int, bytes]:
    """Read one data element: its type and its bytes, without their padding to a multiple of 8."""
    tag = read(8)
    kind, size = struct.unpack("<II", tag)
    if kind >> 16:  # at most 4 bytes are kept within the tag
        return kind & 0xFFFF, tag[4 : 4 + (kind >> 16)]
    return kind, read(size + -size % 8)[:size]
