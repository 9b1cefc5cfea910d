"""The whole objective (ViLaCo Eq. 7 and 8): L = L_coarse + L_fine + lambda(t) L_cpc."""

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from vilaco.method.consistency import ConsistencyConfig, contrastive_patch_consistency
from vilaco.method.network import Losses
from vilaco.method.vilaco import ViLaCoOutput


class ObjectiveConfig(BaseModel):
    """Which losses count; each switch is a row of the paper's ablation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coarse: bool = True
    fine: bool = True
    consistency: bool = True
    warmup_share: float = Field(0.1, ge=0, lt=1)  # T_w over T_total: the mask must mean something before Eq. 6 uses it
    cpc: ConsistencyConfig = ConsistencyConfig()

    @model_validator(mode="after")
    def _something_counts(self) -> "ObjectiveConfig":
        if not (self.coarse or self.fine or self.consistency):
            raise ValueError("coarse, fine and consistency are all off; nothing would be learned")
        return self


def consistency_weight(t: float, *, warmup: float, total: float) -> float:
    """Lambda of Eq. 8: 0 for t < T_w, then ``1 - exp(-(t - T_w) / (T_total - T_w))``, which ends at 0.632.

    Args:
        t: Epochs done, from 0 to ``total``.
        warmup: T_w in epochs.
        total: T_total in epochs.

    Returns:
        Weight in [0, 1 - 1/e].

    Example:
        >>> [round(consistency_weight(t, warmup=10, total=100), 3) for t in (9, 10, 55, 100)]
        [0.0, 0.0, 0.393, 0.632]
    """
    if t < warmup:
        return 0.0
    return 1.0 - math.exp(-(t - warmup) / (total - warmup))


def vilaco_losses(
    output: ViLaCoOutput, labels: Tensor, config: ObjectiveConfig, *, epoch: float, num_epochs: int
) -> Losses:
    """Compute L = L_coarse + L_fine + lambda(t) L_cpc for one batch.

    Args:
        output: What the network returned.
        labels: Image labels, 1 tampered and 0 authentic, shape ``(B,)``.
        config: Which parts count.
        epoch: Epochs done (t of Eq. 8).
        num_epochs: T_total.

    Returns:
        The parts ``coarse``, ``fine`` and ``cpc``, less those switched off, and lambda(t) as the weight of ``cpc``.
    """
    target = labels.float()
    parts: dict[str, Tensor] = {}
    weights: dict[str, float] = {}
    if config.coarse:
        parts["coarse"] = F.binary_cross_entropy_with_logits(output.image_logits.float(), target)
    if config.fine:
        parts["fine"] = F.binary_cross_entropy(output.fine_scores, target)
    if config.consistency:
        parts["cpc"] = contrastive_patch_consistency(
            output.tokens, output.localization_logits.sigmoid(), labels, output.grid, config.cpc
        )
        weights["cpc"] = consistency_weight(epoch, warmup=config.warmup_share * num_epochs, total=num_epochs)
    return Losses(parts, weights)
