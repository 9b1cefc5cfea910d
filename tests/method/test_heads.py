import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from vilaco.method.coarse_head import CoarseHead, CoarseHeadConfig, topk_mean_logits
from vilaco.method.fine_head import FineHead, FineHeadConfig, similarity_map, soft_gated_pool


def test_topk_with_ties_and_rounding_up() -> None:
    logits = torch.tensor([[[2.0, 2.0, 2.0], [1.0, -5.0, 0.0]]])  # N = 6
    assert_close(topk_mean_logits(logits, divisor=4), torch.tensor([2.0]))  # K = 2, among three equal ones
    assert_close(topk_mean_logits(logits, divisor=100), torch.tensor([2.0]))  # K = 1 at least
    assert_close(topk_mean_logits(logits, divisor=1), logits.mean(dim=(1, 2)))  # K = N
    assert_close(topk_mean_logits(logits, divisor=5), torch.tensor([2.0]))  # ceil(6 / 5) = 2
    with pytest.raises(ValueError, match="divisor must be at least 1, got 0"):
        topk_mean_logits(logits, divisor=0)


def test_coarse_head_on_a_non_square_grid_and_a_batch_of_one() -> None:
    head = CoarseHead(8, CoarseHeadConfig())
    patch_logits, image_logits = head(torch.randn(1, 15, 8), (3, 5))
    assert patch_logits.shape == (1, 3, 5)
    assert_close(image_logits, patch_logits.flatten(1).max(1).values)  # ceil(15 / 16) = 1


def test_soft_gated_pooling_at_its_limits() -> None:
    m = torch.rand(2, 9, 7, dtype=torch.float64)
    theta = torch.tensor(0.5, dtype=torch.float64)
    flat = soft_gated_pool(m, theta, torch.tensor(1e6, dtype=torch.float64))
    assert_close(flat, m.mean(dim=(1, 2)), rtol=1e-5, atol=1e-5)
    hard = soft_gated_pool(m, theta, torch.tensor(1e-4, dtype=torch.float64))
    expected = torch.stack([image[image > 0.5].mean() for image in m])
    assert_close(hard, expected, rtol=1e-2, atol=1e-2)
    all_shut = soft_gated_pool(torch.zeros(1, 4, 4), torch.tensor(0.95), torch.tensor(0.0201))
    assert_close(all_shut, torch.zeros(1))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.06, 0.94), st.floats(0.03, 2.0), st.integers(0, 2**31))
def test_soft_gated_pooling_is_the_formula_and_stays_in_range(theta: float, t: float, seed: int) -> None:
    m = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    gates = torch.sigmoid((m - theta) / t)
    expected = (gates * m).sum(dim=(1, 2)) / gates.sum(dim=(1, 2))
    pooled = soft_gated_pool(m, torch.tensor(theta), torch.tensor(t))
    assert_close(pooled, expected)
    assert (pooled >= m.amin(dim=(1, 2)) - 1e-9).all()
    assert (pooled <= m.amax(dim=(1, 2)) + 1e-9).all()
    assert (pooled >= m.mean(dim=(1, 2)) - 1e-9).all()  # higher pixels weigh more


def test_theta_and_temperature_keep_their_bounds_and_their_gradients() -> None:
    head = FineHead(2, 8, FineHeadConfig(init_theta=0.3, init_temperature=0.2))
    assert_close(head.theta.detach(), torch.tensor(0.3))
    assert_close(head.temperature.detach(), torch.tensor(0.2))
    with torch.no_grad():
        head.theta_logit.fill_(6.0)
        head.log_temperature.fill_(-6.0)
    assert 0.05 <= head.theta.item() <= 0.95
    assert head.temperature.item() >= 0.02
    (head.theta + head.temperature).backward()
    assert head.theta_logit.grad > 0
    assert head.log_temperature.grad > 0


def test_similarity_map_by_hand() -> None:
    tokens = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]])
    rows = torch.tensor([[[5.0, 0.0], [0.0, -1.0]]])
    similarity = similarity_map(tokens, rows, torch.tensor(0.5), (1, 3))
    half = 2 * 0.5**0.5
    assert_close(similarity, torch.tensor([[[[2.0, 0.0, half]], [[0.0, -2.0, -half]]]]))


@pytest.mark.parametrize("inputs", ["similarity", "similarity+patches"])
def test_fine_head_shapes_and_what_the_decoder_sees(inputs: str) -> None:
    torch.manual_seed(0)
    head = FineHead(2, 8, FineHeadConfig(decoder_inputs=inputs))
    tokens, rows = torch.randn(2, 15, 8), torch.randn(2, 2, 8)
    similarity, mask_logits, scores = head(tokens, rows, (3, 5), (50, 83))
    assert (similarity.shape, mask_logits.shape, scores.shape) == ((2, 2, 3, 5), (2, 50, 83), (2,))
    scaled = head(3 * tokens, rows, (3, 5), (50, 83))[1]  # the similarity is normalised, the patches are not
    assert torch.allclose(scaled, mask_logits, atol=1e-4) == (inputs == "similarity")
