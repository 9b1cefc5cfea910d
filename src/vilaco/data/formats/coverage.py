"""COVERAGE, copy-move forgeries that hide among similar but genuine objects (Wen et al., ICIP 2016).

::

    COVERAGE/
      image/  1.tif (authentic), 1t.tif (tampered)
      mask/   1forged.tif (tampered region), 1copy.tif (its source), 1paste.tif (the similar genuine object)
      label/  *.mat

Counts: 100 pairs; WSCL tests on 91 tampered ones. Both images of a pair are one group. Use: research only.

Mask pixels above zero are tampered. Known faults: some masks differ in size from their image, and some are
not binary at the edges.
"""

import re
from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, by_stem, images_under, require_subfolder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record

_NAME = re.compile(r"(\d+)(t?)", re.IGNORECASE)


def read_coverage(root: Path) -> list[Record]:
    """Read ``image/`` and ``mask/``.

    Raises:
        NotThisFormat: If a folder is missing or no image is called like ``1.tif`` or ``1t.tif``.
    """
    images = require_subfolder(root, "image")
    masks = by_stem(images_under(require_subfolder(root, "mask")))
    named = [(path, _NAME.fullmatch(path.stem)) for path in images_under(images)]
    if not any(name and name[2] for _, name in named):
        raise NotThisFormat("has no image called like 1t.tif in image/")
    return [
        Record(
            path,
            TAMPERED if name[2] else AUTHENTIC,
            masks.get(f"{name[1]}forged") if name[2] else None,
            f"coverage-{int(name[1])}",
        )
        for path, name in named
        if name
    ]
