"""Files that end too early: which rows of the picture are there all the same.

A decoder does not tell where the file ended in the picture, so it is asked twice. Rows that come out the same, although
what the file lacks was made up in two ways, are the file's own:

- *JPEG*: two endings are put behind it, one of nothing and one of noise. Whatever was decoded from the ending differs;
  behind the first block that differs, nothing counts. Of a progressive file every scan refines every row, so rows
  count only if the scan that ends too early is its last one.
- *WebP*: likewise, and the sizes that the file tells of its parts are made to fit. Rows that smoothing may have reached
  from below do not count.
- *Others*: the picture is decoded over black and over white. Rows that were not written differ. Of a compressed TIFF
  file, libtiff gives whole strips or tiles alone.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from vilaco.jpeg_segments import FRAME_PROGRESSIVE, SCAN, jpeg_segments

NEARLY_ALL = 17, 0.1
"""A picture that lacks no more than so many rows (a row of JPEG blocks, and the one that they blur into) nor than this
share of its rows counts as whole: browsers show it, and nobody notices."""

_NOISE = np.random.default_rng(0).integers(0, 255, 4096, dtype=np.uint8).tobytes()  # without 255, which starts a marker
_END = b"\xff\xd9"
_WEBP_FRAME = b"ANMF", 16  # a part that holds others, behind so many bytes of its own
_WEBP_REACH = 8  # rows above that change with those below, by smoothing across blocks and by colour of half the size
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF tags: where the parts of a picture lie, and how many bytes they have
_ROWWISE = frozenset({"PNG", "TIFF", "BMP", "GIF"})


@dataclass(frozen=True, slots=True)
class Remains:
    """What is there of a picture.

    Attributes:
        picture: Loaded, in the file's own mode and size; what is missing has some colour or other.
        rows: First row that is there, and the first that is no more; on the stored grid.
    """

    picture: Image.Image
    rows: tuple[int, int]

    @property
    def share(self) -> float:
        """Of the rows, in (0, 1]."""
        return (self.rows[1] - self.rows[0]) / self.picture.height

    @property
    def is_all(self) -> bool:
        """Whether no row is missing."""
        return self.rows == (0, self.picture.height)

    @property
    def is_nearly_all(self) -> bool:
        """Whether so little is missing that the picture counts as whole."""
        most_rows, most_share = NEARLY_ALL
        missing = self.picture.height - (self.rows[1] - self.rows[0])
        return missing <= most_rows and missing <= most_share * self.picture.height


def find_remains(data: bytes, kind: str, open_again: Callable[[], Image.Image]) -> Remains | None:
    """What is there of a picture whose file ends too early.

    Args:
        data: The file.
        kind: Pillow's name of its type.
        open_again: Opens the picture anew, its pixels not decoded.

    Returns:
        ``None`` where no row is there, or the decoder gives all or nothing (AVIF, HEIC).

    Raises:
        Exception: Of any type, where the decoder fails in another way.
    """
    if kind in ("JPEG", "MPO"):
        if not _ends_in_last_scan(data):
            return None
        whole = data.rstrip(b"\xff")
        pictures = [_loaded(whole + ending + _END, "JPEG") for ending in (b"", _NOISE)]
    elif kind == "WEBP":
        missing = 4 * (int.from_bytes(data[4:8], "little") - len(data))  # noise needs more than a photo
        missing = min(missing, 2 * math.prod(open_again().size)) + len(_NOISE)
        endings = (bytes(missing), _NOISE * (missing // len(_NOISE)))
        try:
            pictures = [_loaded(with_webp_ending(data, ending), kind) for ending in endings]
        except OSError:  # what is there does not say enough of the picture
            return None
    elif kind in _ROWWISE:
        pictures = [_decoded_over(open_again(), level) for level in (0, 255)]
    else:
        return None
    first, second = (np.asarray(picture) for picture in pictures)
    same = (first == second).reshape(len(first), -1).all(axis=1)
    if not same.any():
        return None
    start = int(np.argmax(same))
    others = np.flatnonzero(~same[start:])
    stop = start + int(others[0]) if others.size else len(same)
    if kind == "WEBP" and stop < len(same):
        stop -= _WEBP_REACH
    return Remains(pictures[0], (start, stop)) if start < stop else None


def with_webp_ending(data: bytes, ending: bytes) -> bytes:
    """A WebP file that ends too early with something in place of what it lacks.

    The file is a tree of chunks, each of a name and its number of bytes (RIFF). Those that the end of the file cuts get
    the ending and the number that fits; a chunk whose head is cut goes.

    Args:
        data: The file.
        ending: Any bytes.
    """
    (frame, inner), cut, at = _WEBP_FRAME, [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            cut.append(at + 4)
            size = inner if data[at : at + 4] == frame else len(data)
        at += 8 + size + size % 2
    whole = bytearray(data[:at])
    if cut:
        whole += ending
    whole += bytes(len(whole) % 2)
    for place in (4, *cut):
        whole[place : place + 4] = (len(whole) - place - 4).to_bytes(4, "little")
    return bytes(whole)


def tiff_parts_there(picture: TiffImageFile, size: int) -> tuple[int, int]:
    """Strips or tiles of a TIFF picture: how many at its start are there in whole, and how many it has.

    Args:
        picture: Its header is enough.
        size: Of its file, in bytes.
    """
    tags = picture.tag_v2
    offsets, counts = next(
        ((tags[one], tags.get(other, ())) for one, other in (_STRIPS, _TILES) if one in tags), ((), ())
    )
    ends = [offset + count for offset, count in zip(offsets, counts, strict=False)]
    return next((number for number, end in enumerate(ends) if end > size), len(ends)), len(ends)


def _loaded(data: bytes, kind: str) -> Image.Image:
    picture = Image.open(io.BytesIO(data), formats=(kind,))
    picture.load()
    return picture


def _decoded_over(picture: Image.Image, level: int) -> Image.Image:
    bands = len(picture.getbands())
    picture.im = Image.new(picture.mode, picture.size, level if bands == 1 else (level,) * bands).im
    try:
        picture.load()
    except OSError:
        picture.tile = []  # type: ignore[attr-defined]  # loaded, as far as it goes
    return picture


def _ends_in_last_scan(data: bytes) -> bool:
    """Whether the scan that a JPEG file ends in is the last that it needs: every coefficient has all its bits by then.

    ITU-T T.81, B.2.3: a scan header names components, a range of coefficients, and the lowest bit that it brings.
    """
    missing: set[tuple[int, int]] = set()  # (component, coefficient) whose lowest bit no scan has brought
    for marker, content in jpeg_segments(data):
        if marker == FRAME_PROGRESSIVE and len(content) >= 6:
            missing = {(component, k) for component in content[6 : 6 + 3 * content[5] : 3] for k in range(64)}
        elif marker == SCAN and content and len(content) >= 4 + 2 * content[0]:
            first, last, bits = content[-3:]
            if bits & 15 == 0:
                missing -= {(component, k) for component in content[1:-3:2] for k in range(first, last + 1)}
    return not missing
