"""LGS adapter (ViLaCo Eq. 1): local windows, then two global graphs over all patches.

Frozen vision-language features know what is in a picture, not how neighbouring patches fit together. The local part
lets each patch look at its window, windows being plain and half-shifted in turn so that they partially overlap; the
global part mixes all patches along two graphs, one by similarity and one by distance.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.method.network import cosine_similarities


class AdapterConfig(BaseModel):
    """Settings of the LGS adapter; the paper leaves all of them open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(4, ge=1)  # patches a side: 64 pixels at stride 16, the size of a small pasted object
    depth: int = Field(2, ge=1)  # one plain and one shifted layer
    num_heads: int = Field(8, ge=1)
    mlp_ratio: float = Field(2.0, gt=0)  # hidden width of the feed-forward part over embed_dim
    dropout: float = Field(0.1, ge=0, lt=1)


def partition_windows(tokens: Tensor, grid: tuple[int, int], window: int, shift: int) -> tuple[Tensor, Tensor]:
    """Cut the patch grid into windows, zero-padded at the borders.

    Window borders lie at ``shift + k * window`` in both directions; nothing wraps around, so opposite edges of the
    picture never meet.

    Args:
        tokens: Shape ``(B, h*w, D)``.
        grid: ``(h, w)``.
        window: Side of a window in patches.
        shift: 0 for plain windows, ``window // 2`` for half-shifted ones.

    Returns:
        Windows ``(B, num_windows, window**2, D)``, and which of their cells are real patches, shape
        ``(num_windows, window**2)``.
    """
    h, w = grid
    before = (window - shift) % window
    after_h, after_w = (-(h + before)) % window, (-(w + before)) % window
    pad = (0, 0, before, after_w, before, after_h)
    image = F.pad(tokens.unflatten(1, (h, w)), pad)  # (B, h', w', D)
    inside = F.pad(tokens.new_ones(1, h, w, 1), pad)
    return _unfold(image, window), _unfold(inside, window)[0, :, :, 0] > 0


def merge_windows(windows: Tensor, grid: tuple[int, int], window: int, shift: int) -> Tensor:
    """Undo :func:`partition_windows`; shape ``(B, num_windows, window**2, D)`` to ``(B, h*w, D)``."""
    h, w = grid
    before = (window - shift) % window
    rows, cols = -(-(h + before) // window), -(-(w + before) // window)
    image = windows.unflatten(1, (rows, cols)).unflatten(3, (window, window))  # (B, rows, cols, win, win, D)
    image = image.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, rows*win, cols*win, D)
    return image[:, before : before + h, before : before + w].flatten(1, 2)


def _unfold(image: Tensor, window: int) -> Tensor:
    """``(B, h', w', D)`` to ``(B, num_windows, window**2, D)``, both sides multiples of ``window``."""
    cells = image.unflatten(2, (-1, window)).unflatten(1, (-1, window))  # (B, rows, win, cols, win, D)
    return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class WindowAttention(nn.Module):
    """Multi-head self-attention that stays inside windows of the patch grid."""

    def __init__(self, embed_dim: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attend inside each window; ``(B, N, D)`` to ``(B, N, D)``.

        Written out: in windows this small it is faster on a CPU than ``scaled_dot_product_attention``, whose five
        dimensions ONNX does not take either.
        """
        windows, inside = partition_windows(self.qkv(tokens), grid, self.window, self.shift)
        q, k, v = windows.unflatten(3, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)  # each (B, nW, heads, S, D')
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        attention = scores.masked_fill(~inside[:, None, None, :], float("-inf")).softmax(dim=-1)
        mixed = attention.to(v.dtype) @ v
        return self.out(merge_windows(mixed.transpose(2, 3).flatten(3), grid, self.window, self.shift))


class LocalLayer(nn.Module):
    """Pre-norm transformer layer with window attention."""

    def __init__(self, embed_dim: int, config: AdapterConfig, *, shift: int) -> None:
        super().__init__()
        hidden = round(embed_dim * config.mlp_ratio)
        self.norm_attention = nn.LayerNorm(embed_dim)
        self.attention = WindowAttention(embed_dim, config.num_heads, config.window, shift)
        self.norm_mlp = nn.LayerNorm(embed_dim)
        self.mlp = nn.Sequential(nn.Linear(embed_dim, hidden), nn.GELU(), nn.Linear(hidden, embed_dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """``(B, N, D)`` to ``(B, N, D)``."""
        tokens = tokens + self.dropout(self.attention(self.norm_attention(tokens), grid))
        return tokens + self.dropout(self.mlp(self.norm_mlp(tokens)))


def patch_distances(grid: tuple[int, int], *, like: Tensor) -> Tensor:
    """Euclidean distance between patch centres, in patches, shape ``(N, N)``, with dtype and device of ``like``."""
    h, w = grid
    rows = torch.arange(h, device=like.device, dtype=torch.float32).repeat_interleave(w)
    cols = torch.arange(w, device=like.device, dtype=torch.float32).repeat(h)
    squared = (rows[:, None] - rows) ** 2 + (cols[:, None] - cols) ** 2
    return squared.sqrt().to(like.dtype)


class GlobalGraph(nn.Module):
    """Two row-softmaxed graphs over all patches, X_g = GELU([softmax(H_sim) X; softmax(H_dis) X] W).

    H_sim is cosine similarity over a learned temperature, H_dis the negative distance over a learned scale (in
    patches); ``[;]`` joins along features, so W is ``(2D, D)``.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(0.1).log())
        self.log_scale = nn.Parameter(torch.tensor(2.0).log())
        self.weight = nn.Linear(2 * embed_dim, embed_dim, bias=False)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """``(B, N, D)`` to ``(B, N, D)``."""
        similar = (cosine_similarities(tokens, tokens) / self.log_temperature.exp()).softmax(dim=-1)
        near = (-patch_distances(grid, like=tokens) / self.log_scale.exp()).softmax(dim=-1)
        by_similarity, by_distance = self.weight.weight.chunk(2, dim=1)  # [P; Q] W = P W_1 + Q W_2, without the join
        return F.gelu(
            similar @ F.linear(tokens, by_similarity) + near.expand_as(similar) @ F.linear(tokens, by_distance)
        )


class LGSAdapter(nn.Module):
    """Local-global-spatial adapter, F_raw_I to F_spa_I; the graph output is added to the local one (residual, ours)."""

    def __init__(self, embed_dim: int, config: AdapterConfig) -> None:
        super().__init__()
        self.local = nn.ModuleList(
            LocalLayer(embed_dim, config, shift=(index % 2) * (config.window // 2)) for index in range(config.depth)
        )
        self.graph = GlobalGraph(embed_dim)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """``(B, N, D)`` on a grid of ``(h, w)`` patches to ``(B, N, D)``."""
        for layer in self.local:
            tokens = layer(tokens, grid)
        return tokens + self.graph(tokens, grid)
