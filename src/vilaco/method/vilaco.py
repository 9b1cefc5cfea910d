"""ViLaCo: the paper's Figure 2, wired (Sheng et al., AAAI 2026, arXiv 2508.01338).

Each box of the figure is a file of this folder::

    image ─▶ frozen image encoder ─▶ adapter ─▶ text_attention ─▶ coarse_head ─▶ patch logits, y_coarse
                                                   ▲      │
    real, fake ─▶ prompts ─▶ frozen text encoder ──┤      ├──▶ fine_head ─▶ mask logits, y_fine
                                                   └─▶ aggregator ─┘
    training adds: consistency (L_cpc) and objective (the sum)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.encoders import EncoderConfig, load_encoder
from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.adapter import AdapterConfig, LGSAdapter
from vilaco.method.aggregator import AggregatorConfig, ForgeryAwareAggregator
from vilaco.method.coarse_head import CoarseHead, CoarseHeadConfig
from vilaco.method.fine_head import FineHead, FineHeadConfig
from vilaco.method.prompts import LearnablePrompt, PromptConfig
from vilaco.method.text_attention import TextAttentionConfig, TextGuidedAttention


class ViLaCoConfig(BaseModel):
    """The network: each box with its open choices. ``None`` leaves the box out (an ablation)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = EncoderConfig()
    image_size: int = Field(256, ge=32)  # pixels a side; the paper squashes every image to 256 x 256
    prompt: PromptConfig = PromptConfig()
    adapter: AdapterConfig | None = AdapterConfig()
    text_attention: TextAttentionConfig = TextAttentionConfig()
    aggregator: AggregatorConfig | None = AggregatorConfig()
    coarse_head: CoarseHeadConfig = CoarseHeadConfig()
    fine_head: FineHeadConfig = FineHeadConfig()
    score_from: Literal["both", "coarse", "fine"] = "both"  # the paper does not say which head scores the image
    map_from: Literal["fine", "coarse"] = "fine"  # "coarse" when the fine head is not trained

    @model_validator(mode="after")
    def _heads_agree(self) -> "ViLaCoConfig":
        if self.map_from == "coarse" and self.score_from != "coarse":
            raise ValueError("map_from 'coarse' means the fine head is not trained; set score_from to 'coarse' too")
        return self


@dataclass(frozen=True)
class ViLaCoOutput:
    """Everything the network says about a batch.

    Attributes:
        tokens: F_enh_I, shape ``(B, N, D)``.
        grid: Patches ``(h, w)``, ``h * w == N``.
        patch_logits: Coarse head, unbounded, shape ``(B, h, w)``.
        image_logits: Coarse head, unbounded, shape ``(B,)``; y_coarse is its sigmoid.
        similarity: Cosine of patches and text rows over the learned temperature, shape ``(B, T, h, w)``.
        mask_logits: Fine head, unbounded, shape ``(B, H, W)``.
        fine_scores: y_fine in [0, 1], shape ``(B,)``.
        localization_logits: The map that is shown, unbounded, shape ``(B, H, W)``.
        detection_scores: The image score that is shown, in [0, 1], shape ``(B,)``.
    """

    tokens: Tensor
    grid: tuple[int, int]
    patch_logits: Tensor
    image_logits: Tensor
    similarity: Tensor
    mask_logits: Tensor
    fine_scores: Tensor
    localization_logits: Tensor
    detection_scores: Tensor


class ViLaCo(nn.Module):
    """The network of the paper on a frozen vision-language encoder.

    Args:
        config: See :class:`ViLaCoConfig`.
        encoder: A loaded encoder to share; loaded from ``config.encoder`` where not given.
    """

    def __init__(self, config: ViLaCoConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder if encoder is not None else load_encoder(config.encoder)
        dim = self.encoder.embed_dim
        self.prompt = LearnablePrompt(self.encoder.embed_words(config.prompt.words), config.prompt)
        self.adapter = LGSAdapter(dim, config.adapter) if config.adapter else None
        self.text_attention = TextGuidedAttention(dim, config.text_attention)
        self.aggregator = ForgeryAwareAggregator(dim, config.aggregator) if config.aggregator else None
        self.coarse_head = CoarseHead(dim, config.coarse_head)
        self.fine_head = FineHead(len(config.prompt.words), dim, config.fine_head)

    def forward(self, pixels: Tensor) -> ViLaCoOutput:
        """Look at images, RGB in [0, 1], shape ``(B, 3, H, W)``."""
        size = (pixels.shape[2], pixels.shape[3])
        return self.forward_patches(self.encoder.encode_patches(pixels), size)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> ViLaCoOutput:
        """Go on from the frozen encoder's patch tokens, which may come from a cache.

        Args:
            patch_features: F_raw_I, shape ``(B, N, D)``.
            size: Pixels ``(H, W)`` that the tokens were made from.

        Returns:
            See :class:`ViLaCoOutput`.
        """
        grid = self.encoder.grid(*size)
        text_features = self.encoder.encode_prompts(self.prompt())  # F_raw_T, (T, D)
        tokens = patch_features if self.adapter is None else self.adapter(patch_features, grid)  # F_spa_I
        tokens = self.text_attention(tokens, text_features)  # F_enh_I
        if self.aggregator is None:
            text_rows = text_features.expand(len(tokens), -1, -1)
        else:
            text_rows = self.aggregator(tokens, text_features)  # F_ta_T
        patch_logits, image_logits = self.coarse_head(tokens, grid)
        similarity, mask_logits, fine_scores = self.fine_head(tokens, text_rows, grid, size)

        localization_logits = mask_logits
        if self.config.map_from == "coarse":
            localization_logits = F.interpolate(
                patch_logits.float().unsqueeze(1), size=size, mode="bilinear", align_corners=False
            ).squeeze(1)
        coarse_scores = image_logits.float().sigmoid()
        scores = {"coarse": coarse_scores, "fine": fine_scores, "both": (coarse_scores + fine_scores) / 2}
        return ViLaCoOutput(
            tokens=tokens,
            grid=grid,
            patch_logits=patch_logits,
            image_logits=image_logits,
            similarity=similarity,
            mask_logits=mask_logits,
            fine_scores=fine_scores,
            localization_logits=localization_logits,
            detection_scores=scores[self.config.score_from],
        )

    def trainable_state(self) -> dict[str, Tensor]:
        """Weights to save: all but the encoder's, which its name and fingerprint stand for."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("encoder.")}

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`trainable_state` gave.

        Raises:
            RuntimeError: If a weight is missing, unknown, or of another shape.
        """
        encoder = {name: value for name, value in self.state_dict().items() if name.startswith("encoder.")}
        self.load_state_dict({**encoder, **state})
