"""Datalists of WSCL, weakly-supervised self-consistency learning (Zhai et al., ICCV 2023).

::

    {"16t.tif": {"subset": "val", "path": "data/coverage/val/image/16t.tif",
                 "mask": "data/coverage/val/mask/16forged.tif", "label": 1},
     "81.tif":  {"subset": "val", "path": "data/coverage/val/image/81.tif", "label": 0}, ...}

Published (github.com/yhZhai/WSCL): ``casia_datalist.json`` (CASIA v2 train, v1 val with 919 tampered),
``columbia_datalist.json``, ``coverage_datalist.json`` (91 tampered). Paths are relative to the repository,
one folder above the list. Mask pixels above zero are tampered. Scenes are unknown. Known fault: WSCL takes a
tampered image without a mask as tampered all over; here its mask is unknown.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from vilaco.data.formats.layout import NotThisFormat, base_folder, read_json
from vilaco.data.records import Record
from vilaco.errors import DataError


def read_wscl(file: Path) -> list[Record]:
    """Read all subsets of a datalist, one after the other."""
    return [record for records in read_wscl_subsets(file).values() for record in records]


def read_wscl_subsets(file: Path) -> dict[str, list[Record]]:
    """Read a datalist by its ``subset`` field, usually ``train`` and ``val``.

    Raises:
        NotThisFormat: If the file is not a JSON object of objects with a ``path``.
        DataError: Naming the id whose entry lacks a field or has a label other than 0 and 1.
    """
    value = read_json(file)
    first = next(iter(value.values()), None) if isinstance(value, dict) else None
    if not isinstance(first, dict) or "path" not in first:
        raise NotThisFormat("is not {id: {subset, path, label}, ...}")
    base = base_folder(file, str(first["path"]))
    subsets: defaultdict[str, list[Record]] = defaultdict(list)
    for name, entry in value.items():
        subsets[_field(file, name, entry, "subset")].append(_record(file, base, name, entry))
    return dict(subsets)


def _field(file: Path, name: str, entry: Any, field: str) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get(field), str):
        raise DataError(f"{file}: '{name}' has no text '{field}'.")
    return str(entry[field])


def _record(file: Path, base: Path, name: str, entry: dict[str, Any]) -> Record:
    label, mask = entry.get("label"), entry.get("mask")
    if label not in (0, 1):
        raise DataError(f"{file}: '{name}' must have label 0 or 1, got {label!r}.")
    return Record(base / _field(file, name, entry, "path"), int(label), base / mask if mask else None)
