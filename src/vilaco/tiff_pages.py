"""The pictures of a TIFF file: which are the photo or its pages, which only previews, and which a camera's raw.

A TIFF file is a chain of folders ("IFDs"), a picture each; a folder may have more below it ("SubIFDs"). Pillow shows
the first one, be it a preview of 160 x 107 pixels. Camera raw files (DNG, NEF, ARW, PEF, ...) are such files, too: a
preview in front, and behind it what the sensor saw, which is no picture yet.

Sources: TIFF 6.0, Adobe 1992 (tag NewSubfileType); TIFF/EP, ISO 12234-2 (SubIFDs, colour filter arrays); DNG 1.7.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 259, 262
_SUB_IFDS, _DNG_VERSION = 330, 50706
_SIZE = frozenset({_WIDTH, _HEIGHT})
_WANTED = _SIZE | {_SUBFILE, _OLD_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # value of SubfileType
_SENSOR = frozenset({32803, 34892})  # photometric interpretations: a colour filter array, linear raw
_RAW_COMPRESSIONS = {34713: "NEF", 32767: "ARW", 65535: "PEF", 65000: "DCR"}
_SIZES = {1: "B", 3: "H", 4: "I", 6: "b", 13: "I", 16: "Q", 18: "Q"}
"""Struct codes of the types that numbers, flags and places have."""
_MOST_FOLDERS = 4096
_MOST_VALUES = 256


@dataclass(frozen=True, slots=True)
class TiffPages:
    """What a TIFF file holds.

    Attributes:
        offsets: Where the folders of the photo's pages lie, in order; previews and masks are not among them.
        passed_over: Whether a preview stood in front of the first.
        is_whole: Whether all folders can be read.
        raw: The usual ending of such files where it is a camera's raw file.
    """

    offsets: tuple[int, ...]
    passed_over: bool
    is_whole: bool
    raw: str | None


@dataclass(frozen=True, slots=True)
class _Folder:
    offset: int
    next: int
    tags: dict[int, tuple[int, ...]]

    def first(self, tag: int) -> int:
        return (self.tags.get(tag) or (0,))[0]

    @property
    def is_photo(self) -> bool:
        """Whether it is neither a preview nor a mask."""
        return not self.first(_SUBFILE) & (_REDUCED | _MASK) and self.first(_OLD_SUBFILE) != _OLD_REDUCED


def read_pages(stream: BinaryIO) -> TiffPages:
    """Look through the folders of a TIFF file; its pixels are not looked at.

    Args:
        stream: The file, seekable.

    Returns:
        Its pages: the folders of the chain that are no previews; where all are previews, those below them that are
        none; and the whole chain where every picture says to be a preview. None where no folder can be read.
    """
    reader = _Reader(stream)
    chain = list(reader.chain(reader.first_offset))
    below = [folder for above in chain for offset in above.tags.get(_SUB_IFDS, ()) for folder in reader.chain(offset)]
    photos = [folder for folder in chain if folder.is_photo] or [folder for folder in below if folder.is_photo] or chain
    return TiffPages(
        tuple(folder.offset for folder in photos),
        passed_over=bool(photos) and photos[0] is not chain[0],
        is_whole=reader.is_whole,
        raw=_raw_kind([*chain, *below]),
    )


def with_first(stream: BinaryIO, offset: int) -> BinaryIO:
    """The same file with another folder as its first: what a decoder shows then; the file itself where it is already.

    Args:
        stream: The file, seekable.
        offset: Where the folder lies, one of `TiffPages.offsets`.
    """
    reader = _Reader(stream)
    if reader.first_offset == offset:
        return stream
    stream.seek(0)
    data = bytearray(stream.read())
    struct.pack_into(reader.order + reader.place, data, 8 if reader.is_big else 4, offset)
    return io.BytesIO(data)


def _raw_kind(folders: list[_Folder]) -> str | None:
    if any(_DNG_VERSION in folder.tags for folder in folders):
        return "DNG"
    for folder in folders:
        if (kind := _RAW_COMPRESSIONS.get(folder.first(_COMPRESSION))) is not None:
            return kind
    return "camera raw" if any(folder.first(_PHOTOMETRIC) in _SENSOR for folder in folders) else None


class _Reader:
    """Reads folders; whatever is damaged ends the chain that it stands in."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = _MOST_FOLDERS
        self.is_whole = True
        start = self._at(0, 16)
        self.order = ">" if start[:2] == b"MM" else "<"
        self.is_big = b"+" in start[2:4]
        self.place = "Q" if self.is_big else "I"
        size = struct.calcsize(self.place)
        header = start[8:16] if self.is_big else start[4:8]
        self.first_offset = self._number(header, self.place) if len(header) == size else 0

    def chain(self, offset: int) -> Iterator[_Folder]:
        """Folders from one on, each once."""
        seen = set[int]()
        while offset and offset not in seen and self._left:
            seen.add(offset)
            self._left -= 1
            folder = self._folder(offset)
            if folder is None or not folder.tags.keys() >= _SIZE:  # no picture
                self.is_whole = False
                return
            yield folder
            offset = folder.next

    def _folder(self, offset: int) -> _Folder | None:
        count_code, entry = ("Q", 20) if self.is_big else ("H", 12)
        count_size, place_size = struct.calcsize(count_code), struct.calcsize(self.place)
        head = self._at(offset, count_size)
        if len(head) < count_size:
            return None
        count = min(self._number(head, count_code), 65535)
        body = self._at(offset + count_size, count * entry + place_size)
        tags = {}
        for at in range(0, min(count * entry, len(body) - entry + 1), entry):
            tag, kind = struct.unpack_from(self.order + "HH", body, at)
            if tag in _WANTED and kind in _SIZES:
                tags[tag] = self._values(kind, body[at + 4 : at + entry])
        following = body[count * entry :]
        return _Folder(offset, self._number(following, self.place) if len(following) == place_size else 0, tags)

    def _values(self, kind: int, entry: bytes) -> tuple[int, ...]:
        """Numbers of an entry: in it where they fit, else where it says."""
        place_size = struct.calcsize(self.place)
        count = min(self._number(entry[:place_size], self.place), _MOST_VALUES)
        size = count * struct.calcsize("<" + _SIZES[kind])
        data = entry[place_size : place_size + size]
        if size > place_size:
            data = self._at(self._number(entry[place_size:], self.place), size)
        whole = len(data) // struct.calcsize("<" + _SIZES[kind])
        return struct.unpack_from(f"{self.order}{whole}{_SIZES[kind]}", data)

    def _at(self, offset: int, size: int) -> bytes:
        try:
            self._stream.seek(offset)
            return self._stream.read(size)
        except (OSError, ValueError, OverflowError):
            return b""

    def _number(self, data: bytes, code: str) -> int:
        return int(struct.unpack(self.order + code, data)[0])
