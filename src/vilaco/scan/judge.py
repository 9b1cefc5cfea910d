"""What is done to each image of a scan, on whichever machine: bytes in, one row out, and never an exception."""

import hashlib
import io
import time
from dataclasses import dataclass
from typing import Annotated, Any, Self

import imagehash
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, RootModel

from vilaco import __version__
from vilaco.decoding import open_page
from vilaco.errors import ImageError, ModelError
from vilaco.evidence.credentials import Credentials, read_credentials
from vilaco.evidence.reading import mime_type
from vilaco.files import MAX_BYTES
from vilaco.images import PageChoice, Photo, encode_jpeg, encode_png, load_photo, resize_map, resize_pixels
from vilaco.localizer import Localizer
from vilaco.names import one_line
from vilaco.report.overlay import draw_overlay
from vilaco.result import Region, Result, Verdict
from vilaco.scan.sources import Item, read_bytes
from vilaco.scan.task import Task, surprise

THUMBNAIL = 320
"""Longest side of an overlay that is kept, in pixels."""


class TrustAnchors(RootModel[str]):
    """Certificates of those whose content credentials are trusted, PEM text; told by their number and a hash."""

    def __str__(self) -> str:
        count, sha256 = self.root.count("BEGIN CERTIFICATE"), hashlib.sha256(self.root.encode()).hexdigest()
        return f"{count} certificate{'' if count == 1 else 's'} (SHA-256 {sha256[:12]})"


class ScanSettings(BaseModel):
    """All that the rows of a scan depend on; a scan goes on only with the same.

    Attributes:
        vilaco_version: That the scan was begun with.
        source: The folder or manifest, absolute, or the URL.
        model: Name or absolute folder of the model.
        model_fingerprint: SHA-256 of its trained weights.
        decision_threshold: Detection scores above it mean tampered.
        authentic_threshold: Detection scores up to it mean authentic.
        max_false_alarms: Of authentic photos, in (0, 1); ``None`` where the model is not calibrated.
        keep_above: Masks and overlays of images with a detection score above this are kept.
        max_pixels: Larger photos are refused.
        max_bytes: Larger files are refused.
        accept_truncated: Whether the rows that are there of files that end too early are judged.
        page: Which picture of files that hold several; :data:`~vilaco.images.ALL_PAGES` gives each a row.
        trust_anchors: Of content credentials; ``None`` where nobody's signature is known to be trusted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vilaco_version: str = __version__
    source: str
    model: str
    model_fingerprint: str
    decision_threshold: float
    authentic_threshold: float
    max_false_alarms: float | None
    keep_above: Annotated[float, Field(ge=0, le=1)]
    max_pixels: int
    max_bytes: int = MAX_BYTES
    accept_truncated: bool = False
    page: PageChoice = None
    trust_anchors: TrustAnchors | None = None


class ScanRow(BaseModel):
    """One picture of a scan; what could not be found out is ``None``.

    Attributes:
        path: See :class:`~vilaco.scan.sources.Item`.
        sha256: Of the file.
        size: Of the file, in bytes.
        width: Of the upright photo, in pixels.
        height: Likewise.
        verdict: ``"tampered"``, ``"nothing found"`` or ``"cannot tell"``.
        detection_score: In [0, 1].
        regions: Parts of the mask, most important first.
        region_count: How many there are.
        largest_region: Area of the largest, in pixels; 0 where there is none.
        perceptual_hash: 64 bits in hexadecimal, of the upright photo; near-identical pictures differ in few.
        mask: The mask's file below the scan's folder, where it was kept.
        overlay: Likewise, the overlay's.
        page: Which of the file's pictures it is, from 1.
        pages: How many there are.
        notes: How what was judged differs from what the file stores, a sentence each.
        credentials: The file's content credentials.
        seconds: Spent on this image: reading, decoding, judging.
        error_code: Why it could not be judged, one word (see :func:`vilaco.images.load_photo`), or ``crashed``,
            ``time_limit``, ``too_large`` or ``failed``.
        error_reason: The same in words.
        model_fingerprint: SHA-256 of the trained weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    verdict: Verdict | None = None
    detection_score: float | None = None
    regions: tuple[Region, ...] = ()
    region_count: int | None = None
    largest_region: int | None = None
    perceptual_hash: str | None = None
    mask: str | None = None
    overlay: str | None = None
    page: int | None = None
    pages: int | None = None
    notes: tuple[str, ...] = ()
    credentials: Credentials | None = None
    seconds: float | None = None
    error_code: str | None = None
    error_reason: str | None = None
    model_fingerprint: str


class Judged(BaseModel):
    """A row and the pictures that belong to it; travels between processes and machines as one line of JSON.

    Attributes:
        row: What is said of the image.
        mask: PNG, 0 or 255, at the photo's own size; ``None`` where it is not kept.
        overlay: JPEG, `THUMBNAIL` pixels along the longer side; likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    row: ScanRow
    mask: bytes | None = None
    overlay: bytes | None = None

    @classmethod
    def failed(cls, item: Item, settings: ScanSettings, code: str, reason: str, **known: Any) -> Self:
        """An image that cannot be judged."""
        fields = {"path": item.path, "page": item.page, "error_code": code, "error_reason": one_line(reason), **known}
        return cls(row=ScanRow.model_validate({**fields, "model_fingerprint": settings.model_fingerprint}))


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An image that was read, or was not.

    Attributes:
        item: Which.
        sha256: Of its bytes, as far as they could be read.
        size: Their number, likewise.
        pages: Pictures in the file, likewise.
        credentials: Of the file, likewise.
        photo: The photo, or why there is none: error code and reason.
        seconds: That it took.
    """

    item: Item
    sha256: str | None
    size: int | None
    pages: int | None
    credentials: Credentials | None
    photo: Photo | tuple[str, str]
    seconds: float


class Judge(Task[ScanSettings, Judged]):
    """The per-image function of a scan.

    Args:
        settings: Of the scan.

    Raises:
        ModelError: If the model cannot be loaded, or is not the one that the scan began with.
    """

    settings_type, answer_type, noun = ScanSettings, Judged, "scan"

    def __init__(self, settings: ScanSettings) -> None:
        self.settings = settings
        self.localizer = Localizer.load(settings.model, max_false_alarms=settings.max_false_alarms)
        if self.localizer.fingerprint != settings.model_fingerprint:
            raise ModelError(f"{settings.model}: is another model here than where the scan was started")

    def read(self, item: Item) -> ReadImage:
        """Read and decode; never raises."""
        started = time.perf_counter()
        sha256 = size = pages = credentials = None
        photo: Photo | tuple[str, str]
        settings = self.settings
        try:
            data = read_bytes(item, max_bytes=settings.max_bytes)
            sha256, size = hashlib.sha256(data).hexdigest(), len(data)
            stream = io.BytesIO(data)
            with open_page(stream, item.path) as opened:
                pages, mime = opened.pages, mime_type(opened.picture)
            anchors = settings.trust_anchors
            credentials = read_credentials(stream, mime, None if anchors is None else anchors.root)
            photo = load_photo(
                data, max_pixels=settings.max_pixels, page=item.page, accept_truncated=settings.accept_truncated
            )
        except ImageError as error:
            photo = error.code, error.reason
        except Exception as error:
            photo = surprise(error)
        return ReadImage(item, sha256, size, pages, credentials, photo, time.perf_counter() - started)

    def work(self, read: ReadImage) -> Judged:
        """Judge what was read; never raises."""
        known: dict[str, Any] = {
            "sha256": read.sha256,
            "size": read.size,
            "pages": read.pages,
            "credentials": read.credentials,
        }
        if isinstance(read.photo, tuple):
            return Judged.failed(read.item, self.settings, *read.photo, seconds=round(read.seconds, 4), **known)
        started = time.perf_counter()
        try:
            result = self.localizer.predict(read.photo)
            similar = str(imagehash.phash(Image.fromarray(result.pixels)))
            keep = result.detection_score > self.settings.keep_above
            mask = encode_png(result.pred_mask.astype(np.uint8) * 255) if keep else None
            overlay = small_overlay(result) if keep else None
        except Exception as error:
            return Judged.failed(read.item, self.settings, *surprise(error), **known)
        height, width = result.localization_map.shape
        row = ScanRow(
            path=read.item.path,
            width=width,
            height=height,
            verdict=result.verdict,
            detection_score=result.detection_score,
            regions=result.regions,
            region_count=len(result.regions),
            largest_region=max((region.area for region in result.regions), default=0),
            perceptual_hash=similar,
            page=result.page,
            notes=result.notes,
            seconds=round(read.seconds + time.perf_counter() - started, 4),
            model_fingerprint=self.settings.model_fingerprint,
            **known,
        )
        return Judged(row=row, mask=mask, overlay=overlay)

    @classmethod
    def failed(cls, item: Item, settings: ScanSettings, code: str, reason: str) -> Judged:
        """An image that no worker lived to judge."""
        return Judged.failed(item, settings, code, reason)


def small_overlay(result: Result) -> bytes:
    """The overlay as a JPEG, `THUMBNAIL` pixels along its longer side, never enlarged."""
    size = fit(result.pixels.shape[:2], THUMBNAIL)
    mask = resize_map(result.pred_mask, size) > 0.5
    overlay = draw_overlay(resize_pixels(result.pixels, size), resize_map(result.shown_map, size), mask)
    return encode_jpeg(overlay, 85)


def fit(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """The largest (height, width) of the same shape with no side above ``side`` and none enlarged.

    Example:
        >>> fit((3000, 4000), 320)
        (240, 320)
    """
    shrink = min(1.0, side / max(size))
    height, width = (max(1, round(length * shrink)) for length in size)
    return height, width
