r"""Where the rows of a scan are kept, so that it can be killed at any moment and goes on without loss or repetition.

::

    DST/
      scan.json                       what the rows depend on: source, model, thresholds, limits
      results/part-000000.parquet     rows of images that are done, whole files only
      journal.jsonl                   rows that are in no part yet, one a line
      masks/ab/abcd….png              by the photo's SHA-256, so that no photo's name can lead out of DST
      overlays/ab/abcd….jpg           likewise; abcd….page2.jpg where the file holds several pictures
      summary.html

**An image is done if and only if its row is in a part, or on a whole line of the journal that ends in a line end.** All
else follows:

- An image (a page, where each page of a file has a row) is given out only if it is not done; it is done from the moment
  its line is appended, in one write. Its pictures are written before, under a name that depends on its bytes and its
  page alone: whoever does it again writes the same.
- When the journal has `part_rows` rows, they become a part, written beside its name, synced and renamed; then the
  journal is emptied. A death between the two leaves rows in both places: on opening, the journal's rows that a part
  holds are dropped. A death before leaves the journal as it was.
- A line cut short by a death or a full disk, and what follows it, is cut off on opening: those images are not done.
- What a death left under a temporary name is removed on opening.
- One process at a time may write. It holds a lock that the system frees when it dies. Workers write nothing.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from vilaco.files import write_atomically
from vilaco.images import ALL_PAGES
from vilaco.scan.judge import Judged, ScanRow, ScanSettings
from vilaco.scan.rows import RowStore, read_parts, read_settings_file

SETTINGS, SUMMARY = "scan.json", "summary.html"
PART_ROWS = 5000
"""Rows of a part: large enough that a million images are a few hundred files."""
_REGION = pa.struct(
    [(name, pa.int32()) for name in ("x", "y", "width", "height", "area")]
    + [("mean_score", pa.float64()), ("strength", pa.string())]
)
_TEXTS = pa.list_(pa.string())
_CREDENTIALS = pa.struct(
    [
        ("status", pa.string()),
        ("intact", pa.bool_()),
        ("trust", pa.string()),
        ("signer", pa.string()),
        ("signed_at", pa.string()),
        ("program", pa.string()),
        ("actions", _TEXTS),
        ("ingredients", _TEXTS),
        ("faults", _TEXTS),
        ("ingredient_faults", _TEXTS),
        ("identity", pa.string()),
        ("identity_trust", pa.string()),
        ("note", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("verdict", pa.string()),
        ("detection_score", pa.float64()),
        ("regions", pa.list_(_REGION)),
        ("region_count", pa.int32()),
        ("largest_region", pa.int64()),
        ("perceptual_hash", pa.string()),
        ("mask", pa.string()),
        ("overlay", pa.string()),
        ("page", pa.int32()),
        ("pages", pa.int32()),
        ("notes", _TEXTS),
        ("credentials", _CREDENTIALS),
        ("seconds", pa.float64()),
        ("error_code", pa.string()),
        ("error_reason", pa.string()),
        ("model_fingerprint", pa.string()),
    ]
)
"""Columns of a part; their meaning: :class:`~vilaco.scan.judge.ScanRow` and, of the credentials',
:class:`~vilaco.evidence.credentials.Credentials`."""


class Store(RowStore[ScanRow]):
    """The folder of one scan, open for writing; see :class:`~vilaco.scan.rows.RowStore`."""

    row_type, schema, settings_file, noun = ScanRow, SCHEMA, SETTINGS, "scan"

    def __init__(self, folder: Path, settings: ScanSettings, *, part_rows: int = PART_ROWS) -> None:
        if settings.page == ALL_PAGES:
            self.key = ("path", "page")
        super().__init__(folder, settings, part_rows=part_rows)

    def add(self, judged: Judged) -> ScanRow:
        """Keep a row and its pictures; from then on the image is done.

        Raises:
            VilacoError: If the disk is full or cannot be written; the image is then not done.
        """
        row = judged.row
        assert not self.is_done(row)
        for name, suffix, picture in (("mask", "png", judged.mask), ("overlay", "jpg", judged.overlay)):
            if picture is not None and row.sha256 is not None:
                page = f".page{row.page}" if (row.pages or 1) > 1 else ""
                file = f"{name}s/{row.sha256[:2]}/{row.sha256}{page}.{suffix}"
                write_atomically(self.folder / file, picture)
                row = row.model_copy(update={name: file})
        self.append(row)
        return row

    def record(self, row: ScanRow) -> dict[str, Any]:
        """A row as `SCHEMA` has it."""
        boxes = ("x", "y", "width", "height")
        regions = [
            {**dict(zip(boxes, region.box, strict=True)), **region.model_dump(exclude={"box"})}
            for region in row.regions
        ]
        return {**row.model_dump(), "regions": regions}


def read_settings(folder: Path) -> ScanSettings:
    """What the rows of a scan depend on.

    Raises:
        DataError: If the folder holds no scan.
    """
    return read_settings_file(folder / SETTINGS, ScanSettings)


def read_rows(folder: Path, *columns: str) -> pa.Table:
    """Columns of all parts of a scan; the rows still in the journal are not among them.

    Raises:
        DataError: If a part is damaged.
    """
    return read_parts(folder, SCHEMA, *columns)
