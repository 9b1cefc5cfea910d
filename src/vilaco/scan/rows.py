"""Rows that outlive any death of the process that makes them: a journal, and whole Parquet files made of it.

A folder of rows has its settings in one file, ``journal.jsonl`` and ``results/part-….parquet``.
**An item is done if and only if its row is in a part, or on a whole line of the journal that ends in a line end.** Why
nothing is lost or counted twice is told in :mod:`vilaco.scan.store`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from vilaco.errors import ConfigError, DataError, VilacoError
from vilaco.files import TEMPORARY, write_atomically
from vilaco.scan.sources import Item

JOURNAL, RESULTS, LOCK = "journal.jsonl", "results", ".lock"

RowT = TypeVar("RowT", bound=BaseModel)


class RowStore(Generic[RowT]):
    """A folder of rows, open for writing; a context manager.

    A subclass says what the rows are: ``row_type``, a model with ``path`` and ``error_code``; ``schema``, the columns
    of a part; ``settings_file``; ``noun``, what the folder is said to hold; ``key``, the columns that tell items apart.

    Args:
        folder: New, empty, or of rows with the same settings.
        settings: What the rows depend on.
        part_rows: Rows of a part.

    Raises:
        ConfigError: If the folder holds rows with other settings; names the first that differs.
        DataError: If it holds something else, a part is damaged, or another process writes to it.
        VilacoError: If it cannot be written.
    """

    row_type: type[RowT]
    schema: pa.Schema
    settings_file: str
    noun: str
    key: tuple[str, ...] = ("path",)

    def __init__(self, folder: Path, settings: BaseModel, *, part_rows: int) -> None:
        self.folder = folder
        self._part_rows = part_rows
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / self.settings_file).exists() and any(path.name != LOCK for path in folder.iterdir()):
                raise DataError(f"{folder}: is not empty and holds no {self.noun}; give a new folder")
            self._lock = FileLock(folder / LOCK)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"{folder}: another {self.noun} is writing here") from None
        except OSError as error:
            raise VilacoError(f"{folder}: cannot be written ({error.strerror or error})") from error
        try:
            self._begin_or_go_on(settings)
            for unfinished in folder.rglob(TEMPORARY):
                unfinished.unlink()
            table = read_parts(folder, self.schema, *self.key, "error_code")
            self.done = _keys(table, self.key)
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

    def is_done(self, item: RowT | Item) -> bool:
        """Whether an item has a row."""
        return self._key_of(item) in self.done

    def append(self, row: RowT) -> None:
        """Keep one item's row; it is done then.

        Raises:
            VilacoError: If it cannot be written.
        """
        line = row.model_dump_json().encode() + b"\n"
        try:
            written = os.write(self._journal, line)
        except OSError as error:
            raise VilacoError(f"{self.folder / JOURNAL}: cannot be written ({error.strerror})") from error
        if written < len(line):
            raise VilacoError(f"{self.folder / JOURNAL}: cannot be written (no space left)")
        self._count(row)
        self._pending.append(row)
        if len(self._pending) >= self._part_rows:
            self.flush()

    def flush(self) -> None:
        """Make a part of the journal's rows.

        Raises:
            VilacoError: If it cannot be written; the rows are still in the journal.
        """
        if not self._pending:
            return
        number = 1 + max((int(part.stem.removeprefix("part-")) for part in parts(self.folder)), default=-1)
        table = pa.Table.from_pylist([self.record(row) for row in self._pending], self.schema)
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
            self.done -= _keys(forgotten, self.key)
            self.failures -= len(forgotten)

    def record(self, row: RowT) -> Mapping[str, Any]:
        """A row as the schema has it."""
        return row.model_dump()

    def _begin_or_go_on(self, settings: BaseModel) -> None:
        file = self.folder / self.settings_file
        if not file.exists():
            write_atomically(file, settings.model_dump_json(indent=1).encode() + b"\n")
            return
        begun = read_settings_file(file, type(settings))
        for name, now in settings:
            before = getattr(begun, name)
            if before != now:
                raise ConfigError(
                    f"{self.folder}: holds a {self.noun} with {name} {before}, and now it is {now}; "
                    "go on with the same, or give a new folder"
                )

    def _recover_journal(self) -> list[RowT]:
        """Rows of the journal that no part has; cuts off what is not whole."""
        file = self.folder / JOURNAL
        data = file.read_bytes() if file.exists() else b""
        rows, whole = [], 0
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                row = self.row_type.model_validate_json(line)
            except ValidationError:
                break
            whole += len(line)
            if not self.is_done(row):
                rows.append(row)
        if whole < len(data):
            os.truncate(file, whole)
        for row in rows:
            self._count(row)
        return rows

    def _key_of(self, item: RowT | Item) -> tuple[Any, ...]:
        return tuple(getattr(item, column) for column in self.key)

    def _count(self, row: Any) -> None:
        self.done.add(self._key_of(row))
        self.failures += row.error_code is not None


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def read_settings_file(file: Path, kind: type[SettingsT]) -> SettingsT:
    """What the rows of a folder depend on.

    Raises:
        DataError: If the file is missing, damaged or of another version.
    """
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{file}: is missing, damaged or of another version of vilaco") from error


def parts(folder: Path) -> list[Path]:
    """The parts of a folder of rows, in the order in which they were written."""
    return sorted((folder / RESULTS).glob("part-*.parquet"))


def read_part(part: Path, columns: list[str]) -> pa.Table:
    """Columns of one part.

    Raises:
        DataError: If it is damaged.
    """
    try:
        return pq.read_table(part, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{part}: is damaged ({' '.join(str(error).split())})") from error


def read_parts(folder: Path, schema: pa.Schema, *columns: str) -> pa.Table:
    """Columns of all parts; the rows still in the journal are not among them.

    Raises:
        DataError: If a part is damaged.
    """
    empty = pa.schema([schema.field(name) for name in columns]).empty_table()
    return pa.concat_tables([empty, *(read_part(part, list(columns)) for part in parts(folder))])


def _keys(table: pa.Table, columns: Sequence[str]) -> set[tuple[Any, ...]]:
    return set(zip(*(table[column].to_pylist() for column in columns), strict=True))


def _write_part(file: Path, table: pa.Table) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_atomically(file, buffer.getvalue().to_pybytes())
