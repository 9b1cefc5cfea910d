"""``vilaco evaluate``: how well a model, a baseline or another tool's saved maps find forgeries."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.evaluation.prediction import Predictor
    from vilaco.evaluation.published import PublishedTable
    from vilaco.evaluation.results import EvaluationReport

_LISTED = 5


class Compare(StrEnum):
    """What measured figures may be shown beside."""

    published = "published"


class MaskPolicy(StrEnum):
    """What becomes of a mask whose size is not its image's."""

    skip = "skip"
    resize = "resize"
    fail = "fail"


def evaluate(
    model: str | None = typer.Option(None, "--model", "-m", help="A shipped model, a model folder, or a hub name."),
    baseline: str | None = typer.Option(None, "--baseline", help="A baseline by its name, such as all_ones."),
    predictions: Path | None = typer.Option(
        None, "--predictions", help="A folder of maps or masks saved by any tool (PNG, NPY, NPZ)."
    ),
    data: Path | None = typer.Option(None, "--data", "-d", help="The data set, in any known format."),
    data_format: str | None = typer.Option(None, "--format", help="The data set's format; found out unless given."),
    subset: str | None = typer.Option(
        None, "--subset", help="One subset of a list that names several; all of them unless given."
    ),
    profile: str = typer.Option("wscl", "--profile", "-p", help="One or more profiles, with commas between."),
    mask_policy: MaskPolicy = typer.Option(MaskPolicy.skip, help="For masks whose size is not their image's."),
    resave_jpeg: int | None = typer.Option(
        None,
        "--resave-jpeg",
        min=1,
        max=100,
        help="Save every photo at this JPEG quality before it is judged.",
    ),
    resamples: int = typer.Option(1000, min=0, help="Bootstrap resamples behind the 95% intervals."),
    seed: int = typer.Option(0, min=0, help="Seed of the bootstrap."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Write JSON, CSV, curves and a gallery here."),
    json_output: bool = typer.Option(False, "--json", help="Print JSON instead of tables."),
    compare: Compare | None = typer.Option(None, "--compare", help="Show published figures too, apart and marked."),
) -> None:
    """Measure how well forgeries are found, by named profiles: wscl, trufor, benco, benco_pad, pooled, full.

    Examples:

        vilaco evaluate --model research --data casia1/manifest.csv --profile wscl,full --out results

        vilaco evaluate --predictions other_tool/maps --data casia1/manifest.csv --compare published
    """
    from vilaco.cli.predictors import data_name, load_predictor, require_one
    from vilaco.errors import ConfigError
    from vilaco.evaluation.published import published_tables

    published = published_tables() if compare else ()
    if published and data is None and model is baseline is predictions is None:
        _print(None, published, json_output)
        return
    require_one(model=model, baseline=baseline, predictions=predictions)
    if data is None:
        raise ConfigError("--data is missing: the data set to measure on")
    if predictions is not None and resave_jpeg is not None:
        raise ConfigError(
            "--resave-jpeg cannot reach saved predictions; re-save the photos, run the tool on them again"
        )
    if out is not None:
        from vilaco.files import refuse_unwritable

        console.require("train", "matplotlib")
        refuse_unwritable(out)

    from vilaco.data.formats import read_dataset, read_subset
    from vilaco.evaluation.evaluate import evaluate as run
    from vilaco.evaluation.profiles import get_profile
    from vilaco.evaluation.results import Provenance
    from vilaco.evaluation.saved import SavedPredictions

    profiles = [get_profile(name.strip()) for name in profile.split(",")]
    records = read_subset(data, subset, data_format) if subset else read_dataset(data, data_format)
    predictor: Predictor
    if predictions is None:
        predictor, provenance = load_predictor(model, baseline)
    else:
        root = data if data.is_dir() else data.parent
        predictor = SavedPredictions(predictions, [record.path for record in records], root)
        provenance = Provenance(image_score=predictor.image_score)
    gallery = None
    if out is not None:
        from vilaco.evaluation.plots import Gallery

        gallery = Gallery()
    report = run(
        predictor,
        records,
        profiles,
        data=data_name(data),
        mask_policy=mask_policy.value,
        resave_jpeg_quality=resave_jpeg,
        provenance=provenance,
        resamples=resamples,
        seed=seed,
        observe=gallery.observe if gallery else None,
        progress=console.track,
    )
    for problem in report.problems:
        console.note(f"{problem.path}: {problem.detail} [{problem.reason}]")
    if report.noted:
        console.note(str(report.noted))
    if isinstance(predictor, SavedPredictions) and (unused := predictor.unused):
        first = ", ".join(path.as_posix() for path in unused[:_LISTED])
        more = f" and {len(unused) - _LISTED} more" if len(unused) > _LISTED else ""
        console.note(f"{len(unused)} predictions were used for no image: {first}{more}")
    if out is not None and gallery is not None:
        from vilaco.evaluation.plots import draw_curves

        written = [*report.save(out), *draw_curves(report, out)]
        if report.pixel_images:
            written.append(gallery.draw(out / "gallery.png"))
        console.note(f"wrote {', '.join(path.name for path in written)} in {out}")
    _print(report, published, json_output)
    if set(report.skipped) - {"unlabelled"}:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _print(report: "EvaluationReport | None", published: "Iterable[PublishedTable]", as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from vilaco.evaluation.tables import published_table, report_table

    if as_json:
        measured = json.loads(report.model_dump_json()) if report else None
        whole = {"measured": measured, "published": [asdict(table) for table in published]}
        typer.echo(json.dumps(whole if published else measured))
        return
    screen = console.screen()
    if report is not None:
        screen.print(report_table(report))
    for table in published:
        screen.print(published_table(table))
