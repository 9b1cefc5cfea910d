"""What comes in: forms of files, and how the API's description calls them."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile

from vilaco.serve.jobs import disk_problem
from vilaco.serve.problems import ProblemError

_FILE = {"type": "string", "format": "binary"}


class Upload(NamedTuple):
    """A file as it came.

    Attributes:
        name: As the caller calls it.
        content: Read from its beginning.
    """

    name: str
    content: BinaryIO


def described(properties: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's ``requestBody`` of a form of files, all of them needed.

    Args:
        properties: JSON schema of each part.
    """
    schema = {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


PHOTOS_FORM = described(
    {"photos": {"type": "array", "minItems": 1, "items": _FILE, "description": "Image files, one part each."}}
)
PAIR_FORM = described(
    {
        "suspect": {**_FILE, "description": "The image file in question."},
        "original": {**_FILE, "description": "The image file that it may have been made from."},
    }
)


@asynccontextmanager
async def photos_of(request: Request, most: int) -> AsyncIterator[list[Upload]]:
    """The files of a form of photos; larger ones lie in nameless temporary files meanwhile.

    Args:
        request: Whose body is the form.
        most: Photos that it may have.

    Raises:
        ProblemError: If the form is not one of photos.
    """
    async with _files(request, "the photos as multipart/form-data, in parts called photos", most + 1) as parts:
        if any(name != "photos" or upload is None for name, upload in parts):
            raise ProblemError(422, "not_a_file", "every part of the form has to be a file, and be called photos")
        if not parts:
            raise ProblemError(422, "no_photos", "the form holds no photo")
        if len(parts) > most:
            raise ProblemError(413, "too_many_photos", f"a request may have {most} photos")
        yield [upload for _, upload in parts if upload is not None]


@asynccontextmanager
async def pair_of(request: Request) -> AsyncIterator[tuple[Upload, Upload]]:
    """Suspect and original of a form of these two.

    Args:
        request: Whose body is the form.

    Raises:
        ProblemError: If the form is not one of a suspect and an original.
    """
    async with _files(request, "both as multipart/form-data, in parts called suspect and original", 3) as parts:
        files = dict(parts)
        suspect, original = files.get("suspect"), files.get("original")
        if len(parts) != 2 or suspect is None or original is None:
            raise ProblemError(422, "not_a_pair", "the form has to hold two files, called suspect and original")
        yield suspect, original


@asynccontextmanager
async def _files(request: Request, wanted: str, most: int) -> AsyncIterator[list[tuple[str, Upload | None]]]:
    """Each part of a form by its name; ``None`` for what is no file."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise ProblemError(415, "not_a_form", f"send {wanted}")
    try:
        async with request.form(max_files=most, max_fields=1) as form:
            yield [
                (name, Upload(part.filename or "photo", part.file) if isinstance(part, UploadFile) else None)
                for name, part in form.multi_items()
            ]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_problem(error) from error
        raise
