"""VadCLIP's recipe, moved from time to space: patches of a picture take the place of frames of a video.

Wu, Zhou, Pang, Zhou, Yan, Wang, Zhang, "VadCLIP: Adapting Vision-Language Models for Weakly Supervised Video Anomaly
Detection", AAAI 2024, arXiv 2308.11681; constants from the authors' code. ViLaCo takes its adapter, prompt and top-K
loss from here, so this is ViLaCo without text-guided attention, mask decoder and patch contrast.

Kept: adapter, coarse branch (classifier on each patch, top-K MIL), learnable prompts (10 context vectors on either
side of the class word), anomaly-focus visual prompt, alignment branch with MIL-Align, and the loss that pushes the text
rows apart. Changed: the adapter is this project's :class:`LGSAdapter`, with two-dimensional windows and distances for
one-dimensional ones, one graph layer for two, and no position embeddings; the classes are real and fake instead of
normal and 13 kinds of anomaly; GELU for its sigmoid approximation.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.method.adapter import AdapterConfig, LGSAdapter
from vilaco.method.network import Losses, NetworkConfig, PatchNetwork, upsample_map
from vilaco.method.prompts import LearnablePrompt, PromptConfig

TEMPERATURE = 0.07
MLP_RATIO = 4
TEXT_WEIGHT = 0.1  # as for UCF-Crime


class VadClipConfig(NetworkConfig):
    """Settings of VadCLIP in space."""

    method: Literal["vadclip"] = "vadclip"
    prompt: PromptConfig = PromptConfig(context_length=20)
    adapter: AdapterConfig = AdapterConfig()
    read_from: Literal["coarse", "align"] = "coarse"  # the branch that gives map and image score; the paper has both


def topk_mean(values: Tensor) -> Tensor:
    """Mean of the K largest along axis 1, K = floor(N / 16) + 1; ``(B, N, ...)`` to ``(B, ...)``.

    Example:
        >>> import torch
        >>> topk_mean(torch.arange(16.0).unsqueeze(0))  # N = 16, K = 2: 15 and 14
        tensor([14.5000])
    """
    return values.topk(values.shape[1] // 16 + 1, dim=1).values.mean(dim=1)


@dataclass(frozen=True)
class VadClipOutput:
    """What the network says about a batch.

    Attributes:
        patch_logits: Coarse branch, unbounded, shape ``(B, N)``.
        class_logits: Alignment branch, cosine of patches and text rows over the temperature, shape ``(B, N, T)``.
        text_features: The prompts' text rows, shape ``(T, D)``.
        localization_logits: The map that is shown, unbounded, shape ``(B, H, W)``.
        detection_scores: The image score that is shown, in [0, 1], shape ``(B,)``.
    """

    patch_logits: Tensor
    class_logits: Tensor
    text_features: Tensor
    localization_logits: Tensor
    detection_scores: Tensor


class CoarseBranch(nn.Module):
    """A classifier on each patch, behind a feed-forward layer with a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ffn = _ffn(dim)
        self.classifier = nn.Linear(dim, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, N, D)`` to patch logits ``(B, N)``."""
        return self.classifier(tokens + self.ffn(tokens)).squeeze(-1)


class AlignmentBranch(nn.Module):
    """Patches against text rows that have seen the picture."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ffn = _ffn(dim)

    def forward(self, tokens: Tensor, patch_logits: Tensor, text_features: Tensor) -> Tensor:
        """Compare after the anomaly-focus visual prompt.

        The prompt is the sum of the patches weighted by their coarse logits, L2-normalised; it is added to each text
        row before a feed-forward layer with a residual.

        Args:
            tokens: Shape ``(B, N, D)``.
            patch_logits: Shape ``(B, N)``.
            text_features: Shape ``(T, D)``.

        Returns:
            Cosine over the temperature, shape ``(B, N, T)``.
        """
        focus = F.normalize(patch_logits.unsqueeze(1) @ tokens, dim=-1)  # (B, 1, D)
        rows = text_features + focus
        rows = rows + self.ffn(rows)
        return F.normalize(tokens, dim=-1) @ F.normalize(rows, dim=-1).transpose(1, 2) / TEMPERATURE


def _ffn(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, MLP_RATIO * dim), nn.GELU(), nn.Linear(MLP_RATIO * dim, dim))


class VadClip(PatchNetwork):
    """Adapter, coarse branch and alignment branch."""

    config: VadClipConfig

    def __init__(self, config: VadClipConfig, encoder: VisionLanguageEncoder | None = None) -> None:
        super().__init__(config, encoder)
        dim = self.encoder.embed_dim
        self.prompt = LearnablePrompt(self.encoder.embed_words(config.prompt.words), config.prompt)
        self.adapter = LGSAdapter(dim, config.adapter)
        self.coarse = CoarseBranch(dim)
        self.align = AlignmentBranch(dim)

    def forward_patches(self, patch_features: Tensor, size: tuple[int, int]) -> VadClipOutput:
        """``(B, N, D)`` and the pixels ``(H, W)`` they came from to :class:`VadClipOutput`."""
        grid = self.encoder.grid(*size)
        text_features = self.prompt.text_features(self.encoder)
        tokens = self.adapter(patch_features, grid)
        patch_logits = self.coarse(tokens).float()
        class_logits = self.align(tokens, patch_logits, text_features).float()
        if self.config.read_from == "coarse":
            shown, scores = patch_logits, topk_mean(patch_logits.sigmoid())
        else:  # the softmax over two rows is the sigmoid of their difference
            shown = class_logits[..., 1] - class_logits[..., 0]
            scores = topk_mean(class_logits).softmax(dim=1)[:, 1]
        return VadClipOutput(
            patch_logits=patch_logits,
            class_logits=class_logits,
            text_features=text_features,
            localization_logits=upsample_map(shown.unflatten(1, grid), size),
            detection_scores=scores,
        )


def vadclip_losses(output: VadClipOutput, labels: Tensor, *, epoch: float, num_epochs: int) -> Losses:
    """The three losses of VadCLIP.

    Args:
        output: What the network returned.
        labels: 1 tampered, 0 authentic, shape ``(B,)``.
        epoch: Not used.
        num_epochs: Not used.

    Returns:
        ``mil``: binary cross-entropy of the mean of the K largest patch probabilities; ``align`` (MIL-Align):
        cross-entropy of the means of the K largest similarities to each text row; ``text``: absolute cosine of the two
        text rows.
    """
    real, fake = output.text_features.float()
    parts = {
        "mil": F.binary_cross_entropy(topk_mean(output.patch_logits.sigmoid()), labels.float()),
        "align": F.cross_entropy(topk_mean(output.class_logits), labels.long()),
        "text": F.cosine_similarity(real, fake, dim=0).abs(),
    }
    return Losses(parts, {"text": TEXT_WEIGHT})
