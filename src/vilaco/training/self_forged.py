"""One stage of training on self-made forgeries and the user's images: the Lightning side."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vilaco.data.forging import ForgedAndReal, batches
from vilaco.errors import ImageError
from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.self_forged import SelfForgedObjectiveConfig, self_forged_losses
from vilaco.method.vilaco import ViLaCo
from vilaco.training.callbacks import LAST
from vilaco.training.loaders import PlannedBatches, make_loader
from vilaco.training.stage import StageConfig


class WeightAverage:
    """Exponential moving average of the trainable weights, which generalises better than the last ones."""

    def __init__(self, model: ViLaCo, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone().float() for name, value in model.trainable_state().items()}

    @torch.no_grad()
    def update(self, model: ViLaCo) -> None:
        """Take up the weights of one more step; the first steps are forgotten faster."""
        self.updates += 1
        share = 1.0 - min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for name, value in model.trainable_state().items():
            self.weights[name] = self.weights[name].to(value.device).lerp_(value.float(), share)


class SelfForgedModule(L.LightningModule):
    """One stage; the averaged weights in :attr:`average` are the result.

    All randomness of a step follows from the seed and the step's number, so training goes on after an interruption as
    if nothing had happened.
    """

    def __init__(self, model: ViLaCo, stage: StageConfig, objective: SelfForgedObjectiveConfig, *, seed: int) -> None:
        super().__init__()
        self.model, self.stage, self.objective, self.seed = model, stage, objective, seed
        self.average = WeightAverage(model, decay=stage.average_decay)

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Seed dropout and patch drawing for this step."""
        torch.manual_seed((self.seed << 32) + self.global_step + 1)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """One step: the network, then its objective in float32."""
        output = self.model(batch["view"].float() / 255, batch["pixels"].float(), batch["matches"])
        with torch.autocast(self.device.type, enabled=False):
            losses = self_forged_losses(
                output, batch["label"], batch["mask"], self.objective, progress=self.global_step / self.stage.steps
            )
        for name, part in losses.parts.items():
            self.log(f"loss/{name}", part, prog_bar=True)
        return losses.total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then take the new weights into the average: callbacks at the end of a batch save both."""
        super().optimizer_step(*args, **kwargs)
        self.average.update(self.model)

    def configure_optimizers(self) -> Any:
        """AdamW on everything but the frozen encoder; a linear way up, then a linear way down."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.stage.learning_rate, weight_decay=self.stage.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        warmup, steps = self.stage.warmup_steps, self.stage.steps
        if step < warmup:
            return (step + 1) / warmup
        return max(0.02, 1.0 - (step - warmup) / max(1, steps - warmup))

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Trainable weights only: a checkpoint never holds the encoder."""
        return self.model.trainable_state()

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load what :meth:`state_dict` gave."""
        self.model.load_trainable_state(state_dict)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the average beside the weights."""
        checkpoint["average"] = {"updates": self.average.updates, "weights": self.average.weights}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the average."""
        self.average.updates, self.average.weights = checkpoint["average"]["updates"], checkpoint["average"]["weights"]


class SaveStage(L.Callback):
    """Every so many steps write ``last.ckpt`` for resuming; at the end of the stage, its averaged model.

    Ctrl-C ends the stage when the step it falls into is done and saved; pressed again, at once.
    """

    def __init__(self, folder: Path, trained_with: dict[str, Any]) -> None:
        self.folder, self.trained_with = folder, trained_with
        self.interrupted = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take the first Ctrl-C as a request."""
        with suppress(ValueError):  # only the main thread has signals
            signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save when it is time."""
        assert isinstance(module, SelfForgedModule)
        step = trainer.global_step
        interrupted = trainer.strategy.reduce_boolean_decision(self.interrupted, all=False)  # by any process
        if (interrupted or step % module.stage.save_every == 0) and step < module.stage.steps:
            trainer.save_checkpoint(self.folder / LAST)
        if step == module.stage.steps and trainer.is_global_zero:
            module.model.load_trainable_state(module.average.weights)
            save_checkpoint(module.model, self.folder / "model", trained_with=self.trained_with)
        if step == module.stage.steps:
            trainer.strategy.barrier("model written")  # the next stage of every process reads it
        if interrupted:
            raise KeyboardInterrupt

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Save where an image cannot be read any more: the steps before it are done."""
        if isinstance(exception, ImageError) and trainer.global_step and trainer.world_size == 1:
            trainer.save_checkpoint(self.folder / LAST)


class ForgedBatches(PlannedBatches):
    """Loader of a stage, which goes on where the trainer is."""

    def __init__(self, examples: ForgedAndReal, *, steps: int, num_workers: int) -> None:
        super().__init__()
        self.examples, self.steps, self.num_workers = examples, steps, num_workers

    def train_dataloader(self) -> DataLoader:
        """The batches that are left."""
        assert self.trainer is not None
        loop: Any = self.trainer.fit_loop.epoch_loop
        done = loop.global_step
        left = batches(
            self.examples.config,
            first_step=done,
            steps=self.steps,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        return make_loader(self.examples, left, num_workers=self.num_workers)
