"""``vilaco train``: from two piles of photos to a model folder."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console

if TYPE_CHECKING:
    from vilaco.data.records import Record
    from vilaco.training.changes import Figures


def train(
    data: Path = typer.Argument(
        help="A folder with authentic/ and tampered/, a manifest, or any data set vilaco reads; with --from, also a "
        "folder of authentic photos alone.",
        show_default=False,
    ),
    subset: str | None = typer.Option(
        None, "--subset", help="The subset to train on, where a list names several, such as train and val."
    ),
    recipe: str | None = typer.Option(
        None, "--recipe", "-r", help="A recipe's name or a YAML file.  [default: paper; with --from: default]"
    ),
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
    photos: list[Path] = typer.Option(
        [], "--photos", help="More authentic photos to forge from (recipes that forge). Repeatable."
    ),
    segments: list[Path] = typer.Option(
        [],
        "--segments",
        help="Folder of segmentations, shapes for forgeries: BSDS500's .mat, class maps as .mat or .png. Repeatable.",
    ),
    start_from: str | None = typer.Option(
        None, "--from", help="Start from this model in place of the first stage (recipes that forge)."
    ),
    boxes: bool = typer.Option(
        False,
        "--boxes",
        help="Learn from the manifest's boxes too: tampered pixels lie only inside them, all outside is authentic. "
        "The model is then not weakly supervised, and says so (recipes that forge).",
    ),
    cache: Path | None = typer.Option(
        None, help="Folder for cached features (default: $VILACO_CACHE or ~/.cache/vilaco)."
    ),
) -> None:
    """Train on photos with image-level labels alone; masks in the data are never looked at, boxes only with --boxes.

    With --from, what the training changed is told in a table: before and after, on a held-out share of the photos.

    Exit code 3 says that some images could not be read; the rest were used.

    Examples:

        vilaco train photos/ --recipe quick --out runs/mine

        vilaco train photos/ --recipe paper --set training.epochs=30 --without consistency

        vilaco train photos/ --recipe default --photos holiday/ --out runs/mine

        vilaco train photos/manifest.csv --from research --out runs/mine

        vilaco train authentic_photos/ --from research --out runs/mine

        vilaco train photos/ --out runs/mine --resume
    """
    console.require("train", "torch", "transformers", "lightning")
    from vilaco.errors import ConfigError
    from vilaco.files import find_images
    from vilaco.training.fit import train as run_training
    from vilaco.training.recipe import load_recipe
    from vilaco.training.run import RECIPE_FILE
    from vilaco.training.self_training import train_by_forging
    from vilaco.weights import find_model

    if resume and (recipe or settings or without):
        raise ConfigError("--resume goes on with the run's own recipe; leave out --recipe, --set and --without")
    if resume and not (out / RECIPE_FILE).is_file():
        raise ConfigError(f"{out}: nothing to resume, {RECIPE_FILE} is missing")
    chosen = str(out / RECIPE_FILE) if resume else recipe or ("default" if start_from else "paper")
    checked = load_recipe(chosen, overrides=settings, without=without)
    if checked.self_training is None and (photos or segments or start_from or boxes):
        raise ConfigError(
            f"--photos, --segments, --from and --boxes are for recipes that forge; {checked.name} does not"
        )
    console.tell_segmentations(segments)
    records = _records(data, subset, authentic_alone=checked.self_training is not None and (bool(start_from) or resume))
    chosen_data = [str(data), *(["--subset", subset] if subset else [])]
    go_on = f"interrupted; go on with: {shlex.join(['vilaco', 'train', *chosen_data, '--out', str(out), '--resume'])}"
    try:
        with console.progress_bar() as progress:
            if checked.self_training is None:
                summary = run_training(
                    records,
                    checked,
                    out,
                    resume=resume,
                    devices=devices,
                    num_nodes=num_nodes,
                    cache_root=cache,
                    progress=progress,
                )
            else:
                summary = train_by_forging(
                    records,
                    checked,
                    out,
                    photos=[image.path for image in find_images(photos)] if photos else [],
                    segments=segments,
                    start_from=find_model(start_from).folder if start_from else None,
                    boxes=boxes,
                    resume=resume,
                    devices=devices,
                    num_nodes=num_nodes,
                    progress=progress,
                )
    except KeyboardInterrupt:  # outside of a stage or an epoch
        if (out / RECIPE_FILE).is_file():
            console.note(go_on)
        raise
    for error in summary.skipped:
        console.note(f"skipped: {error} [{error.code}]")
    if summary.skipped:
        console.note(f"{len(summary.skipped)} images could not be read and were left out")
    if summary.noted:
        console.note(str(summary.noted))
    if summary.interrupted:
        console.note(go_on)
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if int(os.environ.get("LOCAL_RANK", "0")):  # one process of several; the first one speaks
        return
    about = f"{summary.model}"
    if summary.supervision:
        about += f"  learned from {summary.supervision}"
    if summary.best_epoch is not None:
        about += f"  best epoch {summary.best_epoch + 1}"
    if summary.validation_image_auc is not None:
        about += f"  held-out I-AUC {summary.validation_image_auc:.3f}"
    typer.echo(about)
    if summary.changes:
        _tell_changes(*summary.changes)
    if summary.skipped:
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _records(data: Path, subset: str | None, *, authentic_alone: bool) -> "list[Record]":
    """Images of a data set, or of a folder of photos that no format fits, which are then all authentic."""
    from vilaco.data.formats import read_subset
    from vilaco.data.formats.manifest import LABELS
    from vilaco.data.records import AUTHENTIC, TAMPERED, Record
    from vilaco.errors import UnknownFormat
    from vilaco.files import find_images

    try:
        return read_subset(data, subset)
    except UnknownFormat:
        if not authentic_alone or not data.is_dir():
            raise
        paths = [image.path for image in find_images([data])]
        folders = {part for path in paths for part in path.relative_to(data).parts[:-1]}
        if any(LABELS.get(folder.lower()) == TAMPERED for folder in folders):
            raise
        records = [Record(path, AUTHENTIC) for path in paths]
        console.note(f"{data}: has no labels; all its {len(records)} photos are taken to be authentic")
        return records


def _tell_changes(before: "Figures", after: "Figures") -> None:
    """A table of what the training changed, and a line where it did harm."""
    from rich.table import Table

    from vilaco.training.changes import TITLES, got_worse

    table = Table(title="What changed")
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    known = before.known()
    for name, figure in after.known().items():
        table.add_row(TITLES[name], f"{known[name]:.3f}", f"{figure:.3f}")
    console.screen().print(table)
    if worse := got_worse(before, after):
        console.note(f"warning: the new model is worse than the one before: {'; '.join(worse)}")
