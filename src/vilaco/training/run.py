"""What every kind of training run shares: its folder, its images, its trainer."""

import hashlib
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.progress import Progress

from vilaco.data.boxes import format_boxes
from vilaco.data.loading import WeakRecord, weaken
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.data.split import group_key, grouped_split
from vilaco.errors import ConfigError, DataError, ImageError, VilacoError
from vilaco.files import TEMPORARY, write_atomically
from vilaco.notes import Noted
from vilaco.training.callbacks import AtomicCheckpointIO, ProgressBar, write_json
from vilaco.training.changes import Figures
from vilaco.training.recipe import Recipe

MIN_IMAGES = 8
RECIPE_FILE, RUN_FILE = "recipe.yaml", "run.json"


@dataclass(frozen=True)
class TrainingSummary:
    """How a run ended.

    Attributes:
        model: The model folder, of the best epoch.
        best_epoch: Counted from 0; ``None`` where nothing was held out to choose by.
        validation_image_auc: Of the best epoch, on the held-out share.
        skipped: Images that could not be read.
        noted: Those that were read otherwise than their files store them; ``None`` where there is none.
        interrupted: True when Ctrl-C ended the run early; it can be resumed.
        supervision: What was known of the user's images, in words; ``None`` for recipes that do not forge, which are
            told labels alone.
        changes: Figures before and after learning from the user's images, where a recipe that forges did.
    """

    model: Path
    best_epoch: int | None
    validation_image_auc: float | None
    skipped: list[ImageError]
    noted: Noted | None
    interrupted: bool
    supervision: str | None = None
    changes: tuple[Figures, Figures] | None = None


def is_first_process() -> bool:
    """False in the processes that the trainer starts beside the first one, which alone writes a run's files."""
    ranks = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(int(os.environ.get(name, "0")) == 0 for name in ranks)


def prepare_folder(out: Path, *, resume: bool) -> None:
    """Refuse a folder that holds another run, or nothing to resume; clear away what a kill left half written.

    Raises:
        ConfigError: If ``out`` holds a run and ``resume`` is off, or the other way round.
    """
    has_run = (out / RECIPE_FILE).exists()
    if resume and not has_run:
        raise ConfigError(f"{out}: nothing to resume, {RECIPE_FILE} is missing")
    if has_run and not resume:
        raise ConfigError(f"{out}: holds a run already; go on with --resume, or choose another --out")
    if resume:
        for unfinished in out.rglob(TEMPORARY):
            unfinished.unlink()


def begin(out: Path, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write what a run depends on; the recipe, last, says that there is a run."""
    write_json(out / RUN_FILE, facts)
    write_atomically(out / RECIPE_FILE, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())


def check_same_images(out: Path, facts: dict[str, Any]) -> None:
    """Refuse to go on with other images than a run began with: it would hold out and draw others from there on.

    Raises:
        DataError: Naming what cannot be read any more.
    """
    began = json.loads((out / RUN_FILE).read_bytes())
    if all(began.get(name, facts[name]) == facts[name] for name in facts if name.endswith("_sha256")):
        return
    raise DataError(
        f"{out}: the images are not those that the run began with; bring them back, or begin a new run",
        details=tuple(error for error in facts["skipped_images"] if error not in began["skipped_images"]),
    )


def read_images(
    records: Sequence[Record], progress: Progress, *, boxes: bool = False, authentic_alone: bool = False
) -> tuple[list[WeakRecord], list[ImageError]]:
    """The images that can be read, and what is wrong with the others.

    Args:
        records: Labelled images.
        progress: Where to show how far it is.
        boxes: Whether training may see boxes.
        authentic_alone: Whether authentic images are enough.

    Raises:
        DataError: If fewer than 8 can be read, or a kind that is needed is missing, or a box is wrong.
    """
    task = progress.add_task("checking images", total=len(records))
    usable, skipped = weaken(records, boxes=boxes, progress=lambda: progress.advance(task))
    counts = Counter(record.label for record in usable)
    if len(usable) < MIN_IMAGES:
        raise DataError(f"{len(usable)} readable images; training needs at least {MIN_IMAGES}")
    for label, name in ((AUTHENTIC, "authentic"), (TAMPERED, "tampered")):
        if not counts[label] and not (authentic_alone and label == TAMPERED):
            raise DataError(f"no {name} image among the {len(usable)} readable ones; training needs both kinds")
    return usable, skipped


def read_photos(paths: Sequence[Path], progress: Progress) -> tuple[list[WeakRecord], list[ImageError]]:
    """The photos to forge from that can be read, and what is wrong with the others."""
    task = progress.add_task("checking photos", total=len(paths))
    return weaken([Record(path, AUTHENTIC) for path in paths], progress=lambda: progress.advance(task))


def noted_among(images: Sequence[WeakRecord]) -> Noted | None:
    """Those of a run's images that were read otherwise than their files store them."""
    return Noted.among((image.path, image.notes) for image in images)


def split_held_out(
    records: Sequence[Record], usable: Sequence[WeakRecord], *, share: float, seed: int
) -> tuple[list[WeakRecord], list[WeakRecord]]:
    """Split the readable images by group into those to train on and a held-out share; copies stay on one side.

    Raises:
        DataError: If a side lacks a class that there is.
    """
    by_path = {record.path: record for record in usable}
    readable = [record for record in records if record.path in by_path]
    hashes = {path: record.sha256 for path, record in by_path.items()}
    sides = grouped_split(_copies_together(readable, hashes), fraction=share, seed=seed)
    for name, side in zip(("training", "held-out"), sides, strict=True):
        if {record.label for record in side} != {record.label for record in usable}:
            raise DataError(
                f"the {name} share has one class only: too few images, or groups too large; "
                "add images or change training.validation_share"
            )
    keep, held_out = ([by_path[record.path] for record in side] for side in sides)
    return keep, held_out


def _copies_together(records: Sequence[Record], hashes: Mapping[Path, str]) -> list[Record]:
    """Make one group of all scenes that share a file's bytes; the other records stay as they are."""
    joined: dict[Hashable, Hashable] = {}
    first_with: dict[str, Hashable] = {}

    def scene(key: Hashable) -> Hashable:
        while key in joined:
            key = joined[key]
        return key

    for record in records:
        mine = scene(group_key(record))
        other = scene(first_with.setdefault(hashes[record.path], mine))
        if mine != other:
            joined[mine] = other
    large = {scene(key) for key in joined}
    scenes = [scene(group_key(record)) for record in records]
    return [
        replace(record, group=str(key)) if key in large else record for record, key in zip(records, scenes, strict=True)
    ]


def images_sha256(images: Sequence[WeakRecord]) -> str:
    """One hash of what images, labels and boxes there are, in any order."""
    lines = sorted(f"{image.sha256} {image.label} {format_boxes(image.boxes)}".rstrip() for image in images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def trainer_precision(choice: str) -> str:
    """``auto``: bfloat16 where the hardware multiplies it, else float32 (emulated bfloat16 is slower)."""
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    capabilities = torch.cpu.get_capabilities()
    return "bf16-mixed" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "32-true"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep from users what Lightning says about our choices and its own use of torch; its bar goes to stderr.

    What TensorBoard's thread cannot write is told in a line, not in a traceback; the trainer stops for it by itself.
    """
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    tell_of_thread = threading.excepthook

    def tell_of_disk(arguments: threading.ExceptHookArgs) -> None:
        if isinstance(arguments.exc_value, OSError):
            logging.getLogger(__name__).warning("the logs are not complete (%s)", arguments.exc_value.strerror)
        else:
            tell_of_thread(arguments)

    threading.excepthook = tell_of_disk
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")  # it is: planned from the steps done
        warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")  # the frozen encoder
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        warnings.filterwarnings("ignore", ".*all_gather is deprecated.*")
        try:
            yield
        finally:
            logger.setLevel(level)
            threading.excepthook = tell_of_thread


def make_trainer(
    out: Path,
    *,
    devices: int,
    num_nodes: int,
    precision: str,
    gradient_clip: float | None,
    callbacks: list[L.Callback],
    **length: Any,
) -> L.Trainer:
    """The trainer of a run or a stage; ``length`` is ``max_epochs`` or ``max_steps``."""
    distributed = devices * num_nodes > 1
    return L.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=devices,
        num_nodes=num_nodes,
        strategy="ddp_find_unused_parameters_true" if distributed else "auto",
        precision=trainer_precision(precision),  # type: ignore[arg-type]
        gradient_clip_val=gradient_clip,
        callbacks=callbacks,
        default_root_dir=out,
        logger=[
            TensorBoardLogger(out / "logs", name="tensorboard", version=""),
            CSVLogger(out / "logs", name="csv"),  # version_0, and another version for each resume
        ],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        log_every_n_steps=1,
        **length,
    )


def run_trainer(
    trainer: L.Trainer, module: L.LightningModule, batches: L.LightningDataModule, *, resume_from: Path | None
) -> None:
    """Train to the end or to Ctrl-C, which ``trainer.interrupted`` tells, and leave the signal's handler as it was.

    Raises:
        VilacoError: If an image cannot be read any more, or the run cannot be written: it can be resumed.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        with suppress(SystemExit):  # how Lightning ends on Ctrl-C
            trainer.fit(module, datamodule=batches, ckpt_path=resume_from, weights_only=True)
    except OSError as error:  # of the loggers
        where = error.filename or trainer.default_root_dir
        raise VilacoError(f"{where}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(ValueError):  # only the main thread has signals
            signal.signal(signal.SIGINT, handler)
