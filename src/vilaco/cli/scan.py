"""``vilaco scan``: a collection of any size, one row an image, as often interrupted as you like."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console
from vilaco.weights import DEFAULT

if TYPE_CHECKING:
    from vilaco.scan.judge import ScanRow


class EngineName(StrEnum):
    """What a scan runs on."""

    local = "local"
    ray = "ray"


def scan(
    source: str = typer.Argument(help="A folder, a CSV with a column path, or an fsspec URL.", show_default=False),
    out: Path = typer.Option(
        ..., "--out", "-o", help="Folder of the results; the same again goes on.", show_default=False
    ),
    model: str = typer.Option(DEFAULT, "--model", "-m", help="A shipped model, a model folder, or a hub name."),
    max_false_alarms: float | None = typer.Option(
        None,
        metavar="RATE",
        help="Share of authentic photos that may be called tampered, between 0 and 1; the model's own by default.",
        show_default=False,
    ),
    keep_above: float | None = typer.Option(
        None,
        metavar="SCORE",
        help="Keep mask and overlay of photos that score above this; of those called tampered by default.",
        show_default=False,
    ),
    max_pixels: int = typer.Option(100_000_000, min=1, help="Refuse photos with more pixels than this."),
    accept_truncated: bool = typer.Option(
        False, "--accept-truncated", help="Judge the rows that are there of files that end too early."
    ),
    page: str | None = typer.Option(
        None,
        metavar="N|all",
        help="Which picture of files that hold several (TIFF, animations, HEIC), from 1; all gives each a row.",
        show_default=False,
    ),
    trust_anchors: Path | None = typer.Option(
        None,
        metavar="FILE|FOLDER",
        help="PEM certificates of trusted signers of content credentials; or set VILACO_TRUST_ANCHORS.",
        show_default=False,
    ),
    engine: EngineName = typer.Option(EngineName.local, help="Processes of this machine, or of a Ray cluster."),
    workers: int | None = typer.Option(
        None, min=1, help="Photos judged at a time; one a core by default.", show_default=False
    ),
    address: str | None = typer.Option(
        None,
        help="Of the Ray cluster, e.g. ray://head:10001; without it, Ray runs on this machine.",
        show_default=False,
    ),
    time_limit: float = typer.Option(300.0, min=0.1, help="Seconds that a photo may take."),
    max_failure_rate: float = typer.Option(
        0.0, min=0.0, max=1.0, help="Share of unreadable photos that still exits with code 0."
    ),
    retry_failed: bool = typer.Option(
        False, "--retry-failed", help="Look again at photos that failed before; forget those that are gone."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Judge every photo of a collection, once: results/*.parquet, masks, and summary.html under --out.

    Stop it at any time, with Ctrl-C, kill -9 or the power switch: the same command goes on where it was, as long as
    model and settings are the same. A photo that cannot be read is one row with the reason, and so is one that crashes
    the process that looks at it.

    Examples:

        vilaco scan photos/ --out scanned

        vilaco scan photos/ --out scanned --retry-failed

        vilaco scan documents/ --out scanned --page all

        vilaco scan s3://bucket/inbox --out scanned --workers 16

        vilaco scan list.csv --out scanned --engine ray --address ray://head:10001
    """
    console.require("scan", "pyarrow", "fsspec", "imagehash", "jinja2", "filelock")
    if engine is EngineName.ray:
        console.require("ray", "ray")
    elif address is not None:
        raise typer.BadParameter("is of a Ray cluster; add --engine ray", param_hint="--address")
    wanted = console.wanted_page(page)
    from vilaco.scan import run

    with console.progress_bar() as progress:
        task = progress.add_task("photos", total=None)

        def tell(done: int, images: int, row: "ScanRow | None") -> None:
            progress.update(task, completed=done, total=images)
            if row is None:
                already = f", {done:,} of them done before" if done else ""
                progress.console.print(f"{images:,} photos{already}", highlight=False)
            elif row.error_code is not None:
                console.skipped(row.path, row.error_reason or "", row.error_code, progress, judges_parts=True)

        report = run.scan(
            source,
            out,
            model=model,
            max_false_alarms=max_false_alarms,
            keep_above=keep_above,
            max_pixels=max_pixels,
            accept_truncated=accept_truncated,
            page=wanted,
            trust_anchors=trust_anchors,
            engine=engine.value,
            workers=workers,
            address=address,
            time_limit=time_limit,
            retry_failed=retry_failed,
            tell=tell,
        )

    failures = sum(report.failures.values())
    if as_json:
        typer.echo(report.model_dump_json())
    counts = [f"{sum(report.verdicts.values()):,} photos judged"]
    counts += [f"{count:,} {verdict}" for verdict, count in report.verdicts.items()]
    counts += [f"{report.noted:,} with notes"] if report.noted else []
    counts += [f"{failures:,} skipped"] if failures else []
    console.note(", ".join(counts))
    if report.interrupted:
        console.note(f"interrupted with {report.done:,} of {report.images:,} photos done; the same command goes on")
        raise typer.Exit(console.EXIT_INTERRUPTED)
    console.note(f"results in {out / 'results'}, summary in {out / 'summary.html'}")
    if failures and failures > max_failure_rate * report.images:
        raise typer.Exit(console.EXIT_SOME_FAILED)
