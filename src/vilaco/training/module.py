"""The Lightning side of every method; the networks themselves do not know how they are trained."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.evaluation.image_metrics import ImageScores, image_auc, image_f1_sen_spe_harmonic
from vilaco.method.methods import build_network, build_objective
from vilaco.method.network import NetworkOutput
from vilaco.training.recipe import Recipe


class ViLaCoModule(L.LightningModule):
    """Train ViLaCo, or a method it is compared with, by a recipe.

    Batches hold ``label`` and either ``pixels`` ``(B, 3, S, S)`` uint8 or, from the cache, ``patch_features``
    ``(B, N, D)``. All randomness of a step follows from the seed and the step's number, so training goes on after an
    interruption as if nothing had happened.
    """

    def __init__(self, recipe: Recipe, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        torch.manual_seed(recipe.training.seed)
        self.model = build_network(recipe.model, encoder)
        self.objective = build_objective(recipe.model, recipe.objective)
        self._validation: list[tuple[Tensor, Tensor]] = []

    def run_network(self, batch: dict[str, Tensor]) -> NetworkOutput:
        """Run the network on a batch of either kind."""
        size = self.recipe.model.image_size
        if "patch_features" in batch:
            return self.model.forward_patches(batch["patch_features"].float(), (size, size))
        return self.model(batch["pixels"].float() / 255)

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Seed dropout and patch drawing for this step."""
        torch.manual_seed((self.recipe.training.seed << 32) + self.global_step + 1)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """One step: the network, then its objective in float32 (autocast refuses cross-entropy of probabilities)."""
        epoch = self.current_epoch + batch_index / max(1, int(self.trainer.num_training_batches))
        output = self.run_network(batch)
        with torch.autocast(self.device.type, enabled=False):
            losses = self.objective(output, batch["label"], epoch=epoch, num_epochs=self.recipe.training.epochs)
        for name, part in losses.parts.items():
            self.log(f"loss/{name}", part, prog_bar=True, on_step=False, on_epoch=True, sync_dist=True)
        for name, weight in losses.weights.items():
            self.log(f"weight/{name}", weight, on_step=False, on_epoch=True, sync_dist=True)
        self.log("loss/total", losses.total, on_step=False, on_epoch=True, sync_dist=True)
        return losses.total

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Collect image scores; nothing pixel-level exists here."""
        self._validation.append((self.run_network(batch).detection_scores.float().cpu(), batch["label"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Image-level metrics of the held-out share, which alone choose the checkpoint."""
        scores, labels = (torch.cat(column) for column in zip(*self._validation, strict=True))
        self._validation.clear()
        images = ImageScores.of(labels, scores)
        self.log("val/image_auc", float(image_auc(images)[0]), prog_bar=True, sync_dist=True)
        self.log("val/image_f1", float(image_f1_sen_spe_harmonic(images)[0]), prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on everything but the frozen encoder."""
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        settings = self.recipe.training
        return torch.optim.AdamW(trainable, lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Trainable weights only: a checkpoint never holds the encoder."""
        return self.model.trainable_state()

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load what :meth:`state_dict` gave."""
        self.model.load_trainable_state(state_dict)
