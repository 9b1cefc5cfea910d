"""The segments of a JPEG file, found as libjpeg finds them."""

import re
from collections.abc import Iterator

FRAME_PROGRESSIVE, SCAN, _END = 0xC2, 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # of those that stand before a length


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment, up to the end of the picture or of the file.

    A thumbnail lies inside a segment, and a film behind the end: neither is looked into. What a scan's header is
    followed by, the compressed picture, is passed over.

    Args:
        data: The file.

    Example:
        >>> list(jpeg_segments(bytes.fromhex("ffd8 fffe0004 6869 ffda0002 1234 ffd9 ffda0002")))
        [(254, b'hi'), (218, b'')]
    """
    at = 2
    while (marker := _MARKER.search(data, at)) and marker[0][1] != _END:
        length = int.from_bytes(data[marker.end() : marker.end() + 2])
        at = marker.end() + length
        yield marker[0][1], data[marker.end() + 2 : at]
