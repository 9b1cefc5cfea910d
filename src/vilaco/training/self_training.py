"""Recipe ``default``: learn to see forgeries that we make ourselves, then teach oneself the user's.

First stage: forgeries made from authentic photos, with masks that the forge knows. Then rounds of self-training: half
of each batch are the user's images, of which the authentic ones are authentic everywhere, and the tampered ones are
drawn by the average of the weights so far (:mod:`~vilaco.training.mean_teacher`); the other half are fresh forgeries
made from the authentic ones. No human mask comes near any of it. Boxes around forgeries do where a run asks for them,
and it says so wherever it speaks of itself.

The averaged weights of the last step of the last round are the model; nothing is chosen. A held-out share of the user's
images says how well it tells labels and what the rounds changed (:mod:`~vilaco.training.changes`); its authentic ones
and a held-out share of the photos, forged on the spot, calibrate the model's verdict.
"""

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from vilaco import __version__
from vilaco.data.forge import PhotoPool
from vilaco.data.forging import StreamConfig
from vilaco.data.loading import WeakRecord
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.encoders import load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.evaluation.calibrate import calibrate, write_calibrated
from vilaco.evaluation.image_metrics import ImageScores, image_auc
from vilaco.files import write_atomically
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import CONFIG, CheckpointConfig
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.callbacks import ProgressBar, StepLines, write_json
from vilaco.training.changes import TITLES, Figures, make_forgeries, measure
from vilaco.training.makers import PictureSource
from vilaco.training.mean_teacher import MeanTeacher
from vilaco.training.recipe import Recipe
from vilaco.training.run import (
    RUN_FILE,
    TrainingSummary,
    begin,
    check_same_images,
    images_sha256,
    is_first_process,
    noted_among,
    prepare_folder,
    read_images,
    read_photos,
    split_held_out,
)
from vilaco.training.self_forged import SaveStage, SelfForgedModule
from vilaco.training.stage_run import run_stage
from vilaco.training.weights import take_up

STAGES, SOURCES_FILE, CHANGES_FOLDER, CARD = "stages", "sources.json", "held_out_forgeries", "README.md"
IMAGE_LABELS, BOXES, AUTHENTIC_PHOTOS = "image labels", "boxes", "authentic photos alone"
"""What a run may have been told about the user's images."""


def train_by_forging(
    records: Sequence[Record],
    recipe: Recipe,
    out: Path,
    *,
    photos: Sequence[Path] = (),
    segments: Sequence[Path] = (),
    start_from: Path | None = None,
    boxes: bool = False,
    resume: bool = False,
    devices: int = 1,
    num_nodes: int = 1,
    encoder: VisionLanguageEncoder | None = None,
    progress: Progress | None = None,
) -> TrainingSummary:
    """Run the whole course: self-made forgeries, then rounds of self-training.

    Args:
        records: Labelled images; masks, if any, are not looked at. The authentic ones are forged from too, and with
            ``start_from`` they are enough. None are needed where ``photos`` are given; every stage then learns from
            forgeries alone.
        recipe: The whole configuration; its ``self_training`` must be set.
        out: Run folder: ``model/``, ``stages/``, ``recipe.yaml``, ``run.json``, ``sources.json``, and in
            ``held_out_forgeries/`` what tells what the rounds changed.
        photos: More authentic photos to forge from.
        segments: Folders of segmentations of some photos, for the shapes of forgeries.
        start_from: A model folder of the same network to start with, in place of the first stage.
        boxes: Whether to learn from the boxes of tampered images too: tampered pixels lie inside them alone. The run is
            then not weakly supervised, and says so.
        resume: Go on where the run in this folder stopped, with the photos, segments, model and boxes it began with.
        devices: GPUs, or CPU processes where there is no GPU, per node.
        num_nodes: Machines.
        encoder: A loaded encoder to share.
        progress: Where to show how far it is.

    Raises:
        DataError: If fewer than 8 images can be read, or only one kind, or none of the segmentations fits, or if there
            are no boxes to learn from, or a wrong one, or if the images are not those that the run began with.
        ImageError: If one cannot be read any more; the run can be resumed.
        ConfigError: If ``out`` holds another run and ``resume`` is off, or the other way round, or if ``photos``,
            ``segments``, ``start_from`` or ``boxes`` are given anew on a resume.
        ModelError: If ``start_from`` does not fit.
    """
    course = recipe.self_training
    assert course is not None, "callers choose by it"
    assert isinstance(recipe.model, ViLaCoConfig), "the recipe has checked this"
    residuals = recipe.model.residuals
    assert residuals is not None, "likewise"
    first = is_first_process()
    if first:
        prepare_folder(out, resume=resume)
    if resume and (out / SOURCES_FILE).exists():
        if photos or segments or start_from or boxes:
            raise ConfigError(
                f"{out}: goes on with the photos, segments, model and boxes it began with; leave them out"
            )
        photos, segments, start_from, boxes = _read_sources(out / SOURCES_FILE)
    shown = [] if progress is None else [StepLines() if progress.disable else ProgressBar(refresh_rate=10)]
    progress = progress or Progress(disable=True)
    settings = recipe.training
    usable: list[WeakRecord] = []
    skipped: list[ImageError] = []
    if records:
        usable, skipped = read_images(records, progress, boxes=boxes, authentic_alone=start_from is not None)
    if boxes and not any(image.boxes for image in usable):
        raise DataError("no boxes among the images; a manifest has them in a column 'boxes'")
    keep: list[WeakRecord] = usable
    held_out: list[WeakRecord] = []
    if usable:
        keep, held_out = split_held_out(records, usable, share=settings.validation_share, seed=settings.seed)
    readable, unreadable = read_photos(photos, progress)
    skipped += unreadable
    noted = noted_among([*usable, *readable])
    forged_from, calibrating = split_photos(readable, share=settings.validation_share, seed=settings.seed)
    facts = _facts(recipe, keep, held_out, skipped, forged_from, calibrating, start_from, boxes=boxes)
    if resume:
        check_same_images(out, facts)
    encoder = (encoder or load_encoder(recipe.model.encoder)).to("cuda" if torch.cuda.is_available() else "cpu")
    own = [record for record in keep if record.label == AUTHENTIC]
    forged = unlike([*own, *forged_from], held_out)
    hosts = [photo.path.absolute() for photo in forged]
    PhotoPool(hosts, segments=segments)  # says what is wrong with them before anything is written
    if start_from is not None:
        take_up(ViLaCo(recipe.model, encoder), start_from)  # likewise
    if first and not resume:
        write_json(out / SOURCES_FILE, _sources(photos, segments, start_from, boxes=boxes))
        begin(out, recipe, facts)

    started = time.monotonic()
    previous = before = start_from
    stages = [course.round] * course.rounds if start_from else [course.forged, *[course.round] * course.rounds]
    for number, stage in enumerate(stages):
        folder = out / STAGES / str(number)
        if (folder / "model" / CONFIG).exists():
            previous = folder / "model"
            before = before or previous
            continue
        real = keep if previous is not None else []
        seed = settings.seed + 1000 * number
        torch.manual_seed(settings.seed)
        model = ViLaCo(recipe.model, encoder)
        if previous is not None:
            take_up(model, previous)
        real_count = round(course.stream.real_share * course.stream.batch_size) if real else 0
        source = PictureSource(
            photos=tuple(hosts),
            config=course.stream,
            seed=seed + 1,
            count=course.stream.batch_size - real_count,
            encoder=recipe.model.encoder,
            view_size=recipe.model.image_size,
            kinds=residuals.kinds,
            segments=tuple(segments),
            weights=_half_own(forged, own) if real else None,
        )
        teacher = None
        if real and previous is not None:
            teacher = MeanTeacher(model, course.teacher, map_shift=_map_shift(previous))
        progress.stop()
        interrupted = run_stage(
            folder,
            SelfForgedModule(model, stage, course.objective, seed=seed, teacher=teacher),
            source,
            real=real,
            store=course.store,
            num_workers=course.num_workers,
            devices=devices,
            num_nodes=num_nodes,
            precision=settings.precision,
            callbacks=[*shown, SaveStage(folder, {**facts, "stage": number})],
        )
        if interrupted:
            return TrainingSummary(out / "model", None, None, skipped, noted, interrupted=True)
        previous = folder / "model"
        before = before or previous
    assert previous is not None
    assert before is not None
    if not first:
        return TrainingSummary(out / "model", None, None, skipped, noted, interrupted=False)
    own_calibrating = [record for record in held_out if record.label == AUTHENTIC]
    unseen = unlike([*calibrating, *own_calibrating], forged)
    trained = Localizer(TorchRuntime.load(previous, encoder=encoder), name="trained")
    _write_model(trained, previous, out / "model", [photo.path.absolute() for photo in unseen], seed=settings.seed)
    changes = None
    if held_out and before != previous:
        changes = _changes(before, out, encoder, held_out, course.stream, progress, seed=settings.seed)
    if changes:
        facts["changes"] = {name: model.known() for name, model in zip(("before", "after"), changes, strict=True)}
    validation_auc = None
    if {record.label for record in held_out} == {AUTHENTIC, TAMPERED}:
        validation_auc = changes[1].image_auc if changes else _held_out_auc(trained, held_out, progress)
        facts["validation_image_auc"] = validation_auc
    write_json(out / RUN_FILE, {**facts, "seconds": round(time.monotonic() - started, 1), "resumed": resume})
    write_atomically(out / "model" / CARD, _card(facts, changes).encode())
    return TrainingSummary(
        model=out / "model",
        best_epoch=None,
        validation_image_auc=validation_auc,
        skipped=skipped,
        noted=noted,
        interrupted=False,
        supervision=facts["supervision"],
        changes=changes,
    )


def split_photos(photos: Sequence[WeakRecord], *, share: float, seed: int) -> tuple[list[WeakRecord], list[WeakRecord]]:
    """The photos to forge from in training, and those that calibrate the model in the end; of copies one counts.

    Example:
        >>> photos = [WeakRecord(Path(f"/{number}.jpg"), 0, sha256=str(number % 10)) for number in range(20)]
        >>> [len(side) for side in split_photos(photos, share=0.2, seed=0)]
        [8, 2]
    """
    distinct = unlike(sorted(photos, key=lambda photo: photo.path.absolute()), ())
    kept_out = set(np.random.default_rng(seed).permutation(len(distinct))[: round(share * len(distinct))].tolist())
    sides = [[photo for index, photo in enumerate(distinct) if (index in kept_out) == out] for out in (False, True)]
    return sides[0], sides[1]


def unlike(photos: Sequence[WeakRecord], others: Sequence[WeakRecord]) -> list[WeakRecord]:
    """The photos whose bytes are not among those of ``others``, under whatever name; of copies the first."""
    seen = {other.sha256 for other in others}
    first_with: dict[str, WeakRecord] = {}
    for photo in photos:
        if photo.sha256 not in seen:
            first_with.setdefault(photo.sha256, photo)
    return list(first_with.values())


def _half_own(photos: Sequence[WeakRecord], own: Sequence[WeakRecord]) -> tuple[float, ...]:
    """How often each photo is forged from in a round: half of all times one of the user's own, where there are others.

    Example:
        >>> mine, others = WeakRecord(Path("a"), 0, "a"), [WeakRecord(Path(name), 0, name) for name in "bc"]
        >>> _half_own([mine, *others], [mine])
        (0.5, 0.25, 0.25)
    """
    mine = {photo.path for photo in own}
    counts = Counter(photo.path in mine for photo in photos)
    return tuple(1 / (len(counts) * counts[photo.path in mine]) for photo in photos)


def _map_shift(model: Path) -> float:
    """What calibration found best to add to the logits of a model's maps; 0 where it is not calibrated."""
    calibration = CheckpointConfig.model_validate_json((model / CONFIG).read_bytes()).calibration
    return 0.0 if calibration is None else calibration.map_shift


def _changes(
    before: Path,
    out: Path,
    encoder: VisionLanguageEncoder,
    held_out: Sequence[WeakRecord],
    stream: StreamConfig,
    progress: Progress,
    *,
    seed: int,
) -> tuple[Figures, Figures] | None:
    """Figures of the model before and of a run's, as a user who loads them meets them; none where none can be made."""
    authentic = [record for record in held_out if record.label == AUTHENTIC]
    try:
        forgeries = make_forgeries(authentic, stream, out / CHANGES_FOLDER, seed=seed)
    except DataError as error:
        logging.getLogger(__name__).warning("what the training changed is not measured: %s", error)
        return None
    progress.start()
    task = progress.add_task("before and after", total=2 * (len(held_out) + len(forgeries)))

    def figures(folder: Path) -> Figures:
        runtime = TorchRuntime.load(folder, encoder=encoder)
        localizer = Localizer(runtime, name=folder.name, calibration=runtime.calibration)
        return measure(localizer, held_out, forgeries, progress=partial(progress.advance, task))

    return figures(before), figures(out / "model")


def _card(facts: dict[str, Any], changes: tuple[Figures, Figures] | None) -> str:
    """What is known of a model at its birth; its owner adds what it is for and where it fails."""
    authentic, tampered = (facts["train_images"].get(f"label_{label}", 0) for label in (AUTHENTIC, TAMPERED))
    started = f"started from `{facts['started_from']}`, " if facts["started_from"] else ""
    boxes = f", {facts['boxes']} boxes" if facts["boxes"] else ""
    more = f" and {facts['photos']} more" if facts["photos"] else ""
    text = f"""# A model of one's own

Trained by vilaco {facts["vilaco_version"]}, {started}supervision: **{facts["supervision"]}**. Learned from
{authentic} authentic and {tampered} tampered photos{boxes}, and forgeries that it made itself from the authentic
ones{more}.
"""
    if changes:
        before, after = (figures.known() for figures in changes)
        rows = [f"| {TITLES[name]} | {before[name]:.3f} | {value:.3f} |" for name, value in after.items()]
        text += "\n".join(["\n| on held-out photos | before | after |", "|---|---|---|", *rows, ""])
    return text


def _sources(
    photos: Sequence[Path], segments: Sequence[Path], start_from: Path | None, *, boxes: bool
) -> dict[str, Any]:
    """What a run is made from besides its data, for a resume; it is not part of the model."""
    return {
        "photos": [str(path.absolute()) for path in photos],
        "segments": [str(path.absolute()) for path in segments],
        "start_from": None if start_from is None else str(start_from.absolute()),
        "boxes": boxes,
    }


def _read_sources(path: Path) -> tuple[list[Path], list[Path], Path | None, bool]:
    """Photos, segments, model and whether boxes are looked at, which :func:`_sources` wrote down."""
    kept = json.loads(path.read_bytes())
    start_from = None if kept["start_from"] is None else Path(kept["start_from"])
    photos, segments = ([Path(path) for path in kept[name]] for name in ("photos", "segments"))
    return photos, segments, start_from, kept["boxes"]


def _held_out_auc(localizer: Localizer, held_out: Sequence[WeakRecord], progress: Progress) -> float:
    progress.start()
    task = progress.add_task("judging held-out images", total=len(held_out))
    scores = []
    for record in held_out:
        scores.append(localizer.predict(load_photo(record.path)).detection_score)
        progress.advance(task)
    return float(image_auc(ImageScores.of([record.label for record in held_out], np.array(scores)))[0])


def _write_model(localizer: Localizer, trained: Path, out: Path, photos: Sequence[Path], *, seed: int) -> None:
    """Write the model calibrated, or as it is where the held-out photos are too few to promise anything."""
    if out.exists():
        shutil.rmtree(out)
    try:
        write_calibrated(trained, out, calibrate(localizer, photos, seed=seed).calibration)
    except (ConfigError, DataError) as error:
        logging.getLogger(__name__).warning("the model is not calibrated: %s", error)
        shutil.copytree(trained, out)


def _facts(
    recipe: Recipe,
    keep: Sequence[WeakRecord],
    held_out: Sequence[WeakRecord],
    skipped: Sequence[ImageError],
    forged_from: Sequence[WeakRecord],
    calibrating: Sequence[WeakRecord],
    start_from: Path | None,
    *,
    boxes: bool,
) -> dict[str, Any]:
    tampered = any(record.label == TAMPERED for record in keep)
    return {
        "vilaco_version": __version__,
        "supervision": BOXES if boxes else IMAGE_LABELS if tampered else AUTHENTIC_PHOTOS,
        "boxes": sum(len(record.boxes) for record in keep),
        "recipe": recipe.model_dump(mode="json"),
        "train_images": dict(Counter(f"label_{record.label}" for record in keep)),
        "validation_images": dict(Counter(f"label_{record.label}" for record in held_out)),
        "photos": len(forged_from),
        "calibration_photos": len(calibrating),
        "started_from": None if start_from is None else start_from.name,
        "skipped_images": [str(error) for error in skipped],
        "train_sha256": images_sha256(keep),
        "validation_sha256": images_sha256(held_out),
        "photos_sha256": images_sha256([*forged_from, *calibrating]),
    }
