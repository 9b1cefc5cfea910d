"""The fine head's mask decoder at the photo's own size (ours): similarity map, tokens and residual stream to a mask.

The decoder of the paper draws from the patch grid, 16 x 16 for any picture. This one draws one logit for 4 x 4 stored
pixels from features at 16, 8 and 4 pixels a cell, and uses the patch grid for what it is good at: what the traces mean
in the whole picture.
"""

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.method.residuals import ResidualBlock, ResidualConfig


class NativeDecoderConfig(BaseModel):
    """Settings of the decoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_channels: int = Field(48, ge=8)  # enhanced tokens are reduced to this many channels
    channels: int = Field(96, ge=16, multiple_of=8)  # width at 8 pixels a cell
    fine_channels: int = Field(32, ge=8, multiple_of=8)  # width at 4 pixels a cell


@dataclass(frozen=True)
class NativeFeatures:
    """What the stored pixels say.

    Attributes:
        fine: Residual stream at 4 pixels a cell, ``(B, F, 2h, 2w)``.
        shallow: At 8 pixels a cell, ``(B, C, h, w)``.
        deep: At 16 pixels a cell.
        matches: Copy-move evidence at 8 pixels a cell, ``(B, M, h, w)``; ``None`` without that branch.
    """

    fine: Tensor
    shallow: Tensor
    deep: Tensor
    matches: Tensor | None


class NativeDecoder(nn.Module):
    """From coarse to fine: patch grid and 16 pixels a cell, then 8, then 4."""

    def __init__(
        self,
        num_prompts: int,
        embed_dim: int,
        match_channels: int,
        residuals: ResidualConfig,
        config: NativeDecoderConfig,
    ) -> None:
        super().__init__()
        self.reduce = nn.Linear(embed_dim, config.token_channels)
        grid_channels = num_prompts + config.token_channels + match_channels
        inputs = residuals.channels + residuals.deep_channels + grid_channels
        self.join = nn.Conv2d(inputs, config.channels, 1)
        self.norm = nn.GroupNorm(8, config.channels)
        self.block = ResidualBlock(config.channels)
        self.to_fine = nn.Conv2d(config.channels, config.fine_channels, 1)
        self.from_fine = nn.Conv2d(residuals.fine_channels, config.fine_channels, 1)
        self.refine = nn.Conv2d(config.fine_channels, config.fine_channels, 3, padding=1)
        self.out = nn.Conv2d(config.fine_channels, 1, 3, padding=1)

    def forward(self, similarity: Tensor, tokens: Tensor, native: NativeFeatures) -> Tensor:
        """Draw the mask.

        Args:
            similarity: Patches against text rows, ``(B, T, gh, gw)``.
            tokens: F_enh_I, ``(B, gh * gw, D)``.
            native: What the stored pixels say.

        Returns:
            Mask logits at 4 pixels a cell, ``(B, 2h, 2w)``.
        """
        patches = self.reduce(tokens).transpose(1, 2).unflatten(2, similarity.shape[2:])
        coarse = [torch.cat([similarity.to(patches.dtype), patches], dim=1), native.deep]
        cells = self.block(F.gelu(self.norm(self._joined(native.shallow, coarse, native.matches))))
        size = (native.fine.shape[2], native.fine.shape[3])
        features = _resize(self.to_fine(cells), size) + self.from_fine(native.fine)
        return self.out(F.gelu(self.refine(F.gelu(features)))).squeeze(1)

    def _joined(self, shallow: Tensor, coarse: list[Tensor], matches: Tensor | None) -> Tensor:
        """``join`` of all parts at the size of ``shallow``, ``(B, channels, h, w)``.

        A 1x1 convolution and a bilinear resize may change places. On the coarse grids it is cheap, and the parts need
        not lie beside each other at full size.
        """
        size = (shallow.shape[2], shallow.shape[3])
        parts = [shallow, *coarse] if matches is None else [shallow, *coarse, matches]
        weights = self.join.weight.split([part.shape[1] for part in parts], dim=1)
        joined = F.conv2d(shallow, weights[0], self.join.bias)
        for part, weight in zip(coarse, weights[1:], strict=False):
            joined = joined + _resize(F.conv2d(part, weight), size)
        return joined if matches is None else joined + F.conv2d(matches, weights[-1])


def _resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)
