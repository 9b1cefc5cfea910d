"""``vilaco audit``: can the labels of a data set be told without looking at the forgery?"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.evaluation.audit import AuditReport


def audit(
    data: Path = typer.Argument(..., help="The data set, in any known format."),
    model: str | None = typer.Option(
        None,
        "--model",
        "-m",
        help="Audit this model on the set too: its false alarms, its score on backgrounds.",
    ),
    baseline: str | None = typer.Option(None, "--baseline", help="The same for a baseline, such as ela."),
    data_format: str | None = typer.Option(None, "--format", help="The data set's format; found out unless given."),
    folds: int = typer.Option(5, min=2, help="Scene-disjoint folds of the simple classifiers."),
    seed: int = typer.Option(0, min=0, max=2**32 - 1, help="Seed of folds, classifiers, borrowed masks and bootstrap."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Write audit.html and audit.json here."),
    json_output: bool = typer.Option(False, "--json", help="Print JSON instead of words."),
) -> None:
    """Find label shortcuts: metadata, JPEG history of the background, and what a re-save does.

    Examples:
        vilaco audit casia1/manifest.csv --out audit

        vilaco audit my_photos --model research --json
    """
    console.require("train", "sklearn")
    from vilaco.cli.predictors import data_name, load_predictor, require_one
    from vilaco.data.formats import read_dataset
    from vilaco.evaluation.audit import audit_dataset, audit_page
    from vilaco.files import refuse_unwritable, write_atomically

    if out is not None:
        refuse_unwritable(out)
    predictor = None
    if model is not None or baseline is not None:
        require_one(model=model, baseline=baseline)
        predictor, _ = load_predictor(model, baseline)
    report = audit_dataset(
        read_dataset(data, data_format),
        data=data_name(data),
        predictor=predictor,
        seed=seed,
        folds=folds,
        progress=console.track,
    )
    for problem in report.problems:
        console.note(problem)
    if out is not None:
        write_atomically(out / "audit.json", (report.model_dump_json(indent=1) + "\n").encode())
        write_atomically(out / "audit.html", audit_page(report).encode())
        console.note(f"wrote audit.json, audit.html in {out}")
    if json_output:
        typer.echo(report.model_dump_json())
    else:
        _print(report)
    if report.counts.unreadable:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _print(report: "AuditReport") -> None:
    from rich.markup import escape
    from rich.table import Table

    screen = console.screen()
    title = f"Shortcut audit of {report.data}: can labels be told from what cannot show a forgery?"
    table = Table(title=escape(title))
    for heading in ("evidence", "every image first", "AUC", "95% interval", "authentic + tampered"):
        table.add_column(heading)
    for probe in (*report.probes, *(report.model.probes if report.model else ())):
        style = "red" if probe.is_shortcut else "dim" if not probe.can_be_shortcut else "green"
        table.add_row(
            probe.evidence,
            probe.history,
            f"[{style}]{probe.auc:.3f}[/]",
            f"{probe.low:.3f} to {probe.high:.3f}",
            f"{probe.authentic} + {probe.tampered}",
        )
    screen.print(table)
    for sentence in report.verdict:
        screen.print(sentence, markup=False, highlight=False)
