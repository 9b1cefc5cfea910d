"""``vilaco data``: check, convert and split data sets, and forge new ones."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vilaco.cli import console
from vilaco.names import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vilaco.data.pool import Look
    from vilaco.data.verify_report import SplitReport, VerifyReport
    from vilaco.errors import ImageError

app = typer.Typer(no_args_is_help=True, help="Data sets: check, convert, split; forge new ones.")

_LISTED = 5
_FORMAT = typer.Option(None, "--format", "-f", help="Format of the source; by default each is tried.")


class OnMaskSize(StrEnum):
    """What to do with a mask whose size differs from its image."""

    skip = "skip"
    resize = "resize"
    fail = "fail"


@app.command()
def verify(
    paths: list[Path] = typer.Argument(help="Data sets, or the splits of one: folders or lists.", show_default=False),
    format: str | None = _FORMAT,
    on_mask_size: OnMaskSize = typer.Option(
        OnMaskSize.skip, help="Masks of another size than their image: leave out, resize, or stop."
    ),
    json_report: bool = typer.Option(False, "--json", help="Print the whole report as JSON."),
) -> None:
    """Open every image and mask, count them, and compare data sets or splits with each other.

    Exit code 3 says that files could not be read.

    Examples:

        vilaco data verify CASIA1/

        vilaco data verify train.csv test.csv --json
    """
    from vilaco.data.verify import open_splits
    from vilaco.data.verify import verify as verify_splits
    from vilaco.tables import SUFFIXES, read_table

    splits = open_splits(paths, format)
    for path in paths:
        if path.suffix.lower() in SUFFIXES:
            console.note(f"{path}: {read_table(path).description}")
    with console.progress_bar() as progress:
        task = progress.add_task("images", total=sum(len(split.records) for split in splits))
        report = verify_splits(splits, mask_size_policy=on_mask_size.value, progress=lambda: progress.advance(task))
    typer.echo(report.model_dump_json(indent=1) if json_report else "\n".join(_report_lines(report)))
    if report.unreadable:
        console.note(f"{report.unreadable} files could not be read")
        raise typer.Exit(console.EXIT_SOME_FAILED)


@app.command()
def convert(
    source: Path = typer.Argument(help="Folder or list to read.", show_default=False),
    target: Path = typer.Argument(help="List to write; it points to the files.", show_default=False),
    to: str = typer.Option(..., "--to", "-t", help="manifest, benco_json, wscl, catnet, trufor or mvss."),
    format: str | None = _FORMAT,
    allow_loss: bool = typer.Option(False, help="Write what the format can hold, and say what it could not."),
    json_report: bool = typer.Option(False, "--json", help="Print what was written as JSON."),
) -> None:
    """Write a data set as a list in another format; pictures stay where they are.

    Examples:

        vilaco data convert CASIA1/ casia1.csv --to manifest

        vilaco data convert casia1.csv casia1.txt --to mvss --allow-loss
    """
    from vilaco.data.convert import convert as convert_splits
    from vilaco.data.formats import read_splits

    report = convert_splits(read_splits(source, format), target, to, allow_loss=allow_loss)
    if json_report:
        typer.echo(report.model_dump_json())
        return
    typer.echo(f"{report.file}: {report.written} of {report.images} images as {report.format}")
    for what, count in report.losses.items():
        console.note(f"lost: {what} ({count} images)")


@app.command()
def split(
    sources: list[Path] = typer.Argument(
        help="One data set to split, or the parts of a given split to check.", show_default=False
    ),
    out: Path = typer.Option(
        ..., "--out", "-o", help="Folder for one manifest a part; not for those of another split."
    ),
    folds: int | None = typer.Option(None, help="Deal into this many folds: fold_0.csv, fold_1.csv, ..."),
    fraction: float | None = typer.Option(None, help="Hold out this share: kept.csv and held_out.csv."),
    seed: int = typer.Option(0, min=0, help="Same seed, same split."),
    format: str | None = _FORMAT,
) -> None:
    """Split a data set so that no scene is on two sides, with labels balanced as well as scenes allow.

    Several sources, or a list that names its subsets, are a split already: it is refused if a scene is on two
    sides of it, and written as manifests otherwise.

    Examples:

        vilaco data split casia1.csv --out folds --folds 5

        vilaco data split casia1.csv --out holdout --fraction 0.2 --seed 1
    """
    from vilaco.data.convert import convert as convert_splits
    from vilaco.data.records import AUTHENTIC, TAMPERED
    from vilaco.data.split import check_split, grouped_folds, grouped_split, part_files
    from vilaco.data.verify import open_splits
    from vilaco.errors import ConfigError

    given = open_splits(sources, format)
    if len(given) > 1:
        if folds is not None or fraction is not None:
            raise ConfigError("--folds and --fraction split one data set; several were given")
        check_split({part.name: part.records for part in given})
        parts = {f"part_{index}": list(part.records) for index, part in enumerate(given)}
    elif (folds is None) == (fraction is None):
        raise ConfigError("say either --folds K or --fraction F")
    elif folds is not None:
        parts = {f"fold_{i}": fold for i, fold in enumerate(grouped_folds(given[0].records, folds, seed))}
    else:
        kept, held_out = grouped_split(given[0].records, fraction=fraction or 0.0, seed=seed)
        parts = {"kept": kept, "held_out": held_out}

    files = part_files(parts, out, sources)
    for name, records in parts.items():
        report = convert_splits({"": records}, files[name], "manifest")
        labels = [record.label for record in records]
        scenes = len({record.group for record in records if record.group is not None})
        typer.echo(
            f"{report.file}: {len(records)} images, {labels.count(AUTHENTIC)} authentic, "
            f"{labels.count(TAMPERED)} tampered, {scenes} scenes"
        )


@app.command()
def forge(
    photos: list[str] = typer.Argument(help="Authentic photos: files, folders or globs.", show_default=False),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the data set; new or empty."),
    count: int = typer.Option(500, "--count", "-n", min=1, help="Pictures to make, both labels together."),
    seed: int = typer.Option(0, min=0, help="Fixes every picture, whatever the number of workers."),
    segments: list[Path] = typer.Option(
        [], help="Folder of segmentations to take shapes from: BSDS500's .mat, class maps as .mat or .png. Repeatable."
    ),
    autoencoder: Path | None = typer.Option(
        None,
        help="Folder of a tiny autoencoder (TAESD), which re-draws regions as image generators do; needs PyTorch.",
        show_default=False,
    ),
    tampered_share: float | None = typer.Option(None, help="Share of forgeries; half by default."),
    size: str | None = typer.Option(None, help="Size of every picture, WIDTHxHEIGHT, e.g. 384x256."),
    workers: int | None = typer.Option(None, min=1, help="Processes; one a core by default."),
    json_report: bool = typer.Option(False, "--json", help="Print what was made as JSON."),
) -> None:
    """Make believable forgeries with exact masks, and authentic pictures with the same file history.

    Exit code 3 says that some photos could not be read; the rest were used.

    Examples:

        vilaco data forge photos/ --out forged -n 500 --seed 7

        vilaco data forge bsds500/images --segments bsds500/segments --out forged --size 384x256

        vilaco data forge photos/ --autoencoder taesd/ --out forged
    """
    import json

    from vilaco.data.forge import forge_dataset
    from vilaco.files import find_images

    if autoencoder is not None:
        console.require("train", "torch")
    console.tell_segmentations(segments)
    found = [image.path for image in find_images(photos)]
    pixels = _height_width(size)
    with console.progress_bar() as progress:
        task = progress.add_task("pictures", total=count)
        summary = forge_dataset(
            found,
            out,
            count=count,
            seed=seed,
            segments=segments,
            autoencoder=autoencoder,
            tampered_share=tampered_share,
            size=pixels,
            workers=workers,
            progress=lambda done, _: progress.update(task, completed=done),
        )
    made = {
        "manifest": str(summary.manifest),
        "authentic": summary.authentic,
        "tampered": summary.tampered,
        "operations": dict(summary.operations),
        "photos_given": summary.photos_given,
        "photos_used": summary.photos_used,
        "unreadable": {str(path): reason for path, reason in summary.unreadable.items()},
        "seconds": round(summary.seconds, 3),
    }
    if json_report:
        typer.echo(json.dumps(made))
    else:
        operations = ", ".join(f"{number} {name}" for name, number in summary.operations.items())
        typer.echo(f"{summary.manifest}: {summary.authentic} authentic, {summary.tampered} tampered ({operations})")
        if summary.contact_sheet:
            typer.echo(f"{summary.contact_sheet}: some of the forgeries")
    if summary.unreadable:
        for path, reason in summary.unreadable.items():
            console.note(f"skipped: {path}: {reason}")
        raise typer.Exit(console.EXIT_SOME_FAILED)


@app.command()
def pool(
    roots: list[Path] = typer.Argument(help="Folders of sources: ROOT/SOURCE/...", show_default=False),
    out: Path = typer.Option(..., "--out", "-o", help="The list to write (CSV)."),
    sources: list[str] = typer.Option(
        ...,
        "--source",
        "-s",
        help="A source to take; of photos alike, that of the source named first stays. Repeatable.",
    ),
    against: list[Path] = typer.Option(
        [], help="A folder of pictures that models are judged on; what looks like one is left out. Repeatable."
    ),
    every: list[str] = typer.Option([], help="SOURCE=N: take every Nth, of video frames. Repeatable."),
    terms: list[str] = typer.Option([], help="SOURCE=WORDS: its terms, where no photos.csv says them. Repeatable."),
    scenes: list[str] = typer.Option([], "--scene", help="A source whose photos show one scene. Repeatable."),
    seed: int = typer.Option(0, min=0, help="Fixes, with the groups' names, which side each is on."),
) -> None:
    """Gather authentic photos into a pool to train from: readable, no two alike, none that models are judged on.

    A root may hold photos.csv (path, source, terms, group). Whole groups go to training (90%), forged validation (5%)
    or calibration (5%). The list has each photo's hash and terms, and can be committed; photos stay where they are.
    Exit code 3 says that some could not be read.

    Examples:

        vilaco data pool photos/ --source holiday --source street --out pool.csv

        vilaco data pool photos/ -s drives --every drives=4 --terms drives=research --against casia1/ --out pool.csv
    """
    console.require("train", "imagehash")
    from concurrent.futures import ProcessPoolExecutor

    from vilaco.data.pool import build_pool, look_at, pool_table, write_pool
    from vilaco.errors import ConfigError

    def pairs(given: list[str], option: str) -> dict[str, str]:
        if wrong := next((text for text in given if "=" not in text), None):
            raise ConfigError(f"{option} must be SOURCE=..., got '{wrong}'")
        return dict(text.split("=", 1) for text in given)

    thinned = pairs(every, "--every")
    if wrong := next((number for number in thinned.values() if not number.isdecimal() or not int(number)), None):
        raise ConfigError(f"--every must be SOURCE=N with N from 1 up, got '{wrong}'")
    with console.progress_bar() as progress, ProcessPoolExecutor() as processes:

        def look(files: Sequence[Path]) -> Iterator[Look | ImageError]:
            task = progress.add_task("photos", total=len(files))
            for seen in processes.map(look_at, files, chunksize=16):
                progress.advance(task)
                yield seen

        report = build_pool(
            roots,
            sources=sources,
            against=against,
            every={source: int(number) for source, number in thinned.items()},
            terms=pairs(terms, "--terms"),
            scenes=scenes,
            seed=seed,
            look=look,
        )
    write_pool(report.photos, out)
    typer.echo(pool_table(report.photos))
    typer.echo(
        f"{out}: {len(report.photos)} photos; left out: {report.alike} alike, {report.judged} like pictures that are "
        f"judged on, {report.small} too small, {report.thinned} thinned, {len(report.unreadable)} unreadable"
    )
    if report.unreadable:
        for error in report.unreadable:
            console.note(f"skipped: {error} [{error.code}]")
        raise typer.Exit(console.EXIT_SOME_FAILED)


def _height_width(size: str | None) -> tuple[int, int] | None:
    """``"384x256"`` (width first, as people write it) as (256, 384)."""
    if size is None:
        return None
    from vilaco.errors import ConfigError

    width, _, height = size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size must be WIDTHxHEIGHT such as 384x256, got '{size}'")
    return int(height), int(width)


def _report_lines(report: VerifyReport) -> list[str]:
    lines = [line for split in report.splits for line in _split_lines(split, report.mask_size_policy)]
    if len(report.splits) > 1:
        shared = [f"{scene.scene}: {', '.join(scene.splits)}" for scene in report.shared_scenes]
        lines += _listing("scenes shared between splits", shared)
    copies = report.identical_files
    labels = [" = ".join(copy.files) for copy in copies if copy.labels_differ]
    across = [" = ".join(copy.files) for copy in copies if copy.splits_differ]
    lines += _listing("identical files with different labels", labels)
    if len(report.splits) > 1:
        lines += _listing("identical files in different splits", across)
    scenes = [" = ".join(copy.files) for copy in copies if copy.scenes_differ]
    lines += _listing("identical files not known as one scene", scenes)
    harmless = [c for c in copies if not (c.labels_differ or c.splits_differ or c.scenes_differ)]
    lines += _listing("other identical files", [" = ".join(copy.files) for copy in harmless])
    return lines


def _split_lines(split: SplitReport, policy: str) -> list[str]:
    masks = split.masks
    lines = [
        f"{split.name} ({split.format})",
        f"  images       {split.images} = {split.authentic} authentic + {split.tampered} tampered "
        f"+ {split.unlabelled} without a label",
        f"  files        {split.images} = {split.readable} readable + {len(split.unreadable)} unreadable",
        f"  scenes       {split.scenes}; {split.without_scene} images whose scene is not known",
        f"  masks        {masks.listed} = {masks.good} good + {masks.unreadable} unreadable "
        f"+ {masks.size_differs} of another size + {masks.all_zero} all zero "
        f"+ {masks.contradicts_label} that mark authentic images",
        f"               {masks.not_binary} not binary; {masks.tampered_without_mask} tampered images without one",
        f"  pixel truth  {masks.pixel_truth} of {split.tampered} tampered images (masks of another size: {policy})",
    ]
    for known in split.known:
        counts = (("authentic", known.authentic), ("tampered", known.tampered))
        told = ", ".join(f"{count} {what}" for what, count in counts if count is not None)
        lines.append(f"  known        {told} ({known.source})")
    lines += [f"  boxes        on {split.boxed} images"] if split.boxed else []
    lines += [f"  notes        {one_line(str(split.noted))}"] if split.noted else []
    faults = [f"{fault.file}: {fault.reason}" for fault in [*split.unreadable, *split.mask_faults, *split.box_faults]]
    lines += _listing("  faults", faults) if faults else []
    if split.masks_not_binary:
        lines += _listing("  masks that are not binary (every pixel above zero is tampered)", split.masks_not_binary)
    if split.files_not_used:
        lines += _listing("  image files that no record names", split.files_not_used)
    return lines


def _listing(title: str, items: Sequence[str]) -> list[str]:
    """A count, the first few items, and how many more there are."""
    indent = " " * (len(title) - len(title.lstrip()) + 2)
    more = [f"{indent}... and {len(items) - _LISTED} more (--json lists all)"] if len(items) > _LISTED else []
    return [f"{title}: {len(items)}", *(indent + item for item in items[:_LISTED]), *more]
