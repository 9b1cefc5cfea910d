"""Losses on pixels that no human marked: of self-made forgeries, and of a teacher's drawings (ours).

The masks of real images never come near these; image labels, and boxes where a run asks for them, are all that is known
of those. Each pixel has a target in [0, 1] and a weight in [0, 1]; a weight of 0 says that nothing is known of it.
"""

from torch import Tensor
from torch.nn import functional as F

TAMPERED_WEIGHT = 2.0
"""Tampered pixels are the rare ones: a tenth of a forged image on average."""


def pixel_cross_entropy(
    mask_logits: Tensor, target: Tensor, weight: Tensor, *, tampered_weight: float = TAMPERED_WEIGHT
) -> Tensor:
    """Binary cross-entropy over all pixels, each as often as it weighs.

    Args:
        mask_logits: Unbounded, shape ``(B, H, W)``.
        target: In [0, 1], 1 is tampered, shape ``(B, H, W)``, float.
        weight: In [0, 1], shape ``(B, H, W)``.
        tampered_weight: How often a tampered pixel counts; one of target ``t`` counts ``1 + t (tampered_weight - 1)``.

    Returns:
        Scalar; exactly 0, with a gradient path, where no pixel has a weight.

    Example:
        >>> import torch
        >>> pixel_cross_entropy(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]]))
        tensor(0.6931)
    """
    counted = weight * (1.0 + (tampered_weight - 1.0) * target)
    losses = F.binary_cross_entropy_with_logits(mask_logits.float(), target, reduction="none")
    return (losses * counted).sum() / counted.sum().clamp_min(1.0)


def soft_dice_loss(mask_logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice of each image that has tampered pixels, over its pixels as they weigh; the mean over those images.

    Args:
        mask_logits: Unbounded, shape ``(B, H, W)``.
        target: In [0, 1], 1 is tampered, shape ``(B, H, W)``, float.
        weight: In [0, 1], shape ``(B, H, W)``.

    Returns:
        Scalar in [0, 1]; exactly 0, with a gradient path, where no image has tampered pixels.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> soft_dice_loss(torch.tensor([[[9.0, 9.0, -9.0]]]), target, torch.ones(1, 1, 3)).round(decimals=3)
        tensor(0.3330)
    """
    probs = mask_logits.float().sigmoid() * weight
    tampered = (target * weight).sum(dim=(1, 2))
    dice = 1.0 - 2.0 * (probs * target).sum(dim=(1, 2)) / (probs.sum(dim=(1, 2)) + tampered + 1e-6)
    has_tampered = (tampered > 0).float()
    return (dice * has_tampered).sum() / has_tampered.sum().clamp_min(1.0)


def patch_cross_entropy(patch_logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the coarse head's patches against the tampered share of each, as its pixels weigh.

    Args:
        patch_logits: Shape ``(B, h, w)``.
        target: In [0, 1], shape ``(B, H, W)``, float.
        weight: In [0, 1], shape ``(B, H, W)``.

    Returns:
        Scalar; exactly 0, with a gradient path, where no pixel has a weight.
    """
    grid = (patch_logits.shape[1], patch_logits.shape[2])
    known, tampered = (F.adaptive_avg_pool2d(part.unsqueeze(1), grid).squeeze(1) for part in (weight, target * weight))
    share = tampered / known.clamp_min(1e-6)
    losses = F.binary_cross_entropy_with_logits(patch_logits.float(), share, reduction="none")
    return (losses * known).sum() / known.sum().clamp_min(1.0)
