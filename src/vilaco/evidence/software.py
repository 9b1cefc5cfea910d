"""Names of programs that files carry."""

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vilaco.evidence.metadata import Field

Kind = Literal["editor", "converter", "generator"]

KNOWN: dict[str, tuple[str, Kind]] = {
    r"photoshop": ("Adobe Photoshop", "editor"),
    r"lightroom": ("Adobe Lightroom", "editor"),
    r"adobe camera raw|camera raw \d": ("Adobe Camera Raw", "editor"),
    r"firefly": ("Adobe Firefly", "generator"),
    r"\bgimp\b": ("GIMP", "editor"),
    r"affinity": ("Affinity Photo", "editor"),
    r"pixelmator": ("Pixelmator", "editor"),
    r"paint\.net": ("Paint.NET", "editor"),
    r"paintshop|paint shop": ("PaintShop Pro", "editor"),
    r"photoscape": ("PhotoScape", "editor"),
    r"capture one": ("Capture One", "editor"),
    r"darktable": ("darktable", "editor"),
    r"rawtherapee": ("RawTherapee", "editor"),
    r"\bluminar\b|skylum": ("Luminar", "editor"),
    r"\bdxo\b": ("DxO PhotoLab", "editor"),
    r"\bon1\b": ("ON1 Photo RAW", "editor"),
    r"\btopaz\b": ("Topaz Photo", "editor"),
    r"snapseed": ("Snapseed", "editor"),
    r"picsart": ("Picsart", "editor"),
    r"facetune|facelab": ("Facetune", "editor"),
    r"faceapp": ("FaceApp", "editor"),
    r"meitu|beautyplus": ("Meitu", "editor"),
    r"\bvsco\b": ("VSCO", "editor"),
    r"\bcanva\b": ("Canva", "editor"),
    r"polarr": ("Polarr", "editor"),
    r"inpaint|photoroom|cleanup\.pictures": ("an object remover", "editor"),
    r"windows photo|microsoft photo|photo gallery": ("Microsoft Photos", "editor"),
    r"acdsee": ("ACDSee", "editor"),
    r"picasa": ("Picasa", "editor"),
    r"photopea": ("Photopea", "editor"),
    r"\bkrita\b": ("Krita", "editor"),
    r"irfanview": ("IrfanView", "converter"),
    r"xnview": ("XnView", "converter"),
    r"imagemagick|graphicsmagick": ("ImageMagick", "converter"),
    r"\bpillow\b|python imaging": ("Pillow", "converter"),
    r"lavc|ffmpeg": ("FFmpeg", "converter"),
    r"gd-jpeg": ("PHP's GD", "converter"),
    r"stable diffusion|automatic1111|comfyui|invokeai|novelai": ("Stable Diffusion", "generator"),
    r"midjourney": ("Midjourney", "generator"),
    r"\bdall[·-]e\b|openai|chatgpt": ("OpenAI", "generator"),
    r"google (generative )?ai|made with google|google gemini": ("Google AI", "generator"),
    r"trainedalgorithmicmedia": ("generative AI, by its own declaration", "generator"),
}
"""Patterns, in any case, of programs that photos name; what cameras write as their software is not among them."""

_PROGRAM_FIELDS = re.compile(
    r"software|processing|creatortool|history|derivedfrom|agent|comment|digitalsourcetype|^parameters$"
    r"|^prompt$|^workflow$|producer|generator|credit|^app14",
    re.IGNORECASE,
)


class SoftwareTrace(BaseModel):
    """One place where a file names a program.

    Attributes:
        field: The metadata field.
        text: What it says.
        program: The program's usual name, if it is a known one.
        kind: What it does: edits, converts, or generates pictures; ``None`` where it is not known, as with a camera's
            own software.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    text: str
    program: str | None
    kind: Kind | None


def find_software(fields: Iterable[Field]) -> tuple[SoftwareTrace, ...]:
    """Programs that metadata names: every ``Software`` field, and known names in fields that tell of programs.

    Example:
        >>> [trace] = find_software([Field(group="EXIF", name="Software", value="GIMP 2.10")])
        >>> trace.program, trace.kind
        ('GIMP', 'editor')
    """
    traces = []
    for field in fields:
        if not _PROGRAM_FIELDS.search(field.name):
            continue
        program, kind = known_program(field.value)
        if program is not None or field.name.lower() in ("software", "creatortool", "processingsoftware"):
            name = f"{field.group} {field.name}"
            traces.append(SoftwareTrace(field=name, text=field.value, program=program, kind=kind))
    return tuple(dict.fromkeys(traces))


def known_program(text: str) -> tuple[str, Kind] | tuple[None, None]:
    """Usual name and kind of the program that a text names, if it is one of `KNOWN`."""
    for pattern, known in KNOWN.items():
        if re.search(pattern, text, re.IGNORECASE):
            return known
    return None, None
