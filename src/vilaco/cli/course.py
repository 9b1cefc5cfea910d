"""``vilaco course``: one long training on self-made forgeries, started or gone on with by one call."""

import shlex
from pathlib import Path

import typer

from vilaco.cli import console


def course(
    file: Path = typer.Argument(help="The course: a YAML file that says all of it.", show_default=False),
    pool: Path = typer.Option(..., "--pool", help="The list of photos, from `vilaco data pool`."),
    photos: list[Path] = typer.Option(
        ..., "--photos", help="A folder below which photos and segmentations lie. Repeatable."
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the course, its state included."),
    minutes: float | None = typer.Option(None, min=0.0, help="Stop after so long; the same call goes on."),
) -> None:
    """Train on self-made forgeries for hours or days; the same call starts it or goes on where it was.

    In --out: curve.csv and curve.png (forged validation pictures, judged as it goes), best/ and newest/ (models), logs,
    and last.ckpt, the state. Pictures are made ahead by processes of their own, on a bounded piece of disk. After
    Ctrl-C, kill -9 or --minutes the same call goes on, and ends with the same weights.

    Examples:

        vilaco course benchmarks/courses/research.yaml --pool pool.csv --photos photos/ --out runs/research

        vilaco course mine.yaml --pool pool.csv --photos photos/ --out runs/mine --minutes 55
    """
    console.require("train", "torch", "transformers", "lightning", "imagehash")
    from vilaco.training.course import read_course, run_course

    call = ["vilaco", "course", str(file), "--pool", str(pool)]
    call += [word for root in photos for word in ("--photos", str(root))] + ["--out", str(out)]
    with console.progress_bar() as progress:
        summary = run_course(read_course(file), pool, photos, out, minutes=minutes, progress=progress)
    if summary.figures:
        pictures, f1, auc = (summary.figures[name] for name in ("pictures", "pixel_f1", "pixel_auc"))
        typer.echo(f"{summary.folder}: {pictures:.0f} pictures, validation P-F1 {f1:.3f}, pixel AUC {auc:.3f}")
    if summary.best:
        typer.echo(f"best model: {summary.best}")
    if summary.interrupted:
        console.note(f"not at its end; go on with: {shlex.join(call)}")
        if minutes is None:
            raise typer.Exit(console.EXIT_INTERRUPTED)
