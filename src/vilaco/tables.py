"""Tables as spreadsheets and other programs save them, and the columns that vilaco looks for in them.

Excel and LibreOffice save "CSV" with commas, semicolons or tabs, as the country has it, in UTF-8 with a byte-order mark
or in UTF-16, with a line ``sep=;`` in front, with quotes, with empty lines and columns. All of it says the same.
"""

import csv
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vilaco.errors import DataError

SUFFIXES = (".csv", ".tsv")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
NAMES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "name"),
    "label": ("label", "class", "target", "y", "is_fake", "tampered"),
    "mask": ("mask", "gt"),
    "group": ("group", "scene"),
    "mask_rule": ("mask_rule",),
    "boxes": ("boxes",),
}
"""What columns may be called, in any case; the first name goes before the others, which are nobody's notes then."""
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read.

    Attributes:
        file: It.
        columns: Names as the first line has them, without spaces around.
        rows: Line number and cells of each row that is not empty, as many cells as columns.
        delimiter: What divides the cells.
        encoding: Of the file.
    """

    file: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    delimiter: str
    encoding: str

    @property
    def description(self) -> str:
        """How it was read, in words."""
        return f"cells divided by {DELIMITERS.get(self.delimiter, repr(self.delimiter))}, {self.encoding}"


def read_text(file: Path) -> str:
    """Text of a list file, its line ends as they are.

    Raises:
        DataError: If the file cannot be opened or is neither UTF-8 nor UTF-16 with its mark.
    """
    return _decoded(file)[0]


def read_table(file: Path) -> Table:
    """Read a table whose first line names its columns.

    The delimiter is the one under which most names of the first line are known.

    Raises:
        DataError: If the file cannot be read, or naming the line that has more cells than columns.
    """
    text, encoding = _decoded(file)
    told = _SEPARATOR_LINE.match(text)
    skipped = 0
    if told:
        text, skipped = text[told.end() :], 1
    delimiter = told[1] if told else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: tuple[str, ...] | None = None
    rows = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _without_empty_end([cell.strip() for cell in cells])
                continue
            line = reader.line_num + skipped
            if len(_without_empty_end(cells)) > len(columns) or len(cells) < len(columns):
                raise DataError(
                    f"{file}:{line}: {len(cells)} values for the {len(columns)} columns of the first line; quote a "
                    f"value that holds one of the {DELIMITERS.get(delimiter, 'delimiters')}."
                )
            rows.append((line, tuple(cells[: len(columns)])))
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num + skipped}: {error}.") from error
    return Table(file, columns or (), tuple(rows), delimiter, encoding)


def roles(columns: Sequence[str]) -> dict[str, str]:
    """Which columns hold what.

    Args:
        columns: Names.

    Returns:
        Names by role, a key of `NAMES`; only those that are there.

    Raises:
        DataError: Where two columns have an equal claim; names both.

    Example:
        >>> roles(["Image", "Class", "remarks"])
        {'path': 'Image', 'label': 'Class'}
    """
    found = {}
    for role, names in NAMES.items():
        claims = [column for column in columns if _plain(column) in names]
        claims = [column for column in claims if _plain(column) == role] or claims
        if len(claims) > 1:
            twice = f"column '{claims[0]}' appears twice" if len(set(claims)) == 1 else f"columns {_listed(claims)}"
            raise DataError(f"{twice} could be the {role}; rename or remove all but one.")
        if claims:
            found[role] = claims[0]
    return found


def misspelt(columns: Sequence[str], found: dict[str, str]) -> tuple[str, str] | None:
    """A column that looks like a misspelt role that is missing, and that role; ``None`` where there is none."""
    for column in columns:
        near = difflib.get_close_matches(_plain(column), NAMES, n=1, cutoff=0.7)
        if near and near[0] not in found and column not in found.values():
            return column, near[0]
    return None


def understood() -> str:
    """The names that columns may have, in words."""
    return "; ".join(
        f"{role}: {', '.join(names)}" for role, names in NAMES.items() if role not in ("mask_rule", "boxes")
    )


def below(folder: Path, path: str) -> Path:
    """Where a path of a table lies: from its folder, backslashes taken for slashes unless a file is called so."""
    if "\\" in path and not (folder / path).exists():
        path = path.replace("\\", "/")
    return folder / path


def _decoded(file: Path) -> tuple[str, str]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error}).") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding), encoding.removesuffix("-sig").upper()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({error}); spreadsheets call it 'CSV UTF-8'.") from error


def _delimiter(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")

    def known(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=delimiter), [])
        names = {name for group in NAMES.values() for name in group}
        return sum(_plain(cell) in names for cell in cells), len(cells)

    return max(DELIMITERS, key=known)


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _without_empty_end(cells: Sequence[str]) -> tuple[str, ...]:
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return tuple(cells[:end])


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def row_dicts(table: Table) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each row."""
    for line, cells in table.rows:
        yield line, dict(zip(table.columns, cells, strict=True))
