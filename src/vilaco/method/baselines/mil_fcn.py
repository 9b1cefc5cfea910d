"""MIL-FCN: the image is as tampered as its most tampered patch.

Pathak, Shelhamer, Long, Darrell, "Fully Convolutional Multi-Class Multiple Instance Learning", ICLR 2015 workshop,
arXiv 1412.7144: a fully convolutional network gives a coarse map, its maximum is the image logit, and only image labels
train it. The weakly supervised forgery literature (WSCL, ICCV 2023) uses it as its plain baseline.

Kept: map, maximum, image loss, bilinear upsampling. Not kept: the original fine-tunes its whole VGG-16 (WSCL's version
a ResNet-50) with a softmax over many classes; here the encoder is frozen, only the head learns, and the one class of
interest has a sigmoid. ``pooling: smooth`` is the log-sum-exp of Pinheiro and Collobert, CVPR 2015, arXiv 1411.6228.
"""

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.baselines.fcn import FcnHead, FcnHeadConfig, FcnOutput
from vilaco.method.network import NetworkConfig, PatchNetwork, upsample_map


class MilFcnConfig(NetworkConfig):
    """Settings of MIL-FCN."""

    method: Literal["mil_fcn"] = "mil_fcn"
    head: FcnHeadConfig = FcnHeadConfig()
    pooling: Literal["max", "smooth"] = "max"
    sharpness: float = Field(5.0, gt=0)  # of the smooth maximum; the value of Pinheiro and Collobert


def smooth_max(patch_logits: Tensor, *, sharpness: float) -> Tensor:
    """Smooth maximum, ``log(mean(exp(r s))) / r``: the mean as r goes to 0, the maximum as r grows.

    Args:
        patch_logits: s, unbounded, shape ``(B, h, w)``.
        sharpness: r, larger than 0.

    Returns:
        Shape ``(B,)``.

    Example:
        >>> import torch
        >>> smooth_max(torch.tensor([[[0.0, math.log(3.0)]]]), sharpness=1.0).exp()  # mean of 1 and 3
        tensor([2.])
    """
    flat = patch_logits.flatten(1)
    return ((sharpness * flat).logsumexp(dim=1) - math.log(flat.shape[1])) / sharpness


class MilFcn(PatchNetwork):
    """Convolutional head, then the maximum over the patches."""

    config: MilFcnConfig

    def __init__(self, config: MilFcnConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__(config, encoder)
        self.head = FcnHead(self.encoder.embed_dim, config.head)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> FcnOutput:
        """``(B, N, D)`` and the pixels ``(H, W)`` they came from to :class:`FcnOutput`."""
        _, patch_logits = self.head(patch_features, self.encoder.grid(*size))
        if self.config.pooling == "max":
            image_logits = patch_logits.flatten(1).amax(dim=1)
        else:
            image_logits = smooth_max(patch_logits, sharpness=self.config.sharpness)
        return FcnOutput(patch_logits, image_logits, upsample_map(patch_logits, size))
