"""IMD2020, real-life manipulated images from the web (Novozamsky, Mahdian and Saic, WACVW 2020).

::

    IMD2020/
      1a1ogs/  one folder a topic
        1a1ogs_orig.jpg       the authentic image
        c8tf5mq_0.png         a manipulated version
        c8tf5mq_0_mask.png    its mask
      z28/     00065_orig.jpg, 00065_fake.jpg, 00065_fake_mask.png

Counts: 414 authentic, 2010 manipulated. A topic is a group. Use: research only.

Mask pixels above zero are tampered. Known faults: masks were drawn by hand, and versions are re-scaled and
re-saved by their makers, so file history differs from the original's.
"""

from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, by_stem, images_under, require_folder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record


def read_imd2020(root: Path) -> list[Record]:
    """Read one folder a topic.

    Raises:
        NotThisFormat: If no subfolder has both an ``*_orig`` image and a ``*_mask`` image.
    """
    require_folder(root)
    folders = [child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    topics = {folder: images_under(folder, recursive=False) for folder in folders}
    if not any(_has(paths, "_orig") and _has(paths, "_mask") for paths in topics.values()):
        raise NotThisFormat("has no subfolder with both an *_orig and a *_mask image")
    return [record for folder, paths in topics.items() for record in _topic(folder.name, paths)]


def _has(paths: list[Path], ending: str) -> bool:
    return any(path.stem.lower().endswith(ending) for path in paths)


def _topic(name: str, paths: list[Path]) -> list[Record]:
    masks = by_stem(path for path in paths if path.stem.lower().endswith("_mask"))
    group = f"imd2020-{name}"
    return [
        Record(path, AUTHENTIC, group=group)
        if path.stem.lower().endswith("_orig")
        else Record(path, TAMPERED, masks.get(f"{path.stem.lower()}_mask"), group)
        for path in paths
        if path not in masks.values()
    ]
