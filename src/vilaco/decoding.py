"""Safe and complete decoding: any common image file becomes a picture, or one clear error.

Pillow decodes, inside limits it does not set itself: a list of allowed formats (so that no file starts
Ghostscript), a pixel limit checked in the header before any pixel is decoded, and regular files only (a pipe
would wait for ever).

What becomes of the unusual:

- *Several pictures in a file* (pages, frames of an animation, MPO, HEIC): the one that the file opens with, or the one
  asked for. A preview in a TIFF file is no page; a camera's raw file is refused.
- *Files that end too early*: what :mod:`vilaco.cut_short` finds, if that is nearly all or the caller accepts it.

What becomes of its colours: :mod:`vilaco.colours`. Whatever is judged otherwise than the file stores it has a sentence
in ``notes``.
"""

import io
import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile
from PIL.TiffImagePlugin import TiffImageFile

from vilaco import decoder_noise
from vilaco.cut_short import Remains, find_remains, tiff_parts_there, with_webp_ending
from vilaco.errors import PART_IS_THERE, ImageError
from vilaco.jpeg_segments import SCAN, jpeg_segments
from vilaco.mpo_pages import photos_of_mpo
from vilaco.names import as_text, is_url, one_line
from vilaco.signatures import PREFIX, is_cut_webp, is_deep_avif, is_heif, is_tiff, raw_kind
from vilaco.tiff_pages import read_pages, with_first

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF")
"""Pillow's names of what is decoded (JPEG covers MPO); HEIF joins where pillow-heif is installed."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong with a file is told once, by our error
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 274, 258, 262, 284  # TIFF and EXIF tags
_AVIF_HEADERS, _WEBP_HEADERS = 1 << 16, 1 << 20  # bytes that are enough to know what picture it is
_PNG_END = b"IEND\xaeB`\x82"
_MAX_SCANS = 100  # of a JPEG; encoders write about ten
_CUT_SHORT = ("truncated", "broken data stream", "not enough", "unexpected end")  # in Pillow's messages
_UNDO_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_LACKS_END = "the file lacks its end, and nothing of the picture"
_NO_ROW = "the file ends too early, and no row of the picture is there in full"
_UNCOUNTED = "the file holds more pictures, which cannot be read"
_PAGE_NOTE = re.compile(r"page \d+ of \d+")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture that was read.

    Attributes:
        picture: Loaded, in the file's own mode, on the grid that the file stores.
        orientation: EXIF's, 1 to 8.
        page: Which of the file's pictures it is, from 1.
        pages: How many there are.
        rows: First row that the file has, and the first that it has no more; ``None`` where it has them all.
        notes: What was done to it that the file does not say, a sentence each; the caller may add.
    """

    picture: Image.Image
    orientation: int
    page: int
    pages: int
    rows: tuple[int, int] | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class OpenedPage:
    """A picture whose header is read, and its pixels are not.

    Attributes:
        picture: As Pillow opened it.
        page: Which of the file's pictures it is, from 1.
        pages: How many there are.
        notes: What a person should know of the choice, a sentence each.
        ends_early: Whether it is already known that the file does.
    """

    picture: Image.Image
    page: int
    pages: int
    notes: tuple[str, ...]
    ends_early: bool = False


def open_source(source: str | Path | bytes, *, bytes_name: str = "<bytes>") -> tuple[BinaryIO, str]:
    """Open an image file, or bytes, for reading.

    Args:
        source: The file, or its bytes.
        bytes_name: What to call bytes.

    Returns:
        The stream, to be closed by the caller, and the name errors should use.

    Raises:
        ImageError: ``not_found``, ``not_a_file``, ``unreadable`` or ``empty``.
    """
    if isinstance(source, bytes):
        if not source:
            raise ImageError(bytes_name, "no bytes at all", code="empty")
        return io.BytesIO(source), bytes_name
    if is_url(source):
        hint = "is an address, and nothing is fetched; save the picture first, or: curl -s ADDRESS | vilaco detect -"
        raise ImageError(source, hint, code="not_found")
    try:
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise ImageError(source, f"is {kind}, not an image file", code="not_a_file")
        if status.st_size == 0:
            raise ImageError(source, "the file is empty", code="empty")
        return open(source, "rb"), as_text(source)
    except FileNotFoundError as error:
        raise ImageError(source, "no such file", code="not_found") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or error
        raise ImageError(source, f"cannot be opened ({reason})", code="unreadable") from error


def decode(
    stream: BinaryIO, name: str, max_pixels: int, *, page: int | None = None, accept_truncated: bool = False
) -> Decoded:
    """Decode one picture of a file, in the file's own mode.

    Args:
        stream: The file's bytes, seekable.
        name: How errors call the image.
        max_pixels: Largest width times height decoded.
        page: Which picture, from 1; the one that the file opens with if ``None``.
        accept_truncated: Whether a picture may lack more than its last rows.

    Raises:
        ImageError: ``not_an_image``, ``needs_heif``, ``camera_raw``, ``no_such_page``, ``empty``, ``too_many_pixels``,
            ``unsupported``, ``truncated``, ``bomb``, ``corrupt`` or ``out_of_memory``.
    """
    with open_page(stream, name, page, max_pixels) as opened:
        picture, notes = opened.picture, list(opened.notes)
        check_size(name, *picture.size, max_pixels)
        if isinstance(picture, JpegImageFile):
            _check_scans(stream, name)
        if _is_deep(picture, stream):
            notes.append("more than 8 bits a channel were reduced to the upper 8")
        decoder_noise.take()  # what was said of others
        loaded = None if opened.ends_early else _load(picture, name, stream)
        said = decoder_noise.take()
        if loaded is None:
            remains = _remains(stream, opened, name, accept_truncated=accept_truncated)
            notes.append(_what_remains(remains))
            loaded, rows = (remains.picture, _orientation(opened.picture)), None if remains.is_all else remains.rows
            return Decoded(*loaded, opened.page, opened.pages, rows, notes)
        if said:
            notes.append(f"its decoder found damage: {as_text(one_line(said))}")
        if picture.format == "PNG" and not _has_png_end(stream):
            notes.append(_LACKS_END)
    return Decoded(*loaded, opened.page, opened.pages, None, notes)


@contextmanager
def open_page(
    stream: BinaryIO, name: str, page: int | None = None, max_pixels: int | None = None
) -> Iterator[OpenedPage]:
    """Context with a picture of a file, its header read and its pixels not yet; what goes wrong inside is one error.

    Args:
        stream: The file's bytes, seekable.
        name: How errors call the image.
        page: Which picture, from 1; the one that the file opens with if ``None``.
        max_pixels: Largest width times height of what has to be decoded on the way to a later page.

    Raises:
        ImageError: As `decode`.
    """
    try:
        with _pillow_set_up:
            yield _opened_page(stream, name, page, max_pixels)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(stream, name) from error
    except MemoryError as error:
        raise ImageError(name, "needs more memory than there is", code="out_of_memory") from error
    except Exception as error:  # Pillow's plugins let almost any type out of a broken file
        if _is_cut_webp(stream):
            raise ImageError(name, _NO_ROW, code="truncated") from error
        raise _broken(name, error) from error


def kind_of_note(note: str) -> str:
    """What notes of one kind have in common: a note without its numbers of pages and rows, and what its decoder said.

    Example:
        >>> kind_of_note("page 2 of 5"), kind_of_note("transparent parts were laid over white")
        ('one page of several', 'transparent parts were laid over white')
    """
    return "one page of several" if _PAGE_NOTE.fullmatch(note) else note.partition(":")[0]


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture of no pixels or too many.

    Raises:
        ImageError: ``empty`` or ``too_many_pixels``; the message gives size and limit.
    """
    if width < 1 or height < 1:
        raise ImageError(name, "has no pixels", code="empty")
    if width * height > max_pixels:
        reason = f"{width} x {height} = {width * height:,} pixels, over the limit of {max_pixels:,}"
        raise ImageError(name, reason, code="too_many_pixels")


def turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an (H, W[, C]) array from the stored grid to the way a person sees it.

    Args:
        array: Any array whose first axes are height and width.
        orientation: EXIF's 1 (as is), 2 (mirrored), 3 (upside down), 4 (flipped) or 5 to 8 (sides swapped).

    Example:
        >>> turn(np.array([[1, 2, 3], [4, 5, 6]]), 6)  # a quarter turn clockwise
        array([[4, 1],
               [5, 2],
               [6, 3]])
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _is_deep(picture: Image.Image, stream: BinaryIO) -> bool:
    """Whether its file has more bits a channel than Pillow gives out, or 16 of grey."""
    if picture.format == "AVIF":
        stream.seek(0)
        return is_deep_avif(stream.read(_AVIF_HEADERS))
    read_as = " ".join(str(tile.args) for tile in getattr(picture, "tile", ()))
    return ";16" in read_as or picture.mode.startswith("I;16") or picture.info.get("bit_depth", 8) > 8


def _opened_page(stream: BinaryIO, name: str, page: int | None, max_pixels: int | None) -> OpenedPage:
    start = _start(stream)
    raw = raw_kind(start)
    if raw is None and is_tiff(start):
        tiff = read_pages(stream)
        if tiff.raw is None and tiff.offsets:
            number = _checked_page(name, page or 1, len(tiff.offsets))
            picture = Image.open(with_first(stream, tiff.offsets[number - 1]), formats=("TIFF",))
            notes = _of_pages(number, len(tiff.offsets))
            notes += ("a smaller preview in the file was passed over",) if tiff.passed_over and number == 1 else ()
            notes += () if tiff.is_whole else (_UNCOUNTED,)
            return OpenedPage(picture, number, len(tiff.offsets), notes)
        raw = tiff.raw
    if raw is not None:
        reason = f"a camera's raw file ({raw}), which is no picture yet; export it as JPEG or TIFF and give that"
        raise ImageError(name, reason, code="camera_raw")
    ends_early = _is_cut_webp(stream)
    stream.seek(0)
    if ends_early:
        stream = io.BytesIO(with_webp_ending(stream.read(), bytes(_WEBP_HEADERS)))
    picture = Image.open(stream, formats=_formats(start))
    number = picture.tell() + 1
    try:
        frames = _photos(picture, stream)
    except Exception:  # counting goes through the whole file
        return OpenedPage(picture, _checked_page(name, page or number, number), number, (_UNCOUNTED,))
    pages = len(frames)
    if page is not None and page != number:
        number = _checked_page(name, page, pages)
        if max_pixels is not None:
            check_size(name, *picture.size, max_pixels)  # a frame is made out of those before
        picture.seek(frames[number - 1])
    return OpenedPage(picture, number, pages, _of_pages(number, pages), ends_early)


def _photos(picture: Image.Image, stream: BinaryIO) -> Sequence[int]:
    """Numbers of the frames that are pages, from 0: what a camera's JPEG has behind the photo may be something else."""
    frames = range(int(getattr(picture, "n_frames", 1)))
    return photos_of_mpo(stream) if isinstance(picture, MpoImageFile) else frames


def _of_pages(page: int, pages: int) -> tuple[str, ...]:
    return () if pages == 1 else (f"page {page} of {pages}",)


def _checked_page(name: str, page: int, pages: int) -> int:
    if not 1 <= page <= pages:
        has = "one page" if pages == 1 else f"{pages} pages"
        raise ImageError(name, f"has {has}, and page {page} was asked for", code="no_such_page")
    return page


def _load(picture: Image.Image, name: str, stream: BinaryIO) -> tuple[Image.Image, int] | None:
    """The picture with its pixels, and its orientation; ``None`` where its file ends too early."""
    try:
        if isinstance(picture, TiffImageFile):
            return _load_tiff(picture, name)
        picture.load()
        return picture, _orientation(picture)  # which may stand behind the pixels
    except OSError as error:
        if "truncated" in str(error):
            return None
        if isinstance(picture, TiffImageFile):
            there, parts = tiff_parts_there(picture, stream.seek(0, os.SEEK_END))
            if there == 0 < parts:
                raise ImageError(name, _NO_ROW, code="truncated") from error
            if there < parts:
                return None
        raise


def _remains(stream: BinaryIO, opened: OpenedPage, name: str, *, accept_truncated: bool) -> Remains:
    """What is there of a file that ends too early.

    Raises:
        ImageError: ``truncated``, where too much is missing; says how much is there.
    """
    kind = opened.picture.format or ""
    if opened.page > 1 and kind != "TIFF":  # such are made out of the ones before
        raise ImageError(name, f"the file ends too early, in page {opened.page}", code="truncated")
    stream.seek(0)
    data = stream.read()
    remains = find_remains(data, kind, lambda: _opened_page(io.BytesIO(data), name, opened.page, None).picture)
    if remains is None:
        raise ImageError(name, _NO_ROW, code="truncated")
    if not (accept_truncated or remains.is_nearly_all):
        reason = f"the file ends too early: {remains.share:.0%} {PART_IS_THERE}"
        raise ImageError(name, reason, code="truncated")
    return remains


def _what_remains(remains: Remains) -> str:
    if remains.is_all:
        return _LACKS_END
    rows = f"rows {remains.rows[0] + 1} to {remains.rows[1]} of {remains.picture.height}"
    return f"the file ends too early: {rows} were judged, the rest is unknown"


def _is_cut_webp(stream: BinaryIO) -> bool:
    return is_cut_webp(_start(stream), stream.seek(0, os.SEEK_END))


def _has_png_end(stream: BinaryIO) -> bool:
    stream.seek(0)
    return _PNG_END in stream.read()


def _start(stream: BinaryIO) -> bytes:
    stream.seek(0)
    start = stream.read(PREFIX)
    stream.seek(0)
    return start


def _formats(start: bytes) -> tuple[str, ...]:
    return ("HEIF", "AVIF") if is_heif(start) and _register_heif() else _built_in()


@cache
def _built_in() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


@cache
def _register_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _load_tiff(picture: TiffImageFile, name: str) -> tuple[Image.Image, int]:
    """Load a TIFF file; Pillow turns it meanwhile, and silently misreads two variants of more than 8 bits."""
    tags, orientation = picture.tag_v2, _orientation(picture)
    if max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8:
        planes_apart = tags.get(_PLANAR_CONFIGURATION) == 2 and picture.info.get("compression") == "raw"
        if planes_apart or tags.get(_PHOTOMETRIC) == 0:
            reason = "16-bit TIFF with separate planes or inverted grey; save it as plain grey or RGB"
            raise ImageError(name, reason, code="unsupported")
    picture.load()
    undo = _UNDO_TURN.get(orientation)
    return picture if undo is None else picture.transpose(undo), orientation


def _orientation(picture: Image.Image) -> int:
    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata is a stranger's bytes too; the picture is worth more than its turn
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _check_scans(stream: BinaryIO, name: str) -> None:
    """Refuse a JPEG of very many scans: each costs a walk over all pixels, and none needs more than a few bytes."""
    stream.seek(0)
    scans = 0
    for marker, _ in jpeg_segments(stream.read()):
        scans += marker == SCAN
        if scans > _MAX_SCANS:
            raise ImageError(
                name, f"a JPEG of more than {_MAX_SCANS} scans, which takes very long to read", code="bomb"
            )


def _unidentified(stream: BinaryIO, name: str) -> ImageError:
    start = _start(stream)
    if is_heif(start) and not _register_heif():
        return ImageError(name, "HEIC needs the extra package: pip install 'vilaco[heif]'", code="needs_heif")
    for kind in _built_in():
        accepts = Image.OPEN[kind][1]
        if accepts is not None and accepts(start) is True:
            reason = f"starts like {kind} but is cut short, damaged or of a variant not supported"
            return ImageError(name, reason, code="corrupt")
    return ImageError(name, "not a JPEG, PNG, TIFF, BMP, WebP, GIF, AVIF or HEIC image", code="not_an_image")


def _broken(name: str, error: Exception) -> ImageError:
    text = " ".join(str(error).split()) or type(error).__name__
    if any(sign in text.lower() for sign in _CUT_SHORT):
        return ImageError(name, f"the file ends too early or is damaged ({text})", code="truncated")
    if "too large" in text.lower() or "MAX_TEXT" in text:
        return ImageError(name, f"unpacks to far more than its size ({text})", code="bomb")
    return ImageError(name, f"the file is damaged ({text})", code="corrupt")


class _PillowSetUp:
    """Context in which Pillow keeps its warnings to itself, leaves the pixel limit to us and refuses files cut short.

    The last is Pillow's default, which other libraries (WeasyPrint for one) change when they are imported. All are
    settings of the whole process, so decoders in several threads share one change: the first to come
    makes it, the last to go takes it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._undo.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif|vilaco\.decoding")
                self._undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
                self._undo.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._undo.close()


_pillow_set_up = _PillowSetUp()
