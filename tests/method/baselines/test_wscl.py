import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.method.baselines.wscl import (
    PairLogits,
    WsclOutput,
    adaptive_pool,
    consistency_ramp,
    global_residual,
    joint,
    local_residual,
    pseudo_mask,
    wscl_losses,
)


def slow_adaptive_pool(probs: list[float]) -> float:
    """Try every split of the sorted values, take the one of least variance within its two sides."""
    ordered = sorted(probs)
    n = len(ordered)

    def within(values: list[float]) -> float:
        mean = sum(values) / len(values)
        return sum((value - mean) ** 2 for value in values)

    splits = range(1, n)
    best = min(splits, key=lambda k: within(ordered[:k]) + within(ordered[k:])) if n > 1 else 0
    first = min(max(best, n // 2 + 1), n - 1)
    return sum(ordered[first:]) / (n - first)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(0, 2**31))
def test_adaptive_pooling_is_otsus_split_tried_out(n: int, seed: int) -> None:
    probs = torch.rand(3, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert_close(adaptive_pool(probs), torch.tensor([slow_adaptive_pool(row) for row in probs.tolist()]).double())


def test_adaptive_pooling_where_all_are_equal_or_most_are_high() -> None:
    assert_close(adaptive_pool(torch.full((1, 7), 0.3)), torch.tensor([0.3]))
    high = torch.tensor([[0.1, 0.8, 0.8, 0.8, 0.9, 1.0]])  # Otsu says five; fewer than half of six are two
    assert_close(adaptive_pool(high), torch.tensor([0.95]))


def test_adaptive_pooling_sends_its_gradient_to_the_chosen_alone() -> None:
    probs = torch.tensor([[0.1, 0.9, 0.1, 0.7, 0.1, 0.2]], requires_grad=True)
    adaptive_pool(probs).sum().backward()
    assert probs.grad.tolist() == [[0, 0.5, 0, 0.5, 0, 0]]


def test_residuals_by_hand() -> None:
    features = torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]]])
    local = local_residual(features)[0, 0]
    assert_close(local[1, 1], torch.tensor(8.0))
    assert_close(local[0, 0], torch.tensor(-9.0 / 4))  # a corner has four neighbours, itself included
    assert_close(global_residual(features)[0, 0, 1], torch.tensor([-1.0, 8.0, -1.0]))
    for residual in (local_residual, global_residual):  # what all patches share is gone
        assert_close(residual(features + 5), residual(features))


def test_pair_logits_are_scaled_products_of_two_projections() -> None:
    torch.manual_seed(0)
    pairs = PairLogits(6)
    features = torch.randn(2, 6, 2, 2)
    logits = pairs(features)
    assert logits.shape == (2, 4, 4)
    left, right = pairs.left(features[1, :, 0, 1]), pairs.right(features[1, :, 1, 0])
    assert_close(logits[1, 1, 2], -(left @ right) / math.sqrt(3))


def test_pseudo_mask_with_ties_and_at_the_threshold() -> None:
    mask = pseudo_mask(torch.tensor([[0.5, 0.5, 0.1], [0.51, 0.5, 0.9]]), torch.tensor([1, 1]))
    assert mask.tolist() == [[1, 1, 0], [1, 0, 1]]


def test_ramp() -> None:
    assert consistency_ramp(0, num_epochs=10) == pytest.approx(math.exp(-5))
    assert consistency_ramp(5, num_epochs=10) == pytest.approx(math.exp(-1.25))
    assert consistency_ramp(10, num_epochs=10) == 1.0


def test_sources_are_weighted_one_to_two_to_two() -> None:
    assert joint(torch.tensor([[1.0], [2.0], [4.0]])).item() == pytest.approx((1 + 2 * 2 + 2 * 4) / 5)


def make_output(batch: int = 3, n: int = 5) -> WsclOutput:
    return WsclOutput(
        patch_probs=torch.rand(3, batch, n).requires_grad_(),
        image_probs=torch.rand(3, batch).requires_grad_(),
        pair_logits=torch.randn(3, batch, n, n).requires_grad_(),
        localization_logits=torch.zeros(batch, 4, 4),
        detection_scores=torch.zeros(batch),
    )


def slow_parts(output: WsclOutput, labels: list[int]) -> dict[str, Tensor]:
    parts = {name: torch.zeros(()) for name in ("label", "msc", "ipc")}
    sources, batch, n = output.patch_probs.shape
    for b in range(batch):
        mean = [(p[0] + 2 * p[1] + 2 * p[2]) / 5 for p in output.patch_probs[:, b].T.tolist()]
        bar = 0.5 if max(mean) > 0.5 else max(mean) - 1e-7
        mask = [float(labels[b] == 1 and value > bar) for value in mean]
        for s in range(sources):
            label = torch.tensor(float(labels[b]))
            parts["label"] = parts["label"] + F.binary_cross_entropy(output.image_probs[s, b], label) / batch
            for i in range(n):
                parts["msc"] = parts["msc"] + (output.patch_probs[s, b, i] - mask[i]) ** 2 / (batch * n)
                for j in range(n):
                    differ = torch.tensor(float(mask[i] != mask[j]))
                    loss = F.binary_cross_entropy_with_logits(output.pair_logits[s, b, i, j], differ)
                    parts["ipc"] = parts["ipc"] + loss / (batch * n * n)
    return parts


@pytest.mark.parametrize("seed", range(3))
def test_losses_equal_loops_in_value_and_gradient(seed: int) -> None:
    torch.manual_seed(seed)
    output, labels = make_output(), [1, 0, 1]
    losses = wscl_losses(output, torch.tensor(labels), epoch=7, num_epochs=10)
    slow = slow_parts(output, labels)
    for name, part in slow.items():
        assert_close(losses.parts[name], part)
    weight = 0.1 * math.exp(-5 * 0.3**2)
    total = slow["label"] + weight * (slow["msc"] + slow["ipc"])
    assert_close(losses.total, total)
    inputs = (output.patch_probs, output.image_probs, output.pair_logits)
    for fast_gradient, slow_gradient in zip(
        torch.autograd.grad(losses.total, inputs), torch.autograd.grad(total, inputs), strict=True
    ):
        assert_close(fast_gradient, slow_gradient)
