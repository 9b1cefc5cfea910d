"""What files say about themselves, hostile and broken ones included."""

import hashlib
import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from pictures import make_photo
from vilaco.errors import ImageError
from vilaco.evidence import Evidence, read_evidence
from vilaco.evidence.metadata import MAX_FIELDS
from vilaco.evidence.software import known_program
from vilaco.images import load_photo

PIXELS = make_photo(np.random.default_rng(0))


def jpeg(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def evidence(data: bytes) -> Evidence:
    return read_evidence(data, load_photo(data))


def exif(**tags: Any) -> Image.Exif:
    block = Image.Exif()
    for name, value in tags.items():
        tag = ExifTags.Base[name]
        target = block if tag < 0x8000 or tag in (0x8298, 0x9C9B) else block.get_ifd(ExifTags.IFD.Exif)
        target[tag] = value
    return block


def app(marker: int, payload: bytes, data: bytes) -> bytes:
    """A JPEG with one more segment at its start."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def test_hash_size_and_format_are_the_files(tmp_path: Path) -> None:
    data = jpeg(quality=90)
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    found = read_evidence(file, load_photo(file))
    assert found == evidence(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.size, found.format, found.width, found.height, found.frames) == (len(data), "JPEG", 96, 72, 1)
    assert found.problems == ()


def test_camera_dates_place_and_software_are_found() -> None:
    block = exif(
        Make="Canon", Model="Canon EOS R5", Software="GIMP 2.10.36", DateTime="2026:05:02 10:00:00",
        DateTimeOriginal="2026:05:01 09:30:00", ExposureTime=1 / 250, UserComment=b"ASCII\0\0\0hello there",
    )  # fmt: skip
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 0.0)})
    found = evidence(jpeg(exif=block))
    assert found.camera == "Canon EOS R5"
    assert found.value("DateTimeOriginal") == "2026:05:01 09:30:00"
    assert found.value("DateTime") == "2026:05:02 10:00:00"
    assert found.value("UserComment") == "hello there"
    assert found.value("ExposureTime") == "0.004"
    assert found.value("GPSLatitude") == "52, 31, 12.5"
    assert found.has_location
    [trace] = found.software
    assert (trace.program, trace.kind, trace.field) == ("GIMP", "editor", "EXIF Software")


def test_a_cameras_own_software_is_named_and_not_called_an_editor() -> None:
    [trace] = evidence(jpeg(exif=exif(Software="HDR+ 1.0.540104767zd"))).software
    assert (trace.text, trace.program, trace.kind) == ("HDR+ 1.0.540104767zd", None, None)


XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Adobe Photoshop 25.0 (Windows)"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<xmpMM:History><rdf:Seq>
<rdf:li stEvt:action="saved" stEvt:when="2026-05-01T10:00:00" stEvt:softwareAgent="Adobe Lightroom"/>
</rdf:Seq></xmpMM:History>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A &lt;b&gt; title</rdf:li></rdf:Alt></dc:title>
<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def test_xmp_names_its_editors_and_a_generated_picture() -> None:
    found = evidence(jpeg(xmp=XMP))
    values = {(field.name, field.value) for field in found.fields}
    assert ("xmpMM:History", "action: saved, when: 2026-05-01T10:00:00, softwareAgent: Adobe Lightroom") in values
    assert ("dc:title", "A <b> title") in values
    assert {trace.program for trace in found.software} == {
        "Adobe Photoshop",
        "Adobe Lightroom",
        "generative AI, by its own declaration",
    }


def test_an_xml_bomb_is_not_expanded() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    found = evidence(jpeg(xmp=bomb))
    assert len(found.problems) == 1
    assert "XMP" in found.problems[0]


def test_png_text_names_a_generator() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a castle, Model: Stable Diffusion XL")
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=info)
    found = evidence(buffer.getvalue())
    assert found.jpeg is None
    assert [(trace.program, trace.kind) for trace in found.software] == [("Stable Diffusion", "generator")]


def test_text_of_strangers_is_cut_and_made_visible() -> None:
    found = evidence(jpeg(exif=exif(ImageDescription="x" * 50_000, Artist="safe\u202egpj.exe\x07")))
    description, artist = found.value("ImageDescription"), found.value("Artist")
    assert description is not None
    assert description.startswith("xxx")
    assert description.endswith("… (50,000 characters)")
    assert len(description) < 500
    assert "\u202e" not in str(artist)
    assert "\x07" not in str(artist)


def test_thousands_of_fields_are_cut_with_a_word() -> None:
    block = Image.Exif()
    block.update({0x9C00 + i if i < 100 else 0xA600 + i: f"value {i}" for i in range(2000)})
    found = evidence(jpeg(exif=block))
    assert len(found.fields) == MAX_FIELDS
    assert any("left out" in problem for problem in found.problems)


@pytest.mark.parametrize(
    "payload",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x0f\0\x02\xff\xff\xff\xff\xff\xff\xff\xff" * 40,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0",  # its EXIF part is itself
        b"Exif\0\0" + bytes(range(256)) * 4,
    ],
)
def test_broken_exif_costs_nothing_but_itself(payload: bytes) -> None:
    data = app(0xE1, payload, jpeg(quality=77))
    found = evidence(data)
    assert found.jpeg is not None
    assert found.jpeg.quality == 77
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_a_broken_colour_profile_and_a_broken_preview_are_named() -> None:
    profile = app(0xE2, b"ICC_PROFILE\0\x01\x01" + b"nonsense" * 30, jpeg())
    [problem] = evidence(profile).problems
    assert "colour profile" in problem
    block = Image.Exif()
    block.get_ifd(ExifTags.IFD.IFD1).update({513: 8, 514: 40})
    data = jpeg(exif=block)
    ifd = evidence(data)
    assert ifd.thumbnails == ()


def test_a_file_whose_pictures_cannot_be_counted() -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, len(data) - 3)  # the next picture begins at the last bytes
    found = evidence(bytes(data))
    assert (found.width, found.frames) == (96, 1)
    assert load_photo(bytes(data)).notes == ("the file holds more pictures, which cannot be read",)


def test_every_field_survives_json() -> None:
    found = evidence(jpeg(exif=exif(Make="Nikon"), xmp=XMP, comment=b"hi \xff"))
    assert Evidence.model_validate_json(found.model_dump_json()) == found


def test_a_file_that_is_gone_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_evidence(tmp_path / "gone.jpg", load_photo(PIXELS))


def test_deeply_nested_xmp_takes_no_time() -> None:
    depth = 1_500  # Pillow keeps 64 KB of XMP in one segment
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    nested = "<r:li>" * depth + "x" + "</r:li>" * depth
    packet = f'<r:RDF xmlns:r="{rdf}" xmlns:a="b"><r:Description><a:c>{nested}</a:c></r:Description></r:RDF>'
    started = time.perf_counter()
    evidence(jpeg(xmp=packet.encode()))
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("<r:Description><a:b>" * 28_000 + "</a:b></r:Description>" * 28_000, "nested over the limit of 32 levels"),
        (
            "<r:Description><a:b>" * 14 + "<r:li/>" * 200_000 + "</a:b></r:Description>" * 14,
            "more than 50,000 elements",
        ),
    ],
)
def test_xmp_that_would_take_minutes_is_refused_with_a_word(inside: str, words: str) -> None:
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    buffer = io.BytesIO()
    packet = f'<r:RDF xmlns:r="{rdf}" xmlns:a="b">{inside}</r:RDF>'
    Image.fromarray(PIXELS).save(buffer, "WEBP", xmp=packet.encode())
    started = time.perf_counter()
    assert evidence(buffer.getvalue()).problems == (f"XMP cannot be read wholly ({words})",)
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    "place",
    [
        "<exif:GPSLatitude>52,31.2N</exif:GPSLatitude>",
        "<photoshop:City>Berlin</photoshop:City>",
        "<ext:LocationCreated><rdf:Bag><rdf:li ext:CountryName='Germany'/></rdf:Bag></ext:LocationCreated>",
    ],
)
def test_a_place_that_only_xmp_names_is_one(place: str) -> None:
    spaces = 'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    spaces += ' xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    assert not evidence(jpeg(xmp=XMP)).has_location
    packet = XMP.replace(b" xmlns:xmp=", f" {spaces} xmlns:xmp=".encode()).replace(
        b"<dc:title>", f"{place}<dc:title>".encode()
    )
    assert evidence(jpeg(xmp=packet)).has_location


def test_text_behind_the_pixels_of_a_png_is_found() -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    payload = b"tEXtSoftware\0GIMP 3.0"
    chunk = struct.pack(">I", len(payload) - 4) + payload + struct.pack(">I", zlib.crc32(payload))
    [trace] = evidence(buffer.getvalue()[:-12] + chunk + buffer.getvalue()[-12:]).software
    assert trace.program == "GIMP"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Version1 of the firmware", None),
        ("dalle Alpi", None),
        ("DALL-E 3", "OpenAI"),
        ("Adobe Photoshop Lightroom 6", "Adobe Photoshop"),
        ("Picasa", "Picasa"),
    ],
)
def test_programs_are_known_by_whole_names(text: str, program: str | None) -> None:
    assert known_program(text)[0] == program


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_other_file_types(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind)
    found = evidence(buffer.getvalue())
    assert found.format == kind
    assert found.jpeg is None
    assert found.problems == ()
    assert found.thumbnails == ()
