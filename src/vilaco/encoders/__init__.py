"""Frozen vision-language encoders behind one interface.

:class:`EncoderConfig` says which one, :func:`load_encoder` builds it; both are light to import, torch and
transformers are loaded when an encoder is built. The interface is
:class:`vilaco.encoders.base.VisionLanguageEncoder`.
"""

from vilaco.encoders.config import EncoderConfig
from vilaco.encoders.loading import load_encoder

__all__ = ["EncoderConfig", "load_encoder"]
