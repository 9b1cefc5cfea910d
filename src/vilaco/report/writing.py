"""Reports as files: one photo is one file; many are an index and a folder of cases beside it.

A case weighs about a megabyte, so a hundred of them in one page would be slow to open and impossible to mail. As
files of their own they open at once, one can be sent alone, and memory stays flat however long the batch is: a case
is written and let go as soon as its photo is judged.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from urllib.parse import quote

from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.files import write_atomically
from vilaco.report.case import Case
from vilaco.report.html import IndexRow, render_case, render_index
from vilaco.report.pdf import require_pdf, to_pdf

SUFFIXES = (".html", ".htm", ".pdf")
_LONGEST_STEM = 40  # letters of a photo's name in its report's


class ReportWriter:
    """Write the report of one photo, or of many one by one; a context that writes the index when it ends.

    Args:
        path: The report, ``.html`` or ``.pdf``. For many photos it is the index, and their reports lie beside it in
            the folder ``<stem>-cases``, or ``<stem>-cases-pdf``.
        many: Whether an index is wanted.

    Raises:
        ConfigError: If the ending is neither, or a PDF cannot be made here.
        DataError: If reports of another run lie in the folder.

    Example:
        >>> with ReportWriter("inbox.html", many=True) as writer:  # doctest: +SKIP
        ...     for case in cases:
        ...         writer.add(case)
    """

    def __init__(self, path: str | Path, *, many: bool) -> None:
        self.path = Path(path)
        self.many = many
        self._rows: list[IndexRow] = []
        self._failures: list[ImageError] = []
        self._is_pdf = self.path.suffix.lower() == ".pdf"
        self.folder = self.path.with_name(f"{self.path.stem}-cases{'-pdf' if self._is_pdf else ''}")
        if self.path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path}: a report's name ends in .html or .pdf")
        if self._is_pdf:
            require_pdf()
        if many and self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise DataError(f"{self.folder}: exists and is not an empty folder; give the report another name")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def add(self, case: Case) -> None:
        """Write one photo's report.

        Raises:
            VilacoError: If it cannot be written.
        """
        if not self.many:
            write_atomically(self.path, self._encoded(render_case(case, interactive=not self._is_pdf)))
            return
        name = f"{len(self._rows) + 1:04d}-{_slug(case.name)}{self.path.suffix}"
        page = render_case(
            case, index_link=None if self._is_pdf else f"../{quote(self.path.name)}", interactive=not self._is_pdf
        )
        write_atomically(self.folder / name, self._encoded(page))
        self._rows.append(IndexRow.of(case, f"{quote(self.folder.name)}/{name}"))

    def fail(self, error: ImageError) -> None:
        """Name a file in the index that could not be read."""
        self._failures.append(error)

    def close(self) -> None:
        """Write the index, where there is one to write.

        Raises:
            VilacoError: If it cannot be written.
        """
        if self.many:
            page = render_index(
                self._rows, made_at=datetime.now(UTC), failures=self._failures, interactive=not self._is_pdf
            )
            write_atomically(self.path, self._encoded(page))

    def _encoded(self, page: str) -> bytes:
        return to_pdf(page) if self._is_pdf else page.encode()


def write_report(path: str | Path, cases: Iterable[Case], *, failures: Sequence[ImageError] = ()) -> None:
    """Write the report of one case, or the index and the reports of many; cases are taken one at a time.

    Args:
        path: As for `ReportWriter`.
        cases: At least one.
        failures: What could not be read; named in the index.

    Raises:
        ConfigError: If the ending is neither ``.html`` nor ``.pdf``, or a PDF cannot be made here.
        DataError: If there is no case, or reports of another run are in the way.
        VilacoError: If a file cannot be written.
    """
    iterator = iter(cases)
    first = next(iterator, None)
    if first is None:
        raise DataError(f"{path}: there is nothing to report")
    second = next(iterator, None)
    many = second is not None or bool(failures)
    with ReportWriter(path, many=many) as writer:
        for failure in failures:
            writer.fail(failure)
        for case in chain([first], [] if second is None else [second], iterator):
            writer.add(case)


def _slug(name: str) -> str:
    """A photo's name as part of a file's, on any system."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(name).stem)
    return stem.strip("-")[:_LONGEST_STEM] or "photo"
