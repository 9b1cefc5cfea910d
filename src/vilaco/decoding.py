"""Safe and complete decoding: any common image file becomes (H, W, 3) uint8 RGB, or one clear error.

Pillow decodes, inside limits it does not set itself: a list of allowed formats (so that no file starts
Ghostscript), a pixel limit checked in the header before any pixel is decoded, and regular files only (a pipe
would wait for ever).

What becomes of the unusual:

- *16 bits a channel*: the high byte, so 65535 becomes 255, and an 8-bit picture stored in 16 bits, times
  257 or times 256, comes back exactly. (Pillow's own ``convert`` would clip grey at 255: an almost white
  picture.)
- *32-bit integers* count as 0..65535 and *floats* as 0..1, as Pillow and scikit-image mean them; a file with
  other values is refused, because its white is anyone's guess.
- *Alpha* is laid over white, the page a person sees it on, so that colour hidden under transparent pixels
  cannot look like a forgery.
- *Colour profiles* are not applied, CMYK's included: they move every pixel. LAB goes to sRGB by definition.
- *Animations and multi-page files*: the first frame.
"""

import io
import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from vilaco.errors import ImageError
from vilaco.names import as_text

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF")
"""Pillow's names of what is decoded (JPEG covers MPO); HEIF joins where pillow-heif is installed."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong with a file is told once, by our error
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 274, 258, 262, 284  # TIFF and EXIF tags
_MAX_SCANS = 100  # of a JPEG; encoders write about ten
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # of those that stand before a length
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


def decode(stream: BinaryIO, name: str, max_pixels: int) -> tuple[Image.Image, int]:
    """Decode the first frame, in the file's own mode.

    Args:
        stream: The file's bytes, seekable.
        name: How errors call the image.
        max_pixels: Largest width times height decoded.

    Returns:
        The loaded picture on the grid the file stores, and its EXIF orientation, 1 to 8.

    Raises:
        ImageError: ``not_an_image``, ``needs_heif``, ``empty``, ``too_many_pixels``, ``unsupported``,
            ``truncated``, ``bomb``, ``corrupt`` or ``out_of_memory``.
    """
    with open_picture(stream, name) as picture:
        check_size(name, *picture.size, max_pixels)
        if isinstance(picture, JpegImageFile):
            _check_scans(stream, name)
        if isinstance(picture, TiffImageFile):
            return _load_tiff(picture, name)
        picture.load()
        return picture, _orientation(picture)


@contextmanager
def open_picture(stream: BinaryIO, name: str) -> Iterator[Image.Image]:
    """Context with the first frame, its header read and its pixels not yet; what goes wrong inside is one error.

    Args:
        stream: The file's bytes, seekable.
        name: How errors call the image.

    Raises:
        ImageError: As `decode`, whose limit on pixels is not checked here.
    """
    try:
        with _pillow_set_up:
            yield Image.open(stream, formats=_formats(stream))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(stream, name) from error
    except MemoryError as error:
        raise ImageError(name, "needs more memory than there is", code="out_of_memory") from error
    except Exception as error:  # Pillow's plugins let almost any type out of a broken file
        raise _broken(name, error) from error


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


def to_rgb(picture: Image.Image, name: str) -> np.ndarray:
    """Turn a decoded picture of any mode into (H, W, 3) uint8 RGB, as the module's text tells.

    Raises:
        ImageError: ``unsupported`` for integers outside 0..65535, floats outside 0..1, or a mode that has no
            meaning in RGB.
    """
    mode = picture.mode
    if mode == "RGB" and not picture.has_transparency_data:
        return np.array(picture)
    if _is_deep_grey(picture):
        return _grey_to_rgb(_high_bytes(np.asarray(picture), name))
    if mode in ("1", "L") and not picture.has_transparency_data:
        return _grey_to_rgb(np.asarray(picture.convert("L")))
    try:
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            if picture.getchannel("A").getextrema() != (255, 255):
                page = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(page, picture)
        if mode == "LAB":
            return np.array(ImageCms.applyTransform(picture, _lab_to_srgb()))
        return np.array(picture.convert("RGB"))
    except (ValueError, OSError, ImageCms.PyCMSError) as error:
        raise ImageError(name, f"pixels of mode {mode} cannot be shown as RGB", code="unsupported") from error


def to_colour_and_alpha(picture: Image.Image, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour and transparency apart, as masks need them: there, hidden colour is the message.

    Returns:
        (H, W, 3) colour, numbers of more than 8 bits as they are stored, and (H, W) uint8 alpha or ``None``.
    """
    if _is_deep_grey(picture):
        values = np.asarray(picture)
        return np.broadcast_to(values[..., None], (*values.shape, 3)), None
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert("RGBA"))
        return rgba[..., :3], rgba[..., 3]
    return to_rgb(picture, name), None


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


def _is_deep_grey(picture: Image.Image) -> bool:
    return picture.mode == "F" or picture.mode.startswith("I")


def _high_bytes(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):
            reason = "float pixels outside 0..1; save it with 8 or 16 bits a channel"
            raise ImageError(name, reason, code="unsupported")
        return np.rint(values * 255).astype(np.uint8)
    if values.itemsize > 2 and not (values.min() >= 0 and values.max() <= 65535):
        reason = "integer pixels outside 0..65535; save it with 8 or 16 bits a channel"
        raise ImageError(name, reason, code="unsupported")
    return (values >> 8).astype(np.uint8)


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _formats(stream: BinaryIO) -> tuple[str, ...]:
    return ("HEIF", "AVIF") if _is_heif(stream) and _register_heif() else _built_in()


@cache
def _built_in() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def _is_heif(stream: BinaryIO) -> bool:
    stream.seek(0)
    header = stream.read(12)
    stream.seek(0)
    return header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS


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
    """Refuse a JPEG of very many scans: each costs a walk over all pixels, and none needs more than a few bytes.

    Markers are found as libjpeg finds them, so that neither a thumbnail inside nor a film behind the photo counts.
    """
    stream.seek(0)
    data = stream.read()
    scans, at = 0, 2
    while (marker := _JPEG_MARKER.search(data, at)) and marker[0] != b"\xff\xd9":
        scans += marker[0] == b"\xff\xda"
        if scans > _MAX_SCANS:
            raise ImageError(
                name, f"a JPEG of more than {_MAX_SCANS} scans, which takes very long to read", code="bomb"
            )
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])


def _unidentified(stream: BinaryIO, name: str) -> ImageError:
    if _is_heif(stream) and not _register_heif():
        return ImageError(name, "HEIC needs the extra package: pip install 'vilaco[heif]'", code="needs_heif")
    stream.seek(0)
    start = stream.read(16)
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
