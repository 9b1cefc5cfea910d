"""CLIP of Hugging Face `transformers`, by hub name or local folder.

Paper: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
arXiv 2103.00020. ``openai/clip-vit-base-patch16`` (MIT license) is the encoder of ViLaCo.

Dense tokens are the vision transformer's last patch tokens, taken through the same final layer norm and
visual projection as its class token. CLIP trains these two layers on the class token only; as all tokens
share the residual stream they read from, the patch tokens land in the joint space too, if with noisier
semantics. Position embeddings are interpolated (bicubic) for any input size; at the native size they are
untouched.

SigLIP 2 does not fit this interface without a special case. Its pooled image vector comes from an
attention-pooling head instead of a projected token, so no trained map takes a single patch token into the
joint space; and its text side pools the last of exactly 64 positions with the padding attended to, so that
padding, which token embeddings between a start and an end token do not have, would be part of every prompt.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.utils import cached_file

from vilaco.encoders.base import VisionLanguageEncoder
from vilaco.encoders.config import EncoderConfig
from vilaco.encoders.pretrained import load_pretrained
from vilaco.errors import ModelError

REMEDY = (
    "Download config.json, model.safetensors, preprocessor_config.json and the tokenizer's files "
    "(tokenizer.json, or vocab.json and merges.txt) of a CLIP, e.g. openai/clip-vit-base-patch16 from "
    "huggingface.co, into a folder and pass that folder as the encoder's `checkpoint`; "
    "with HF_HUB_OFFLINE=1 only the local hub cache is searched."
)


class ClipEncoder(VisionLanguageEncoder):
    """A CLIP checkpoint behind the common interface.

    Args:
        config: Uses ``checkpoint``, ``tokens`` and ``grid_blocks``.

    Raises:
        ModelError: If the checkpoint is not there, has no safetensors, or is no CLIP.
    """

    clip: Any
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        checkpoint = config.checkpoint
        self.clip = load_pretrained(CLIPModel, checkpoint, remedy=REMEDY)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise ModelError(f"{checkpoint}: has no usable tokenizer. {REMEDY}") from error
        vision, text = self.clip.config.vision_config, self.clip.config.text_config
        folder = Path(checkpoint)
        self.name = f"clip:{folder.resolve().name if folder.is_dir() else checkpoint}"
        self.embed_dim = self.clip.config.projection_dim
        self.token_dim = text.hidden_size
        self.max_prompt_tokens = text.max_position_embeddings - 2
        self.cell_size = vision.patch_size
        self.native_size = vision.image_size
        mean, std = read_normalization(checkpoint)
        self.register_buffer("pixel_mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(std).view(3, 1, 1))
        self.freeze()

    def _dense_features(self, pixels: Tensor) -> Tensor:
        vision = self.clip.vision_model
        tokens = vision(self._normalize(pixels), interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        return self.clip.visual_projection(vision.post_layernorm(tokens)).float()

    def _pooled_features(self, pixels: Tensor) -> Tensor:
        pooled = self.clip.vision_model(self._normalize(pixels)).pooler_output
        return self.clip.visual_projection(pooled).float()

    def _token_embeddings(self, texts: Sequence[str], *, special: bool) -> list[Tensor]:
        table = self.clip.text_model.embeddings.token_embedding
        ids = self.tokenizer(list(texts), add_special_tokens=special).input_ids
        return [table(torch.tensor(row, dtype=torch.long, device=table.weight.device)) for row in ids]

    def _text_features(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        text = self.clip.text_model
        length = embeddings.shape[1]
        # A token sees itself and what came before, so what follows the end token changes nothing.
        causal = torch.ones(length, length, dtype=torch.bool, device=embeddings.device).tril()[None, None]
        hidden = text.encoder(
            inputs_embeds=text.embeddings(inputs_embeds=embeddings), attention_mask=causal
        ).last_hidden_state
        ends = text.final_layer_norm(hidden)[torch.arange(len(hidden), device=hidden.device), lengths - 1]
        return self.clip.text_projection(ends).float()

    def _normalize(self, pixels: Tensor) -> Tensor:
        return (pixels - self.pixel_mean) / self.pixel_std


def read_normalization(checkpoint: str) -> tuple[Sequence[float], Sequence[float]]:
    """Pixel mean and deviation that a checkpoint's preprocessor_config.json names, else OpenAI CLIP's."""
    path = cached_file(checkpoint, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    settings = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return settings.get("image_mean", OPENAI_CLIP_MEAN), settings.get("image_std", OPENAI_CLIP_STD)
