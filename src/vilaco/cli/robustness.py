"""``vilaco robustness``: how a method's figures fall on photos that were blurred, re-saved or sent."""

from pathlib import Path

import typer

from vilaco.cli import console


def robustness(
    model: str | None = typer.Option(None, "--model", "-m", help="A shipped model, a model folder, or a hub name."),
    baseline: str | None = typer.Option(None, "--baseline", help="A baseline by its name, such as ela."),
    data: Path = typer.Option(..., "--data", "-d", help="The data set, in any known format."),
    data_format: str | None = typer.Option(None, "--format", help="The data set's format; found out unless given."),
    ladder: str = typer.Option("benco", "--ladder", "-l", help="benco, social, messenger or web."),
    profile: str = typer.Option("wscl", "--profile", "-p", help="One or more profiles, with commas between."),
    resamples: int = typer.Option(1000, min=0, help="Bootstrap resamples behind the 95% intervals."),
    seed: int = typer.Option(0, min=0, help="Seed of the bootstrap."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Write CSV, JSON and a plot here."),
    json_output: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Measure a method on every rung of a ladder of degradations; the clean photos come first.

    Examples:
        vilaco robustness --model research --data casia1/manifest.csv --ladder benco --out results

        vilaco robustness --baseline ela --data casia1/manifest.csv --ladder social --json
    """
    console.require("train", "matplotlib", "scipy", "sklearn")
    from vilaco.cli.predictors import data_name, load_predictor, require_one
    from vilaco.data.formats import read_dataset
    from vilaco.errors import ConfigError
    from vilaco.evaluation.ladders import LADDERS
    from vilaco.evaluation.robustness import run_robustness
    from vilaco.evaluation.tables import robustness_tables
    from vilaco.files import refuse_unwritable

    if ladder not in LADDERS:
        raise ConfigError(f"there is no ladder '{ladder}'; there are {', '.join(LADDERS)}")
    require_one(model=model, baseline=baseline)
    if out is not None:
        refuse_unwritable(out)
    predictor, provenance = load_predictor(model, baseline)
    report = run_robustness(
        predictor,
        read_dataset(data, data_format),
        LADDERS[ladder],
        [name.strip() for name in profile.split(",")],
        data=data_name(data),
        provenance=provenance,
        resamples=resamples,
        seed=seed,
        progress=console.track,
    )
    clean = report.evaluations[0]
    for problem in clean.problems:
        console.note(f"{problem.path}: {problem.detail} [{problem.reason}]")
    if clean.noted:
        console.note(str(clean.noted))
    if out is not None:
        written = report.save(out)
        console.note(f"wrote {', '.join(path.name for path in written)} in {out}")
    if json_output:
        typer.echo(report.model_dump_json())
    else:
        screen = console.screen()
        for table in robustness_tables(report):
            screen.print(table)
    if set(clean.skipped) - {"unlabelled"}:
        raise typer.Exit(console.EXIT_SOME_FAILED)
