"""The first thing done to each picture: what it is looked up by, and where it repeats itself."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import imagehash
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from vilaco import __version__
from vilaco.errors import ImageError
from vilaco.files import MAX_BYTES
from vilaco.images import MAX_PIXELS, load_photo
from vilaco.names import one_line
from vilaco.reuse.features import MAX_PIXELS as LOOKED_AT
from vilaco.reuse.features import extract, reduced_grey
from vilaco.reuse.finding import find
from vilaco.reuse.register import lay
from vilaco.scan.sources import Item, read_bytes
from vilaco.scan.task import Task, surprise

FLAT = 3.0
"""Standard deviation of grey levels up to which a picture is blank: it looks like every other blank one."""


class ReuseSettings(BaseModel):
    """All that the rows of a search depend on; it goes on only with the same.

    Attributes:
        vilaco_version: That the search was begun with.
        max_pixels: Larger pictures are refused.
        max_bytes: Larger files are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vilaco_version: str = __version__
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES


class PictureRow(BaseModel):
    """One picture; what could not be found out is ``None``.

    Attributes:
        path: What the search calls it.
        sha256: Of the file.
        size: Of the file, in bytes.
        width: Of the upright picture, in pixels.
        height: Likewise.
        keypoints: How many it is looked up by.
        perceptual_hash: 64 bits in hexadecimal; ``None`` for a blank picture as well.
        repeats: Where the picture repeats itself, as JSON of a :class:`~vilaco.reuse.finding.Finding`, or ``None``.
        seconds: Spent on it.
        error_code: Why it could not be described, one word.
        error_reason: The same in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    keypoints: int | None = None
    perceptual_hash: str | None = None
    repeats: str | None = None
    seconds: float | None = None
    error_code: str | None = None
    error_reason: str | None = None


class Described(BaseModel):
    """A row and the keypoints that belong to it, as :meth:`~vilaco.reuse.features.Features.to_bytes` has them."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    row: PictureRow
    features: bytes = b""


@dataclass(frozen=True, slots=True)
class ReadPicture:
    """A picture that was read, or was not.

    Attributes:
        item: Which.
        sha256: Of its bytes, as far as they could be read.
        size: Their number, likewise.
        pixels: Upright, RGB, or why there are none: error code and reason.
    """

    item: Item
    sha256: str | None
    size: int | None
    pixels: np.ndarray | tuple[str, str]


class Describe(Task[ReuseSettings, Described]):
    """The per-picture function of a search for reuse."""

    settings_type, answer_type, noun = ReuseSettings, Described, "search"

    def __init__(self, settings: ReuseSettings) -> None:
        self.settings = settings

    def read(self, item: Item) -> ReadPicture:
        """Read and decode; never raises."""
        sha256, size = None, None
        try:
            data = read_bytes(item, max_bytes=self.settings.max_bytes)
            sha256, size = hashlib.sha256(data).hexdigest(), len(data)
            photo = load_photo(data, max_pixels=self.settings.max_pixels)
            return ReadPicture(item, sha256, size, photo.upright(photo.pixels))
        except ImageError as error:
            return ReadPicture(item, sha256, size, (error.code, error.reason))
        except Exception as error:
            return ReadPicture(item, sha256, size, surprise(error))

    def work(self, read: ReadPicture) -> Described:
        """Describe what was read; never raises."""
        known: dict[str, Any] = {"path": read.item.path, "sha256": read.sha256, "size": read.size}
        if isinstance(read.pixels, tuple):
            code, reason = read.pixels
            return Described(row=PictureRow(**known, error_code=code, error_reason=one_line(reason)))
        started = time.perf_counter()
        try:
            features = extract(read.pixels)
            grey, factor = reduced_grey(read.pixels, LOOKED_AT)
            repeats = find(grey, grey, lay(features, features, mirrored=False), factor, factor, itself=True)
            blank = grey.std() <= FLAT
            row = PictureRow(
                **known,
                width=read.pixels.shape[1],
                height=read.pixels.shape[0],
                keypoints=len(features.points),
                perceptual_hash=None if blank else str(imagehash.phash(Image.fromarray(grey))),
                repeats=None if repeats is None else repeats.model_dump_json(),
                seconds=round(time.perf_counter() - started, 4),
            )
            return Described(row=row, features=features.to_bytes())
        except Exception as error:
            code, reason = surprise(error)
            return Described(row=PictureRow(**known, error_code=code, error_reason=one_line(reason)))

    @classmethod
    def failed(cls, item: Item, settings: ReuseSettings, code: str, reason: str) -> Described:
        """A picture that no worker lived to describe."""
        return Described(row=PictureRow(path=item.path, error_code=code, error_reason=one_line(reason)))
