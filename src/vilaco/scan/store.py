r"""Where the rows of a scan are kept, so that it can be killed at any moment and goes on without loss or repetition.

::

    DST/
      scan.json                       what the rows depend on: source, model, thresholds, limits
      results/part-000000.parquet     rows of images that are done, whole files only
      journal.jsonl                   rows that are in no part yet, one a line
      masks/ab/abcd….png              by the photo's SHA-256, so that no photo's name can lead out of DST
      overlays/ab/abcd….jpg           likewise
      summary.html

**An image is done if and only if its row is in a part, or on a whole line of the journal that ends in a line end.** All
else follows:

- An image is given out only if it is not done; it is done from the moment its line is appended, in one write. Its
  pictures are written before, under a name that depends on its bytes alone: whoever does it again writes the same.
- When the journal has `part_rows` rows, they become a part, written beside its name, synced and renamed; then the
  journal is emptied. A death between the two leaves rows in both places: on opening, the journal's rows that a part
  holds are dropped. A death before leaves the journal as it was.
- A line cut short by a death or a full disk, and what follows it, is cut off on opening: those images are not done.
- What a death left under a temporary name is removed on opening.
- One process at a time may write. It holds a lock that the system frees when it dies. Workers write nothing.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import ValidationError

from vilaco.errors import ConfigError, DataError, VilacoError
from vilaco.files import TEMPORARY, write_atomically
from vilaco.scan.judge import Judged, ScanRow, ScanSettings

SETTINGS, JOURNAL, RESULTS, LOCK, SUMMARY = "scan.json", "journal.jsonl", "results", ".lock", "summary.html"
PART_ROWS = 5000
"""Rows of a part: large enough that a million images are a few hundred files."""
_REGION = pa.struct(
    [(name, pa.int32()) for name in ("x", "y", "width", "height", "area")] + [("mean_score", pa.float64())]
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
        ("pages", pa.int32()),
        ("notes", pa.list_(pa.string())),
        ("seconds", pa.float64()),
        ("error_code", pa.string()),
        ("error_reason", pa.string()),
        ("model_fingerprint", pa.string()),
    ]
)
"""Columns of a part; their meaning: :class:`~vilaco.scan.judge.ScanRow`."""


class Store:
    """The folder of one scan, open for writing; a context manager.

    Args:
        folder: New, empty, or of a scan with the same settings.
        settings: Of the scan.
        part_rows: Rows of a part.

    Raises:
        ConfigError: If the folder holds a scan with other settings; names the first that differs.
        DataError: If it holds something else, a part is damaged, or another process writes to it.
        VilacoError: If it cannot be written.
    """

    def __init__(self, folder: Path, settings: ScanSettings, *, part_rows: int = PART_ROWS) -> None:
        self.folder = folder
        self._part_rows = part_rows
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / SETTINGS).exists() and any(path.name != LOCK for path in folder.iterdir()):
                raise DataError(f"{folder}: is not empty and holds no scan; give a new folder")
            self._lock = FileLock(folder / LOCK)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"{folder}: another scan is writing here") from None
        except OSError as error:
            raise VilacoError(f"{folder}: cannot be written ({error.strerror or error})") from error
        try:
            self._begin_or_go_on(settings)
            for unfinished in folder.rglob(TEMPORARY):
                unfinished.unlink()
            table = read_rows(folder, "path", "error_code")
            self.done = set(table["path"].to_pylist())
            self.failures = len(table) - table["error_code"].null_count
            self._pending = self._recover_journal()
            self._journal = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._journal)
        self._lock.release()

    def add(self, judged: Judged) -> ScanRow:
        """Keep a row and its pictures; from then on the image is done.

        Raises:
            VilacoError: If the disk is full or cannot be written; the image is then not done.
        """
        row = judged.row
        assert row.path not in self.done
        for name, suffix, picture in (("mask", "png", judged.mask), ("overlay", "jpg", judged.overlay)):
            if picture is not None and row.sha256 is not None:
                file = f"{name}s/{row.sha256[:2]}/{row.sha256}.{suffix}"
                write_atomically(self.folder / file, picture)
                row = row.model_copy(update={name: file})
        line = row.model_dump_json().encode() + b"\n"
        try:
            written = os.write(self._journal, line)
        except OSError as error:
            raise VilacoError(f"{self.folder / JOURNAL}: cannot be written ({error.strerror})") from error
        if written < len(line):
            raise VilacoError(f"{self.folder / JOURNAL}: cannot be written (no space left)")
        self.done.add(row.path)
        self.failures += row.error_code is not None
        self._pending.append(row)
        if len(self._pending) >= self._part_rows:
            self.flush()
        return row

    def flush(self) -> None:
        """Make a part of the journal's rows.

        Raises:
            VilacoError: If it cannot be written; the rows are still in the journal.
        """
        if not self._pending:
            return
        number = 1 + max((int(part.stem.removeprefix("part-")) for part in parts(self.folder)), default=-1)
        table = pa.Table.from_pylist([_record(row) for row in self._pending], SCHEMA)
        _write_part(self.folder / RESULTS / f"part-{number:06d}.parquet", table)
        os.ftruncate(self._journal, 0)
        self._pending.clear()

    def forget_failures(self) -> None:
        """Drop the rows of images that could not be judged: they are not done, or are no more.

        Raises:
            VilacoError: If a part cannot be written; what was forgotten so far is.
        """
        self.flush()
        for part in parts(self.folder):
            table = pq.read_table(part)
            failed = pc.is_valid(table["error_code"])
            forgotten = table.filter(failed)
            if not len(forgotten):
                continue
            kept = table.filter(pc.invert(failed))
            if len(kept):
                _write_part(part, kept)
            else:
                part.unlink()
            self.done.difference_update(forgotten["path"].to_pylist())
            self.failures -= len(forgotten)

    def _begin_or_go_on(self, settings: ScanSettings) -> None:
        file = self.folder / SETTINGS
        if not file.exists():
            write_atomically(file, settings.model_dump_json(indent=1).encode() + b"\n")
            return
        begun = read_settings(self.folder)
        for name, now in settings:
            before = getattr(begun, name)
            if before != now:
                raise ConfigError(
                    f"{self.folder}: holds a scan with {name} {before}, and now it is {now}; "
                    "go on with the same, or give a new folder"
                )

    def _recover_journal(self) -> list[ScanRow]:
        """Rows of the journal that no part has; cuts off what is not whole."""
        file = self.folder / JOURNAL
        data = file.read_bytes() if file.exists() else b""
        rows, whole = [], 0
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                row = ScanRow.model_validate_json(line)
            except ValidationError:
                break
            whole += len(line)
            if row.path not in self.done:
                rows.append(row)
        if whole < len(data):
            os.truncate(file, whole)
        self.done.update(row.path for row in rows)
        self.failures += sum(row.error_code is not None for row in rows)
        return rows


def _write_part(file: Path, table: pa.Table) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_atomically(file, buffer.getvalue().to_pybytes())


def read_settings(folder: Path) -> ScanSettings:
    """What the rows of a scan depend on.

    Raises:
        DataError: If the folder holds no scan.
    """
    try:
        return ScanSettings.model_validate_json((folder / SETTINGS).read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{folder / SETTINGS}: is missing, damaged or of another version of vilaco") from error


def parts(folder: Path) -> list[Path]:
    """The parts of a scan, in the order in which they were written."""
    return sorted((folder / RESULTS).glob("part-*.parquet"))


def read_rows(folder: Path, *columns: str) -> pa.Table:
    """Columns of all parts of a scan; the rows still in the journal are not among them.

    Raises:
        DataError: If a part is damaged.
    """
    tables = [pa.schema([SCHEMA.field(name) for name in columns]).empty_table()]
    for part in parts(folder):
        try:
            tables.append(pq.read_table(part, columns=list(columns)))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{part}: is damaged ({' '.join(str(error).split())})") from error
    return pa.concat_tables(tables)


def _record(row: ScanRow) -> dict[str, object]:
    """A row as `SCHEMA` has it."""
    boxes = ("x", "y", "width", "height")
    regions = [
        {**dict(zip(boxes, region.box, strict=True)), "area": region.area, "mean_score": region.mean_score}
        for region in row.regions
    ]
    return {**row.model_dump(), "regions": regions}
