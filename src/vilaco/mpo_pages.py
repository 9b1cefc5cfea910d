"""Which pictures of a multi-picture JPEG are photos: not the large previews, nor the brightness maps of phones.

Cameras put a preview for television sets behind the photo, phones what an HDR screen brightens it by (a gain map).

Sources: CIPA DC-007 (multi-picture format); ISO 21496-1 and its forerunners by Adobe, Google and Apple (gain maps).
"""

import contextlib
from collections.abc import Sequence
from typing import BinaryIO

from PIL import Image
from PIL.MpoImagePlugin import MpoImageFile

_ENTRIES, _TYPE, _PREVIEW = 0xB002, "MPType", "Large Thumbnail"  # Pillow's name of the type starts so
_GAIN_MAP = (b"ns.adobe.com/hdr-gain-map", b"ns.apple.com/HDRGainMap", b"urn:iso:std:iso:ts:21496")


def photos_of_mpo(stream: BinaryIO) -> Sequence[int]:
    """Numbers of the pictures of a multi-picture JPEG that are photos, from 0; the first always is one.

    Args:
        stream: The file, seekable.
    """
    picture = Image.open(stream, formats=("JPEG",))
    assert isinstance(picture, MpoImageFile)
    assert picture.mpinfo is not None
    types = [entry["Attribute"][_TYPE] for entry in picture.mpinfo[_ENTRIES]]
    return [0, *(number for number in range(1, len(types)) if _is_photo(picture, number, types[number]))]


def _is_photo(picture: MpoImageFile, number: int, kind: str) -> bool:
    if kind.startswith(_PREVIEW):
        return False
    with contextlib.suppress(Exception):  # whoever asks for a damaged picture will hear of it
        picture.seek(number)
        return not any(mark in content for _, content in picture.applist for mark in _GAIN_MAP)
    return True
