"""Losses on masks that no human drew: those of self-made forgeries, and pseudo-masks (ours).

The masks of real images never come near these; image labels alone say what is known of those.
"""

from torch import Tensor
from torch.nn import functional as F

UNKNOWN = 255
TAMPERED_WEIGHT = 2.0
"""Tampered pixels are the rare ones: a tenth of a forged image on average."""


def pixel_cross_entropy(mask_logits: Tensor, mask: Tensor, *, tampered_weight: float = TAMPERED_WEIGHT) -> Tensor:
    """Binary cross-entropy over all known pixels.

    Args:
        mask_logits: Unbounded, shape ``(B, H, W)``.
        mask: 1 tampered, 0 authentic, 255 unknown, shape ``(B, H, W)``, uint8.
        tampered_weight: How often a tampered pixel counts.

    Returns:
        Scalar; exactly 0, with a gradient path, where no pixel is known.

    Example:
        >>> import torch
        >>> pixel_cross_entropy(torch.zeros(1, 1, 2), torch.tensor([[[0, 255]]]))  # log 2 of the known pixel
        tensor(0.6931)
    """
    target = (mask == 1).float()
    weight = (mask != UNKNOWN).float() * (1.0 + (tampered_weight - 1.0) * target)
    losses = F.binary_cross_entropy_with_logits(mask_logits.float(), target, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp_min(1.0)


def soft_dice_loss(mask_logits: Tensor, mask: Tensor) -> Tensor:
    """One minus the soft F1 of each image that has tampered pixels, then the mean over those images.

    F1 per tampered image at one fixed threshold is what the field reports (profile ``wscl``); this is its smooth form.

    Args:
        mask_logits: Unbounded, shape ``(B, H, W)``.
        mask: 1 tampered, 0 authentic, 255 unknown, shape ``(B, H, W)``, uint8.

    Returns:
        Scalar in [0, 1]; exactly 0, with a gradient path, where no image has tampered pixels.

    Example:
        >>> import torch
        >>> soft_dice_loss(torch.tensor([[[9.0, 9.0, -9.0]]]), torch.tensor([[[1, 0, 0]]])).round(decimals=3)
        tensor(0.3330)
    """
    known = (mask != UNKNOWN).float()
    target = (mask == 1).float()
    probs = mask_logits.float().sigmoid() * known
    overlap = (probs * target).sum(dim=(1, 2))
    dice = 1.0 - 2.0 * overlap / (probs.sum(dim=(1, 2)) + target.sum(dim=(1, 2)) + 1e-6)
    has_tampered = (target.sum(dim=(1, 2)) > 0).float()
    return (dice * has_tampered).sum() / has_tampered.sum().clamp_min(1.0)


def patch_cross_entropy(patch_logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the coarse head's patches against the tampered share of each; images with unknowns are left out.

    Args:
        patch_logits: Shape ``(B, h, w)``.
        mask: Shape ``(B, H, W)``, uint8.
    """
    grid = (patch_logits.shape[1], patch_logits.shape[2])
    target = F.adaptive_avg_pool2d((mask == 1).float().unsqueeze(1), grid).squeeze(1)
    known = (mask != UNKNOWN).all(dim=2).all(dim=1).float()[:, None, None].expand_as(target)
    losses = F.binary_cross_entropy_with_logits(patch_logits.float(), target, reduction="none")
    return (losses * known).sum() / known.sum().clamp_min(1.0)
