"""Where a search for reuse keeps what it knows, so that it can be killed at any moment and goes on.

::

    DST/
      pictures/    one row a picture (see `vilaco.scan.rows`), and features/ab/abcd….bin, its keypoints
      checked/     one row a pair that was laid over each other
      index.npz    the keypoints, to be searched, and which pairs are to be laid over each other
      pairs.jsonl, pairs.parquet, groups.json, summary.html, reports/

Rows, and what holds when a process dies, are those of a scan (:mod:`vilaco.scan.store`). The index is written whole
after all pictures of a run are in it; a death before costs the run's part of the index, which is made again from the
keypoints and comes out the same.
"""

from pathlib import Path

import pyarrow as pa

from vilaco.files import write_atomically
from vilaco.reuse.check import PairRow, features_file
from vilaco.reuse.describe import Described, PictureRow, ReuseSettings
from vilaco.scan.rows import RowStore

PART_ROWS = 5000
SETTINGS = "reuse.json"
FEATURES = "features"
_PICTURES = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("keypoints", pa.int32()),
        ("perceptual_hash", pa.string()),
        ("repeats", pa.string()),
        ("seconds", pa.float64()),
        ("error_code", pa.string()),
        ("error_reason", pa.string()),
    ]
)
_PAIRS = pa.schema([(name, pa.string()) for name in PairRow.model_fields])


class PictureStore(RowStore[PictureRow]):
    """The pictures that were described."""

    row_type, schema, settings_file, noun = PictureRow, _PICTURES, SETTINGS, "search for reuse"

    def __init__(self, folder: Path, settings: ReuseSettings, *, part_rows: int = PART_ROWS) -> None:
        super().__init__(folder, settings, part_rows=part_rows)

    def add(self, described: Described) -> PictureRow:
        """Keep a row and its keypoints; from then on the picture is done.

        Raises:
            VilacoError: If the disk is full or cannot be written; the picture is then not done.
        """
        row = described.row
        if row.sha256 is not None and row.error_code is None:
            file = features_file(self.folder / FEATURES, row.sha256)
            if not file.exists():
                write_atomically(file, described.features)
        self.append(row)
        return row


class PairStore(RowStore[PairRow]):
    """The pairs that were laid over each other."""

    row_type, schema, settings_file, noun = PairRow, _PAIRS, SETTINGS, "search for reuse"

    def __init__(self, folder: Path, settings: ReuseSettings, *, part_rows: int = PART_ROWS) -> None:
        super().__init__(folder, settings, part_rows=part_rows)
