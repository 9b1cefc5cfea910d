"""One reader per data format, all into :class:`~vilaco.data.records.Record`.

Nobody has to say which format a path has: every reader knows its own signature, and :func:`read_dataset` asks
them in turn. A fault inside a recognised format is reported as such; a path that no reader recognises is
answered with each reader's reason.
"""

from collections.abc import Callable
from pathlib import Path

from vilaco.data.formats.benco import (
    read_benco_balanced,
    read_benco_folder,
    read_benco_json,
    read_benco_test,
    read_benco_test_sets,
)
from vilaco.data.formats.casia import read_casia1, read_casia2
from vilaco.data.formats.cocoglide import read_cocoglide
from vilaco.data.formats.columbia import read_columbia
from vilaco.data.formats.comofod import read_comofod
from vilaco.data.formats.coverage import read_coverage
from vilaco.data.formats.dso1 import read_dso1
from vilaco.data.formats.folders import read_folders
from vilaco.data.formats.imd2020 import read_imd2020
from vilaco.data.formats.layout import NotThisFormat
from vilaco.data.formats.manifest import read_manifest
from vilaco.data.formats.micc import read_micc_f220
from vilaco.data.formats.nist16 import read_nist16
from vilaco.data.formats.textlists import read_catnet, read_mvss, read_trufor
from vilaco.data.formats.wscl import read_wscl, read_wscl_subsets
from vilaco.data.records import Record
from vilaco.errors import DataError, UnknownFormat

READERS: dict[str, Callable[[Path], list[Record]]] = {
    "manifest": read_manifest,
    "folders": read_folders,
    "casia1": read_casia1,
    "casia2": read_casia2,
    "columbia": read_columbia,
    "coverage": read_coverage,
    "imd2020": read_imd2020,
    "dso1": read_dso1,
    "nist16": read_nist16,
    "cocoglide": read_cocoglide,
    "micc_f220": read_micc_f220,
    "comofod": read_comofod,
    "benco": read_benco_folder,
    "benco_json": read_benco_json,
    "benco_balanced": read_benco_balanced,
    "benco_test": read_benco_test,
    "wscl": read_wscl,
    "catnet": read_catnet,
    "trufor": read_trufor,
    "mvss": read_mvss,
}
"""Readers by format name. The first whose signature fits wins: a folder's manifest goes before its layout."""

SPLIT_READERS: dict[str, Callable[[Path], dict[str, list[Record]]]] = {
    "wscl": read_wscl_subsets,
    "benco_test": read_benco_test_sets,
}
"""Formats that name several splits or data sets in one file."""


def read_dataset(path: str | Path, format: str | None = None) -> list[Record]:
    """Read a data set of any known format.

    Args:
        path: A folder or a file, as its format has it.
        format: A name of :data:`READERS`; ``None`` asks each reader in turn and takes the first that
            recognises ``path``.

    Returns:
        One record an image, in the format's own order. Images and masks are not decoded, nor looked for where
        a list names them: ``vilaco data verify`` does that, and it lists the image files whose names fit no
        rule of the layout.

    Raises:
        DataError: If ``path`` does not exist, ``format`` is unknown, or the data set has a fault; if no
            reader recognises ``path``, the message gives each one's reason.
    """
    return recognise(path, format)[1]


def read_splits(path: str | Path, format: str | None = None) -> dict[str, list[Record]]:
    """:func:`read_dataset`, by split where the format names them (``train`` and ``val`` of a WSCL datalist).

    Returns:
        Records by split; one split named ``""`` where the format names none.
    """
    name, records = recognise(path, format)
    if name in SPLIT_READERS:
        return SPLIT_READERS[name](Path(path))
    return {"": records}


def read_subset(path: str | Path, subset: str | None = None, format: str | None = None) -> list[Record]:
    """:func:`read_dataset`, but one subset alone where a list names several: nobody trains on the test by accident.

    Args:
        path: A folder or a file.
        subset: Its name in the list; may be left out where there is one.
        format: As for :func:`read_dataset`.

    Raises:
        DataError: As :func:`read_dataset`; if there is no such subset, or there are several and none was chosen.
    """
    splits = read_splits(path, format)
    named = ", ".join(name for name in splits if name) or "none"
    if subset is None and len(splits) > 1:
        raise DataError(f"{path}: names several subsets; choose one with --subset: {named}.")
    if subset is not None and subset not in splits:
        raise DataError(f"{path}: has no subset '{subset}'; its subsets: {named}.")
    return next(iter(splits.values())) if subset is None else splits[subset]


def recognise(path: str | Path, format: str | None = None) -> tuple[str, list[Record]]:
    """:func:`read_dataset`, with the name of the format that ``path`` was read as in front."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if format is not None and format not in READERS:
        raise DataError(f"format must be one of {', '.join(READERS)}; got '{format}'.")
    reasons: dict[str, str] = {}
    for name in READERS if format is None else [format]:
        try:
            return name, READERS[name](path)
        except NotThisFormat as reason:
            reasons[name] = str(reason)
    if format is not None:
        raise DataError(f"{path}: is not of format {format}: it {reasons[format]}.")
    tried = tuple(f"  {name}: {reason}" for name, reason in reasons.items())
    raise UnknownFormat(f"{path}: no known format fits. Tried:", details=tried)
