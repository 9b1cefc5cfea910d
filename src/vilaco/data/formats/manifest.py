"""A manifest: one line an image, as a table that a spreadsheet may have saved, or as JSON lines.

::

    DATA/
      manifest.csv     path,label,mask,group,boxes      (or any name ending in .csv, .tsv or .jsonl)
      ...              wherever the paths point

Columns: ``path`` and ``label`` always; ``mask``, ``group``, ``mask_rule`` (``nonzero``, ``zero`` or ``green``) and
``boxes`` (around what was tampered with, ``x y width height`` in pixels of the upright photo, several divided by ``;``)
where known. Their usual other names are understood (:data:`vilaco.tables.NAMES`), and labels in words (`LABELS`), in
any case.
Paths are relative to the manifest's folder and taken to the letter: in a table, a space before or after one is part of
the name; a backslash stands for a slash where no file is called so. Further columns are the user's notes and are left
alone, unless their name looks like a misspelt one of these.

Source: ours. Every other format converts to this one without loss.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from vilaco.data.boxes import parse_boxes
from vilaco.data.formats.layout import NotThisFormat
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError
from vilaco.files import IMAGE_SUFFIXES
from vilaco.tables import SUFFIXES, below, misspelt, read_table, read_text, roles, row_dicts, understood

COLUMNS = ("path", "label", "mask", "group", "mask_rule", "boxes")
NAMES = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
LABELS = {
    **dict.fromkeys(("0", "0.0", "false", "authentic", "real", "original", "pristine", "au"), AUTHENTIC),
    **dict.fromkeys(("1", "1.0", "true", "tampered", "fake", "forged", "manipulated", "tp"), TAMPERED),
}
"""What labels may be, in any case; empty is unknown."""
_NO_MASK = ("", "none", "nan", "null")
_RULES: tuple[str, ...] = get_args(Record.__annotations__["mask_rule"])


def read_manifest(source: Path) -> list[Record]:
    """Read a manifest, or the ``manifest.csv``, ``.tsv`` or ``.jsonl`` of a folder.

    Args:
        source: A ``.csv``, ``.tsv`` or ``.jsonl`` file, or the folder of one with the usual name.

    Raises:
        NotThisFormat: If ``source`` is no such file, or one of the lists without labels of other projects.
        DataError: Naming the line or what was found and what is understood: an unknown or missing column, a label that
            says neither, a path given twice.
    """
    file = _manifest_file(source)
    rows = list(_table_rows(file) if file.suffix.lower() in SUFFIXES else _jsonl_rows(file))
    _check_labels(file, [row["label"] for _, row in rows])
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
    if source.suffix.lower() not in (*SUFFIXES, ".jsonl"):
        raise NotThisFormat("does not end in .csv, .tsv or .jsonl")
    return source


def _table_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    table = read_table(file)
    if table.columns and _is_image(table.columns[0]):
        if len(table.columns) > 1 and table.columns[1].casefold() in LABELS:
            raise DataError(f"{file}: its first line names no columns; put one above it: path,label.")
        raise NotThisFormat("has no line of column names")
    found = _roles(file, 1, table.columns)
    for line, row in row_dicts(table):
        yield line, {role: _value(role, row[column]) for role, column in found.items()}


def _is_image(text: str) -> bool:
    return Path(text).suffix.lower() in IMAGE_SUFFIXES


def _value(role: str, cell: str) -> str:
    """A cell without the spaces around it, unless they are part of a file's name."""
    return cell if role in ("path", "mask") and cell.strip() else cell.strip()


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
        yield line, {role: row[column] for role, column in _roles(file, line, tuple(row)).items()}


def _roles(file: Path, line: int, columns: tuple[str, ...]) -> dict[str, str]:
    """Columns by what they hold; refuses misspelt, doubled and missing ones."""
    try:
        found = roles(columns)
    except DataError as error:
        raise DataError(f"{file}:{line}: {error}") from None
    if tuple(name.casefold() for name in columns[:2]) == ("img", "mask") and "label" not in found:
        raise NotThisFormat("lists masks, and no labels")
    if wrong := misspelt(columns, found):
        raise DataError(f"{file}:{line}: unknown column '{wrong[0]}'; did you mean '{wrong[1]}'?")
    for role in ("path", "label"):
        if role not in found:
            listed = ", ".join(columns) or "nothing"
            raise DataError(f"{file}:{line}: no column for the {role}; it has {listed}; understood are {understood()}.")
    return found


def _check_labels(file: Path, labels: list[object]) -> None:
    """Refuse labels that say neither, all of them in one line: which of two unknown words is the forgery is no guess.

    Raises:
        DataError: If there are any.
    """
    strange = dict.fromkeys(str(label) for label in labels if label is not None and _plain(label) not in ("", *LABELS))
    if strange:
        listed = ", ".join(list(strange)[:8]) + (", ..." if len(strange) > 8 else "")
        words = {
            label: ", ".join(word for word, of in LABELS.items() if of == label) for label in (AUTHENTIC, TAMPERED)
        }
        raise DataError(
            f"{file}: labels found that are not understood: {listed}; understood are {words[AUTHENTIC]} (authentic), "
            f"{words[TAMPERED]} (tampered), or nothing (unknown)."
        )


def _plain(label: object) -> str:
    return str(label).strip().casefold()


def _record(file: Path, line: int, row: Mapping[str, Any]) -> Record:
    path, label, mask, group, rule, boxes = (row.get(name) for name in COLUMNS)
    for name, value in (("path", path), ("mask", mask), ("boxes", boxes)):
        if value and not isinstance(value, str):
            raise DataError(f"{file}:{line}: {name} must be text, got {value!r}.")
    if not path:
        raise DataError(f"{file}:{line}: the path is empty.")
    if rule and rule not in _RULES:
        near = difflib.get_close_matches(str(rule), _RULES, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; allowed are {', '.join(_RULES)}."
        raise DataError(f"{file}:{line}: unknown mask_rule '{rule}'{hint}")
    try:
        parsed = parse_boxes(boxes or "")
    except ValueError as error:
        raise DataError(f"{file}:{line}: {error}; several are divided by ';'.") from error
    return Record(
        path=below(file.parent, path),
        label=None if label is None else LABELS.get(_plain(label)),
        mask=None if mask is None or _plain(mask) in _NO_MASK else below(file.parent, mask),
        group=str(group) if group not in (None, "") else None,
        mask_rule=rule or "nonzero",
        boxes=parsed,
    )
