"""What happens around the epochs: resumable checkpoints, the best model so far, and pictures of how it draws."""

import io
import json
import math
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO
from PIL import Image

from vilaco.data.loading import CLEAN_VIEW, WeakImages
from vilaco.errors import ImageError, ModelError
from vilaco.files import write_atomically
from vilaco.images import load_photo, resize_map
from vilaco.method.checkpoint import save_checkpoint
from vilaco.report.overlay import side_by_side
from vilaco.training.module import ViLaCoModule

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written whole or not at all; the one before is kept beside the last."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write to a temporary file, then rename; at no moment is there no last one."""
        path = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        if path.exists():
            previous = path.with_name(PREVIOUS)
            previous.unlink(missing_ok=True)
            try:
                os.link(path, previous)
            except OSError:  # exFAT and some network shares have no hard links
                shutil.copyfile(path, previous)
        write_atomically(path, buffer.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values; nothing that could run code.

        Raises:
            ModelError: If the file is damaged, or holds anything else.
        """
        try:
            return torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except Exception as error:  # a broken file is as good as any type
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ModelError(f"{path}: not a checkpoint of tensors and plain values, or damaged ({reason})") from error


class SaveLast(L.Callback):
    """Write ``last.ckpt`` after every epoch, once everything about the epoch is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save for resuming."""
        trainer.save_checkpoint(self.folder / LAST)


class KeepBest(L.Callback):
    """Keep the model with the best held-out image-level AUC; on a tie the earlier one.

    Image-level metrics of a held-out share of the training set are the only thing it looks at.
    """

    def __init__(self, folder: Path, trained_with: dict[str, Any]) -> None:
        self.folder, self.trained_with = folder, trained_with
        self.best = -math.inf
        self.best_epoch = -1

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save the model folder if this epoch is the best so far."""
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics["val/image_auc"])
        if value <= self.best:
            return
        self.best, self.best_epoch = value, trainer.current_epoch
        if trainer.is_global_zero and isinstance(module, ViLaCoModule):
            facts = {
                **self.trained_with,
                "best_epoch": self.best_epoch,
                "validation_image_auc": value,
                "validation_image_f1": float(trainer.callback_metrics["val/image_f1"]),
            }
            save_checkpoint(module.model, self.folder, trained_with=facts)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up :meth:`state_dict`."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]


class ExampleOverlays(L.Callback):
    """Draw a few held-out images every few epochs, so that a person can see what is being learned."""

    def __init__(self, images: WeakImages, folder: Path, *, every: int, count: int = 6) -> None:
        tampered_first = sorted(range(len(images)), key=lambda i: -images.records[i].label)
        self.indices = tampered_first[: count // 2] + tampered_first[::-1][: count - count // 2]
        self.images, self.folder, self.every = images, folder, every

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write ``epoch_NNN.jpg`` when it is time."""
        epoch = trainer.current_epoch + 1
        last = epoch == trainer.max_epochs
        if not trainer.is_global_zero or (epoch % self.every and not last) or not isinstance(module, ViLaCoModule):
            return
        panels = []
        for index in self.indices:
            with suppress(ImageError):  # the picture is for people; training from the cache does not need the file
                panels.append(self._panel(module, index))
        if not panels:
            return
        width = max(panel.shape[1] for panel in panels)
        sheet = np.concatenate(
            [np.pad(p, ((0, 8), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in panels]
        )
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "JPEG", quality=88)
        write_atomically(self.folder / f"epoch_{epoch:03d}.jpg", buffer.getvalue())

    @torch.no_grad()
    def _panel(self, module: ViLaCoModule, index: int) -> np.ndarray:
        pixels = torch.from_numpy(self.images.pixels(index, CLEAN_VIEW)).permute(2, 0, 1).unsqueeze(0)
        was_training = module.training
        module.eval()
        output = module.run_network({"pixels": pixels.to(module.device)})
        module.train(was_training)
        photo = load_photo(self.images.records[index].path)
        upright = photo.upright(photo.pixels)
        probs = output.localization_logits[0].float().sigmoid().cpu().numpy()
        map_ = resize_map(probs, upright.shape[:2])
        return side_by_side(upright, map_, map_ > 0.5)


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar with the loss parts, on a terminal."""

    def get_metrics(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
        """All that is logged for the bar but the logger's version number."""
        return {name: value for name, value in super().get_metrics(trainer, module).items() if name != "v_num"}


class EpochLines(L.Callback):
    """One line an epoch on stderr, where stderr is a file and a bar would fill it."""

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Print the epoch's numbers."""
        if trainer.is_global_zero:
            parts = [f"{name} {float(value):.3f}" for name, value in sorted(trainer.progress_bar_metrics.items())]
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {'  '.join(parts)}", file=sys.stderr)


class StepLines(L.Callback):
    """One line every hundred steps on stderr, where stderr is a file and a bar would fill it."""

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Print the numbers of a step."""
        if trainer.is_global_zero and trainer.global_step % 100 == 0:
            parts = [f"{name} {float(value):.3f}" for name, value in sorted(trainer.progress_bar_metrics.items())]
            print(f"step {trainer.global_step}/{trainer.max_steps}  {'  '.join(parts)}", file=sys.stderr)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a small JSON file whole."""
    write_atomically(path, json.dumps(values, indent=2, sort_keys=True, default=str).encode())
