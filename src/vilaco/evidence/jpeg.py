"""How a JPEG file was saved last: quantisation tables, the quality they stand for, chroma subsampling."""

from typing import Literal

import numpy as np
from PIL import Image, JpegImagePlugin
from pydantic import BaseModel, ConfigDict

Steps = tuple[int, ...]

ChromaSubsampling = Literal["4:4:4", "4:2:2", "4:2:0", "4:1:1", "4:4:0", "other", "grey"]

_SAMPLING: dict[tuple[int, int], ChromaSubsampling] = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (4, 1): "4:1:1",
    (1, 2): "4:4:0",
}
"""By how many luma samples, across and down, share one chroma sample."""

# ITU-T T.81 (1992), Tables K.1 and K.2, row by row.
_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMA = """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""


class JpegEvidence(BaseModel):
    """How a JPEG file was saved last.

    Attributes:
        luma: Quantisation steps of brightness, 64, row by row of the 8 x 8 frequencies.
        chroma: Those of colour; empty where the file has none.
        quality: The quality of libjpeg, 1 to 100, whose standard tables are nearest to these.
        standard: Whether the tables are exactly those. Cameras and some editors have tables of their own.
        subsampling: Chroma resolution.
        progressive: Whether it is a progressive file, as the web likes them; cameras write none.
        markers: What the header holds besides the picture, e.g. ``"Exif"`` or ``"Adobe"``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    luma: Steps
    chroma: Steps
    quality: int
    standard: bool
    subsampling: ChromaSubsampling
    progressive: bool
    markers: tuple[str, ...]


def standard_tables(quality: int) -> tuple[Steps, Steps]:
    """The tables that libjpeg makes from the standard's for a quality.

    Args:
        quality: 1 to 100.

    Returns:
        Luma and chroma, 64 steps each, row by row.

    Example:
        >>> [table[:4] for table in standard_tables(50)], max(standard_tables(100)[0])
        ([(16, 11, 10, 16), (17, 18, 24, 47)], 1)
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        tuple(min(255, max(1, (int(step) * scale + 50) // 100)) for step in table.split()) for table in (_LUMA, _CHROMA)
    )
    return luma, chroma


def estimate_quality(luma: Steps, chroma: Steps = ()) -> tuple[int, bool]:
    """The quality whose standard tables are nearest, by the mean ratio of the steps, and whether they are the same.

    Args:
        luma: 64 steps.
        chroma: 64 steps, or none.

    Returns:
        Quality, 1 to 100, the higher one of equals, and whether it is exact.

    Example:
        >>> estimate_quality(*standard_tables(83))
        (83, True)
    """
    steps = np.array(luma + chroma, np.float64)
    candidates = np.array([sum(standard_tables(quality), ()) for quality in range(1, 101)], np.float64)
    candidates = candidates[:, : len(steps)]
    distances = np.abs(np.log(candidates) - np.log(np.maximum(steps, 1))).mean(axis=1)
    quality = 100 - int(np.argmin(distances[::-1]))
    return quality, bool((candidates[quality - 1] == steps).all())


def read_jpeg(picture: Image.Image) -> JpegEvidence | None:
    """How the file was saved last, or ``None`` where it is no JPEG.

    Args:
        picture: As opened; its pixels are not looked at.

    Raises:
        Exception: Of any type, if a table that the picture needs is missing or damaged.
    """
    if not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return None
    tables, layers = picture.quantization, picture.layer
    luma = tuple(map(int, tables[layers[0][3]]))
    chroma = tuple(map(int, tables[layers[1][3]])) if len(layers) > 1 else ()
    quality, standard = estimate_quality(luma, chroma)
    names = {
        "jfif": "JFIF",
        "exif": "Exif",
        "adobe": "Adobe",
        "photoshop": "Photoshop",
        "xmp": "XMP",
        "icc_profile": "ICC profile",
        "mp": "several pictures (MPO)",
        "comment": "comment",
    }
    return JpegEvidence(
        luma=luma,
        chroma=chroma,
        quality=quality,
        standard=standard,
        subsampling=_subsampling(layers),
        progressive=bool(picture.info.get("progressive")),
        markers=tuple(name for key, name in names.items() if key in picture.info),
    )


def _subsampling(layers: list[tuple[int, int, int, int]]) -> ChromaSubsampling:
    if len(layers) < 3:
        return "grey"
    (_, across, down, _), (_, *blue, _), (_, *red, _) = layers[:3]
    if blue != red or across % blue[0] or down % blue[1]:
        return "other"
    return _SAMPLING.get((across // blue[0], down // blue[1]), "other")
