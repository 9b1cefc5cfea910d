"""MICC-F220, copy-move forgeries (Amerini et al., IEEE TIFS 6(3), 2011).

::

    MICC-F220/
      CRW_4853_scale.jpg           authentic, scaled down
      CRW_4853tamp131.jpg          a patch copied, moved and perhaps turned or scaled, as tamp's number says
      groundtruthDB_220.txt        the same labels as a list
      derived_masks/               not the authors': CRW_4853tamp131_derived.png, where somebody made them

Counts: 110 authentic, 110 tampered (10 forgeries each of 11 photos), JPEG, 722x480 to 800x600. Use: research
only.

The name before ``_scale`` or ``tamp`` is the photo, and the group: all forgeries share 11 scenes, so results
on this set rest on 11 pictures. The authors give no masks; derived ones mark what differs from the base
photo, which is the pasted copy and not its source.
"""

import re
from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, by_stem, images_under, require_folder, subfolder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record

_NAME = re.compile(r"(?P<scene>.+?)(?:_scale|(?P<tampered>tamp)\d+)", re.IGNORECASE)


def read_micc_f220(root: Path) -> list[Record]:
    """Read the folder of images, with ``derived_masks/`` where there is one.

    Raises:
        NotThisFormat: If no image is called ``*tamp*`` or none ``*_scale``.
    """
    require_folder(root)
    named = [(path, _NAME.fullmatch(path.stem)) for path in images_under(root, recursive=False)]
    if len({bool(name["tampered"]) for _, name in named if name}) < 2:
        raise NotThisFormat("has no images called like both a_scale.jpg and atamp1.jpg")
    folder = subfolder(root, "derived_masks")
    masks = by_stem(images_under(folder)) if folder else {}
    return [
        Record(
            path,
            TAMPERED if name["tampered"] else AUTHENTIC,
            masks.get(f"{path.stem.lower()}_derived"),
            f"micc-{name['scene']}",
        )
        for path, name in named
        if name
    ]
