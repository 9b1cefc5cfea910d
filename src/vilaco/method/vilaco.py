"""ViLaCo: the paper's Figure 2, wired (Sheng et al., AAAI 2026, arXiv 2508.01338).

Each box of the figure is a file of this folder::

    image ─▶ frozen image encoder ─▶ adapter ─▶ text_attention ─▶ coarse_head ─▶ patch logits, y_coarse
                                                   ▲      │
    real, fake ─▶ prompts ─▶ frozen text encoder ──┤      ├──▶ fine_head ─▶ mask logits, y_fine
                                                   └─▶ aggregator ─┘
    training adds: consistency (L_cpc) and objective (the sum)

Where the configuration names residuals, the network goes past the paper: the stored pixels are looked at too, and what
they say joins the tokens in front of the adapter and the similarity map in front of the decoder::

    stored pixels ─▶ residuals ─┬─▶ copy_move ─┬─▶ (pooled to the patches) ─▶ + tokens ─▶ adapter …
                                │       ▲      │
                                │  repetitions └─▶ native_decoder ◀─ similarity map, enhanced tokens
                                └──────────────────────▲
"""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.adapter import AdapterConfig, LGSAdapter
from vilaco.method.aggregator import AggregatorConfig, ForgeryAwareAggregator
from vilaco.method.coarse_head import CoarseHead, CoarseHeadConfig
from vilaco.method.copy_move import CopyMove, CopyMoveConfig
from vilaco.method.fine_head import FineHead, FineHeadConfig
from vilaco.method.native_decoder import NativeDecoder, NativeDecoderConfig, NativeFeatures
from vilaco.method.network import NetworkConfig, PatchNetwork, upsample_map
from vilaco.method.prompts import LearnablePrompt, PromptConfig
from vilaco.method.residuals import BLOCK, ResidualConfig, ResidualStream, area_pool
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
    residuals: ResidualConfig | None = None  # ours: look at the stored pixels too
    copy_move: CopyMoveConfig | None = None  # ours: weigh where the picture repeats itself
    native_decoder: NativeDecoderConfig = NativeDecoderConfig()  # draws the mask where residuals are on
    patch_features: bool = (
        True  # off is the ablation "without the vision-language path": residuals alone fill the tokens
    )
    score_from: Literal["both", "coarse", "fine"] = "both"  # the paper does not say which head scores the image
    map_from: Literal["fine", "coarse"] = "fine"  # "coarse" when the fine head is not trained

    @model_validator(mode="after")
    def _heads_agree(self) -> "ViLaCoConfig":
        if self.map_from == "coarse" and self.score_from != "coarse":
            raise ValueError("map_from 'coarse' means the fine head is not trained; set score_from to 'coarse' too")
        if self.residuals is None and (self.copy_move is not None or not self.patch_features):
            raise ValueError("copy_move, and leaving out patch_features, need residuals")
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
        prompts = len(config.prompt.words)
        self.prompt = LearnablePrompt(self.encoder.embed_words(config.prompt.words), config.prompt)
        self.residuals = ResidualStream(config.residuals) if config.residuals else None
        self.copy_move: CopyMove | None = None
        native_decoder = None
        if config.residuals:
            matched = 0
            if config.copy_move:
                self.copy_move = CopyMove(config.residuals.channels, config.copy_move)
                matched = config.copy_move.channels
            self.to_tokens = nn.Linear(config.residuals.deep_channels + matched, dim)
            native_decoder = NativeDecoder(prompts, dim, matched, config.residuals, config.native_decoder)
        self.adapter = LGSAdapter(dim, config.adapter) if config.adapter else None
        self.text_attention = TextGuidedAttention(dim, config.text_attention)
        self.aggregator = ForgeryAwareAggregator(dim, config.aggregator) if config.aggregator else None
        self.coarse_head = CoarseHead(dim, config.coarse_head)
        self.fine_head = FineHead(prompts, dim, config.fine_head, native_decoder)

    @property
    def reads_pixels(self) -> bool:
        """Whether the network looks at the stored pixels beside the squashed view."""
        return self.residuals is not None

    @property
    def reads_matches(self) -> bool:
        """Whether the network asks where the picture repeats itself."""
        return self.copy_move is not None

    def forward(self, view: Tensor, pixels: Tensor | None = None, matches: Tensor | None = None) -> ViLaCoOutput:
        """Look at images; see :meth:`PatchNetwork.forward`."""
        patch_features = self.encoder.encode_patches(view)
        if self.residuals is None:
            return self.forward_patches(patch_features, (view.shape[2], view.shape[3]))
        if pixels is None:
            raise ValueError("this network reads the stored pixels; give them beside the view")
        size = (pixels.shape[2], pixels.shape[3])
        fine, cells = self.residuals.front_end(pad_to_blocks(pixels))
        return self.forward_patches(patch_features, size, self.native_features(fine, cells, matches))

    def forward_measured(
        self, tokens: Tensor, evidence: Tensor, pixels: Tensor, matches: Tensor | None
    ) -> ViLaCoOutput:
        """Go on from what never changes of a picture while the network learns.

        Args:
            tokens: The frozen encoder's patch features, ``(B, N, D)``.
            evidence: The residual stream's fixed measurements, ``(B, M, h, w)``.
            pixels: The stored pixels, whole blocks, ``(B, 3, 8h, 8w)``, float.
            matches: From :func:`vilaco.matching.self_matches`, where the network asks for them.
        """
        assert self.residuals is not None, "only networks that read pixels measure them"
        fine, cells = self.residuals.front_end.learn(evidence, pixels)
        size = (pixels.shape[2], pixels.shape[3])
        return self.forward_patches(tokens, size, self.native_features(fine, cells, matches))

    def native_features(self, fine: Tensor, cells: Tensor, matches: Tensor | None) -> NativeFeatures:
        """Go on from the residual stream's front end, whose features may have been made in tiles.

        Args:
            fine: Front-end features at 4 pixels a cell, ``(B, F, 2h, 2w)``.
            cells: At 8 pixels a cell, ``(B, C, h, w)``.
            matches: From :func:`vilaco.matching.self_matches`, ``(B, 5, h, w)``, where the network asks for them.
        """
        assert self.residuals is not None
        shallow, deep = self.residuals(cells)
        copied = None
        if self.copy_move is not None:
            if matches is None:
                raise ValueError("this network asks where the picture repeats itself; give the matches")
            copied = self.copy_move(matches, shallow)
        return NativeFeatures(fine, shallow, deep, copied)

    def forward_patches(
        self, patch_features: Tensor, size: tuple[int, int], native: NativeFeatures | None = None
    ) -> ViLaCoOutput:
        """Go on from the frozen encoder's patch tokens, which may come from a cache.

        Args:
            patch_features: F_raw_I, shape ``(B, N, D)``.
            size: Pixels ``(H, W)`` of the map: those of the view, or the stored ones with ``native``.
            native: What the stored pixels say, where the network reads them.

        Returns:
            See :class:`ViLaCoOutput`.
        """
        view = (self.config.image_size,) * 2 if native is not None else size
        grid = self.encoder.grid(*view)
        text_features = self.prompt.text_features(self.encoder)  # F_raw_T, (T, D)
        tokens = patch_features if self.config.patch_features else torch.zeros_like(patch_features)
        if native is not None:
            tokens = tokens + self._native_tokens(native, grid)
        tokens = tokens if self.adapter is None else self.adapter(tokens, grid)  # F_spa_I
        tokens = self.text_attention(tokens, text_features)  # F_enh_I
        if self.aggregator is None:
            text_rows = text_features.expand(len(tokens), -1, -1)
        else:
            text_rows = self.aggregator(tokens, text_features)  # F_ta_T
        patch_logits, image_logits = self.coarse_head(tokens, grid)
        similarity, mask_logits, fine_scores = self.fine_head(tokens, text_rows, grid, size, native)

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

    def _native_tokens(self, native: NativeFeatures, grid: tuple[int, int]) -> Tensor:
        """The stored pixels' features, pooled to the patch grid, ``(B, N, D)``."""
        parts = [native.deep] if native.matches is None else [native.deep, native.matches]
        pooled = torch.cat([area_pool(part, grid) for part in parts], dim=1)
        return self.to_tokens(pooled.flatten(2).transpose(1, 2))


def pad_to_blocks(pixels: Tensor) -> Tensor:
    """Repeat the last row and column until both sides are whole JPEG blocks; ``(B, 3, H, W)``."""
    height, width = pixels.shape[2:]
    return F.pad(pixels, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
