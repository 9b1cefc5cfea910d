"""What the convolutional baselines share: a small head that gives every patch a logit, and the image-label loss."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.method.network import Losses


class FcnHeadConfig(BaseModel):
    """Settings of the convolutional head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(256, ge=2)  # width between the 3 x 3 convolution and the classifier


def as_grid(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Layer-normalised tokens on their grid: ``(B, N, D)`` to ``(B, D, h, w)``; encoders differ in scale."""
    return F.layer_norm(tokens, tokens.shape[-1:]).transpose(1, 2).unflatten(2, grid)


class FcnHead(nn.Module):
    """Convolution 3 x 3, GELU, and a linear classifier shared by all patches.

    Args:
        embed_dim: Width D of the tokens.
        config: See :class:`FcnHeadConfig`.
        view: What of the feature grid ``(B, D, h, w)`` the head looks at; all of it where not given.
    """

    def __init__(
        self, embed_dim: int, config: FcnHeadConfig, view: Callable[[Tensor], Tensor] = lambda grid: grid
    ) -> None:
        super().__init__()
        self.view = view
        self.conv = nn.Conv2d(embed_dim, config.channels, kernel_size=3, padding=1)
        self.classifier = nn.Conv2d(config.channels, 1, kernel_size=1)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, N, D)`` to hidden features ``(B, C, h, w)`` and patch logits ``(B, h, w)``."""
        features = F.gelu(self.conv(self.view(as_grid(tokens, grid))))
        return features, self.classifier(features).squeeze(1).float()


@dataclass(frozen=True)
class FcnOutput:
    """What a network with one convolutional head says about a batch.

    Attributes:
        patch_logits: Unbounded, shape ``(B, h, w)``.
        image_logits: Pooled from the patches, unbounded, shape ``(B,)``.
        localization_logits: The map that is shown, unbounded, shape ``(B, H, W)``.
    """

    patch_logits: Tensor
    image_logits: Tensor
    localization_logits: Tensor

    @property
    def detection_scores(self) -> Tensor:
        """Image scores in [0, 1], shape ``(B,)``."""
        return self.image_logits.sigmoid()


def image_label_losses(output: FcnOutput, labels: Tensor, *, epoch: float, num_epochs: int) -> Losses:
    """Binary cross-entropy of the image logits: all the supervision there is.

    Args:
        output: What the network returned.
        labels: 1 tampered, 0 authentic, shape ``(B,)``.
        epoch: Not used.
        num_epochs: Not used.

    Returns:
        One part, ``label``.
    """
    return Losses({"label": F.binary_cross_entropy_with_logits(output.image_logits, labels.float())})
