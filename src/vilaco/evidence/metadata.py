"""A file's metadata as plain text fields: EXIF, XMP, PNG and GIF text, JPEG comments, the colour profile."""

import io
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import iterparse
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import IFDRational
from pydantic import BaseModel, ConfigDict

from vilaco.evidence.text import plain, reason

MAX_FIELDS = 300
"""Most fields kept of one file; a camera writes 60 to 100."""
MAX_XMP = 2_000_000
"""Most bytes of XMP that are parsed."""
MAX_XMP_DEPTH = 32
"""Deepest nesting of XMP that is read; every level looks through all below it. Editors nest 10 or so."""
MAX_XMP_ELEMENTS = 50_000
"""Most elements of XMP that are read; what editors pile up (lists of ancestors) fills `MAX_XMP` before that."""
_LONGEST_LIST = 16
_LARGEST_STRUCTURE = 40  # nodes of one XMP entry

_SUB_IFDS = {"EXIF photo": ExifTags.IFD.Exif, "GPS": ExifTags.IFD.GPSInfo}
_POINTERS = frozenset({*map(int, ExifTags.IFD), 0x0111, 0x0117, 0x0144, 0x0145, 0x014A, 0x02BC, 0x83BB, 0x8649, 0x8773})
"""Tags whose value is where something else lies, or another format's whole block."""
_XMP_PREFIXES = {
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
}
_CODES = {b"ASCII\0\0\0": "ascii", b"UNICODE\0": "utf-16", b"\0" * 8: "utf-8"}
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_SYNTAX = (_RDF, "{http://www.w3.org/XML/1998/namespace}")


class Field(BaseModel):
    """One line of metadata.

    Attributes:
        group: Where it stands: ``"EXIF"``, ``"EXIF photo"``, ``"GPS"``, ``"XMP"``, ``"text"`` or ``"header"``.
        name: Its name there.
        value: Its value in words, cleaned by :func:`vilaco.evidence.text.plain`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    name: str
    value: str


def read_fields(picture: Image.Image, problems: list[str]) -> tuple[Field, ...]:
    """All metadata of a file that are text or numbers.

    Args:
        picture: As opened; its pixels are not looked at.
        problems: What cannot be read is added here, a sentence each.

    Returns:
        At most `MAX_FIELDS`, in the file's order.
    """
    fields: list[Field] = []
    parts: dict[str, Callable[[Image.Image], Iterator[Field]]] = {
        "text": _text,
        "EXIF": _exif,
        "XMP": _xmp,
        "the colour profile": _profile,
    }
    for name, read in parts.items():
        try:
            for field in read(picture):
                fields.append(field)
                if len(fields) > 4 * MAX_FIELDS:
                    break
        except Exception as error:  # a stranger's bytes: the readers let almost any type out
            problems.append(f"{name} cannot be read wholly ({reason(error)})")
    if len(fields) > MAX_FIELDS:
        problems.append(f"more than {MAX_FIELDS} metadata fields; the rest is left out")
    return tuple(fields[:MAX_FIELDS])


def _exif(picture: Image.Image) -> Iterator[Field]:
    exif = picture.getexif()
    for tag in list(exif):
        if tag not in _POINTERS:
            yield _field("EXIF", ExifTags.TAGS.get(tag, f"tag {tag:#06x}"), exif[tag])
    for group, pointer in _SUB_IFDS.items():
        names = ExifTags.GPSTAGS if group == "GPS" else ExifTags.TAGS
        for tag, value in exif.get_ifd(pointer).items():
            if tag not in _POINTERS:
                yield _field(group, names.get(tag, f"tag {tag:#06x}"), value)


def _xmp(picture: Image.Image) -> Iterator[Field]:
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    data = packet.encode() if isinstance(packet, str) else bytes(packet)
    data = data.strip(b"\x00 \r\n\t")
    if not data:
        return
    if len(data) > MAX_XMP:
        raise ValueError(f"{len(data):,} bytes, over the limit of {MAX_XMP:,}")
    for description in _parsed(data).iter(f"{_RDF}Description"):
        for key, value in description.attrib.items():
            if not key.startswith(_RDF) and value.strip():
                yield _field("XMP", _xmp_name(key), value)
        for element in description:
            for name, value in _leaves(element):
                yield _field("XMP", name, value)


def _parsed(data: bytes) -> Element:
    """The tree of an XMP packet; deeper or larger ones are refused before they are whole.

    Raises:
        ValueError: Saying the limit.
    """
    events = iterparse(io.BytesIO(data), events=("start", "end"))
    depth = elements = 0
    for event, _ in events:
        depth += 1 if event == "start" else -1
        elements += event == "start"
        if depth > MAX_XMP_DEPTH:
            raise ValueError(f"nested over the limit of {MAX_XMP_DEPTH} levels")
        if elements > MAX_XMP_ELEMENTS:
            raise ValueError(f"more than {MAX_XMP_ELEMENTS:,} elements")
    root: Element = events.root
    return root


def _leaves(element: Element) -> Iterator[tuple[str, str]]:
    """Texts of a property under its own name: one for each entry of a list, the parts of a structure joined."""
    for entry in element.findall(f".//{_RDF}li") or [element]:
        parts = []
        for node in islice(entry.iter(), _LARGEST_STRUCTURE):
            texts = {key: value for key, value in node.attrib.items() if not key.startswith(_SYNTAX)}
            parts += [f"{_local(key)}: {value}" for key, value in texts.items()]
            if node is not entry and node.text and node.text.strip():
                parts.append(f"{_local(node.tag)}: {node.text.strip()}")
        text = ", ".join(parts) or (entry.text or "").strip() or entry.get(f"{_RDF}resource", "")
        if text:
            yield _xmp_name(element.tag), text


def _xmp_name(tag: str) -> str:
    namespace, _, name = tag.lstrip("{").rpartition("}")
    prefix = _XMP_PREFIXES.get(namespace)
    return name if prefix in (None, "xmp") else f"{prefix}:{name}"


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _text(picture: Image.Image) -> Iterator[Field]:
    if "comment" in picture.info:
        yield _field("text", "comment", picture.info["comment"])
    texts = picture.text if isinstance(picture, PngImageFile) else {}  # decodes it: text may stand behind the pixels
    for name, value in texts.items():
        if name != "XML:com.adobe.xmp":
            yield _field("text", name, value)
    if "adobe" in picture.info:
        yield _field("header", "APP14", "Adobe marker: written by Adobe software, or by a program that imitates it")


def _profile(picture: Image.Image) -> Iterator[Field]:
    profile = picture.info.get("icc_profile")
    if profile:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        yield _field("header", "colour profile", name)


def _field(group: str, name: str, value: Any) -> Field:
    return Field(group=group, name=plain(name, 60), value=plain(_words(value)))


def _words(value: Any) -> str:
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, IFDRational):
        return f"{float(value):g}" if value.denominator else "undefined"
    if isinstance(value, (tuple, list)):
        shown = ", ".join(_words(item) for item in value[:_LONGEST_LIST])
        return shown if len(value) <= _LONGEST_LIST else f"{shown}, … ({len(value):,} values)"
    if isinstance(value, dict):
        return f"{len(value)} fields"
    return str(value)


def _decoded(data: bytes) -> str:
    """Bytes as text where they are text, as UserComment is behind the eight bytes that name its code."""
    code = next((code for code in _CODES if data.startswith(code)), b"")
    try:
        text = data.removeprefix(code).decode(_CODES.get(code, "utf-8")).strip("\x00 ")
    except UnicodeDecodeError:
        return f"{len(data):,} bytes"
    return text if " ".join(text.split()).isprintable() else f"{len(data):,} bytes"
