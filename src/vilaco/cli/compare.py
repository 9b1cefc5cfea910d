"""``vilaco compare``: a suspect beside its original."""

from enum import StrEnum
from pathlib import Path

import typer

from vilaco.cli import console


class CompareFailOn(StrEnum):
    """Findings that make the exit code 1."""

    changed = "changed"


def compare(
    suspect: Path = typer.Argument(help="The photo in question.", show_default=False),
    original: Path = typer.Argument(help="What it may have been made from.", show_default=False),
    out: Path | None = typer.Option(
        None,
        "--out",
        "-o",
        help="Write mask, difference, overlay, the original as it should look and comparison.json into this folder.",
        show_default=False,
    ),
    report: Path | None = typer.Option(
        None, metavar="FILE", help="Write a report for people, FILE.html or FILE.pdf.", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
    fail_on: CompareFailOn | None = typer.Option(None, "--fail-on", help="Exit with code 1 when a region is changed."),
    max_pixels: int = typer.Option(100_000_000, min=1, help="Refuse photos with more pixels than this."),
) -> None:
    """Say what a photo went through since its original, and mark what that does not explain.

    The original is laid over the suspect (crop, scale, turn, mirror), and what was done to the whole picture
    (brightness and colours, blur, a JPEG save) is done to it as well. Regions that still differ, by more than usual
    where there is as much detail, are changed. Two photos that have nothing in common are told to be so.

    Examples:

        vilaco compare posted.jpg original.jpg

        vilaco compare posted.jpg original.jpg --report difference.html

        vilaco compare posted.jpg original.jpg --out differences --json --fail-on changed
    """
    from vilaco.errors import ConfigError, ImageError
    from vilaco.files import refuse_unwritable, write_atomically

    suffix = report.suffix.lower() if report is not None else ""
    if report is not None and suffix not in (".html", ".htm", ".pdf"):
        raise ConfigError(f"{report}: a report's name ends in .html or .pdf")
    if suffix == ".pdf":
        from vilaco.report.pdf import require_pdf

        require_pdf()
    if out is not None:
        refuse_unwritable(out)
    from vilaco.compare.compare import compare as run
    from vilaco.compare.report import render_comparison, save_comparison
    from vilaco.compare.words import text_line

    try:
        found = run(suspect, original, max_pixels=max_pixels)
    except ImageError as error:
        console.error(f"{error.args[0]} [{error.code}]")
        raise typer.Exit(console.EXIT_SOME_FAILED) from None
    typer.echo(found.row.model_dump_json() if as_json else text_line(found.row))
    if out is not None:
        save_comparison(found, out)
        console.note(f"results in {out}")
    if report is not None:
        page = render_comparison(found)
        if suffix == ".pdf":
            from vilaco.report.pdf import to_pdf

            write_atomically(report, to_pdf(page))
        else:
            write_atomically(report, page.encode())
        console.note(f"report in {report}")
    if found.row.regions and fail_on is CompareFailOn.changed:
        raise typer.Exit(console.EXIT_FINDING)
