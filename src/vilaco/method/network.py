"""What every method trained here has in common: a frozen encoder, trainable boxes on its patch features, losses.

The trainer, the checkpoints and the runtimes know a method by this contract alone, so ViLaCo and the baselines it is
compared with share encoder, data, splits, optimiser and the way they are judged.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder

NORM_FLOOR = 1e-6  # a vector of zeros has cosine 0 with everything


class NetworkConfig(BaseModel):
    """What the configuration of every method begins with; each fixes ``method`` to its name and adds its own boxes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    encoder: EncoderConfig = EncoderConfig()
    image_size: int = Field(256, ge=32)  # pixels a side; the paper squashes every image to 256 x 256


class NetworkOutput(Protocol):
    """What every network says about a batch; each adds what its losses need."""

    @property
    def localization_logits(self) -> Tensor:
        """The map that is shown, unbounded, shape ``(B, H, W)``."""
        ...

    @property
    def detection_scores(self) -> Tensor:
        """The image score that is shown, in [0, 1], shape ``(B,)``."""
        ...


@dataclass(frozen=True)
class Losses:
    """The parts of one step's loss.

    Attributes:
        parts: Scalars by name, not yet weighted.
        weights: Weights of the parts that do not simply count once.
    """

    parts: Mapping[str, Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """The weighted sum, a scalar."""
        weighted = [self.weights.get(name, 1.0) * part for name, part in self.parts.items()]
        return sum(weighted[1:], start=weighted[0])


class Objective(Protocol):
    """The loss of a method; sees image labels, never a mask."""

    def __call__(self, output: Any, labels: Tensor, *, epoch: float, num_epochs: int) -> Losses:
        """Compute the loss of one batch.

        Args:
            output: What the method's network returned.
            labels: Image labels, 1 tampered and 0 authentic, shape ``(B,)``.
            epoch: Epochs done, from 0 to ``num_epochs``.
            num_epochs: Epochs of the whole training.
        """
        ...


class PatchNetwork(nn.Module, ABC):
    """A network on the patch features of a frozen encoder.

    Args:
        config: The configuration of the method.
        encoder: A loaded encoder to share; loaded from ``config.encoder`` where not given.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder if encoder is not None else load_encoder(config.encoder)

    @abstractmethod
    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> NetworkOutput:
        """Go on from the frozen encoder's patch tokens, which may come from a cache.

        Args:
            patch_features: Shape ``(B, N, D)``, as the encoder gives them.
            size: Pixels ``(H, W)`` that the tokens were made from.
        """

    @property
    def reads_pixels(self) -> bool:
        """Whether the network looks at the stored pixels beside the squashed view."""
        return False

    @property
    def reads_matches(self) -> bool:
        """Whether the network asks where the picture repeats itself."""
        return False

    def forward(self, view: Tensor, pixels: Tensor | None = None, matches: Tensor | None = None) -> NetworkOutput:
        """Look at images.

        Args:
            view: The whole picture squashed to the network's size, RGB in [0, 1], shape ``(B, 3, S, S)``.
            pixels: The stored pixels, RGB in [0, 255], shape ``(B, 3, H, W)``; for networks that read them.
            matches: From :func:`vilaco.matching.self_matches`, ``(B, 5, h, w)``; for networks that ask for them.
        """
        size = (view.shape[2], view.shape[3])
        return self.forward_patches(self.encoder.encode_patches(view), size)

    def trainable_state(self) -> dict[str, Tensor]:
        """Weights to save: all but the encoder's, which its name and fingerprint stand for."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("encoder.")}

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`trainable_state` gave.

        Raises:
            RuntimeError: If a weight is missing, unknown (the encoder's are), or of another shape.
        """
        if unwanted := [name for name in state if name.startswith("encoder.")]:
            raise RuntimeError(f"{unwanted[0]} belongs to the frozen encoder")
        encoder = {name: value for name, value in self.state_dict().items() if name.startswith("encoder.")}
        self.load_state_dict({**encoder, **state})


def upsample_map(patch_map: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch a map over the patches to pixels, bilinearly: ``(B, h, w)`` to ``(B, H, W)``, float32.

    Example:
        >>> import torch
        >>> upsample_map(torch.tensor([[[0.0, 1.0]]]), (1, 4))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    return F.interpolate(patch_map.float().unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1)


def cosine_similarities(rows: Tensor, columns: Tensor) -> Tensor:
    """Cosine of every row with every column: ``(B, M, D)`` and ``(B, N, D)`` to ``(B, M, N)``.

    The products are divided by the norms, not the vectors beforehand, which saves writing out all of ``D`` again.

    Example:
        >>> import torch
        >>> cosine_similarities(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[5.0, 0.0], [0.0, 0.0]]]))
        tensor([[[0.6000, 0.0000]]])
    """
    row_norms, column_norms = (vectors.norm(dim=-1).clamp_min(NORM_FLOOR) for vectors in (rows, columns))
    return rows @ columns.transpose(1, 2) / (row_norms.unsqueeze(2) * column_norms.unsqueeze(1))
