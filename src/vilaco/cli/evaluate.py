"""``vilaco evaluate``: how well a model, a baseline or another tool's saved maps find forgeries."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.data.records import Record
    from vilaco.evaluation.prediction import Predictor
    from vilaco.evaluation.published import PublishedTable
    from vilaco.evaluation.results import EvaluationReport, Provenance


_PIPED_WIDTH = 140  # columns; a file or pipe has no width of its own, and figures must not be cut off


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

        vilaco evaluate --model quick --data casia1/manifest.csv --profile wscl,full --out results

        vilaco evaluate --predictions other_tool/maps --data casia1/manifest.csv --compare published
    """
    from vilaco.errors import ConfigError
    from vilaco.evaluation.published import published_tables

    published = published_tables() if compare else ()
    judges = {"--model": model, "--baseline": baseline, "--predictions": predictions}
    given = [option for option, value in judges.items() if value is not None]
    if not given and data is None and published:
        _print(None, published, json_output)
        return
    if len(given) != 1:
        raise ConfigError(f"give one of {', '.join(judges)}, got {' and '.join(given) or 'none'}")
    if data is None:
        raise ConfigError("--data is missing: the data set to measure on")
    if out is not None:
        console.require("train", "matplotlib")
    if model is not None:
        console.require("train", "torch", "transformers")

    from vilaco.data.formats import read_dataset
    from vilaco.evaluation.evaluate import evaluate as run
    from vilaco.evaluation.profiles import get_profile

    profiles = [get_profile(name.strip()) for name in profile.split(",")]
    records = read_dataset(data, data_format)
    predictor, provenance = _predictor(model, baseline, predictions, data, records)
    gallery = None
    if out is not None:
        from vilaco.evaluation.plots import Gallery

        gallery = Gallery()
    report = run(
        predictor,
        records,
        profiles,
        data=data.resolve().parent.name if data.name == "manifest.csv" else data.resolve().stem,
        mask_policy=mask_policy.value,
        resave_jpeg_quality=resave_jpeg,
        provenance=provenance,
        resamples=resamples,
        seed=seed,
        observe=gallery.observe if gallery else None,
        progress=_progress,
    )
    for problem in report.problems:
        console.note(f"{problem.path}: {problem.detail} [{problem.reason}]")
    if out is not None and gallery is not None:
        from vilaco.evaluation.plots import draw_curves

        written = [*report.save(out), *draw_curves(report, out)]
        if report.pixel_images:
            written.append(gallery.draw(out / "gallery.png"))
        console.note(f"wrote {', '.join(path.name for path in written)} in {out}")
    _print(report, published, json_output)
    if set(report.skipped) - {"unlabelled"}:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _predictor(
    model: str | None, baseline: str | None, predictions: Path | None, data: Path, records: "list[Record]"
) -> "tuple[Predictor, Provenance]":
    from vilaco.evaluation.results import Provenance

    if model is not None:
        from vilaco.evaluation.localizer_predictor import LocalizerPredictor
        from vilaco.localizer import Localizer

        localizer = Localizer.load(model)
        return LocalizerPredictor(localizer), Provenance(
            encoder=localizer.encoder_name,
            weights=localizer.fingerprint,
            image_score="the model's detection score",
        )
    if baseline is not None:
        from vilaco.evaluation.baselines import get_baseline

        return get_baseline(baseline), Provenance(image_score="the baseline's own")
    from vilaco.evaluation.saved import SavedPredictions

    assert predictions is not None
    root = data if data.is_dir() else data.parent
    saved = SavedPredictions(predictions, [record.path for record in records], root)
    return saved, Provenance(image_score=saved.image_score)


def _print(report: "EvaluationReport | None", published: "Iterable[PublishedTable]", as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from rich.console import Console

    from vilaco.evaluation.tables import published_table, report_table

    if as_json:
        measured = json.loads(report.model_dump_json()) if report else None
        whole = {"measured": measured, "published": [asdict(table) for table in published]}
        typer.echo(json.dumps(whole if published else measured))
        return
    screen = Console()
    if not screen.is_terminal:
        screen.width = _PIPED_WIDTH
    if report is not None:
        screen.print(report_table(report))
    for table in published:
        screen.print(published_table(table))


def _progress(records: "Iterable[Record]") -> "Iterator[Record]":
    listed = list(records)
    with console.progress_bar() as progress:
        yield from progress.track(listed, description="images")
