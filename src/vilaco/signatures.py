"""What a file is by its first bytes, whatever it is called."""

PREFIX = 16
"""Bytes that tell."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_HEIF = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF = frozenset({b"avif", b"avis"})
_RAW_STARTS = {
    b"IIRO": "ORF",
    b"IIRS": "ORF",
    b"MMOR": "ORF",
    b"IIU\0": "RW2",
    b"FUJIFILMCCD-RAW": "RAF",
    b"FOVb": "X3F",
    b"\0MRM": "MRW",
}


def looks_like_photo(start: bytes) -> bool:
    """Whether a file that starts so is of a type that vilaco reads, or a camera's raw file, which it refuses in words.

    Args:
        start: The first `PREFIX` bytes, or all where there are fewer.

    Example:
        >>> looks_like_photo(b"GIF89a"), looks_like_photo(b"%PDF-1.7")
        (True, False)
    """
    return (
        start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", *_TIFF))
        or (start[:2] == b"BM" and start[6:10] == bytes(4))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in _HEIF | _AVIF)
        or raw_kind(start) is not None
    )


def is_heif(start: bytes) -> bool:
    """Whether a file that starts so is HEIC, or of its family."""
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF


def is_cut_webp(start: bytes, size: int) -> bool:
    r"""Whether a WebP file that starts so and has so many bytes is shorter than it says.

    Example:
        >>> is_cut_webp(b"RIFF\x10\0\0\0WEBPVP8 ", 24), is_cut_webp(b"RIFF\x10\0\0\0WEBPVP8 ", 23)
        (False, True)
    """
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP" and size < 8 + int.from_bytes(start[4:8], "little")


def is_tiff(start: bytes) -> bool:
    """Whether a file that starts so has the folders of a TIFF file, as many cameras' raw files have."""
    return start.startswith(_TIFF)


def raw_kind(start: bytes) -> str | None:
    r"""The usual ending of the raw files that start so; those that start like any TIFF file are not told here.

    Example:
        >>> raw_kind(b"II*\0\x10\0\0\0CR\2\0"), raw_kind(b"II*\0\x08\0\0\0")
        ('CR2', None)
    """
    if is_tiff(start):
        if start[8:10] == b"CR":
            return "CR2"
        return "IIQ" if start[8:12] in (b"IIII", b"MMMM") else None
    if start[4:12] == b"ftypcrx ":
        return "CR3"
    return next((kind for mark, kind in _RAW_STARTS.items() if start.startswith(mark)), None)
