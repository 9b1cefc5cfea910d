"""Two folders of photos, the everyday input.

::

    DATA/
      authentic/  any depth, any image type
      tampered/   any depth, any image type
      masks/      optional; tampered/a/b.jpg has its mask at masks/a/b.png (any image type), and so has b.tif

Source: ours. A mask pixel above zero in any channel is tampered. Scenes are unknown, so every image is a
group of its own; write a manifest where photos of one scene repeat.
"""

from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, images_under, require_folder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError


def read_folders(root: Path) -> list[Record]:
    """Read ``authentic/`` and ``tampered/`` (one of them may be missing) below ``root``.

    Raises:
        NotThisFormat: If neither folder is there.
        DataError: If the folders hold no image, or a file under ``masks/`` belongs to no tampered image.
    """
    require_folder(root)
    folders = {AUTHENTIC: root / "authentic", TAMPERED: root / "tampered"}
    if not any(folder.is_dir() for folder in folders.values()):
        raise NotThisFormat("has neither a folder authentic/ nor a folder tampered/")
    masks = _masks(root / "masks")
    records = [
        Record(path, label, masks.get(_name(path, folder)) if label == TAMPERED else None)
        for label, folder in folders.items()
        for path in (images_under(folder) if folder.is_dir() else [])
    ]
    used = {record.mask for record in records}
    stray = [mask for mask in masks.values() if mask not in used]
    if stray:
        raise DataError(f"{stray[0]}: no image of this name under {folders[TAMPERED]} ({len(stray)} such masks).")
    if not records:
        raise DataError(f"{root}: authentic/ and tampered/ hold no images.")
    return records


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _masks(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in images_under(folder) if folder.is_dir() else []:
        other = found.setdefault(_name(path, folder), path)
        if other != path:
            raise DataError(f"{path}: same name as {other}; keep one mask an image.")
    return found
