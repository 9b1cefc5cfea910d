"""Learnable prompt (ViLaCo Eq. 2): a label word in the middle of learnable context vectors.

The frozen text encoder turns ``[ctx_1 … ctx_{l/2}] real [ctx_{l/2+1} … ctx_l]`` into the text row for *real*, and the
same for *fake*. Only the context vectors learn; positions and special tokens are the encoder's own.
"""

from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vilaco.encoders.base import VisionLanguageEncoder


class PromptConfig(BaseModel):
    """Settings of the learnable prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[str, str] = ("real", "fake")  # label words; authentic first, so row 1 is the tampered one
    context_length: int = Field(16, ge=0)  # l; 0 is the ablation "without prompts": the label words alone
    shared_context: bool = True  # the paper does not say; shared halves the parameters and is CoOp's default
    init_std: float = Field(0.02, gt=0)  # of the context vectors, as in CoOp


def insert_in_middle(context: Tensor, word: Tensor) -> Tensor:
    """Put the word tokens in the middle of the context vectors.

    Args:
        context: Shape ``(l, token_dim)``; with an odd ``l`` the longer half comes after the word.
        word: Shape ``(n, token_dim)``.

    Returns:
        Shape ``(l + n, token_dim)``.

    Example:
        >>> insert_in_middle(torch.zeros(4, 1), torch.ones(1, 1)).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0]
    """
    half = context.shape[0] // 2
    return torch.cat([context[:half], word, context[half:]])


class LearnablePrompt(nn.Module):
    """Context vectors around each label word.

    Args:
        word_embeddings: One ``(n_i, token_dim)`` tensor of token embeddings per label word, from the frozen encoder.
        config: See :class:`PromptConfig`.
    """

    def __init__(self, word_embeddings: list[Tensor], config: PromptConfig) -> None:
        super().__init__()
        self.num_words = len(word_embeddings)
        for index, embedding in enumerate(word_embeddings):
            self.register_buffer(f"word_{index}", embedding.detach().clone(), persistent=False)
        num_contexts = 1 if config.shared_context else self.num_words
        token_dim = word_embeddings[0].shape[1]
        context = torch.empty(num_contexts, config.context_length, token_dim)
        self.context = nn.Parameter(nn.init.normal_(context, std=config.init_std)) if context.numel() else None
        self._known: Tensor | None = None
        self.register_load_state_dict_post_hook(LearnablePrompt._forget)

    def forward(self) -> list[Tensor]:
        """Return one prompt of token embeddings per label word, each ``(l + n_i, token_dim)``."""
        words = [self.get_buffer(f"word_{index}") for index in range(self.num_words)]
        if self.context is None:
            return words
        contexts = self.context.expand(self.num_words, -1, -1)
        return [insert_in_middle(context, word) for context, word in zip(contexts, words, strict=True)]

    def text_features(self, encoder: VisionLanguageEncoder) -> Tensor:
        """F_raw_T: the prompts through the frozen text encoder, shape ``(T, D)``.

        No image changes it, so it is computed once where the context does not learn: at inference (evaluation mode, no
        gradients), or where it was frozen.
        """
        learns = self.context is not None and self.context.requires_grad
        if learns and (self.training or torch.is_grad_enabled()):
            return encoder.encode_prompts(self())
        if self._known is None:
            self._known = encoder.encode_prompts(self())
        return self._known

    def train(self, mode: bool = True) -> Self:
        """Switch modes, forgetting what was computed from the weights as they were."""
        self._forget()
        return super().train(mode)

    def _forget(self, *_: Any) -> None:
        self._known = None
