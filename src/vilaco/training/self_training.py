"""Recipe ``default``: learn to see forgeries that we make ourselves, then teach oneself the user's.

First stage: forgeries made from authentic photos, with masks that the forge knows. Then rounds of
self-training: the model so far draws where it thinks the tampered images of the user were tampered with, and the next
one learns from those pseudo-masks, from the image labels, and from fresh forgeries. No human mask comes near any of it.

The averaged weights of the last step of the last round are the model; nothing is chosen. A held-out share of the user's
images says how well it tells labels; its authentic ones and a held-out share of the photos, forged on the spot,
calibrate the model's verdict.
"""

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.progress import Progress

from vilaco import __version__
from vilaco.data.forge import PhotoPool
from vilaco.data.forging import AUTHENTIC_PIXEL, TAMPERED_PIXEL, UNKNOWN_PIXEL, RealImage
from vilaco.data.loading import WeakRecord
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.encoders import load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.evaluation.calibrate import calibrate, write_calibrated
from vilaco.evaluation.image_metrics import ImageScores, image_auc
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.method.checkpoint import CONFIG
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.runtimes.torch import TorchRuntime
from vilaco.training.callbacks import ProgressBar, StepLines, write_json
from vilaco.training.makers import PictureSource
from vilaco.training.recipe import Recipe, SelfTrainingConfig
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

STAGES, SOURCES_FILE = "stages", "sources.json"


def pseudo_mask(localization_map: np.ndarray, *, tampered_share: float, unknown_share: float) -> np.ndarray:
    """Turn a map of a tampered image into a mask to learn from.

    The image's label says that something was tampered with, so the highest pixels count as tampered however low they
    are; a band below them counts as nothing, as that is where the outline may lie.

    Args:
        localization_map: Shape ``(h, w)``.
        tampered_share: Share of the pixels, in (0, 1).
        unknown_share: Likewise.

    Returns:
        0, 1 and 255, shape ``(h, w)``, uint8.

    Example:
        >>> pseudo_mask(np.array([[0.1, 0.9, 0.5, 0.2]]), tampered_share=0.25, unknown_share=0.25)
        array([[  0,   1, 255,   0]], dtype=uint8)
    """
    order = np.argsort(-localization_map, axis=None, kind="stable")
    tampered = max(1, round(tampered_share * order.size))
    unknown = round(unknown_share * order.size)
    mask = np.full(order.size, AUTHENTIC_PIXEL, np.uint8)
    mask[order[:tampered]] = TAMPERED_PIXEL
    mask[order[tampered : tampered + unknown]] = UNKNOWN_PIXEL
    return mask.reshape(localization_map.shape)


def draw_pseudo_masks(
    teacher: Localizer,
    records: Sequence[WeakRecord],
    config: SelfTrainingConfig,
    *,
    progress: Callable[[], object] = lambda: None,
) -> list[RealImage]:
    """What a teacher draws on the tampered images; authentic ones need none.

    Args:
        teacher: The model so far, not calibrated.
        records: The user's images.
        config: Shares of tampered and unknown pixels.
        progress: Called once an image.
    """
    images = []
    for record in records:
        mask = None
        if record.label == TAMPERED:
            map_ = teacher.predict(load_photo(record.path)).localization_map
            coarse = cv2.resize(map_, (max(1, map_.shape[1] // 2), max(1, map_.shape[0] // 2)))
            mask = pseudo_mask(coarse, tampered_share=config.tampered_share, unknown_share=config.unknown_share)
        images.append(RealImage(record, mask))
        progress()
    return images


def train_by_forging(
    records: Sequence[Record],
    recipe: Recipe,
    out: Path,
    *,
    photos: Sequence[Path] = (),
    segments: Sequence[Path] = (),
    start_from: Path | None = None,
    resume: bool = False,
    devices: int = 1,
    num_nodes: int = 1,
    encoder: VisionLanguageEncoder | None = None,
    progress: Progress | None = None,
) -> TrainingSummary:
    """Run the whole course: self-made forgeries, then rounds of self-training.

    Args:
        records: Labelled images; masks, if any, are not looked at. The authentic ones are forged from too. None are
            needed where ``photos`` are given; every stage then learns from forgeries alone.
        recipe: The whole configuration; its ``self_training`` must be set.
        out: Run folder: ``model/``, ``stages/``, ``recipe.yaml``, ``run.json``, ``sources.json``.
        photos: More authentic photos to forge from.
        segments: Folders of segmentations of some photos, for the shapes of forgeries.
        start_from: A model folder of the same network to start with, in place of the first stage.
        resume: Go on where the run in this folder stopped, with the photos, segments and model it began with.
        devices: GPUs, or CPU processes where there is no GPU, per node.
        num_nodes: Machines.
        encoder: A loaded encoder to share.
        progress: Where to show how far it is.

    Raises:
        DataError: If fewer than 8 images can be read, or only one kind, or none of the segmentations fits, or if the
            images are not those that the run began with.
        ImageError: If one cannot be read any more; the run can be resumed.
        ConfigError: If ``out`` holds another run and ``resume`` is off, or the other way round, or if ``photos``,
            ``segments`` or ``start_from`` are given anew on a resume.
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
        if photos or segments or start_from:
            raise ConfigError(f"{out}: goes on with the photos, segments and model it began with; leave them out")
        photos, segments, start_from = _read_sources(out / SOURCES_FILE)
    shown = [] if progress is None else [StepLines() if progress.disable else ProgressBar(refresh_rate=10)]
    progress = progress or Progress(disable=True)
    settings = recipe.training
    usable, skipped = read_images(records, progress) if records else ([], [])
    keep: list[WeakRecord] = usable
    held_out: list[WeakRecord] = []
    if usable:
        keep, held_out = split_held_out(records, usable, share=settings.validation_share, seed=settings.seed)
    readable, unreadable = read_photos(photos, progress)
    skipped += unreadable
    noted = noted_among([*usable, *readable])
    forged_from, calibrating = split_photos(readable, share=settings.validation_share, seed=settings.seed)
    facts = _facts(recipe, keep, held_out, skipped, forged_from, calibrating, start_from)
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
        write_json(out / SOURCES_FILE, _sources(photos, segments, start_from))
        begin(out, recipe, facts)

    started = time.monotonic()
    previous = start_from
    stages = [course.round] * course.rounds if start_from else [course.forged, *[course.round] * course.rounds]
    for number, stage in enumerate(stages):
        folder = out / STAGES / str(number)
        if (folder / "model" / CONFIG).exists():
            previous = folder / "model"
            continue
        real: list[RealImage] = []
        if keep and previous is not None:
            teacher = Localizer(TorchRuntime.load(previous, encoder=encoder), name="teacher")
            progress.start()
            task = progress.add_task("drawing pseudo-masks", total=len(keep))
            real = draw_pseudo_masks(teacher, keep, course, progress=partial(progress.advance, task))
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
        )
        progress.stop()
        interrupted = run_stage(
            folder,
            SelfForgedModule(model, stage, course.objective, seed=seed),
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
    assert previous is not None
    validation_auc = None
    if not first:
        return TrainingSummary(out / "model", None, validation_auc, skipped, noted, interrupted=False)
    localizer = Localizer(TorchRuntime.load(previous, encoder=encoder), name="trained")
    if held_out:
        validation_auc = _held_out_auc(localizer, held_out, progress)
        facts["validation_image_auc"] = validation_auc
    own_calibrating = [record for record in held_out if record.label == AUTHENTIC]
    unseen = unlike([*calibrating, *own_calibrating], forged)
    _write_model(localizer, previous, out / "model", [photo.path.absolute() for photo in unseen], seed=settings.seed)
    write_json(out / RUN_FILE, {**facts, "seconds": round(time.monotonic() - started, 1), "resumed": resume})
    return TrainingSummary(out / "model", None, validation_auc, skipped, noted, interrupted=False)


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


def _sources(photos: Sequence[Path], segments: Sequence[Path], start_from: Path | None) -> dict[str, Any]:
    """What a run is made from besides its data, for a resume; it is not part of the model."""
    return {
        "photos": [str(path.absolute()) for path in photos],
        "segments": [str(path.absolute()) for path in segments],
        "start_from": None if start_from is None else str(start_from.absolute()),
    }


def _read_sources(path: Path) -> tuple[list[Path], list[Path], Path | None]:
    """Photos, segments and model that :func:`_sources` wrote down."""
    kept = json.loads(path.read_bytes())
    start_from = None if kept["start_from"] is None else Path(kept["start_from"])
    return [Path(photo) for photo in kept["photos"]], [Path(folder) for folder in kept["segments"]], start_from


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
) -> dict[str, Any]:
    return {
        "vilaco_version": __version__,
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
