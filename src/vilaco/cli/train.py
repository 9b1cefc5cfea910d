"""``vilaco train``: from two piles of photos to a model folder."""

import os
from pathlib import Path

import typer

from vilaco.cli import console


def train(
    data: Path = typer.Argument(
        help="A folder with authentic/ and tampered/, a manifest, or any data set vilaco reads.",
        show_default=False,
    ),
    recipe: str | None = typer.Option(None, "--recipe", "-r", help="A recipe's name or a YAML file.  [default: paper]"),
    out: Path = typer.Option(Path("runs/vilaco"), "--out", "-o", help="Run folder."),
    settings: list[str] = typer.Option([], "--set", help="Override a setting: section.key=value. Repeatable."),
    without: list[str] = typer.Option(
        [],
        "--without",
        help="Leave out coarse, fine, consistency, adapter, prompts or aggregator. Repeatable.",
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --out."),
    devices: int = typer.Option(1, min=1, help="GPUs (or CPU processes) a machine."),
    num_nodes: int = typer.Option(1, min=1, help="Machines."),
    cache: Path | None = typer.Option(
        None, help="Folder for cached features (default: $VILACO_CACHE or ~/.cache/vilaco)."
    ),
) -> None:
    """Train on photos with image-level labels alone; masks in the data are never looked at.

    Exit code 3 says that some images could not be read; the rest were used.

    Examples:

        vilaco train photos/ --recipe quick --out runs/mine

        vilaco train photos/ --recipe paper --set training.epochs=30 --without consistency

        vilaco train photos/ --out runs/mine --resume
    """
    console.require("train", "torch", "transformers", "lightning")
    from vilaco.data.formats import read_dataset
    from vilaco.errors import ConfigError
    from vilaco.training.fit import RECIPE_FILE
    from vilaco.training.fit import train as run_training
    from vilaco.training.recipe import load_recipe

    if resume and (recipe or settings or without):
        raise ConfigError("--resume goes on with the run's own recipe; leave out --recipe, --set and --without")
    if resume and not (out / RECIPE_FILE).is_file():
        raise ConfigError(f"{out}: nothing to resume, {RECIPE_FILE} is missing")
    chosen = str(out / RECIPE_FILE) if resume else recipe or "paper"
    checked = load_recipe(chosen, overrides=settings, without=without)
    with console.progress_bar() as progress:
        summary = run_training(
            read_dataset(data),
            checked,
            out,
            resume=resume,
            devices=devices,
            num_nodes=num_nodes,
            cache_root=cache,
            progress=progress,
        )
    for error in summary.skipped:
        console.note(f"skipped: {error} [{error.code}]")
    if summary.skipped:
        console.note(f"{len(summary.skipped)} images could not be read and were left out")
    if summary.interrupted:
        console.note(f"interrupted; go on with: vilaco train {data} --out {out} --resume")
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if int(os.environ.get("LOCAL_RANK", "0")):  # one process of several; the first one speaks
        return
    typer.echo(
        f"{summary.model}  best epoch {summary.best_epoch + 1}, held-out I-AUC {summary.validation_image_auc:.3f}"
    )
    if summary.skipped:
        raise typer.Exit(console.EXIT_SOME_FAILED)
