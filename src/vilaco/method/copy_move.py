"""Copy-move evidence (ours): what the picture's repetitions mean.

:mod:`vilaco.matching` says where a picture repeats itself and where each cell's partner lies. Both regions show there,
as do windows and leaves that are alike by nature. What tells a copy from its source and from nature is how it was made,
so every cell is compared with its partner in the residual stream.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.matching import CHANNELS


class CopyMoveConfig(BaseModel):
    """Settings of the copy-move branch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    compared: int = Field(16, ge=1)  # channels in which a cell is compared with its partner
    channels: int = Field(32, ge=8, multiple_of=8)  # width of the evidence handed on


class CopyMove(nn.Module):
    """Repetition and residuals to evidence.

    Args:
        residual_channels: Width of the residual stream's features that copy and source are compared by.
        config: See :class:`CopyMoveConfig`.
    """

    def __init__(self, residual_channels: int, config: CopyMoveConfig) -> None:
        super().__init__()
        self.compare = nn.Conv2d(residual_channels, config.compared, 1)
        self.mix = nn.Conv2d(3 + config.compared, config.channels, 3, padding=1)
        self.out = nn.Conv2d(config.channels, config.channels, 3, padding=1)

    def forward(self, matches: Tensor, residuals: Tensor) -> Tensor:
        """Weigh the repetitions.

        Args:
            matches: From :func:`vilaco.matching.self_matches`, ``(B, 5, h, w)``.
            residuals: Features of the residual stream, ``(B, C, h, w)``.

        Returns:
            Evidence, shape ``(B, channels, h, w)``.
        """
        assert matches.shape[1] == CHANNELS
        strength, place = matches[:, :1], matches[:, 3:].permute(0, 2, 3, 1)
        own = self.compare(residuals).float()
        partner = F.grid_sample(own, place.float(), mode="bilinear", padding_mode="border", align_corners=False)
        difference = (own - partner) * strength
        return F.gelu(self.out(F.gelu(self.mix(torch.cat([matches[:, :3], difference], dim=1)))))
