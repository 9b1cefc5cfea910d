"""Normalised global weighted pooling with a focal penalty on the size of the mask.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020, arXiv 2005.08104: the mask, not
a maximum, weighs the logits that make the image score, and a penalty keeps it from shrinking to one spot.

Kept: the softmax against a constant background logit of 1, the pooling (nGWP), the penalty. Not kept: the trained
backbone with its decoder and stochastic gate, which the frozen encoder and one convolutional head replace, and the
self-supervised segmentation loss, whose local mask refinement (PAMR) needs the pixels; the trainer gives features.
"""

from typing import Literal

import torch
from torch import Tensor

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.baselines.fcn import FcnHead, FcnHeadConfig, FcnOutput
from vilaco.method.network import NetworkConfig, PatchNetwork, upsample_map

BACKGROUND_LOGIT = 1.0  # the authors' code, for this and the next two
FOCAL_POWER = 3
FOCAL_LAMBDA = 0.01


class AraslanovConfig(NetworkConfig):
    """Settings of the weighted pooling."""

    method: Literal["araslanov"] = "araslanov"
    head: FcnHeadConfig = FcnHeadConfig()


def weighted_pool_logits(patch_logits: Tensor) -> Tensor:
    """Image logits: normalised global weighted pooling plus the focal penalty.

    With s the patch logits, the mask m = softmax over (background, s) = sigmoid(s - 1), and m' its mean:
    ``sum(m s) / (1 + sum(m)) + (1 - m')**3 * log(0.01 + m')``. The penalty is -4.6 for an empty mask, 0 for a full one.

    Args:
        patch_logits: Unbounded, shape ``(B, h, w)``.

    Returns:
        Unbounded, shape ``(B,)``.
    """
    flat = patch_logits.flatten(1)
    mask = (flat - BACKGROUND_LOGIT).sigmoid()
    pooled = (mask * flat).sum(dim=1) / (1.0 + mask.sum(dim=1))
    area = mask.mean(dim=1)
    return pooled + (1.0 - area) ** FOCAL_POWER * torch.log(FOCAL_LAMBDA + area)


class Araslanov(PatchNetwork):
    """Convolutional head, then :func:`weighted_pool_logits`; the map is the mask."""

    config: AraslanovConfig

    def __init__(self, config: AraslanovConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__(config, encoder)
        self.head = FcnHead(self.encoder.embed_dim, config.head)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> FcnOutput:
        """``(B, N, D)`` and the pixels ``(H, W)`` they came from to :class:`FcnOutput`."""
        _, patch_logits = self.head(patch_features, self.encoder.grid(*size))
        mask_logits = upsample_map(patch_logits - BACKGROUND_LOGIT, size)
        return FcnOutput(patch_logits, weighted_pool_logits(patch_logits), mask_logits)
