"""Text-guided attention (ViLaCo Fig. 3): every patch asks the two text rows what is real and what is fake."""

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F


class TextAttentionConfig(BaseModel):
    """Settings of the text-guided attention."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_heads: int = Field(8, ge=1)


class TextGuidedAttention(nn.Module):
    """Cross-attention from patches (queries) to text rows (keys and values), with a residual to the patches.

    Both sides are layer-normalised first (the paper does not say where its norm is).
    """

    def __init__(self, embed_dim: int, config: TextAttentionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.norm_patches = nn.LayerNorm(embed_dim)
        self.norm_text = nn.LayerNorm(embed_dim)
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key_value = nn.Linear(embed_dim, 2 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor, text_features: Tensor) -> Tensor:
        """Enhance the patches with text.

        Args:
            tokens: F_spa_I, shape ``(B, N, D)``.
            text_features: F_raw_T, shape ``(T, D)``.

        Returns:
            F_enh_I, shape ``(B, N, D)``.
        """
        query = self.query(self.norm_patches(tokens)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key_value = self.key_value(self.norm_text(text_features)).unflatten(-1, (2, self.num_heads, -1))
        key, value = key_value.permute(1, 2, 0, 3).unsqueeze(1).expand(-1, tokens.shape[0], -1, -1, -1)
        mixed = F.scaled_dot_product_attention(query, key, value)  # (B, heads, N, D/heads)
        return tokens + self.out(mixed.transpose(1, 2).flatten(2))
