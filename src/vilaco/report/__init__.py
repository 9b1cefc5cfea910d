"""Pictures and reports that people read.

A report is made in two steps: `Case.build` turns one judged photo into all that is shown of it (small: the photo
itself is let go), and `render_case`, `render_index`, `ReportWriter` or `write_report` show cases.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["Case", "Judge", "ReportWriter", "render_case", "render_index", "write_report"]

if TYPE_CHECKING:
    from vilaco.report.case import Case, Judge
    from vilaco.report.html import render_case, render_index
    from vilaco.report.writing import ReportWriter, write_report

_HOMES = {
    "Case": "vilaco.report.case",
    "Judge": "vilaco.report.case",
    "ReportWriter": "vilaco.report.writing",
    "render_case": "vilaco.report.html",
    "render_index": "vilaco.report.html",
    "write_report": "vilaco.report.writing",
}


def __getattr__(name: str) -> Any:  # vilaco.result needs the overlay, and cases need vilaco.result
    if name not in _HOMES:
        raise AttributeError(f"module 'vilaco.report' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
