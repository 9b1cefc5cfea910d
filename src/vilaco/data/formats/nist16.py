"""NIST Nimble Challenge 2016 evaluation data, "NIST16" (Guan et al., WACVW 2019).

::

    NC2016_Test0613/
      probe/      NC2016_2031.jpg
      world/      the untouched source photos
      reference/  manipulation/NC2016-manipulation-ref.csv   (columns divided by |)
                  manipulation/mask/NC2016_8846.png
                  removal/, splice/  the same probes again, by kind

The table names each probe's mask (``ProbeMaskFileName``), whether it was manipulated (``IsTarget``, Y or N)
and the photo it was made from (``BaseFileName``), which is the group. Image and mask numbers differ, so files
sorted by name do not pair up.

Counts: 564 manipulated (MVSS-Net) and 560 authentic probes; TruFor tests on 160, one a manipulation. Use:
research.

Masks are inverted: BLACK is manipulated, so ``mask_rule`` is ``"zero"``. Known faults: many manipulated
probes are the same picture saved again at another JPEG quality.
"""

import csv
from pathlib import Path

from vilaco.data.formats.layout import NotThisFormat, require_folder
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError
from vilaco.tables import read_text

_NEEDED = ("ProbeFileName", "ProbeMaskFileName", "IsTarget")


def read_nist16(root: Path) -> list[Record]:
    """Read the probes that the manipulation table lists.

    Raises:
        NotThisFormat: If there is no ``reference/manipulation/*-ref.csv``.
        DataError: If the table lacks a column or a row says neither Y nor N.
    """
    require_folder(root)
    tables = sorted(root.glob("reference/manipulation/*-ref.csv"))
    if not tables:
        raise NotThisFormat("has no reference/manipulation/*-ref.csv")
    rows = csv.DictReader(read_text(tables[0]).splitlines(), delimiter="|")
    missing = [name for name in _NEEDED if name not in (rows.fieldnames or [])]
    if missing:
        raise DataError(f"{tables[0]}:1: no column {missing[0]}.")
    return [_record(root, tables[0], rows.line_num, row) for row in rows]


def _record(root: Path, table: Path, line: int, row: dict[str, str | None]) -> Record:
    target, base, mask = row["IsTarget"], row.get("BaseFileName"), row["ProbeMaskFileName"]
    if target not in ("Y", "N"):
        raise DataError(f"{table}:{line}: IsTarget must be Y or N, got {target!r}.")
    tampered = target == "Y"
    return Record(
        root / str(row["ProbeFileName"]),
        TAMPERED if tampered else AUTHENTIC,
        root / mask if tampered and mask else None,
        f"nist16-{Path(base).stem}" if base else None,
        mask_rule="zero",
    )
