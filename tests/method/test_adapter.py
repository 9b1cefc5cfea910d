import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.method.adapter import (
    AdapterConfig,
    GlobalGraph,
    LGSAdapter,
    WindowAttention,
    merge_windows,
    partition_windows,
    patch_distances,
)

GRIDS = [(4, 4), (5, 7), (1, 3), (8, 6)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shift", [0, 2])
def test_partition_then_merge_changes_nothing(grid: tuple[int, int], shift: int) -> None:
    tokens = torch.randn(2, grid[0] * grid[1], 6)
    windows, inside = partition_windows(tokens, grid, 4, shift)
    assert int(inside.sum()) == grid[0] * grid[1]
    assert_close(merge_windows(windows, grid, 4, shift), tokens)


def test_plain_and_shifted_windows_hold_the_patches_they_should() -> None:
    tokens = torch.arange(16.0).reshape(1, 16, 1)  # a 4 x 4 grid
    plain, _ = partition_windows(tokens, (4, 4), 2, 0)
    assert plain[0, :, :, 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    shifted, inside = partition_windows(tokens, (4, 4), 2, 1)
    assert shifted.shape[1] == 9
    assert shifted[0, 4, :, 0].tolist() == [5, 6, 9, 10]  # the middle one overlaps all four plain windows
    assert inside[0].tolist() == [False, False, False, True]  # the corner one holds patch 0 alone
    assert shifted[0, 0, 3, 0] == 0


def masked_full_attention(layer: WindowAttention, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Attention over all patches, with pairs of different windows masked out."""
    h, w = grid
    shift, window = layer.shift, layer.window
    rows, cols = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)
    row_id, col_id = (
        (rows - shift + window).div(window, rounding_mode="floor"),
        (cols - shift + window).div(window, rounding_mode="floor"),
    )
    same = (row_id[:, None] == row_id) & (col_id[:, None] == col_id)
    q, k, v = layer.qkv(tokens).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    mixed = scores.masked_fill(~same, -torch.inf).softmax(-1) @ v
    return layer.out(mixed.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shift", [0, 2])
def test_window_attention_equals_masked_full_attention(grid: tuple[int, int], shift: int) -> None:
    torch.manual_seed(0)
    layer = WindowAttention(12, 3, window=4, shift=shift)
    tokens = torch.randn(2, grid[0] * grid[1], 12, requires_grad=True)
    slow_tokens = tokens.detach().clone().requires_grad_()
    fast, slow = layer(tokens, grid), masked_full_attention(layer, slow_tokens, grid)
    assert_close(fast, slow)
    fast.square().sum().backward()
    slow.square().sum().backward()
    assert_close(tokens.grad, slow_tokens.grad)


def test_distances_by_hand() -> None:
    distances = patch_distances((2, 3), like=torch.zeros(1))
    assert distances.shape == (6, 6)
    assert_close(distances[0], torch.tensor([0.0, 1.0, 2.0, 1.0, 2.0**0.5, 5.0**0.5]))
    assert_close(distances, distances.T)


def test_graph_equals_loops() -> None:
    torch.manual_seed(0)
    graph, grid = GlobalGraph(5), (2, 3)
    tokens = torch.randn(2, 6, 5)
    temperature, scale = graph.log_temperature.exp(), graph.log_scale.exp()
    expected = torch.zeros_like(tokens)
    for b in range(2):
        for i in range(6):
            sim = [F.cosine_similarity(tokens[b, i], tokens[b, j], dim=0) / temperature for j in range(6)]
            dis = [-(((i // 3 - j // 3) ** 2 + (i % 3 - j % 3) ** 2) ** 0.5) / scale for j in range(6)]
            by_sim, by_dis = torch.stack(sim).softmax(0), torch.stack(dis).softmax(0)
            x_sim = sum(by_sim[j] * tokens[b, j] for j in range(6))
            x_dis = sum(by_dis[j] * tokens[b, j] for j in range(6))
            expected[b, i] = F.gelu(graph.weight.weight @ torch.cat([x_sim, x_dis]))
    assert_close(graph(tokens, grid), expected)


def test_adapter_layers_alternate_and_images_stay_apart() -> None:
    adapter = LGSAdapter(16, AdapterConfig(depth=3, num_heads=4)).eval()
    assert [layer.attention.shift for layer in adapter.local] == [0, 2, 0]
    tokens = torch.randn(3, 15, 16)
    together = adapter(tokens, (3, 5))
    assert together.shape == (3, 15, 16)
    assert_close(adapter(tokens[1:2], (3, 5)), together[1:2])
