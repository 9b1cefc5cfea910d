"""MIL-FCN + WSCL: three sources that teach each other, and patches that agree or differ in pairs.

Zhai, Luan, Doermann, Yuan, "Towards Generic Image Manipulation Detection with Weakly-Supervised Self-Consistency
Learning", ICCV 2023, arXiv 2309.01246; weights and details from the authors' code and its final configuration.

Kept:

- adaptive pooling: the image score is the mean of the patches above Otsu's threshold, fewer than half of them;
- multi-source consistency (MSC): each source follows the hard pseudo-mask of the weighted mean of all three;
- inter-patch consistency (IPC): whether two patches belong together, told from features the map is made of, follows
  the same pseudo-mask;
- their weights: sources 1 : 2 : 2, MSC and IPC at 0.1 behind the same ramp over the epochs, the image loss at 1.

Not kept: the original's sources are the pixels, their SRM residuals and their Bayar residuals, a trained ResNet-50 FCN
on each. The trainer gives the patch features of one frozen encoder, so the sources here are three views of these: the
features, what sets a patch apart from its neighbours (a high-pass filter, as SRM is on pixels), and what sets it apart
from its whole image. High-pass filtering semantic features is no noise residual: what only shows in the pixels' noise
stays unseen. IPC reads the head's hidden layer instead of an early block of the backbone, and Otsu's threshold is
searched everywhere instead of by local descent.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.baselines.fcn import FcnHead, FcnHeadConfig
from vilaco.method.network import Losses, NetworkConfig, PatchNetwork, upsample_map

SOURCE_WEIGHTS = (0.2, 0.4, 0.4)
CONSISTENCY_WEIGHT = 0.1
RAMP_STEEPNESS = 5.0
EPSILON = 1e-6  # keeps the logit of a mean of probabilities finite


class WsclConfig(NetworkConfig):
    """Settings of MIL-FCN + WSCL."""

    method: Literal["wscl"] = "wscl"
    head: FcnHeadConfig = FcnHeadConfig()


def local_residual(features: Tensor) -> Tensor:
    """Each patch less the mean of its 3 x 3 neighbourhood, ``(B, D, h, w)``; at the border of those there are."""
    return features - F.avg_pool2d(features, kernel_size=3, stride=1, padding=1, count_include_pad=False)


def global_residual(features: Tensor) -> Tensor:
    """Each patch less the mean of its image, ``(B, D, h, w)``."""
    return features - features.mean(dim=(2, 3), keepdim=True)


def adaptive_pool(probs: Tensor) -> Tensor:
    """Mean of the patches above Otsu's threshold, fewer than half of them, but at least one.

    Args:
        probs: In [0, 1], shape ``(B, N)``. The choice of patches carries no gradient.

    Returns:
        In [0, 1], shape ``(B,)``.

    Example:
        >>> adaptive_pool(torch.tensor([[0.1, 0.9, 0.1, 0.7, 0.1, 0.2]]))  # 0.7 and 0.9 stand out
        tensor([0.8000])
    """
    ordered = probs.sort(dim=1).values
    n = ordered.shape[1]
    below = torch.arange(1, n + 1, device=probs.device)  # patches under the threshold
    above = (n - below).clamp_min(1)
    sums = ordered.detach().cumsum(dim=1)
    # Least variance within the two classes is the largest sum of (class sum)^2 / (class size).
    between = sums**2 / below + (sums[:, -1:] - sums) ** 2 / above
    split = (between.argmax(dim=1, keepdim=True) + 1).clamp(min=n // 2 + 1).clamp(max=n - 1)
    chosen = torch.arange(n, device=probs.device) >= split
    return (ordered * chosen).sum(dim=1) / chosen.sum(dim=1)


def pseudo_mask(probs: Tensor, labels: Tensor) -> Tensor:
    """Hard targets from the joint map: above one half, or, in a tampered image without such a patch, the highest.

    Args:
        probs: Weighted mean of the sources' maps, in [0, 1], shape ``(B, N)``.
        labels: 1 tampered, 0 authentic, shape ``(B,)``; an authentic image has an empty mask.

    Returns:
        0 or 1, shape ``(B, N)``, without gradient.

    Example:
        >>> pseudo_mask(torch.tensor([[0.2, 0.4], [0.6, 0.1], [0.9, 0.9]]), torch.tensor([1, 1, 0])).tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """
    probs = probs.detach()
    highest = probs.amax(dim=1, keepdim=True)
    tampered = probs > 0.5
    tampered = torch.where(highest > 0.5, tampered, probs == highest)
    return (tampered & (labels > 0.5).unsqueeze(1)).float()


def consistency_ramp(epoch: float, *, num_epochs: int) -> float:
    """Weight over the epochs, ``exp(-5 (1 - t / T)^2)``: .007 at the start, 1 at the end."""
    return math.exp(-RAMP_STEEPNESS * (1.0 - epoch / num_epochs) ** 2)


class PairLogits(nn.Module):
    """Consistency volume: for every two patches a logit that they differ, ``-<f_i, g_j> / sqrt(width)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left, self.right = (
            nn.Sequential(nn.Linear(channels, channels), nn.LeakyReLU(), nn.Linear(channels, channels // 2))
            for _ in range(2)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Hidden features ``(B, C, h, w)`` to logits ``(B, N, N)``."""
        tokens = features.flatten(2).transpose(1, 2)
        left, right = self.left(tokens), self.right(tokens)
        return -(left @ right.transpose(1, 2)).float() / math.sqrt(left.shape[-1])


class Source(nn.Module):
    """One source: its view of the features, its head, and its consistency volume."""

    def __init__(self, head: FcnHead, channels: int) -> None:
        super().__init__()
        self.head = head
        self.pairs = PairLogits(channels)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, N, D)`` to patch probabilities ``(B, N)`` and pair logits ``(B, N, N)``."""
        features, patch_logits = self.head(tokens, grid)
        return patch_logits.sigmoid().flatten(1), self.pairs(features)


@dataclass(frozen=True)
class WsclOutput:
    """What the network says about a batch; S = 3 sources.

    Attributes:
        patch_probs: In [0, 1], shape ``(S, B, N)``.
        image_probs: Adaptive pooling of each source, in [0, 1], shape ``(S, B)``.
        pair_logits: Positive means that two patches differ, shape ``(S, B, N, N)``.
        localization_logits: Weighted mean of the sources' maps, as logits, shape ``(B, H, W)``.
        detection_scores: Weighted mean of the sources' image scores, in [0, 1], shape ``(B,)``.
    """

    patch_probs: Tensor
    image_probs: Tensor
    pair_logits: Tensor
    localization_logits: Tensor
    detection_scores: Tensor


def joint(values: Tensor) -> Tensor:
    """Weighted mean over the sources, shape ``(S, ...)`` to ``(...)``."""
    return torch.stack([weight * value for weight, value in zip(SOURCE_WEIGHTS, values, strict=True)]).sum(dim=0)


class Wscl(PatchNetwork):
    """Three sources side by side."""

    config: WsclConfig

    def __init__(self, config: WsclConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__(config, encoder)
        dim, channels = self.encoder.embed_dim, config.head.channels
        self.content = Source(FcnHead(dim, config.head), channels)
        self.local_residual = Source(FcnHead(dim, config.head, local_residual), channels)
        self.global_residual = Source(FcnHead(dim, config.head, global_residual), channels)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> WsclOutput:
        """``(B, N, D)`` and the pixels ``(H, W)`` they came from to :class:`WsclOutput`."""
        grid = self.encoder.grid(*size)
        sources = (self.content, self.local_residual, self.global_residual)
        maps, pairs = zip(*(source(patch_features, grid) for source in sources), strict=True)
        image_probs = torch.stack([adaptive_pool(probs) for probs in maps])
        patch_probs = torch.stack(maps)
        return WsclOutput(
            patch_probs=patch_probs,
            image_probs=image_probs,
            pair_logits=torch.stack(pairs),
            localization_logits=upsample_map(joint(patch_probs).unflatten(1, grid), size).logit(eps=EPSILON),
            detection_scores=joint(image_probs),
        )


def wscl_losses(output: WsclOutput, labels: Tensor, *, epoch: float, num_epochs: int) -> Losses:
    """Image loss, MSC and IPC, each the sum over the sources of a mean.

    Args:
        output: What the network returned.
        labels: 1 tampered, 0 authentic, shape ``(B,)``.
        epoch: Epochs done.
        num_epochs: Epochs of the whole training.

    Returns:
        ``label``: binary cross-entropy of each source's image score; ``msc``: squared distance of each source's map to
        the pseudo-mask; ``ipc``: binary cross-entropy of each source's pairs with whether the pseudo-mask differs.
    """
    target = labels.float().expand_as(output.image_probs)
    mask = pseudo_mask(joint(output.patch_probs), labels)
    differ = (mask.unsqueeze(1) != mask.unsqueeze(2)).float()
    weight = CONSISTENCY_WEIGHT * consistency_ramp(epoch, num_epochs=num_epochs)
    num_sources = len(output.patch_probs)
    parts = {
        "label": F.binary_cross_entropy(output.image_probs, target),
        "msc": F.mse_loss(output.patch_probs, mask.expand_as(output.patch_probs)),
        "ipc": F.binary_cross_entropy_with_logits(output.pair_logits, differ.expand_as(output.pair_logits)),
    }
    return Losses({name: num_sources * part for name, part in parts.items()}, {"msc": weight, "ipc": weight})
