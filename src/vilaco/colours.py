"""Decoded pictures of any mode as (H, W, 3) uint8 RGB.

What becomes of the unusual:

- *16 bits a channel*: the high byte, so 65535 becomes 255, and an 8-bit picture stored in 16 bits, times
  257 or times 256, comes back exactly. (Pillow's own ``convert`` would clip grey at 255: an almost white
  picture.)
- *32-bit integers* count as 0..65535 and *floats* as 0..1, as Pillow and scikit-image mean them; a file with
  other values is refused, because its white is anyone's guess.
- *Alpha* is laid over white, the page a person sees it on, so that colour hidden under transparent pixels
  cannot look like a forgery; alpha that is zero everywhere is none, for nobody saves a photo that cannot be seen.
- *Colour profiles* are not applied, CMYK's included: they move every pixel. LAB goes to sRGB by definition.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageCms

from vilaco.errors import ImageError

_OTHER_COLOURS = {"CMYK": "CMYK inks", "LAB": "LAB colours", "YCbCr": "YCbCr colours", "HSV": "HSV colours"}


def to_rgb(picture: Image.Image, name: str, notes: list[str]) -> np.ndarray:
    """Turn a decoded picture of any mode into (H, W, 3) uint8 RGB, as the module's text tells.

    Args:
        picture: Loaded.
        name: How errors call the image.
        notes: What is done to its colours is added here, a sentence each.

    Raises:
        ImageError: ``unsupported`` for integers outside 0..65535, floats outside 0..1, or a mode that has no
            meaning in RGB.
    """
    mode = picture.mode
    if mode == "RGB" and not _is_transparent(picture, name):
        return np.array(picture)
    if _is_deep_grey(picture):
        return _grey_to_rgb(_high_bytes(np.asarray(picture), name, notes))
    if mode in ("1", "L") and not _is_transparent(picture, name):
        return _grey_to_rgb(np.asarray(picture.convert("L")))
    try:
        if _is_transparent(picture, name):
            picture = _over_white(picture.convert("RGBA"), notes)
        if mode in _OTHER_COLOURS:
            notes.append(f"{_OTHER_COLOURS[mode]} were turned into RGB without a colour profile")
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
    if _is_transparent(picture, name):
        rgba = np.asarray(picture.convert("RGBA"))
        return rgba[..., :3], rgba[..., 3]
    return to_rgb(picture, name, []), None


def _is_deep_grey(picture: Image.Image) -> bool:
    return picture.mode == "F" or picture.mode.startswith("I")


def _is_transparent(picture: Image.Image, name: str) -> bool:
    try:
        return picture.has_transparency_data
    except AssertionError as error:
        raise ImageError(name, "the file is damaged (its palette is missing)", code="corrupt") from error


def _over_white(picture: Image.Image, notes: list[str]) -> Image.Image:
    """An RGBA picture as a person sees it on a white page."""
    lowest, highest = picture.getchannel("A").getextrema()
    if highest == 0:
        notes.append("its transparency hides every pixel, so it was taken for no transparency")
    elif lowest != 255:
        notes.append("transparent parts were laid over white")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def _high_bytes(values: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):
            reason = "float pixels outside 0..1; save it with 8 or 16 bits a channel"
            raise ImageError(name, reason, code="unsupported")
        notes.append("float pixels were taken for 0 (black) to 1 (white) and reduced to 8 bits")
        return np.rint(values * 255).astype(np.uint8)
    if values.itemsize > 2:
        if not (values.min() >= 0 and values.max() <= 65535):
            reason = "integer pixels outside 0..65535; save it with 8 or 16 bits a channel"
            raise ImageError(name, reason, code="unsupported")
        notes.append("32-bit pixels were taken for 0 (black) to 65535 (white) and reduced to 8 bits")
    return (values >> 8).astype(np.uint8)


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
