"""Segmentations of photos, whose parts are the shapes of forgeries.

Three kinds are read, told apart by their content:

* BSDS500's ``.mat`` (Arbelaez et al. 2011): one variable, ``groundTruth``, a cell array with a struct for each
  annotator, in it ``Segmentation``, an image of segment numbers. One annotator's is wanted, so unpacking stops there.
* class maps as ``.mat``: one variable, ``groundtruth``, with a class for each pixel, 0 for the background.
* class maps as ``.png``: the grey levels, or palette entries, are classes.

MATLAB's file format, level 5, is read here: a worker process starts in half the time without ``scipy.io``.
"""

import io
import math
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from vilaco.errors import DataError

Read = Callable[[int], bytes]
"""The next so many bytes."""

HEADER = 128
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
"""Data types of the format (its manual's table 1-1) that can hold segment numbers."""


WHOLE_SHARE = 0.5
"""Of the draws from a class map with a background: all classes count as one, a whole person in place of a sleeve."""

ENDINGS = (".mat", ".png")
BSDS500, CLASSES_MAT, CLASSES_PNG = "BSDS500 .mat", "class map .mat", "class map .png"


def read_segmentation(path: Path, rng: np.random.Generator) -> np.ndarray:
    """Read the parts of a photo: what one annotator, drawn at random, took for them, or its classes.

    Args:
        path: A ``.mat`` or ``.png`` file of one of the kinds above.
        rng: Draws the annotator, or whether the classes of a ``.mat`` count as one whole.

    Returns:
        Segment numbers, ``(H, W)`` uint16.

    Raises:
        DataError: If the file is not such a file.
    """
    try:
        kind, labels = _read(path, rng)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except (struct.error, zlib.error, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a segmentation ({type(error).__name__}: {error}).") from error
    if kind == CLASSES_MAT and rng.random() < WHOLE_SHARE:
        labels = (labels > 0).astype(np.uint16)
    return labels


def kinds_in(folder: Path) -> dict[str, int]:
    """How many segmentations of which kind a folder holds; others of their endings are ``"unusable"``."""
    kinds: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.suffix.lower() in ENDINGS:
            try:
                kinds[_read(path, np.random.default_rng(0))[0]] += 1
            except (OSError, struct.error, zlib.error, KeyError, ValueError):
                kinds["unusable"] += 1
    return dict(kinds)


def _read(path: Path, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    file = path.read_bytes()
    if path.suffix.lower() == ".png":
        with Image.open(io.BytesIO(file)) as image:
            if image.mode not in ("L", "P", "1", "I;16"):
                raise ValueError(f"a class map has one channel, not mode {image.mode}")
            return CLASSES_PNG, np.asarray(image).astype(np.uint16)
    kind, size = struct.unpack_from("<II", file, HEADER)
    body = file[HEADER + 8 : HEADER + 8 + size]
    read = _inflating(body) if kind == COMPRESSED else io.BytesIO(file[HEADER:]).read
    shape, name = _open_matrix(read)
    if name == b"groundtruth":
        return CLASSES_MAT, _numbers(read, shape)
    if name != b"groundTruth":
        raise ValueError(f"the variable is called {name!r}")
    return BSDS500, _of_one_annotator(read, shape, rng)


def _of_one_annotator(read: Read, people: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    for _ in range(rng.integers(math.prod(people))):
        _element(read)
    _open_matrix(read)
    (width,) = struct.unpack("<i", _element(read)[1])
    names = _element(read)[1]
    fields = [names[start : start + width].rstrip(b"\0") for start in range(0, len(names), width)]
    for _ in range(fields.index(b"Segmentation")):
        _element(read)
    return _numbers(read, _open_matrix(read)[0])


def _numbers(read: Read, shape: tuple[int, ...]) -> np.ndarray:
    """The content of a numeric matrix, column by column in the file, ``(H, W)`` uint16."""
    height, columns = shape
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
