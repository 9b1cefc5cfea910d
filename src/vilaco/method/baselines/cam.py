"""CAM: train an image classifier on pooled features, then read where its evidence came from.

Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning Deep Features for Discriminative Localization", CVPR 2016,
arXiv 1512.04150: a 3 x 3 convolution, global average pooling, a linear classifier; the map is the classifier applied to
every cell before the pooling, negative evidence dropped, divided by its maximum.

Kept: all of that. Not kept: the original also trains the backbone; here the encoder is frozen. The classifier's bias
stays in the map, so that the map's mean is the image logit.
"""

from typing import Literal

from torch import Tensor

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.baselines.fcn import FcnHead, FcnHeadConfig, FcnOutput
from vilaco.method.network import NetworkConfig, PatchNetwork, upsample_map

EPSILON = 1e-4  # keeps the logit of a map that reaches 0 and 1 finite


class CamConfig(NetworkConfig):
    """Settings of CAM."""

    method: Literal["cam"] = "cam"
    head: FcnHeadConfig = FcnHeadConfig()


def normalized_activation(evidence: Tensor) -> Tensor:
    """Drop negative evidence and divide by the maximum of each map.

    Args:
        evidence: Unbounded, shape ``(B, H, W)``.

    Returns:
        In [0, 1], same shape; 1 at the maximum, or all zeros where no evidence is positive.

    Example:
        >>> import torch
        >>> normalized_activation(torch.tensor([[[-1.0, 2.0, 4.0]], [[-3.0, -1.0, -2.0]]])).tolist()
        [[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    positive = evidence.clamp_min(0.0)
    highest = positive.amax(dim=(1, 2), keepdim=True)
    return positive / highest.where(highest > 0, 1.0)


class Cam(PatchNetwork):
    """Convolutional head, then the mean over the patches; the map is the normalised activation."""

    config: CamConfig

    def __init__(self, config: CamConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__(config, encoder)
        self.head = FcnHead(self.encoder.embed_dim, config.head)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> FcnOutput:
        """``(B, N, D)`` and the pixels ``(H, W)`` they came from to :class:`FcnOutput`."""
        _, patch_logits = self.head(patch_features, self.encoder.grid(*size))
        activation = normalized_activation(upsample_map(patch_logits, size))
        return FcnOutput(patch_logits, patch_logits.mean(dim=(1, 2)), activation.logit(eps=EPSILON))
