"""Coarse head (ViLaCo Eq. 4): a classifier on each patch; the image is as tampered as its most tampered patches."""

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class CoarseHeadConfig(BaseModel):
    """Settings of the coarse head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topk_divisor: int = Field(16, ge=1)  # K = ceil(N / 16): a splice of a sixteenth of the picture still fills all K


def topk_mean_logits(patch_logits: Tensor, *, divisor: int) -> Tensor:
    """Image logits as the mean of the K largest patch logits, K = ceil(N / divisor) (Eq. 4).

    Training sees one label per image, so the image score has to be a function of the map. Averaging only the top
    patches keeps a small splice from drowning in a large clean background.

    Args:
        patch_logits: Unbounded, positive means tampered. Shape ``(B, h, w)``.
        divisor: Patches per averaged patch, at least 1; at least one patch is always kept.

    Returns:
        Unbounded logits, shape ``(B,)``.

    Raises:
        ValueError: If ``divisor`` is below 1.

    Example:
        >>> import torch
        >>> topk_mean_logits(torch.tensor([[[4.0, -1.0], [2.0, -3.0]]]), divisor=2)  # mean of 4 and 2
        tensor([3.])
    """
    if divisor < 1:
        raise ValueError(f"divisor must be at least 1, got {divisor}.")
    flat = patch_logits.flatten(1)  # (B, h*w)
    k = -(-flat.shape[1] // divisor)
    return flat.topk(k, dim=1).values.mean(dim=1)


class CoarseHead(nn.Module):
    """One linear classifier shared by all patches, then :func:`topk_mean_logits`."""

    def __init__(self, embed_dim: int, config: CoarseHeadConfig) -> None:
        super().__init__()
        self.divisor = config.topk_divisor
        self.classifier = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, 1))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """F_enh_I ``(B, N, D)`` to patch logits ``(B, h, w)`` and image logits ``(B,)``."""
        patch_logits = self.classifier(tokens).squeeze(-1).unflatten(1, grid)
        return patch_logits, topk_mean_logits(patch_logits, divisor=self.divisor)
