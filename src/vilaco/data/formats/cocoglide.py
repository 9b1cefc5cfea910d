"""CocoGlide, objects of COCO photos repainted by the GLIDE diffusion model (Guillaro et al., CVPR 2023).

::

    CocoGlide/
      real/  dining table_114871.png
      fake/  glide_inpainting_val2017_114871_up.png
      mask/  dining table_114871_mask.png

Counts: 512 authentic, 512 repainted, PNG 256x256. Mask pixels above zero are tampered; the rest of a fake
image equals the real one. The COCO image number pairs the files and is the group. Terms: those of COCO's
Flickr photos.
"""

from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, images_under, require_subfolder, trailing_number
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError


def read_cocoglide(root: Path) -> list[Record]:
    """Read ``real/``, ``fake/`` and ``mask/``.

    Raises:
        NotThisFormat: If a folder is missing or no fake image is called ``glide_inpainting_*``.
        DataError: If two masks have one COCO number.
    """
    real, fake, mask = (require_subfolder(root, name) for name in ("real", "fake", "mask"))
    fakes = images_under(fake)
    if not any(path.stem.startswith("glide_inpainting") for path in fakes):
        raise NotThisFormat("has no image called glide_inpainting_* in fake/")
    masks: dict[str | None, Path] = {}
    for path in images_under(mask):
        other = masks.setdefault(trailing_number(path.stem), path)
        if other != path:
            raise DataError(f"{path}: same COCO number as {other}.")
    return [Record(path, AUTHENTIC, group=_group(path)) for path in images_under(real)] + [
        Record(path, TAMPERED, masks.get(trailing_number(path.stem)), _group(path)) for path in fakes
    ]


def _group(path: Path) -> str | None:
    number = trailing_number(path.stem)
    return f"cocoglide-{number}" if number else None
