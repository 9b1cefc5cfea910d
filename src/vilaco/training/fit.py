"""Train from two piles of photos: the whole run, from records to a model folder."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch.utils.data import DataLoader

from vilaco import __version__
from vilaco.data.loading import CLEAN_VIEW, WeakImages, WeakRecord, balanced_batches
from vilaco.data.records import Record
from vilaco.encoders import load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.errors import ImageError
from vilaco.training.callbacks import (
    LAST,
    EpochLines,
    ExampleOverlays,
    KeepBest,
    ProgressBar,
    SaveLast,
    write_json,
)
from vilaco.training.feature_cache import CachedFeatures, default_cache_root
from vilaco.training.loaders import PlannedBatches, make_loader
from vilaco.training.module import ViLaCoModule
from vilaco.training.recipe import Recipe
from vilaco.training.run import (
    RUN_FILE,
    TrainingSummary,
    begin,
    check_same_images,
    images_sha256,
    is_first_process,
    make_trainer,
    noted_among,
    prepare_folder,
    quiet_lightning,
    read_images,
    run_trainer,
    split_held_out,
)


def train(
    records: Sequence[Record],
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    devices: int = 1,
    num_nodes: int = 1,
    cache_root: Path | None = None,
    encoder: VisionLanguageEncoder | None = None,
    progress: Progress | None = None,
) -> TrainingSummary:
    """Train ViLaCo from image-level labels.

    Args:
        records: Labelled images; masks, if any, are not looked at.
        recipe: The whole configuration.
        out: Run folder: ``model/``, ``last.ckpt``, ``logs/``, ``examples/``, ``recipe.yaml``, ``run.json``.
        resume: Go on where the run in this folder stopped, at the end of an epoch.
        devices: GPUs, or CPU processes where there is no GPU, per node.
        num_nodes: Machines.
        cache_root: Where frozen features are kept; :func:`default_cache_root` where not given.
        encoder: A loaded encoder to share.
        progress: Where to show what happens before the first epoch, and the epochs themselves.

    Returns:
        How it ended.

    Raises:
        DataError: If the data set has fewer than 8 readable images, or only one class on a side of the split, or if the
            images are not those that the run began with.
        ImageError: If an image cannot be read any more; the run can be resumed.
        ConfigError: If ``out`` holds another run and ``resume`` is off, or the other way round.
    """
    first = is_first_process()
    if first:
        prepare_folder(out, resume=resume)
    settings = recipe.training
    shown = [] if progress is None else [EpochLines() if progress.disable else ProgressBar(refresh_rate=1)]
    progress = progress or Progress(disable=True)
    usable, skipped = read_images(records, progress)
    keep, held_out = split_held_out(records, usable, share=settings.validation_share, seed=settings.seed)

    encoder = (encoder or load_encoder(recipe.model.encoder)).to("cuda" if torch.cuda.is_available() else "cpu")
    facts = _facts(recipe, encoder, keep, held_out, skipped)
    if resume:
        check_same_images(out, facts)
    elif first:
        begin(out, recipe, facts)
    size = recipe.model.image_size
    train_images = WeakImages(keep, size=size, config=recipe.augmentation, seed=settings.seed)
    val_images = WeakImages(held_out, size=size, config=recipe.augmentation, seed=settings.seed)
    train_set: WeakImages | CachedFeatures = train_images
    val_set: WeakImages | CachedFeatures = val_images
    if settings.cache_views:
        root = cache_root or default_cache_root()
        train_set = _cached(train_images, encoder, root, settings.cache_views, progress)
        val_set = _cached(val_images, encoder, root, 1, progress)

    keep_best = KeepBest(out / "model", facts)
    examples = ExampleOverlays(val_images, out / "examples", every=settings.example_every)
    module = ViLaCoModule(recipe, encoder)
    batches = _Batches(train_set, val_set, recipe)
    last = out / LAST
    progress.stop()
    started = time.monotonic()
    with quiet_lightning():
        trainer = make_trainer(
            out,
            devices=devices,
            num_nodes=num_nodes,
            precision=settings.precision,
            gradient_clip=settings.gradient_clip,
            callbacks=[*shown, keep_best, examples, SaveLast(out)],
            max_epochs=settings.epochs,
        )
        run_trainer(trainer, module, batches, resume_from=last if last.exists() else None)
    if not trainer.interrupted:
        write_json(out / RUN_FILE, {**facts, "seconds": round(time.monotonic() - started, 1), "resumed": resume})
    return TrainingSummary(
        model=out / "model",
        best_epoch=keep_best.best_epoch,
        validation_image_auc=keep_best.best,
        skipped=skipped,
        noted=noted_among(usable),
        interrupted=trainer.interrupted,
    )


class _Batches(PlannedBatches):
    """Loaders for the trainer; the training one is planned anew for each epoch."""

    def __init__(
        self, train_set: WeakImages | CachedFeatures, val_set: WeakImages | CachedFeatures, recipe: Recipe
    ) -> None:
        super().__init__()
        self.train_set, self.val_set, self.recipe = train_set, val_set, recipe

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        settings = self.recipe.training
        labels = [record.label for record in _records(self.train_set)]
        # Epochs behind us; on a resume trainer.current_epoch still lags by one when this is asked for.
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        batches = balanced_batches(
            labels,
            batch_size=settings.batch_size,
            num_views=settings.cache_views,
            seed=settings.seed,
            epoch=progress.processed,
        )
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return self._loader(self.train_set, [batch[rank::world] for batch in batches])

    def val_dataloader(self) -> DataLoader:
        """All held-out images, on every device alike, so that none is dropped to make shares equal."""
        keys = [(index, CLEAN_VIEW) for index in range(len(self.val_set))]
        size = self.recipe.training.batch_size
        return self._loader(self.val_set, [keys[start : start + size] for start in range(0, len(keys), size)])

    def _loader(self, dataset: WeakImages | CachedFeatures, batches: list[list[tuple[int, int]]]) -> DataLoader:
        return make_loader(dataset, batches, num_workers=self.recipe.training.num_workers)


def _records(dataset: WeakImages | CachedFeatures) -> Sequence[WeakRecord]:
    return dataset.records if isinstance(dataset, WeakImages) else dataset.images.records


def _cached(
    images: WeakImages, encoder: VisionLanguageEncoder, root: Path, num_views: int, progress: Progress
) -> CachedFeatures:
    cached = CachedFeatures(images, encoder, root)
    missing = len(cached.missing(num_views))
    if missing:
        task = progress.add_task("encoding views", total=missing)
        cached.fill(num_views, progress=lambda count: progress.advance(task, count))
    return cached


def _facts(
    recipe: Recipe,
    encoder: VisionLanguageEncoder,
    keep: Sequence[WeakRecord],
    held_out: Sequence[WeakRecord],
    skipped: Sequence[ImageError],
) -> dict[str, Any]:
    return {
        "vilaco_version": __version__,
        "recipe": recipe.model_dump(mode="json"),
        "encoder": encoder.name,
        "encoder_fingerprint": encoder.fingerprint,
        "train_images": dict(Counter(f"label_{record.label}" for record in keep)),
        "validation_images": dict(Counter(f"label_{record.label}" for record in held_out)),
        "skipped_images": [str(error) for error in skipped],
        "train_sha256": images_sha256(keep),
        "validation_sha256": images_sha256(held_out),
    }
