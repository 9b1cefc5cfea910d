"""Run one stage: its pictures, their makers, and the trainer."""

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import lightning as L
import torch

from vilaco.data.loading import WeakRecord
from vilaco.training.callbacks import LAST, PREVIOUS
from vilaco.training.makers import Makers, PictureSource
from vilaco.training.picture_store import BYTES_PER_PIXEL, BatchStore, Measurer, ReusePlan, StoreConfig
from vilaco.training.run import is_first_process, make_trainer, quiet_lightning, run_trainer
from vilaco.training.self_forged import KeepMade, SelfForgedModule, StageBatches
from vilaco.training.stage_pictures import StagePictures

PICTURES = "pictures"
"""Folder of the pictures made ahead, inside that of the stage."""


def run_stage(
    folder: Path,
    module: SelfForgedModule,
    source: PictureSource,
    *,
    real: Sequence[WeakRecord] = (),
    store: StoreConfig | None,
    num_workers: int,
    devices: int,
    num_nodes: int,
    precision: str,
    callbacks: Sequence[L.Callback],
) -> bool:
    """Train a stage to its end or to Ctrl-C, from where it stopped if it was begun.

    Args:
        folder: Of the stage: checkpoints, logs, and while it runs the pictures made ahead.
        module: The network and how it learns.
        source: What forged pictures are made from.
        real: The user's images, if they are trained on; the module then has a teacher.
        store: How pictures are made ahead; ``None``, or too little disk: on the spot.
        num_workers: Processes that read pictures or make them on the spot.
        devices: A machine's.
        num_nodes: Machines.
        precision: Of the recipe.
        callbacks: The caller's.

    Returns:
        Whether Ctrl-C ended it early.

    Raises:
        VilacoError: If a file cannot be read or written any more; it can go on.
    """
    residuals = module.model.residuals
    assert residuals is not None, "networks that forge read pixels"
    steps, last = module.stage.steps, folder / LAST
    if store is not None:
        store = fitting_store(store, source, folder)
    settings = store or StoreConfig()
    plan = ReusePlan(uses=settings.uses, chunk=settings.chunk, seed=source.seed)
    kept = BatchStore(folder / PICTURES) if store is not None else None
    measurer = Measurer(module.model.encoder, source.view_size, residuals.front_end.evidence)
    scales = module.teacher.config.scales if module.teacher is not None else ()
    pictures = StagePictures(source, real, scales=scales, store=kept, plan=plan, measurer=measurer)
    with ExitStack() as stack, quiet_lightning():
        if devices * num_nodes == 1 and not torch.cuda.is_available():
            stack.enter_context(module.on_all_cores())
        if kept is not None and is_first_process():
            makers = stack.enter_context(Makers(source, kept, count=settings.makers))
            callbacks = [KeepMade(makers, pictures), *callbacks]
        trainer = make_trainer(
            folder,
            devices=devices,
            num_nodes=num_nodes,
            precision=precision,
            gradient_clip=None,
            callbacks=list(callbacks),
            max_steps=steps,
        )
        loader = StageBatches(pictures, steps=steps, num_workers=num_workers)
        run_trainer(trainer, module, loader, resume_from=last if last.exists() else None)
    if trainer.interrupted:
        return True
    for checkpoint in (last, folder / PREVIOUS):
        checkpoint.unlink(missing_ok=True)
    if kept is not None and is_first_process():
        shutil.rmtree(kept.folder, ignore_errors=True)
    return False


def fitting_store(store: StoreConfig, source: PictureSource, folder: Path) -> StoreConfig | None:
    """The store if the disk has room for it, told in a line either way; else ``None``."""
    pixels = max(height * width for height, width in source.config.sizes)
    needed = (store.uses + 2) * store.chunk * source.count * pixels * BYTES_PER_PIXEL
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    log = logging.getLogger(__name__)
    if free < 2 * needed:
        log.warning(
            "pictures are made on the spot, which is slower: %.1f GB are free in %s, making them ahead takes %.1f GB",
            free / 1e9,
            folder,
            needed / 1e9,
        )
        return None
    log.warning("pictures are made ahead, in at most %.1f GB of %s", needed / 1e9, folder / PICTURES)
    return store
