"""DSO-1, splices of people into photos of people (de Carvalho et al., IEEE TIFS 8(7), 2013).

::

    tifs-database/
      DSO-1/                    normal-01.png (authentic), splicing-01.png (tampered)
      DSO-1-Fake-Images-Masks/  splicing-01.png

Counts: 100 authentic, 100 splices, PNG, mostly 2048x1536. Use: research only.

Masks are inverted: BLACK is tampered, so ``mask_rule`` is ``"zero"``. Scenes cannot be told from the names:
``normal-01`` and ``splicing-01`` are different photos.
"""

from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, by_stem, images_under, require_subfolder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record


def read_dso1(root: Path) -> list[Record]:
    """Read ``DSO-1/`` and its folder of masks.

    Raises:
        NotThisFormat: If a folder is missing or no image is called ``splicing-*``.
    """
    folder = require_subfolder(root, "DSO-1")
    masks = by_stem(images_under(require_subfolder(root, "DSO-1-Fake-Images-Masks")))
    images = images_under(folder)
    if not any(path.stem.startswith("splicing") for path in images):
        raise NotThisFormat("has no image called splicing-* in DSO-1/")
    return [
        Record(path, TAMPERED, masks.get(path.stem.lower()), mask_rule="zero")
        if path.stem.startswith("splicing")
        else Record(path, AUTHENTIC)
        for path in images
    ]
