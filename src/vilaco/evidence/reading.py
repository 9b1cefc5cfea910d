"""One file's evidence, gathered."""

import hashlib
import os
from pathlib import Path

from PIL import Image
from pydantic import BaseModel, ConfigDict

from vilaco.decoding import open_page, open_source
from vilaco.evidence.credentials import Credentials, read_credentials
from vilaco.evidence.jpeg import JpegEvidence, read_jpeg
from vilaco.evidence.metadata import Field, read_fields
from vilaco.evidence.software import SoftwareTrace, find_software
from vilaco.evidence.text import reason
from vilaco.evidence.thumbnails import EmbeddedThumbnail, read_thumbnails
from vilaco.images import Photo

_PLACES = ("GPSLatitude", "GPSDestLatitude", "City", "Location", "LocationCreated", "LocationShown")
"""Fields of EXIF and XMP that name a place, by their names without prefix."""


class Evidence(BaseModel):
    """What a photo's file says about itself. All of it can be missing, and all but the hash can be faked.

    Attributes:
        size: Of the file, in bytes.
        sha256: Of the file, in hexadecimal digits.
        format: File type as Pillow calls it, e.g. ``"JPEG"``.
        mode: Pillow's name of the pixel layout, e.g. ``"RGB"``.
        width: As stored, in pixels.
        height: As stored, in pixels.
        frames: Pictures in the file, previews not counted.
        jpeg: How it was saved last, where it is a JPEG.
        fields: EXIF, XMP, text and colour profile.
        software: Programs that the fields name.
        thumbnails: Previews inside.
        credentials: Content credentials.
        problems: What could not be read, a sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str
    format: str
    mode: str
    width: int
    height: int
    frames: int
    jpeg: JpegEvidence | None
    fields: tuple[Field, ...]
    software: tuple[SoftwareTrace, ...]
    thumbnails: tuple[EmbeddedThumbnail, ...]
    credentials: Credentials
    problems: tuple[str, ...]

    def value(self, *names: str) -> str | None:
        """The value of the first of these fields that is there, e.g. ``evidence.value("DateTimeOriginal")``."""
        values = {field.name: field.value for field in reversed(self.fields)}
        return next((values[name] for name in names if values.get(name)), None)

    @property
    def camera(self) -> str | None:
        """Make and model."""
        parts = [self.value("Make"), self.value("Model")]
        make, model = (part or "" for part in parts)
        return (model if model.startswith(make) else f"{make} {model}").strip() or None

    @property
    def has_location(self) -> bool:
        """Whether the fields say where the photo was taken, by coordinates or by name."""
        names = {field.name.rpartition(":")[2] for field in self.fields}
        return not names.isdisjoint(_PLACES)


def read_evidence(source: str | Path | bytes, photo: Photo, *, anchors: str | None = None) -> Evidence:
    """Gather what a file says about itself; broken parts are named in ``problems`` and the rest is read.

    Args:
        source: The file, or its bytes.
        photo: The same file, decoded: its previews are compared with it.
        anchors: PEM certificates of trusted signers of content credentials.

    Raises:
        ImageError: If the file cannot be opened as an image; a file that :func:`~vilaco.images.load_photo` reads can.

    Example:
        >>> import io
        >>> from vilaco.images import load_photo
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (16, 8)).save(file, "JPEG", quality=83)
        >>> evidence = read_evidence(file.getvalue(), load_photo(file.getvalue()))
        >>> evidence.format, evidence.jpeg.quality, evidence.jpeg.subsampling, evidence.fields
        ('JPEG', 83, '4:2:0', ())
    """
    stream, name = open_source(source)
    problems: list[str] = []
    with stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        with open_page(stream, name, photo.page) as opened:
            picture = opened.picture
            format_, mime = picture.format or "unknown", mime_type(picture)
            fields = read_fields(picture, problems)
            thumbnails = read_thumbnails(picture, photo, problems)
            jpeg = _jpeg(picture, problems)
            mode, (width, height) = picture.mode, picture.size
        credentials = read_credentials(stream, mime, anchors)
    return Evidence(
        size=size,
        sha256=sha256,
        format=format_,
        mode=mode,
        width=width,
        height=height,
        frames=photo.pages,
        jpeg=jpeg,
        fields=fields,
        software=find_software(fields),
        thumbnails=thumbnails,
        credentials=credentials,
        problems=tuple(problems),
    )


def mime_type(picture: Image.Image) -> str | None:
    """Media type of the file that an opened picture is of, e.g. ``"image/jpeg"``; ``None`` where it has none."""
    return Image.MIME.get("JPEG" if picture.format == "MPO" else picture.format or "")


def _jpeg(picture: Image.Image, problems: list[str]) -> JpegEvidence | None:
    try:
        return read_jpeg(picture)
    except Exception as error:  # tables are a stranger's bytes too
        problems.append(f"the JPEG tables cannot be read ({reason(error)})")
        return None
