"""ViLaCo: the paper's Figure 2, wired (Sheng et al., AAAI 2026, arXiv 2508.01338).

Each box of the figure is a file of this folder::

    image ─▶ frozen image encoder ─▶ adapter ─▶ text_attention ─▶ coarse_head ─▶ patch logits, y_coarse
                                                   ▲      │
    real, fake ─▶ prompts ─▶ frozen text encoder ──┤      ├──▶ fine_head ─▶ mask logits, y_fine
                                                   └─▶ aggregator ─┘
    training adds: consistency (L_cpc) and objective (the sum)
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator
from torch import Tensor

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.adapter import AdapterConfig, LGSAdapter
from vilaco.method.aggregator import AggregatorConfig, ForgeryAwareAggregator
from vilaco.method.coarse_head import CoarseHead, CoarseHeadConfig
from vilaco.method.fine_head import FineHead, FineHeadConfig
from vilaco.method.network import NetworkConfig, PatchNetwork, upsample_map
from vilaco.method.prompts import LearnablePrompt, PromptConfig
from vilaco.method.text_attention import TextAttentionConfig, TextGuidedAttention


class ViLaCoConfig(NetworkConfig):
    """The network: each box with its open choices. ``None`` leaves the box out (an ablation)."""

    method: Literal["vilaco"] = "vilaco"
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


class ViLaCo(PatchNetwork):
    """The network of the paper on a frozen vision-language encoder.

    Args:
        config: See :class:`ViLaCoConfig`.
        encoder: A loaded encoder to share; loaded from ``config.encoder`` where not given.
    """

    config: ViLaCoConfig

    def __init__(self, config: ViLaCoConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__(config, encoder)
        dim = self.encoder.embed_dim
        self.prompt = LearnablePrompt(self.encoder.embed_words(config.prompt.words), config.prompt)
        self.adapter = LGSAdapter(dim, config.adapter) if config.adapter else None
        self.text_attention = TextGuidedAttention(dim, config.text_attention)
        self.aggregator = ForgeryAwareAggregator(dim, config.aggregator) if config.aggregator else None
        self.coarse_head = CoarseHead(dim, config.coarse_head)
        self.fine_head = FineHead(len(config.prompt.words), dim, config.fine_head)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> ViLaCoOutput:
        """Go on from the frozen encoder's patch tokens, which may come from a cache.

        Args:
            patch_features: F_raw_I, shape ``(B, N, D)``.
            size: Pixels ``(H, W)`` that the tokens were made from.

        Returns:
            See :class:`ViLaCoOutput`.
        """
        grid = self.encoder.grid(*size)
        text_features = self.prompt.text_features(self.encoder)  # F_raw_T, (T, D)
        tokens = patch_features if self.adapter is None else self.adapter(patch_features, grid)  # F_spa_I
        tokens = self.text_attention(tokens, text_features)  # F_enh_I
        if self.aggregator is None:
            text_rows = text_features.expand(len(tokens), -1, -1)
        else:
            text_rows = self.aggregator(tokens, text_features)  # F_ta_T
        patch_logits, image_logits = self.coarse_head(tokens, grid)
        similarity, mask_logits, fine_scores = self.fine_head(tokens, text_rows, grid, size)

        localization_logits = mask_logits if self.config.map_from == "fine" else upsample_map(patch_logits, size)
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
