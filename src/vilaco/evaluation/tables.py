"""Evaluation results as tables for a terminal; measured and published figures never share one."""

import math
from itertools import groupby

from rich.markup import escape
from rich.table import Table

from vilaco.evaluation.published import PublishedTable
from vilaco.evaluation.results import EvaluationReport, Figure
from vilaco.evaluation.robustness import RobustnessReport, RobustnessRow


def report_table(report: EvaluationReport, *, everything: bool = False) -> Table:
    """The measured figures, a row each.

    Args:
        report: The evaluation.
        everything: Also the figures that are no headline.
    """
    table = Table(title=escape(f"{report.method} on {report.data} (measured)"), caption=escape(caption(report)))
    for column in ("profile", "figure"):
        table.add_column(column, no_wrap=True)
    for column in ("value", "95% interval", "images", "undefined"):
        table.add_column(column, justify="right", no_wrap=True)
    for result in report.profiles:
        for figure in result.figures:
            if everything or figure.headline:
                table.add_row(result.profile, figure.name, *_cells(figure))
        table.add_section()
    return table


def caption(report: EvaluationReport) -> str:
    """What the figures depend on, in one or two lines; every count of the report is in it."""
    lines = [
        f"{report.records} images: {report.authentic} authentic, {report.tampered} tampered"
        f"{_listed(report.skipped, 'skipped')}; masks used: {report.pixel_images}"
        f"{_listed(report.pixel_skipped, 'masks left out')}",
        f"preprocessing: {report.preprocessing}; score: {report.provenance.image_score};"
        f" mask policy: {report.mask_policy}{_listed(report.adjusted, 'adjusted')}; seed: {report.seed}",
    ]
    if report.provenance.encoder or report.provenance.weights:
        lines.append(f"encoder: {report.provenance.encoder}; weights: {report.provenance.weights}")
    return "\n".join(lines)


def published_table(published: PublishedTable) -> Table:
    """A published table, marked as such, with its averages recomputed from its rows."""
    sources = list(dict.fromkeys(row.source for row in published.rows))
    notes = [f"not measured here; stands beside {published.figure}"]
    notes += [f"[{number}] {source}" for number, source in enumerate(sources, start=1)]
    table = Table(title=published.title, caption=escape("\n".join(notes)), style="dim")
    table.add_column("method", no_wrap=True)
    table.add_column("trained on")
    for column in (*published.columns, *(["mean, recomputed"] if published.averaged else [])):
        table.add_column(column, justify="right")
    table.add_column("source", justify="right")
    for row in published.rows:
        values = [number(math.nan if value is None else value) for value in row.values]
        if published.averaged:
            values.append(number(row.average))
        table.add_row(row.method, row.supervision, *values, str(sources.index(row.source) + 1))
    return table


def robustness_tables(report: RobustnessReport) -> list[Table]:
    """A ladder's figures, a table each: families of degradations down, rungs across, the drop from clean below."""
    by_figure: dict[tuple[str, str], list[RobustnessRow]] = {}
    for row in report.rows:
        by_figure.setdefault((row.profile, row.metric), []).append(row)
    return [_ladder_table(report, rows) for rows in by_figure.values()]


def _ladder_table(report: RobustnessReport, rows: list[RobustnessRow]) -> Table:
    clean, *degraded = rows
    counts = sorted({row.images for row in rows})
    images = f"{counts[0]} images" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images, as rungs allow"
    table = Table(
        title=escape(f"{report.method} on {report.data}, {report.ladder} ladder\n{clean.profile}: {clean.metric}"),
        caption=f"clean {number(clean.value)}; {images}; in each cell: level, figure, drop from clean",
        show_header=False,
        show_lines=True,
    )
    for family, rungs in groupby(degraded, key=lambda row: row.family):
        table.add_row(family, *map(_rung_cell, rungs))
    return table


def _rung_cell(row: RobustnessRow) -> str:
    level = "" if row.level is None else str(row.level)
    return f"[dim]{level}[/]\n{number(row.value)}\n[dim]{number(row.drop)}[/]"


def number(value: float) -> str:
    """Three decimals without the leading zero, as the field prints them; a dash where undefined.

    Example:
        >>> number(0.4914), number(1.0), number(-0.25), number(math.nan)
        ('.491', '1.000', '-.250', '-')
    """
    if math.isnan(value):
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    interval = f"{number(figure.low)} to {number(figure.high)}"
    return number(figure.value), interval, str(figure.images), str(figure.undefined or "")


def _listed(counts: dict[str, int], what: str) -> str:
    """``, skipped 3 (2 image_truncated, 1 unlabelled)``; nothing where there is nothing to say."""
    if not counts:
        return ""
    parts = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return f", {what}: {sum(counts.values())} ({parts})"
