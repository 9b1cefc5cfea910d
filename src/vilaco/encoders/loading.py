"""The one function that builds an encoder."""

from typing import TYPE_CHECKING

from vilaco.encoders.config import EncoderConfig, encoder_family

if TYPE_CHECKING:
    from vilaco.encoders.base import VisionLanguageEncoder


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
    encoder: VisionLanguageEncoder = encoder_family(config.family).load()(config)
    return encoder
