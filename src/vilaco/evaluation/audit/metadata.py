"""What a file says about itself without its picture: type, size, JPEG tables, chroma subsampling, EXIF.

None of it can show a forgery. If it tells tampered from authentic, the set was made so that it does.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from vilaco.errors import ImageError

FAMILIES = ("file type", "file size", "dimensions", "JPEG tables", "chroma subsampling", "EXIF and software")
"""Each is asked alone and then all together."""

_TYPES = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "HEIF", "AVIF")
_MODES = ("L", "RGB", "RGBA", "P", "CMYK")
_MARKERS = ("jfif", "adobe", "exif", "photoshop", "xmp", "icc_profile", "dpi", "comment", "progressive")
_EXIF_TAGS = (0x010F, 0x0110, 0x0131, 0x0132, 0x0112)  # make, model, software, date, orientation


@dataclass(frozen=True, slots=True)
class SavePipeline:
    """How a file was saved last, as far as it can be repeated on other pixels.

    Attributes:
        tables: JPEG quantisation tables, luma first, 64 steps each; empty for anything but JPEG.
        subsampling: Pillow's code: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0; anything rarer is taken for 4:2:0.
    """

    tables: tuple[tuple[int, ...], ...] = ()
    subsampling: int = 2

    def save(self, pixels: NDArray[np.uint8]) -> bytes:
        """Save pixels ``(H, W, 3)`` the same way: as JPEG with these tables, or as PNG if there are none."""
        buffer = io.BytesIO()
        image = Image.fromarray(pixels)
        if self.tables:
            tables = [list(table) for table in self.tables]
            image.save(buffer, "JPEG", qtables=tables, subsampling=self.subsampling)
        else:
            image.save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """Metadata of one file as numbers.

    Attributes:
        features: A fixed number of values for each of :data:`FAMILIES`.
        pipeline: How the file was saved last.
    """

    features: Mapping[str, tuple[float, ...]]
    pipeline: SavePipeline

    def vector(self, families: tuple[str, ...] = FAMILIES) -> NDArray[np.float64]:
        """Values of some families in one row, shape ``(F,)``."""
        return np.array([value for family in families for value in self.features[family]])


def read_metadata(data: bytes, source: str = "<bytes>") -> FileMetadata:
    """Read a file's header; the picture itself is not decoded.

    Args:
        data: The whole file.
        source: Its name, for the error.

    Returns:
        Its metadata.

    Raises:
        ImageError: If it is no image that Pillow knows.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _describe(image, len(data))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise ImageError(source, f"its header cannot be read ({error})", code="header") from error


def _describe(image: Image.Image, size: int) -> FileMetadata:
    kind = "JPEG" if image.format == "MPO" else image.format
    width, height = image.size
    pipeline = SavePipeline()
    luma_sampling: tuple[int, ...] = (0, 0)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        tables = tuple(tuple(min(int(s), 255) for s in image.quantization[k]) for k in sorted(image.quantization))
        code = JpegImagePlugin.get_sampling(image)
        pipeline = SavePipeline(tables[:2], code if code in (0, 1, 2) else 2)
        luma_sampling = tuple(image.layer[0][1:3])
    steps = np.zeros((2, 64))
    for row, table in zip(steps, pipeline.tables, strict=False):
        row[:] = table
    exif = image.getexif()
    features: dict[str, list[float]] = {
        "file type": [float(kind == t) for t in _TYPES] + [float(image.mode == m) for m in _MODES],
        "file size": [float(size), size / (width * height)],
        "dimensions": [width, height, width * height, width / height, width % 8, height % 8],
        "JPEG tables": steps.ravel().tolist(),
        "chroma subsampling": list(luma_sampling),
        "EXIF and software": [
            float(len(exif)),
            *(float(tag in exif) for tag in _EXIF_TAGS),
            *(float(marker in image.info) for marker in _MARKERS),
        ],
    }
    return FileMetadata({family: tuple(map(float, features[family])) for family in FAMILIES}, pipeline)
