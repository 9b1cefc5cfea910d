"""Forgery-aware aggregator (ViLaCo Eq. 3): the picture, pooled where it matters, sharpens the text rows."""

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class AggregatorConfig(BaseModel):
    """Settings of the forgery-aware aggregator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention_dim: int = Field(128, ge=1)  # hidden width of the two-layer score
    mlp_ratio: float = Field(2.0, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


def attention_pool(tokens: Tensor, scores: Tensor) -> Tensor:
    """Soft-attention pooling: the mean of the tokens weighted by the softmax of their scores.

    Args:
        tokens: Shape ``(B, N, D)``.
        scores: Unbounded, shape ``(B, N)``.

    Returns:
        Shape ``(B, D)``.
    """
    return (scores.softmax(dim=1).unsqueeze(1) @ tokens).squeeze(1)


class ForgeryAwareAggregator(nn.Module):
    """F_ta_T = FFN(F_agg_I + F_raw_T) + F_agg_I + F_raw_T, with F_agg_I the attention-pooled patches."""

    def __init__(self, embed_dim: int, config: AggregatorConfig) -> None:
        super().__init__()
        hidden = round(embed_dim * config.mlp_ratio)
        self.score = nn.Sequential(
            nn.Linear(embed_dim, config.attention_dim), nn.GELU(), nn.Linear(config.attention_dim, 1)
        )
        self.ffn = nn.Sequential(
            nn.LayerNorm(embed_dim),
            nn.Linear(embed_dim, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, embed_dim),
        )

    def forward(self, tokens: Tensor, text_features: Tensor) -> Tensor:
        """Make the text rows of each image.

        Args:
            tokens: F_enh_I, shape ``(B, N, D)``.
            text_features: F_raw_T, shape ``(T, D)``.

        Returns:
            F_ta_T, shape ``(B, T, D)``.
        """
        pooled = attention_pool(tokens, self.score(tokens).squeeze(-1))
        rows = pooled.unsqueeze(1) + text_features
        return self.ffn(rows) + rows
