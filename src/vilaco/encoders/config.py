"""Which encoder to use, and the one function that builds it."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from vilaco.encoders.base import VisionLanguageEncoder


class EncoderConfig(BaseModel):
    """The frozen vision-language encoder of a model.

    Attributes:
        family: ``"embedded"`` works offline from installed packages; ``"clip"`` is any CLIP of
            ``transformers``.
        checkpoint: Hub name or local folder of the CLIP (``clip`` only); the default is the paper's.
        tokens: What a patch token is: ``"dense"``, a cell of the encoder's own feature map, or ``"blocks"``,
            a block of the image encoded as an image of its own (the ablation of the paper's Figure 5a).
        grid_blocks: Blocks along each side (``blocks`` only).
        output_stride: Pixels a cell of the feature map spans (``embedded`` only): 16 gives the grid of
            ViT-B/16 by dilating the last stages, 32 is the network as it was trained, and faster.

    Example:
        >>> EncoderConfig(family="clip").checkpoint
        'openai/clip-vit-base-patch16'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["embedded", "clip"] = "embedded"
    checkpoint: str = Field(default="openai/clip-vit-base-patch16", min_length=1)
    tokens: Literal["dense", "blocks"] = "dense"
    grid_blocks: int = Field(default=16, ge=1)
    output_stride: Literal[16, 32] = 16


def load_encoder(config: EncoderConfig) -> "VisionLanguageEncoder":
    """Builds the encoder that a config names, frozen and in evaluation mode, on the CPU in float32.

    Args:
        config: The encoder's settings.

    Returns:
        The encoder.

    Raises:
        ModelError: If the weights are missing or do not fit; the message says what to get and where to put
            it.
    """
    if config.family == "clip":
        from vilaco.encoders.clip import ClipEncoder

        return ClipEncoder(config)
    from vilaco.encoders.embedded import EmbeddedEncoder

    return EmbeddedEncoder(config)
