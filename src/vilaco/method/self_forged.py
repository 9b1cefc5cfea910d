"""The objective where forgeries are self-made (ours): pixel losses on known masks beside ViLaCo's own.

L = w_pixel (L_bce + L_dice + L_patch) + w_image (L_coarse + L_fine) + lambda L_cpc: the first three on the masks of
forged images and on what a teacher draws of real ones, the image losses of Eq. 4 and 5 on all, and the contrastive
patch consistency of Eq. 6 with the known mask as far as there is one.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from vilaco.method.consistency import ConsistencyConfig, contrastive_patch_consistency
from vilaco.method.network import Losses
from vilaco.method.objective import consistency_weight
from vilaco.method.pixel_losses import patch_cross_entropy, pixel_cross_entropy, soft_dice_loss
from vilaco.method.vilaco import ViLaCoOutput


class SelfForgedObjectiveConfig(BaseModel):
    """Weights of the parts; 0 switches one off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixel: float = Field(1.0, ge=0)
    image: float = Field(0.2, ge=0)  # low: on real images the label can be read from more than the forgery
    consistency: float = Field(0.1, ge=0)
    warmup_share: float = Field(0.1, ge=0, lt=1)  # T_w over T_total of Eq. 8
    cpc: ConsistencyConfig = ConsistencyConfig()


def self_forged_losses(
    output: ViLaCoOutput,
    labels: Tensor,
    target: Tensor,
    weight: Tensor,
    config: SelfForgedObjectiveConfig,
    *,
    progress: float,
    generator: torch.Generator | None = None,
) -> Losses:
    """Compute the parts for one batch.

    Args:
        output: What the network returned.
        labels: 1 tampered, 0 authentic, shape ``(B,)``.
        target: Of each pixel, in [0, 1], 1 is tampered, shape ``(B, H, W)``, float.
        weight: Of each pixel, in [0, 1]; 0 where nothing is known, shape ``(B, H, W)``.
        config: Weights.
        progress: Share of the training done, in [0, 1].
        generator: Draws patches for the consistency; PyTorch's own if ``None``.
    """
    label = labels.float()
    parts = {
        "bce": pixel_cross_entropy(output.mask_logits, target, weight),
        "dice": soft_dice_loss(output.mask_logits, target, weight),
        "patch": patch_cross_entropy(output.patch_logits, target, weight),
        "coarse": F.binary_cross_entropy_with_logits(output.image_logits.float(), label),
        "fine": F.binary_cross_entropy(output.fine_scores.clamp(1e-6, 1.0 - 1e-6), label),
    }
    weights = dict.fromkeys(("bce", "dice", "patch"), config.pixel) | dict.fromkeys(("coarse", "fine"), config.image)
    if config.consistency:
        drawn = torch.lerp(output.mask_logits.float().sigmoid(), target, weight)
        parts["cpc"] = contrastive_patch_consistency(
            output.tokens, drawn, labels, output.grid, config.cpc, generator=generator
        )
        weights["cpc"] = config.consistency * consistency_weight(progress, warmup=config.warmup_share, total=1.0)
    return Losses(parts, weights)
