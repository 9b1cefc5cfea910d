"""The small preview that cameras put into a file, which a careless edit leaves as it was."""

import cv2
import numpy as np
from PIL import ExifTags, Image
from pydantic import BaseModel, ConfigDict

from vilaco.errors import ImageError
from vilaco.evidence.text import reason
from vilaco.images import Photo, encode_jpeg, load_photo, resize_pixels

DIFFERS_FROM = 30.0
"""Grey levels by which a patch of a thumbnail has to be off before it is pointed out; scaling, sharpening and JPEG
alone stay well below (``tests/evidence/test_thumbnails.py``)."""
MAX_PIXELS = 4_000_000
"""Largest preview decoded."""
SHOWN_SIDE = 512
"""Longer side of a preview as it is kept for people, in pixels: enough to compare, and two of them fit what the
service's decoder may answer, whatever they show."""
_SHAPE_TOLERANCE = 0.03  # of the aspect ratio: 160 x 120 for 4000 x 3000 or 1600 x 1195
_DARK = 24  # grey level: bars are black, JPEG blurs them
_PATCHES = 12  # a patch is the longer side over this
_PHOTOSHOP_THUMBNAIL, _PHOTOSHOP_HEADER = 1036, 28  # resource number; bytes before its JPEG


class EmbeddedThumbnail(BaseModel):
    """A preview inside the file.

    Attributes:
        source: Who keeps it: ``"EXIF"`` or ``"Photoshop"``.
        width: As in the file, upright, in pixels.
        height: Likewise.
        jpeg: The preview as a person should see it, encoded anew, at most `SHOWN_SIDE` pixels a side.
        difference: Mean grey levels by which the most different patch is off once brightness and contrast are matched,
            in [0, 255]; ``None`` where it was not compared.
        other_shape: Whether its sides have another ratio than the photo's (black bars aside), as after a crop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    source: str
    width: int
    height: int
    jpeg: bytes
    difference: float | None
    other_shape: bool

    @property
    def differs(self) -> bool:
        """Whether it shows something else than the photo, as far as a comparison can tell: look at both."""
        return self.other_shape or (self.difference or 0.0) > DIFFERS_FROM


def read_thumbnails(picture: Image.Image, photo: Photo, problems: list[str]) -> tuple[EmbeddedThumbnail, ...]:
    """Previews inside a file, each compared with the photo.

    Args:
        picture: As opened.
        photo: The same file, decoded.
        problems: What cannot be read is added here, a sentence each.
    """
    found = []
    for source, read in {"EXIF": _exif_preview, "Photoshop": _photoshop_preview}.items():
        try:
            data = read(picture)
            if data:
                preview = load_photo(data, max_pixels=MAX_PIXELS).pixels
                found.append(_compared(source, preview, photo))
        except ImageError as error:
            problems.append(f"the {source} preview cannot be read ({error.reason})")
        except Exception as error:  # a stranger's bytes
            problems.append(f"the {source} preview cannot be read ({reason(error)})")
    return tuple(found)


def largest_difference(thumbnail: np.ndarray, pixels: np.ndarray) -> float:
    """How far the most different patch of a thumbnail is off.

    Both are brought to the thumbnail's size and blurred a little; each channel's brightness and contrast is matched
    by least squares, because cameras make previews with other tone curves. What is left is averaged over patches.

    Args:
        thumbnail: (h, w, 3) uint8 RGB.
        pixels: The photo, (H, W, 3) uint8 RGB, of any size.

    Returns:
        Mean grey levels, in [0, 255].
    """
    photo = resize_pixels(pixels, thumbnail.shape[:2])
    ours, theirs = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), 1.0) for each in (photo, thumbnail))
    change = np.zeros(ours.shape[:2], np.float32)
    for channel in range(3):
        x, y = ours[..., channel], theirs[..., channel]
        variance = float(x.var())
        gain = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance > 1 else 0.0
        gain = max(0.0, gain)
        change += np.abs(y - (y.mean() + gain * (x - x.mean()))) / 3
    side = max(3, max(change.shape) // _PATCHES)
    return float(min(255.0, cv2.blur(change, (side, side), borderType=cv2.BORDER_REFLECT).max()))


def without_bars(thumbnail: np.ndarray, aspect: float) -> np.ndarray:
    """A thumbnail without the black bars that bring a picture of another shape to 4:3.

    Args:
        thumbnail: (h, w, 3) uint8 RGB.
        aspect: The photo's width over its height.

    Returns:
        The part between dark bars, if there are such; else the thumbnail.
    """
    height, width = thumbnail.shape[:2]
    if aspect > width / height:
        bar = round((height - width / aspect) / 2)
        bars, inner = (thumbnail[:bar], thumbnail[height - bar :]), thumbnail[bar : height - bar]
    else:
        bar = round((width - height * aspect) / 2)
        bars, inner = (thumbnail[:, :bar], thumbnail[:, width - bar :]), thumbnail[:, bar : width - bar]
    dark = bar > 0 and inner.size > 0 and all(part.mean() < _DARK for part in bars)
    return inner if dark else thumbnail


def _compared(source: str, thumbnail: np.ndarray, photo: Photo) -> EmbeddedThumbnail:
    """A preview is stored the way the photo is or, by some programs, already turned: the likelier one counts."""
    ways: list[tuple[bool, float | None, np.ndarray]] = []
    for pixels, shown in ((photo.pixels, photo.upright(thumbnail)), (photo.upright(photo.pixels), thumbnail)):
        aspect = pixels.shape[1] / pixels.shape[0]
        inner = without_bars(thumbnail, aspect)
        other_shape = abs(inner.shape[1] / inner.shape[0] / aspect - 1) > _SHAPE_TOLERANCE + 1 / min(inner.shape[:2])
        ways.append((other_shape, None if other_shape else largest_difference(inner, pixels), shown))
    other_shape, difference, shown = min(ways, key=lambda way: (way[0], way[1] or 0.0))
    height, width = shown.shape[:2]
    share = min(1.0, SHOWN_SIDE / max(height, width))
    small = resize_pixels(shown, (max(1, round(height * share)), max(1, round(width * share))))
    return EmbeddedThumbnail(
        source=source,
        width=width,
        height=height,
        jpeg=encode_jpeg(small, 90),
        difference=None if difference is None else round(difference, 1),
        other_shape=other_shape,
    )


def _exif_preview(picture: Image.Image) -> bytes | None:
    data = bytes(picture.info.get("exif") or b"")
    while data.startswith(b"Exif\0\0"):
        data = data[6:]
    ifd = picture.getexif().get_ifd(ExifTags.IFD.IFD1)
    start, length = ifd.get(ExifTags.Base.JpegIFOffset), ifd.get(ExifTags.Base.JpegIFByteCount)
    return data[start : start + length] if data and start and length else None


def _photoshop_preview(picture: Image.Image) -> bytes | None:
    resources = picture.info.get("photoshop")
    data = resources.get(_PHOTOSHOP_THUMBNAIL) if isinstance(resources, dict) else None
    return data[_PHOTOSHOP_HEADER:] if data else None
