"""Files that people and attackers have: each is made by a function, and said to be a photo of a size or refused so."""

import gzip
import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pictures import bmp_with_alpha, chunk, encoded, png, smooth, tiff

Size = tuple[int, int]


@dataclass(frozen=True)
class BadInput:
    """One kind of file.

    Attributes:
        name: Of the file, extension included.
        make: Writes it.
        size: (height, width) of the photo that it is, if it is one.
        codes: Errors with which it may be refused, if it may.
    """

    name: str
    make: Callable[[Path], object]
    size: Size | None = None
    codes: Collection[str] = ()


def holds(name: str, data: bytes, size: Size | None = None, codes: Collection[str] = ()) -> BadInput:
    return BadInput(name, lambda path: path.write_bytes(data), size, codes)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _frames() -> dict[str, object]:
    return {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "red") for _ in range(5)]}


def _deep(ending: str, channels: int) -> bytes:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)[:40, :60]
    return cv2.imencode(ending, np.dstack([ramp] * channels))[1].tobytes()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("payload.txt", "not a picture")
    return stream.getvalue()


def _heic() -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth(40, 60))).save(stream, quality=90)
    return stream.getvalue()


def _tiff(*entries: tuple[int, int, int], next_folder: int = 0) -> bytes:
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + struct.pack("<I", next_folder)


def _jpeg_of_size(width: int, height: int) -> bytes:
    data = encoded(smooth(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


def _unreadable(path: Path) -> None:
    path.write_bytes(JPEG)
    path.chmod(0)


PHOTO = Image.fromarray(smooth())
SIZE = (40, 60)
SMALL = smooth(10, 15)
BROKEN = {"truncated", "corrupt"}
JPEG, PNG, GIF, WEBP = (encoded(smooth(), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP"))
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
CUT = {kind: encoded(NOISE, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")}
PACKED = zlib.compress(bytes(80_000_000))
LAST_SCAN = encoded(smooth(), "JPEG", progressive=True)

BAD_INPUTS = [
    # unusual, but a photo
    holds("progressive.jpg", encoded(smooth(), "JPEG", progressive=True), SIZE),
    holds("grey.jpg", encoded(PHOTO.convert("L"), "JPEG"), SIZE),
    holds("cmyk.jpg", encoded(PHOTO.convert("CMYK"), "JPEG"), SIZE),
    holds("two_pictures.mpo", encoded(PHOTO, "MPO", **_frames()), SIZE),
    holds("sixteen_bit_grey.png", _deep(".png", 1), SIZE),
    holds("sixteen_bit_colour_png.png", _deep(".png", 3), SIZE),
    holds("sixteen_bit_colour_tiff.tiff", _deep(".tiff", 3), SIZE),
    holds("palette_with_alpha.png", encoded(PHOTO.quantize(8), "PNG", transparency=b"\0\xff\x80"), SIZE),
    holds("grey_with_alpha.png", encoded(PHOTO.convert("LA"), "PNG"), SIZE),
    holds("all_transparent.png", encoded(Image.new("RGBA", (60, 40)), "PNG"), SIZE),
    holds("bilevel.tiff", encoded(PHOTO.convert("1"), "TIFF"), SIZE),
    holds("floats.tiff", encoded(np.linspace(0, 1, 2400, dtype=np.float32).reshape(SIZE), "TIFF"), SIZE),
    holds("lossless.webp", encoded(smooth(), "WEBP", lossless=True), SIZE),
    holds("small.avif", encoded(smooth(), "AVIF"), SIZE),
    holds("phone.heic", _heic(), SIZE),
    holds("animated_gif.gif", encoded(PHOTO, "GIF", **_frames()), SIZE),
    holds("animated_png.png", encoded(PHOTO, "PNG", **_frames()), SIZE),
    holds("animated_webp.webp", encoded(PHOTO, "WEBP", **_frames()), SIZE),
    holds("pages.tiff", encoded(PHOTO, "TIFF", **_frames()), SIZE),
    holds("preview_in_front.tiff", tiff((SMALL, {254: (1,)}, ()), (smooth(), {}, ())), SIZE),
    holds("photo_below_its_preview.tiff", tiff((SMALL, {254: (1,)}, [(smooth(), {})])), SIZE),
    holds("preview_in_front_big.tiff", tiff((SMALL, {254: (1,)}, ()), (smooth(), {}, ()), big=True), SIZE),
    holds("pages_of_two_sizes.tiff", tiff((smooth(), {}, ()), (SMALL, {}, ())), SIZE),
    holds("no_end.jpg", JPEG[:-2], SIZE),
    holds("no_end_progressive.jpg", LAST_SCAN[:-2], SIZE),
    holds("no_end.png", PNG[:-12], SIZE),
    holds("hidden_by_alpha.bmp", bmp_with_alpha(np.dstack([smooth(), np.zeros(SIZE, np.uint8)])), SIZE),
    holds("no_ending", JPEG, SIZE),
    holds("kept_by_exiftool.jpg_original", JPEG, SIZE),
    holds("one_pixel_png.png", encoded(Image.new("RGB", (1, 1)), "PNG"), (1, 1)),
    holds("one_pixel_jpg.jpg", encoded(Image.new("RGB", (1, 1)), "JPEG"), (1, 1)),
    holds("two_by_nine.webp", encoded(Image.new("RGB", (2, 9)), "WEBP"), (9, 2)),
    holds("thin.png", encoded(Image.new("RGB", (1, 20_000), "grey"), "PNG"), (20_000, 1)),
    holds("wide.png", encoded(Image.new("RGB", (20_000, 1), "grey"), "PNG"), (1, 20_000)),
    holds("uniform.jpg", encoded(Image.new("RGB", (60, 40), "white"), "JPEG"), SIZE),
    holds("turned.jpg", encoded(smooth(), "JPEG", exif=_exif(6)), (60, 40)),
    holds("senseless_turn.jpg", encoded(smooth(), "JPEG", exif=_exif(77)), SIZE),
    holds("broken_exif.jpg", encoded(smooth(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffjunk"), SIZE),
    holds("looping_exif.jpg", encoded(smooth(), "JPEG", exif=b"Exif\0\0" + _tiff((0x8769, 4, 8), next_folder=8)), SIZE),
    holds("broken_icc_jpg.jpg", encoded(smooth(), "JPEG", icc_profile=b"no profile"), SIZE),
    holds("broken_icc_png.png", png(60, 40, extra=chunk(b"iCCP", b"name\0\0not zlib")), SIZE),
    holds("many_segments.jpg", JPEG[:2] + b"\xff\xe5\0\x04xx" * 10_000 + JPEG[2:], SIZE),
    holds("really_png.jpg", PNG, SIZE),
    holds("really_jpeg.png", JPEG, SIZE),
    holds("really_gif.heic", GIF, SIZE),
    holds("jpeg_and_zip.jpg", JPEG + _zip(), SIZE),
    holds("jpeg_and_script.jpg", JPEG[:2] + b"\xff\xfe\0\x25<script>alert('comment')</script>...." + JPEG[2:], SIZE),
    holds("png_and_html.png", PNG + b"<html><script>alert(1)</script>", SIZE),
    holds("gif_and_script.gif", GIF + b"*/=1;alert(1)", SIZE),
    holds("png_and_pdf.png", PNG + b"%PDF-1.4 trailer", SIZE),
    # damaged
    *(holds(f"half_{kind.lower()}.{kind.lower()}", data[: len(data) // 2], codes=BROKEN) for kind, data in CUT.items()),
    holds("only_a_start.jpg", JPEG[:20], codes=BROKEN),
    holds("only_a_signature.png", PNG[:8], codes=BROKEN | {"not_an_image"}),
    holds("no_data.png", PNG[:33] + chunk(b"IEND", b""), codes=BROKEN),
    holds("wrong_checksum.png", PNG[:45] + bytes(4) + PNG[49:], codes=BROKEN),
    holds("no_tables.jpg", JPEG.replace(b"\xff\xdb", b"\xff\xe9"), codes=BROKEN),
    holds("zeros_inside.jpg", JPEG[:200] + bytes(200) + JPEG[400:], SIZE, BROKEN),
    holds("looping_folders.tiff", _tiff((256, 4, 60), next_folder=8), codes=BROKEN),
    holds("data_far_outside.tiff", _tiff((256, 4, 60), (257, 4, 40), (273, 4, 1 << 31), (279, 4, 99)), codes=BROKEN),
    holds("floats_beyond_white.tiff", encoded(np.full(SIZE, 3.0, np.float32), "TIFF"), codes={"unsupported"}),
    # a camera's raw files
    holds("raw.dng", tiff((SMALL, {254: (1,), 50706: (1,)}, [(smooth(), {262: (32803,)})])), codes={"camera_raw"}),
    holds("raw.nef", tiff((SMALL, {254: (1,)}, [(smooth(), {259: (34713,), 262: (32803,)})])), codes={"camera_raw"}),
    holds("raw_called.jpg", b"II*\0\x10\0\0\0CR\2\0" + bytes(99), codes={"camera_raw"}),
    holds("raw.orf", b"IIRO\x08\0\0\0" + bytes(99), codes={"camera_raw"}),
    # bombs
    holds("huge_header_png.png", png(30_000, 30_000, pixels=b""), codes={"too_many_pixels"}),
    holds("largest_header.png", png(2**31 - 1, 2**31 - 1, pixels=b""), codes={"too_many_pixels"}),
    holds("huge_header_jpg.jpg", _jpeg_of_size(65_500, 65_500), codes={"too_many_pixels"}),
    holds("huge_header_gif.gif", GIF[:6] + b"\xff" * 4 + GIF[10:], codes={"too_many_pixels"}),
    holds("huge_header_bmp.bmp", b"BM" + struct.pack("<IIIIiiHH", 99, 0, 54, 40, 60_000, 60_000, 1, 24) + bytes(24),
          codes={"too_many_pixels"}),
    holds("huge_header_tiff.tiff", _tiff((256, 4, 2**31), (257, 4, 2**31), (258, 3, 8), (262, 3, 1), (273, 4, 8)),
          codes={"too_many_pixels", "corrupt"}),
    holds("no_width.png", png(0, 40, pixels=b""), codes=BROKEN | {"empty"}),
    holds("real_bomb.png", png(30_000, 4_000, pixels=zlib.compress(bytes(120_000_000 + 4_000), 9)),
          codes={"too_many_pixels"}),
    holds("text_bomb.png", png(8, 8, extra=chunk(b"zTXt", b"a\0\0" + PACKED)), codes={"bomb"}),
    holds("profile_bomb.png", png(8, 8, extra=chunk(b"iCCP", b"a\0\0" + PACKED)), codes={"bomb"}),
    holds("scan_bomb.jpg", LAST_SCAN[:-2] + LAST_SCAN[LAST_SCAN.rindex(b"\xff\xda") : -2] * 5_000, codes={"bomb"}),
    # no pictures
    holds("zero_bytes.jpg", b"", codes={"empty"}),
    holds("one_byte.png", b"\x89", codes={"not_an_image"}),
    holds("zeros.jpg", bytes(100_000), codes={"not_an_image"}),
    holds("text.jpg", b"just some text that goes on\n" * 99, codes={"not_an_image"}),
    holds("page.png", b"<!doctype html><html><body>404</body></html>", codes={"not_an_image"}),
    holds("vector.jpg", b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', codes={"not_an_image"}),
    holds("json.jpg", json.dumps({"error": "quota"}).encode(), codes={"not_an_image"}),
    holds("archive.jpg", _zip(), codes={"not_an_image"}),
    holds("packed.jpg", gzip.compress(JPEG), codes={"not_an_image"}),
    holds("document.jpg", b"%PDF-1.7\n1 0 obj <</Type/Catalog>>", codes={"not_an_image"}),
    holds("postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", codes={"not_an_image"}),
    holds("program.jpg", b"\x7fELF\x02\x01\x01" + bytes(200), codes={"not_an_image"}),
    holds("film.jpg", struct.pack(">I", 24) + b"ftypisom" + bytes(400), codes={"not_an_image"}),
    *(
        holds(f"other_{kind.lower()}.jpg", encoded(PHOTO, kind), codes={"not_an_image"})
        for kind in ("PPM", "TGA", "ICO", "JPEG2000", "PCX", "SGI")
    ),
    # no files
    BadInput("pipe.jpg", os.mkfifo, codes={"not_a_file"}),
    BadInput("socket.jpg", _socket, codes={"not_a_file"}),
    BadInput("device.jpg", lambda path: path.symlink_to("/dev/zero"), codes={"not_a_file"}),
    BadInput("unreadable.jpg", _unreadable, SIZE, {"unreadable"}),  # root may read it
    BadInput("dangling.jpg", lambda path: path.symlink_to("nowhere.jpg"), codes={"not_found"}),
    BadInput("link_to_itself.jpg", lambda path: path.symlink_to(path.name), codes={"unreadable"}),
    BadInput("link_to_a_photo.jpg", lambda path: path.symlink_to("progressive.jpg"), SIZE),
    # names
    *(
        holds(name, JPEG, SIZE)
        for name in (
            "two\nlines.jpg", "tab\tand\x1b[31mred.jpg", "emoji 👩‍👩‍👧 ✅.jpg", "right\u202eto left.jpg", "-o.jpg",
            "quote'\"$(touch pwned)`.jpg", "%2e%2e%2fetc.jpg", "back\\..\\slash.jpg", "[bold red]loud.jpg",
            "star*.jpg", "what?.jpg", "a,b;c.jpg", "protocol::s3:.jpg", "UPPER.JPG", "two..dots.jpg",
            "--out=x.jpg", "l" * 251 + ".jpg",
            "ü" * 125 + ".jpg", os.fsdecode(b"latin-1 caf\xe9.jpg"), "<bytes>.jpg", "<>.jpg", " .jpg",
        )
    ),
]  # fmt: skip
HIDDEN_NAMES = ("..jpg", "...jpg")
"""Names that a folder's search leaves out because they start with a dot, and whose stem means a folder."""


def make_all(folder: Path) -> Path:
    """Write every kind, and a folder that looks like a photo and holds a way back to itself."""
    folder.mkdir()
    for kind in BAD_INPUTS:
        kind.make(folder / kind.name)
    (folder / "a_folder.jpg").mkdir()
    (folder / "a_folder.jpg/back").symlink_to("..")
    return folder
