"""Which encoder to use, and which there are."""

from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

ENTRY_POINTS = "vilaco.encoders"
"""The group of entry points by which an installed package adds families: a name, and the encoder's class."""

_OWN = {
    name: EntryPoint(name, value, ENTRY_POINTS)
    for name, value in (
        ("embedded", "vilaco.encoders.embedded:EmbeddedEncoder"),
        ("clip", "vilaco.encoders.clip:ClipEncoder"),
    )
}


class EncoderConfig(BaseModel):
    """The frozen vision-language encoder of a model.

    Attributes:
        family: ``"embedded"`` works offline from installed packages; ``"clip"`` is any CLIP of
            ``transformers``; an installed package may add its own, which use the fields below as they like.
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

    family: str = "embedded"
    checkpoint: str = Field(default="openai/clip-vit-base-patch16", min_length=1)
    tokens: Literal["dense", "blocks"] = "dense"
    grid_blocks: int = Field(default=16, ge=1)
    output_stride: Literal[16, 32] = 16

    @field_validator("family")
    @classmethod
    def _there_is_one(cls, value: str) -> str:
        if value not in _OWN and value not in (families := encoder_families()):
            raise ValueError(f"there is no encoder {value!r}; installed are {', '.join(sorted(families))}")
        return value


def encoder_families() -> dict[str, EntryPoint]:
    """The families of vilaco and of installed packages, by name; none of them is imported.

    Example:
        >>> encoder_families()["clip"].value
        'vilaco.encoders.clip:ClipEncoder'
    """
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)} | _OWN


def encoder_family(name: str) -> EntryPoint:
    """One of `encoder_families`; for vilaco's own, no package is looked through."""
    return _OWN.get(name) or encoder_families()[name]
