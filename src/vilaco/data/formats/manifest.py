"""A manifest: one line an image, as CSV or as JSON lines.

::

    DATA/
      manifest.csv     path,label,mask,group            (or any name ending in .csv or .jsonl)
      ...              wherever the paths point

Columns: ``path`` and ``label`` (1 tampered, 0 authentic, empty unknown) always; ``mask``, ``group`` and
``mask_rule`` (``nonzero``, ``zero`` or ``green``) where known. Paths are relative to the manifest's folder
and taken to the letter: in a CSV file, a space before or after one is part of the name. Further columns are the
user's notes and are left alone, unless their name looks like a misspelt one of these.

Source: ours. Every other format converts to this one without loss.
"""

import csv
import difflib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from vilaco.data.formats.layout import NotThisFormat, read_text
from vilaco.data.records import Record
from vilaco.errors import DataError

COLUMNS = ("path", "label", "mask", "group", "mask_rule")
NAMES = ("manifest.csv", "manifest.jsonl")
_RULES: tuple[str, ...] = get_args(Record.__annotations__["mask_rule"])


def read_manifest(source: Path) -> list[Record]:
    """Read a manifest, or the ``manifest.csv`` or ``manifest.jsonl`` of a folder.

    Args:
        source: A ``.csv`` or ``.jsonl`` file, or the folder of one with the usual name.

    Raises:
        NotThisFormat: If ``source`` is no such file, or none of its columns is called ``path`` or nearly so.
        DataError: Naming the line: an unknown or missing column, a label that is not 0, 1 or empty, a path
            given twice.
    """
    file = _manifest_file(source)
    rows = _csv_rows(file) if file.suffix.lower() == ".csv" else _jsonl_rows(file)
    records: list[Record] = []
    line_of: dict[Path, int] = {}
    for line, row in rows:
        record = _record(file, line, row)
        if record.path in line_of:
            raise DataError(f"{file}:{line}: path '{row['path']}' was on line {line_of[record.path]} already.")
        line_of[record.path] = line
        records.append(record)
    if not records:
        raise DataError(f"{file}: lists no images.")
    return records


def _manifest_file(source: Path) -> Path:
    if source.is_dir():
        present = [source / name for name in NAMES if (source / name).is_file()]
        if not present:
            raise NotThisFormat(f"has no {' or '.join(NAMES)}")
        if len(present) > 1:
            raise DataError(f"{source}: has both {' and '.join(NAMES)}; name the one you mean.")
        return present[0]
    if source.suffix.lower() not in (".csv", ".jsonl"):
        raise NotThisFormat("does not end in .csv or .jsonl")
    return source


def _csv_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(read_text(file), newline=""))
    columns = [name.strip() for name in next(reader, [])]
    _check_columns(file, 1, columns)
    try:
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{file}:{reader.line_num}: {len(cells)} values for the {len(columns)} columns of "
                    "line 1; quote a value that holds a comma."
                )
            yield reader.line_num, {name: _value(name, cell) for name, cell in zip(columns, cells, strict=True)}
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: {error}.") from error


def _value(column: str, cell: str) -> str:
    """A cell without the spaces around it, unless they are part of a file's name."""
    return cell if column in ("path", "mask") and cell.strip() else cell.strip()


def _jsonl_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(read_text(file).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{line}: not JSON ({error.msg} at column {error.colno}).") from error
        if not isinstance(row, dict):
            raise DataError(f"{file}:{line}: expected an object such as {{'path': 'a.jpg', 'label': 0}}.")
        _check_columns(file, line, list(row))
        yield line, row


def _check_columns(file: Path, line: int, columns: list[str]) -> None:
    """Refuse misspelt, repeated and missing columns; without any ``path``-like one it is another format."""
    if not difflib.get_close_matches("path", [name.lower() for name in columns], cutoff=0.7):
        raise NotThisFormat(f"line {line} has no column 'path' (it has {', '.join(columns) or 'nothing'})")
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{file}:{line}: column '{name}' appears twice.")
        near = difflib.get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.7)
        if name not in COLUMNS and near:
            raise DataError(f"{file}:{line}: unknown column '{name}'; did you mean '{near[0]}'?")
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        raise DataError(f"{file}:{line}: no column '{missing[0]}'; the columns are {', '.join(columns)}.")


def _record(file: Path, line: int, row: Mapping[str, Any]) -> Record:
    path, label, mask, group, rule = (row.get(name) for name in COLUMNS)
    for name, value in (("path", path), ("mask", mask)):
        if value and not isinstance(value, str):
            raise DataError(f"{file}:{line}: {name} must be text, got {value!r}.")
    if not path:
        raise DataError(f"{file}:{line}: the path is empty.")
    if rule and rule not in _RULES:
        near = difflib.get_close_matches(str(rule), _RULES, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; allowed are {', '.join(_RULES)}."
        raise DataError(f"{file}:{line}: unknown mask_rule '{rule}'{hint}")
    return Record(
        path=file.parent / path,
        label=_label(file, line, label),
        mask=file.parent / mask if mask else None,
        group=str(group) if group not in (None, "") else None,
        mask_rule=rule or "nonzero",
    )


def _label(file: Path, line: int, value: object) -> int | None:
    if value is None or value == "":
        return None
    if str(value) not in ("0", "1"):
        raise DataError(f"{file}:{line}: label must be 0 (authentic), 1 (tampered) or empty, got {value!r}.")
    return int(str(value))
