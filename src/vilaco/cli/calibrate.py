"""``vilaco calibrate``: a copy of a model whose score, map and verdicts mean something."""

from pathlib import Path

import typer

from vilaco.cli import console


def calibrate(
    model: str = typer.Argument(help="A shipped model, a model folder, or a hub name.", show_default=False),
    authentic: list[str] = typer.Option(
        help="Authentic photos the model has not seen: files, folders or globs. Repeatable.", show_default=False
    ),
    out: Path = typer.Option(..., "--out", "-o", help="The calibrated model; a new or empty folder."),
    forge_seed: int = typer.Option(0, min=0, help="Seed of the forgeries and histories."),
    max_false_alarms: float = typer.Option(0.05, help="Share of authentic photos that may be called tampered."),
    max_suspicions: float = typer.Option(
        0.1, help="Share of authentic photos that may be suspicious, and that may have a region drawn."
    ),
    check: list[str] = typer.Option(
        [], help="Other authentic photos, to count false alarms on: as stored, re-saved, re-sized. Repeatable."
    ),
) -> None:
    """Calibrate a model on authentic photos; forgeries are made from them, no mask or label is needed.

    Each photo gives one authentic picture and one forgery, with the same random history of saves, crops and sizes.
    They fix the score (a probability), the map (0.5 is its best threshold) and conformal thresholds: an authentic
    photo is called tampered with a probability of at most --max-false-alarms, and has a region drawn with one of at
    most --max-suspicions. Where neither a region nor the score stands out, nothing was found. That holds on average
    over photos like those given, and histories like those made. A rate needs photos: 19 for 0.05, 99 for 0.01.

    Exit code 3 says that some photos could not be read; the rest were used.

    Example:

        vilaco calibrate runs/mine/model --authentic held_out/ --check others/ --out runs/mine/calibrated
    """
    from vilaco.files import find_images, refuse_filled

    photos = [image.path for image in find_images(authentic)]
    others = [image.path for image in find_images(check)]
    console.require("train", "torch", "transformers", "sklearn")
    from vilaco.evaluation.calibrate import calibrate as fit
    from vilaco.evaluation.calibrate import write_calibrated
    from vilaco.evaluation.verdicts import authentic_verdicts
    from vilaco.localizer import Localizer
    from vilaco.weights import find_model

    refuse_filled(out)
    localizer = Localizer.load(model)
    report = fit(
        localizer,
        photos,
        seed=forge_seed,
        max_false_alarms=max_false_alarms,
        max_suspicions=max_suspicions,
        progress=lambda pictures: console.track(pictures, "pictures"),
    )
    skipped = [f"{path}: {reason}" for path, reason in report.unreadable.items()]
    noted = [report.noted] if report.noted else []
    calibration = report.calibration
    write_calibrated(find_model(model).folder, out, calibration)
    decision, cleared = calibration.thresholds()
    pairs = len(calibration.authentic_scores)
    typer.echo(f"{out}: calibrated on {pairs} authentic pictures and {pairs} forgeries")
    typer.echo(f"  tampered above {decision:.3f}, nothing found up to {cleared:.3f} where no region stands out")
    found, missed = 1 - calibration.missed(decision), calibration.missed(cleared)
    typer.echo(f"  of the forgeries {found:.0%} are above the first, {missed:.0%} below the second")
    typer.echo(f"  F1 of the maps on the forgeries {report.pixel_f1_raw:.3f} raw, {report.pixel_f1:.3f} calibrated")
    if others:
        calibrated = Localizer(localizer.runtime, name=localizer.name, calibration=calibration)
        checked = authentic_verdicts(calibrated, console.track(others, "checked"))
        for row in checked.rows:
            typer.echo(
                f"  {row.state:14} {row.false_alarms:6.1%} called tampered, {row.undecided:6.1%} cannot tell, "
                f"of {row.verdicts.total()} authentic photos"
            )
        skipped += map(str, checked.skipped)
        noted += [checked.noted] if checked.noted else []
    for photos_noted in noted:
        console.note(str(photos_noted))
    for line in skipped:
        console.note(f"skipped: {line}")
    if skipped:
        raise typer.Exit(console.EXIT_SOME_FAILED)
