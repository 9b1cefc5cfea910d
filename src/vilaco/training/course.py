"""A course: one long training on self-made forgeries, from a file that says all of it.

One call starts it or goes on where it was, after a kill at any time, with the same result. As it goes it judges forged
validation pictures (:mod:`vilaco.training.validation`), writes the learning curve, and keeps the averaged weights of
the best validation in ``best/`` and the newest in ``newest/``. Sets that models are reported on are never looked at.
"""

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.progress import Progress

from vilaco import __version__
from vilaco.data.forge.photos import has_segments
from vilaco.data.forging import StreamConfig
from vilaco.data.pool import PoolPhoto, find_photo, read_pool
from vilaco.encoders import load_encoder
from vilaco.errors import ConfigError
from vilaco.files import write_atomically
from vilaco.method.checkpoint import CONFIG, save_checkpoint
from vilaco.method.methods import field_name
from vilaco.method.self_forged import SelfForgedObjectiveConfig
from vilaco.method.vilaco import ViLaCo, ViLaCoConfig
from vilaco.training.callbacks import LAST, ProgressBar, write_json
from vilaco.training.makers import Makers, PictureSource, wait_for
from vilaco.training.picture_store import BatchStore, StoreConfig
from vilaco.training.run import RECIPE_FILE, RUN_FILE
from vilaco.training.self_forged import SaveStage, SelfForgedModule
from vilaco.training.stage import StageConfig
from vilaco.training.stage_run import run_stage
from vilaco.training.validation import Batch, Curve, judge, summary
from vilaco.training.weights import take_up
from vilaco.weights import find_model

VALIDATION, BEST, NEWEST = "validation", "best", "newest"


class ValidationConfig(BaseModel):
    """Settings of the forged validation pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batches: int = Field(80, ge=1)  # half forgeries, half their authentic twins
    every: int = Field(1000, ge=1)  # steps
    seed: int = 20261128  # of the pictures: courses that are compared look at the same ones


class Course(BaseModel):
    """Everything that defines a course besides the photos themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: ViLaCoConfig
    start_from: str | None = None  # a model to begin with, where no state is kept: its name or folder
    sources: dict[str, float] = {}  # how often a host comes from each source of the pool; the photos' number if empty
    terms: tuple[str, ...] = ()  # take only photos under these terms; any if empty
    segments: tuple[str, ...] = ()  # folders of segmentations below one of the roots
    autoencoder: str | None = None  # likewise, of one that re-draws regions
    stream: StreamConfig = StreamConfig()
    objective: SelfForgedObjectiveConfig = SelfForgedObjectiveConfig()
    stage: StageConfig
    store: StoreConfig = StoreConfig()
    validation: ValidationConfig = ValidationConfig()
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    seed: int = Field(0, ge=0, lt=2**31)


@dataclass(frozen=True)
class CourseSummary:
    """How a call ended.

    Attributes:
        folder: Of the course.
        best: The model of the best validation, if there was one.
        figures: Of the newest validation.
        interrupted: True when Ctrl-C or the time asked for ended it early; the same call goes on.
    """

    folder: Path
    best: Path | None
    figures: dict[str, float]
    interrupted: bool


def read_course(path: Path) -> Course:
    """Read a course's file.

    Raises:
        ConfigError: If it cannot be read, or a setting is unknown or out of range.
    """
    try:
        return Course.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {field_name(first['loc']) or 'course'}: {first['msg']}") from None


def run_course(
    course: Course,
    pool: Path,
    roots: Sequence[Path],
    out: Path,
    *,
    minutes: float | None = None,
    progress: Progress | None = None,
) -> CourseSummary:
    """Start a course, or go on with it.

    Args:
        course: What to do.
        pool: The list of photos, from ``vilaco data pool``.
        roots: Folders below which its photos, and the folders of segmentations, lie.
        out: Folder of the course, its state included.
        minutes: Stop after so long, at the end of a step; ``None`` goes on to the end.
        progress: Where to show how far it is; hidden, a line is printed every hundred steps.

    Raises:
        ConfigError: If ``out`` holds another course, or its autoencoder is nowhere.
        DataError: If a photo is missing, or a side of the pool is empty.
        ModelError: If the model to start from does not fit.
        VilacoError: If a file cannot be read or written any more; the same call goes on.
    """
    progress = progress or Progress(disable=True)
    photos = _chosen(course, read_pool(pool), pool)
    _check_same_course(course, out)
    curve = Curve(out)
    if curve.rows and curve.rows[-1]["step"] == course.stage.steps and not (out / LAST).exists():
        return CourseSummary(out, out / BEST, curve.rows[-1], interrupted=False)
    begun = (out / LAST).exists()
    encoder = load_encoder(course.model.encoder).to("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(course.seed)
    model = ViLaCo(course.model, encoder)
    if not begun and course.start_from is not None:
        start = find_model(course.start_from)
        take_up(model, start.folder)
        logging.getLogger(__name__).warning("%s: no state is kept here; starts from %s", out, start.name)
    training = _source(course, photos["training"], roots)
    validation = _source(course, photos["validation"], roots, validating=True)
    validation_store = _make_validation(course, validation, out / VALIDATION, progress)
    facts = {
        "vilaco_version": __version__,
        "course": course.model_dump(mode="json"),
        "photos": {side: dict(Counter(photo.source for photo in some)) for side, some in photos.items()},
    }
    write_json(out / RUN_FILE, facts)
    module = SelfForgedModule(model, course.stage, course.objective, seed=course.seed)
    saver = SaveStage(out, facts)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    kinds = [photo.source for photo in photos["validation"]]
    report = Report(course, validation_store, kinds, out, facts, saver, until=until)
    shown: list[L.Callback] = [] if progress.disable else [ProgressBar(refresh_rate=10)]
    progress.stop()
    interrupted = run_stage(
        out,
        module,
        training,
        store=course.store,
        num_workers=1,
        devices=1,
        num_nodes=1,
        precision=course.precision,
        callbacks=[*shown, report, saver],
    )
    best = out / BEST
    rows = report.curve.rows
    return CourseSummary(out, best if (best / CONFIG).exists() else None, rows[-1] if rows else {}, interrupted)


class Report(L.Callback):
    """Validations, the curve, the best and the newest model; lines for a log; the end when time is up."""

    def __init__(
        self,
        course: Course,
        store: BatchStore,
        kinds: Sequence[str],
        out: Path,
        facts: dict[str, Any],
        saver: SaveStage,
        *,
        until: float | None,
    ) -> None:
        self.course, self.store, self.kinds, self.out, self.facts = course, store, kinds, out, facts
        self.saver, self.until = saver, until
        self.curve = Curve(out)
        self.seen = 0.0
        self.steps_seen = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Look at what the course starts from."""
        self.seen = time.monotonic()
        self.steps_seen = trainer.global_step
        if trainer.global_step == 0:
            self._validate(trainer, module)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Validate, tell, or ask for the end, when it is time."""
        step = trainer.global_step
        if step % 100 == 0:
            self._tell(trainer)
        last = step == self.course.stage.steps
        over = self.until is not None and time.monotonic() > self.until
        if step % self.course.validation.every == 0 or last or over:
            self._validate(trainer, module)
        if over and not last:
            self.saver.end_early()

    def _tell(self, trainer: L.Trainer) -> None:
        now = time.monotonic()
        done = (trainer.global_step - self.steps_seen) * self.course.stream.batch_size
        rate = done / max(1e-9, now - self.seen)
        left = (self.course.stage.steps - trainer.global_step) * self.course.stream.batch_size / max(rate, 1e-9)
        self.seen, self.steps_seen = now, trainer.global_step
        losses = "  ".join(
            f"{name.removeprefix('loss/')} {float(value):.3f}" for name, value in trainer.progress_bar_metrics.items()
        )
        last = f"  P-F1 {self.curve.rows[-1]['pixel_f1']:.3f}" if self.curve.rows else ""
        line = f"step {trainer.global_step}/{self.course.stage.steps}  {rate:.1f} pictures/s  {left / 3600:.1f} h left"
        print(f"{line}  {losses}{last}", file=sys.stderr, flush=True)

    def _validate(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, SelfForgedModule)
        began = time.monotonic()
        learned = {name: value.clone() for name, value in module.model.trainable_state().items()}
        module.model.load_trainable_state(module.average.weights)
        judged = judge(module.model, stored_batches(self.store, self.course.validation.batches), module.predict)
        figures = summary(judged, self.kinds)
        pictures = trainer.global_step * self.course.stream.batch_size
        losses = {name: float(value) for name, value in trainer.progress_bar_metrics.items()}
        better = figures["pixel_f1"] > self.curve.best()
        self.curve.add({"step": float(trainer.global_step), "pictures": float(pictures), **figures, **losses})
        facts = {**self.facts, "pictures": pictures, "validation": figures}
        for name in (NEWEST, BEST) if better else (NEWEST,):
            save_checkpoint(module.model, self.out / name, trained_with=facts)
        module.model.load_trainable_state(learned)
        told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if " " not in name)
        print(
            f"validation at {pictures} pictures: {told} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True
        )
        self.seen += time.monotonic() - began


def _chosen(course: Course, pool: Sequence[PoolPhoto], path: Path) -> dict[str, list[PoolPhoto]]:
    known = {photo.source for photo in pool}
    if unknown := sorted(set(course.sources) - known):
        raise ConfigError(f"{course.name}: sources: {unknown[0]} is none of {path}: {', '.join(sorted(known))}")
    wanted = [
        photo
        for photo in pool
        if (not course.sources or course.sources.get(photo.source))
        and (not course.terms or photo.terms in course.terms)
    ]
    sides = {
        "training": [photo for photo in wanted if photo.side == "training"],
        "validation": [photo for photo in pool if photo.side == "validation"],
    }
    for side, photos in sides.items():
        if not photos:
            raise ConfigError(f"{path}: no {side} photo is left")
    return sides


def _source(
    course: Course, photos: Sequence[PoolPhoto], roots: Sequence[Path], *, validating: bool = False
) -> PictureSource:
    stream = course.stream.model_copy(update={"twin_share": 0.5}) if validating else course.stream
    counts = Counter(photo.source for photo in photos)
    weights = None
    if course.sources and not validating:
        weights = tuple(course.sources[photo.source] / counts[photo.source] for photo in photos)
    elif validating:  # every kind counts alike
        weights = tuple(1.0 / counts[photo.source] for photo in photos)
    assert course.model.residuals is not None
    paths = tuple(find_photo(photo, roots) for photo in photos)
    folders = [folder for name in course.segments for root in roots if (folder := root / name).is_dir()]
    return PictureSource(
        photos=paths,
        config=stream,
        seed=course.validation.seed if validating else course.seed + 1,
        count=stream.batch_size,
        encoder=course.model.encoder,
        view_size=course.model.image_size,
        kinds=course.model.residuals.kinds,
        segments=tuple(folder for folder in folders if has_segments(paths, folder)),
        autoencoder=_autoencoder(course, roots),
        weights=weights,
    )


def _autoencoder(course: Course, roots: Sequence[Path]) -> Path | None:
    if course.autoencoder is None:
        return None
    found = [folder for root in roots if (folder := root / course.autoencoder).is_dir()]
    if not found:
        raise ConfigError(f"{course.autoencoder}: this folder of the course's autoencoder lies below none of the roots")
    return found[0]


def _make_validation(course: Course, source: PictureSource, folder: Path, progress: Progress) -> BatchStore:
    """The validation pictures, made once."""
    store, count = BatchStore(folder), course.validation.batches
    if all(store.path(number).exists() for number in range(count)):
        return store
    folder.mkdir(parents=True, exist_ok=True)
    progress.start()
    task = progress.add_task("making validation pictures", total=count)
    with Makers(source, store, count=course.store.makers) as makers:
        makers.want(range(count))
        for number in range(count):
            wait_for(store, number)
            progress.advance(task)
    return store


def stored_batches(store: BatchStore, count: int) -> Iterator[Batch]:
    """Validation pictures that were made.

    Raises:
        ConfigError: If some are missing or damaged.
    """
    for number in range(count):
        found = store.read(number)
        if found is None:
            raise ConfigError(f"{store.path(number)}: damaged; delete {store.folder}, and it is made anew")
        yield found


def _check_same_course(course: Course, out: Path) -> None:
    """Write down which course a folder holds, or refuse to go on there with another."""
    kept, text = out / RECIPE_FILE, yaml.safe_dump(course.model_dump(mode="json"), sort_keys=False)
    if kept.exists() and kept.read_text() != text:
        raise ConfigError(f"{out}: holds another course (compare {kept}); choose another --out")
    if not kept.exists():
        write_atomically(kept, text.encode())
