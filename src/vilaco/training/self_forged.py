"""Train on self-made forgeries and, in rounds of self-training, on the user's images (recipe ``default``)."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vilaco.method.checkpoint import save_checkpoint
from vilaco.method.self_forged import SelfForgedObjectiveConfig, self_forged_losses
from vilaco.method.vilaco import ViLaCo


class StageConfig(BaseModel):
    """One stage of optimisation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(4000, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.998, ge=0, lt=1)  # the averaged weights are what is saved
    save_every: int = Field(250, ge=1)  # steps
    seed: int = 0
    num_workers: int = Field(1, ge=0)


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
            self.weights[name].lerp_(value.float(), share)


class SelfForgedModule(L.LightningModule):
    """One stage; the averaged weights in :attr:`average` are the result."""

    def __init__(self, model: ViLaCo, stage: StageConfig, objective: SelfForgedObjectiveConfig) -> None:
        super().__init__()
        self.model, self.stage, self.objective = model, stage, objective
        self.average = WeightAverage(model, decay=stage.ema_decay)

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Seed dropout and patch drawing for this step."""
        torch.manual_seed((self.stage.seed << 32) + self.global_step + 1)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """One step: the network, then its objective in float32."""
        output = self.model(batch["view"].float() / 255, batch["pixels"].float())
        with torch.autocast(self.device.type, enabled=False):
            losses = self_forged_losses(
                output, batch["label"], batch["mask"], self.objective, progress=self.global_step / self.stage.steps
            )
        for name, part in losses.parts.items():
            self.log(f"loss/{name}", part, prog_bar=True)
        return losses.total

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the new weights into the average."""
        self.average.update(self.model)

    def configure_optimizers(self) -> Any:
        """AdamW on everything but the frozen encoder; a linear way up, then a linear way down."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.stage.learning_rate, weight_decay=self.stage.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        if step < self.stage.warmup_steps:
            return (step + 1) / self.stage.warmup_steps
        done = (step - self.stage.warmup_steps) / max(1, self.stage.steps - self.stage.warmup_steps)
        return max(0.02, 1.0 - done)


class SaveAverage(L.Callback):
    """Write the averaged model every so many steps, and at the end."""

    def __init__(self, folder: Path, trained_with: dict[str, Any]) -> None:
        self.folder, self.trained_with = folder, trained_with

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save when it is time."""
        assert isinstance(module, SelfForgedModule)
        step = trainer.global_step
        if not trainer.is_global_zero or (step % module.stage.save_every and step != module.stage.steps):
            return
        trained = module.model.trainable_state()
        current = {name: value.clone() for name, value in trained.items()}
        module.model.load_trainable_state(module.average.weights)
        save_checkpoint(module.model, self.folder, trained_with={**self.trained_with, "steps": step})
        module.model.load_trainable_state(current)
