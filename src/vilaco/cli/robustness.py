"""``vilaco robustness``: how a method's figures fall on photos that were blurred, re-saved or sent."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.data.records import Record
    from vilaco.evaluation.robustness import RobustnessReport


def robustness(
    model: str | None = typer.Option(None, "--model", "-m", help="A shipped model, a model folder, or a hub name."),
    baseline: str | None = typer.Option(None, "--baseline", help="A baseline by its name, such as ela."),
    data: Path = typer.Option(..., "--data", "-d", help="The data set, in any known format."),
    data_format: str | None = typer.Option(None, "--format", help="The data set's format; found out unless given."),
    ladder: str = typer.Option("benco", "--ladder", "-l", help="benco or social."),
    profile: str = typer.Option("wscl", "--profile", "-p", help="One or more profiles, with commas between."),
    resamples: int = typer.Option(1000, min=0, help="Bootstrap resamples behind the 95% intervals."),
    seed: int = typer.Option(0, min=0, help="Seed of the bootstrap."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Write CSV, JSON and a plot here."),
    json_output: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Measure a method on every rung of a ladder of degradations; the clean photos come first.

    Examples:
        vilaco robustness --model quick --data casia1/manifest.csv --ladder benco --out results

        vilaco robustness --baseline ela --data casia1/manifest.csv --ladder social --json
    """
    console.require("train", "matplotlib", "scipy", "sklearn")
    from vilaco.cli.predictors import choose_predictor
    from vilaco.data.formats import read_dataset
    from vilaco.errors import ConfigError
    from vilaco.evaluation.ladders import LADDERS
    from vilaco.evaluation.robustness import run_robustness

    if ladder not in LADDERS:
        raise ConfigError(f"there is no ladder '{ladder}'; there are {', '.join(LADDERS)}")
    predictor, provenance = choose_predictor(model, baseline)
    report = run_robustness(
        predictor,
        read_dataset(data, data_format),
        LADDERS[ladder],
        [name.strip() for name in profile.split(",")],
        data=data_name(data),
        provenance=provenance,
        resamples=resamples,
        seed=seed,
        progress=track,
    )
    clean = report.evaluations[0]
    for problem in clean.problems:
        console.note(f"{problem.path}: {problem.detail} [{problem.reason}]")
    if out is not None:
        written = report.save(out)
        console.note(f"wrote {', '.join(path.name for path in written)} in {out}")
    if json_output:
        typer.echo(report.model_dump_json())
    else:
        _print(report)
    if set(clean.skipped) - {"unlabelled"}:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def data_name(data: Path) -> str:
    """What a report calls a data set: its folder, also where a ``manifest.csv`` inside it was given."""
    path = data.resolve()
    return path.parent.name if path.name == "manifest.csv" else path.stem


def track(records: "Iterable[Record]", name: str) -> "Iterator[Record]":
    """Records behind a progress bar on stderr."""
    listed = list(records)
    with console.progress_bar() as progress:
        yield from progress.track(listed, description=name)


def _print(report: "RobustnessReport") -> None:
    from rich.console import Console
    from rich.table import Table

    metrics = list(dict.fromkeys((row.profile, row.metric) for row in report.rows))
    table = Table(
        title=f"{report.method} on {report.data}: {report.ladder} ladder (below each figure: drop from clean)"
    )
    table.add_column("rung", no_wrap=True)
    for profile, metric in metrics:
        table.add_column(f"{profile}\n{metric}", justify="right", overflow="fold")
    table.add_column("images", justify="right")
    for evaluation in report.evaluations:
        rows = [row for row in report.rows if row.rung == evaluation.preprocessing]
        cells = [_number(row.value) + (f"\n{row.drop:+.3f}" if row.rung != "clean" else "") for row in rows]
        table.add_row(evaluation.preprocessing, *cells, str(len(evaluation.images)))
    Console().print(table)


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
