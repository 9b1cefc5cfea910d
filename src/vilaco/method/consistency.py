"""Contrastive patch consistency (ViLaCo Eq. 6): patches of one kind agree, patches of opposite kinds do not."""

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F


class ConsistencyConfig(BaseModel):
    """Settings of the contrastive patch consistency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau_fg: float = Field(0.7, gt=0, lt=1)  # mask above it: a tampered patch
    tau_bg: float = Field(0.3, gt=0, lt=1)  # mask below it: an authentic patch
    gamma: float = Field(0.1, gt=0)  # InfoNCE temperature
    max_patches: int = Field(256, ge=2)  # drawn per kind and step, so that memory stays bounded

    @model_validator(mode="after")
    def _ordered(self) -> "ConsistencyConfig":
        if self.tau_bg >= self.tau_fg:
            raise ValueError(f"tau_bg ({self.tau_bg}) must be below tau_fg ({self.tau_fg})")
        return self


def patch_kinds(
    mask_probs: Tensor, labels: Tensor, grid: tuple[int, int], config: ConsistencyConfig
) -> tuple[Tensor, Tensor]:
    """Say which patches count as tampered and which as authentic.

    The mask is averaged over each patch. In an authentic image every patch is authentic, whatever the mask says.

    Args:
        mask_probs: Predicted mask in [0, 1], shape ``(B, H, W)``.
        labels: 1 tampered, 0 authentic, shape ``(B,)``.
        grid: ``(h, w)``.
        config: The two thresholds.

    Returns:
        Two bool tensors of shape ``(B, h*w)``: tampered, authentic.
    """
    patches = F.adaptive_avg_pool2d(mask_probs.unsqueeze(1), grid).flatten(1)
    in_tampered = (labels > 0.5).unsqueeze(1)
    return (patches > config.tau_fg) & in_tampered, (patches < config.tau_bg) | ~in_tampered


def symmetric_info_nce(tampered: Tensor, authentic: Tensor, *, gamma: float) -> Tensor:
    """InfoNCE over two kinds of patches, each kind the other's negatives (Eq. 6).

    For every ordered pair (i, j) of one kind, i != j, with s the cosine similarity over gamma:
    ``-log(exp(s_ij) / (exp(s_ij) + sum_k exp(s_ik)))``, k over all patches of the other kind; then the mean over the
    pairs of both kinds.

    Args:
        tampered: Features of tampered patches, shape ``(P, D)``.
        authentic: Features of authentic patches, shape ``(Q, D)``.
        gamma: Positive temperature.

    Returns:
        Scalar, at least 0. Exactly 0, with a gradient path, where there is no positive pair or no negative.
    """
    if min(len(tampered), len(authentic)) < 1 or max(len(tampered), len(authentic)) < 2:
        return (tampered.sum() + authentic.sum()) * 0.0
    tampered, authentic = F.normalize(tampered.float(), dim=1), F.normalize(authentic.float(), dim=1)
    across = tampered @ authentic.T / gamma  # (P, Q)
    pair_losses = torch.cat([_pair_losses(tampered, across, gamma), _pair_losses(authentic, across.T, gamma)])
    return pair_losses.mean()


def _pair_losses(unit: Tensor, to_negatives: Tensor, gamma: float) -> Tensor:
    """Loss of every ordered pair of different rows; ``(n, D)`` and ``(n, m)`` to ``(n * (n - 1),)``."""
    positives = unit @ unit.T / gamma
    negatives = to_negatives.logsumexp(dim=1, keepdim=True)
    losses = torch.logaddexp(positives, negatives) - positives
    return losses[~torch.eye(len(unit), dtype=torch.bool, device=unit.device)]


def contrastive_patch_consistency(
    tokens: Tensor,
    mask_probs: Tensor,
    labels: Tensor,
    grid: tuple[int, int],
    config: ConsistencyConfig,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """L_cpc of a batch.

    Args:
        tokens: F_enh_I, shape ``(B, N, D)``.
        mask_probs: Predicted mask in [0, 1], shape ``(B, H, W)``; it only chooses patches, no gradient flows into it.
        labels: 1 tampered, 0 authentic, shape ``(B,)``.
        grid: ``(h, w)``, ``h * w == N``.
        config: See :class:`ConsistencyConfig`.
        generator: Draws patches where there are too many; PyTorch's own if ``None``.

    Returns:
        Scalar loss.
    """
    is_tampered, is_authentic = patch_kinds(mask_probs.detach(), labels, grid, config)
    tampered = _draw(tokens[is_tampered], config.max_patches, generator)
    authentic = _draw(tokens[is_authentic], config.max_patches, generator)
    return symmetric_info_nce(tampered, authentic, gamma=config.gamma)


def _draw(features: Tensor, most: int, generator: torch.Generator | None) -> Tensor:
    if len(features) <= most:
        return features
    return features[torch.randperm(len(features), generator=generator, device=features.device)[:most]]
