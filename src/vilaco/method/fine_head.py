"""Fine head (ViLaCo Eq. 5): patches against text rows, a decoder to pixels, and a soft-gated image score."""

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.method.native_decoder import NativeDecoder, NativeFeatures
from vilaco.method.network import cosine_similarities

THETA_RANGE = (0.05, 0.95)
MIN_TEMPERATURE = 0.02  # below it the gate is a step, and the pooling collapses to the maximum or the mean


class FineHeadConfig(BaseModel):
    """Settings of the fine head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decoder_inputs: Literal["similarity", "similarity+patches"] = "similarity+patches"
    patch_channels: int = Field(64, ge=1)  # patch features are reduced to this many channels for the decoder
    channels: int = Field(32, ge=4, multiple_of=4)  # width of the decoder
    upsamplings: int = Field(2, ge=0)  # doublings before the last, bilinear step to the input size
    init_theta: float = Field(0.5, gt=THETA_RANGE[0], lt=THETA_RANGE[1])
    init_temperature: float = Field(0.1, gt=MIN_TEMPERATURE)


def similarity_map(tokens: Tensor, text_rows: Tensor, temperature: Tensor, grid: tuple[int, int]) -> Tensor:
    """Normalised dot product of every patch with every text row, over a temperature.

    Args:
        tokens: F_enh_I, shape ``(B, N, D)``.
        text_rows: F_ta_T, shape ``(B, T, D)``.
        temperature: Positive scalar.
        grid: ``(h, w)``.

    Returns:
        Shape ``(B, T, h, w)``, within ``±1 / temperature``.
    """
    return (cosine_similarities(text_rows, tokens) / temperature).unflatten(2, grid)


def soft_gated_pool(mask_probs: Tensor, theta: Tensor, temperature: Tensor) -> Tensor:
    """Soft-gated pooling (Eq. 5): g = sigmoid((m - theta) / t), y = sum(g m) / sum(g).

    Pixels well below the threshold do not dilute the score, those above it share it; both are learned. At a large
    ``temperature`` every gate is one half and y is the mean; at a small one y is the mean of the pixels above theta.

    Args:
        mask_probs: m in [0, 1], shape ``(B, H, W)``.
        theta: Scalar threshold in [0, 1].
        temperature: Positive scalar.

    Returns:
        y in [0, 1], shape ``(B,)``.

    Example:
        >>> m = torch.tensor([[[0.9, 0.1]]])
        >>> soft_gated_pool(m, torch.tensor(0.5), torch.tensor(0.02))  # only the first pixel passes
        tensor([0.9000])
    """
    flat = mask_probs.flatten(1)
    log_gates = F.logsigmoid((flat - theta) / temperature)  # in logs, so that all gates shut is still a ratio
    return (log_gates.softmax(dim=1) * flat).sum(dim=1)


class MaskDecoder(nn.Module):
    """Convolutional decoder from the patch grid to one mask logit a pixel."""

    def __init__(self, num_prompts: int, embed_dim: int, config: FineHeadConfig) -> None:
        super().__init__()
        with_patches = config.decoder_inputs == "similarity+patches"
        self.reduce = nn.Linear(embed_dim, config.patch_channels) if with_patches else None
        channels = num_prompts + (config.patch_channels if with_patches else 0)
        self.stem = _conv_block(channels, config.channels)
        self.blocks = nn.ModuleList(_conv_block(config.channels, config.channels) for _ in range(config.upsamplings))
        self.out = nn.Conv2d(config.channels, 1, kernel_size=1)

    def forward(self, similarity: Tensor, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Similarity ``(B, T, h, w)`` and patches ``(B, N, D)`` to mask logits ``(B, H, W)`` at ``size``."""
        features = similarity
        if self.reduce is not None:
            patches = self.reduce(tokens).transpose(1, 2).unflatten(2, similarity.shape[-2:])
            features = torch.cat([similarity, patches], dim=1)
        features = self.stem(features)
        for block in self.blocks:
            features = block(F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False))
        logits = self.out(features)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False).squeeze(1)


def _conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.GroupNorm(4, out_channels),
        nn.GELU(),
    )


class FineHead(nn.Module):
    """Similarity map, mask decoder and soft-gated pooling.

    Args:
        num_prompts: T.
        embed_dim: D.
        config: See :class:`FineHeadConfig`.
        native_decoder: Draws the mask instead of the paper's decoder where the network looks at stored pixels.
    """

    def __init__(
        self, num_prompts: int, embed_dim: int, config: FineHeadConfig, native_decoder: NativeDecoder | None = None
    ) -> None:
        super().__init__()
        self.log_similarity_temperature = nn.Parameter(torch.tensor(math.log(0.07)))  # CLIP's own starting point
        self.decoder = native_decoder or MaskDecoder(num_prompts, embed_dim, config)
        low, high = THETA_RANGE
        self.theta_logit = nn.Parameter(torch.tensor((config.init_theta - low) / (high - low)).logit())
        self.log_temperature = nn.Parameter(torch.tensor(config.init_temperature - MIN_TEMPERATURE).log())

    @property
    def theta(self) -> Tensor:
        """Gate threshold, inside ``THETA_RANGE`` by a sigmoid (a hard clamp has no gradient once outside)."""
        low, high = THETA_RANGE
        return low + (high - low) * self.theta_logit.sigmoid()

    @property
    def temperature(self) -> Tensor:
        """Gate temperature, above ``MIN_TEMPERATURE``."""
        return MIN_TEMPERATURE + self.log_temperature.exp()

    def forward(
        self,
        tokens: Tensor,
        text_rows: Tensor,
        grid: tuple[int, int],
        size: tuple[int, int],
        native: NativeFeatures | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the mask and score the image.

        Args:
            tokens: F_enh_I, shape ``(B, N, D)``.
            text_rows: F_ta_T, shape ``(B, T, D)``.
            grid: Patches ``(h, w)``.
            size: Pixels ``(H, W)`` of the mask.
            native: What the stored pixels say, for the native decoder.

        Returns:
            Similarity map ``(B, T, h, w)``, mask logits ``(B, H, W)``, and y_fine in [0, 1], ``(B,)``.
        """
        similarity = similarity_map(tokens, text_rows, self.log_similarity_temperature.exp(), grid)
        if native is None:
            mask_logits = self.decoder(similarity, tokens, size).float()
        else:
            mask_logits = self.decoder(similarity, tokens, native).float()
            mask_logits = F.interpolate(mask_logits[:, None], scale_factor=4, mode="bilinear", align_corners=False)
            mask_logits = mask_logits[:, 0, : size[0], : size[1]]
        return similarity, mask_logits, soft_gated_pool(mask_logits.sigmoid(), self.theta, self.temperature)
