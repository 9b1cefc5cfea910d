"""Formats of IMDLBenCo (Ma et al., NeurIPS 2024, github.com/scu-zjz/IMDLBenCo).

::

    ManiDataset            Tp/6.jpg with Gt/6.png, every image tampered
    JsonDataset            [["./Tp/6.jpg", "./Gt/6.jpg"], ["./Tp/8.jpg", "Negative"], ...]
    balanced_dataset.json  [["ManiDataset", "/data/CASIA2.0"], ["JsonDataset", "/data/FR.json"], ...]
    test_datasets.json     {"CASIAv1": "/data/CASIA1.0", "Columbia": "/data/Columbia.json", ...}

Mask pixels above 127 are tampered there, any above zero here; verify counts the masks that are not binary.
Known faults: BenCo pairs ``Tp`` and ``Gt`` by their position in the sorted lists, so one file too many shifts
every pair after it; here names decide. BenCo also takes the label from the mask, so a tampered image with an
all-zero mask counts as authentic there; here it stays tampered and verify names it. Scenes are unknown in all
four.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vilaco.data.formats.layout import (
    NotThisFormat,
    base_folder,
    by_stem,
    images_under,
    read_json,
    require_subfolder,
)
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError

_MASK_ENDING = re.compile(r"[_-]?(gt|mask|edgemask|forged)\d*$", re.IGNORECASE)


def read_benco_folder(root: Path) -> list[Record]:
    """Read ``Tp/`` and ``Gt/``; a mask has its image's name, or that name and ``_gt`` or ``_mask``.

    Raises:
        NotThisFormat: If a folder is missing.
        DataError: If no name pairs up, or two masks fit one image.
    """
    images = images_under(require_subfolder(root, "Tp"))
    exact = by_stem(images_under(require_subfolder(root, "Gt")))
    shortened: dict[str, Path] = {}
    for stem, path in exact.items():
        other = shortened.setdefault(_MASK_ENDING.sub("", stem), path)
        if other != path:
            raise DataError(f"{path}: fits the same image as {other}.")
    masks = [exact.get(path.stem.lower(), shortened.get(path.stem.lower())) for path in images]
    if not any(masks):
        raise DataError(f"{root}: no image of Tp/ has a mask of its own name (or with _gt, _mask) in Gt/.")
    return [Record(path, TAMPERED, mask) for path, mask in zip(images, masks, strict=True)]


def read_benco_json(file: Path) -> list[Record]:
    """Read ``[[image, mask or "Negative"], ...]``.

    Raises:
        NotThisFormat: If the file is not a JSON list of pairs of paths.
        DataError: Naming the entry that is no such pair.
    """
    entries = _pairs(file)
    if any(entry[0] in ("ManiDataset", "JsonDataset") for entry in entries):
        raise NotThisFormat("names data sets rather than images")
    base = base_folder(file, entries[0][0])
    return [
        Record(base / image, AUTHENTIC) if mask.lower() == "negative" else Record(base / image, TAMPERED, base / mask)
        for image, mask in entries
    ]


def read_benco_balanced(file: Path) -> list[Record]:
    """Read every data set of ``[[class, path], ...]``, one after the other.

    BenCo draws the same number of images from each per epoch; that rule is training's and not part of the
    records.

    Raises:
        NotThisFormat: If no entry names one of BenCo's classes.
        DataError: If a class is unknown or a data set cannot be read.
    """
    readers = {"ManiDataset": read_benco_folder, "JsonDataset": read_benco_json}
    entries = _pairs(file)
    if not any(name in readers for name, _ in entries):
        raise NotThisFormat("names images rather than data sets")
    records: list[Record] = []
    for name, path in entries:
        if name not in readers:
            raise DataError(f"{file}: unknown class '{name}'; known are {', '.join(readers)}.")
        records += _nested(file, path, readers[name])
    return records


def read_benco_test(file: Path) -> list[Record]:
    """Read every data set of ``{name: path}``, one after the other."""
    return [record for records in read_benco_test_sets(file).values() for record in records]


def read_benco_test_sets(file: Path) -> dict[str, list[Record]]:
    """Read the data sets of ``{name: path}`` by name; a path is a ``Tp``/``Gt`` folder or a JSON list.

    Raises:
        NotThisFormat: If the file is not a JSON object from names to paths.
        DataError: If a data set cannot be read.
    """
    value = read_json(file)
    if not isinstance(value, dict) or not value or not all(isinstance(path, str) for path in value.values()):
        raise NotThisFormat("is not {name: path, ...}")
    return {
        name: _nested(file, path, read_benco_json if path.lower().endswith(".json") else read_benco_folder)
        for name, path in value.items()
    }


def _pairs(file: Path) -> list[list[str]]:
    value = read_json(file)
    if not isinstance(value, list) or not value or not _is_pair(value[0]):
        raise NotThisFormat("is not [[text, text], ...]")
    for number, entry in enumerate(value):
        if not _is_pair(entry):
            raise DataError(f"{file}: entry {number} must be two texts, got {entry!r}.")
    return value


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)


def _nested(file: Path, path: str, read: Callable[[Path], list[Record]]) -> list[Record]:
    folder = base_folder(file, path)
    target = folder / path
    if not target.exists():
        raise DataError(f"{file}: names {path}, which does not exist.")
    try:
        return read(target)
    except NotThisFormat as reason:
        raise DataError(f"{file}: names {path}, which {reason}.") from reason
