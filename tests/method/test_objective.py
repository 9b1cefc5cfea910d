import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.method.consistency import (
    ConsistencyConfig,
    contrastive_patch_consistency,
    patch_kinds,
    symmetric_info_nce,
)
from vilaco.method.objective import ObjectiveConfig, consistency_weight, vilaco_losses
from vilaco.method.vilaco import ViLaCoOutput


def slow_info_nce(tampered: Tensor, authentic: Tensor, gamma: float) -> Tensor:
    losses = []
    for same, other in ((tampered, authentic), (authentic, tampered)):
        for i in range(len(same)):
            negatives = sum(torch.exp(F.cosine_similarity(same[i], other[k], dim=0) / gamma) for k in range(len(other)))
            for j in range(len(same)):
                if i != j:
                    positive = torch.exp(F.cosine_similarity(same[i], same[j], dim=0) / gamma)
                    losses.append(-torch.log(positive / (positive + negatives)))
    return torch.stack(losses).mean()


def test_info_nce_equals_loops_in_value_and_gradient() -> None:
    torch.manual_seed(0)
    fast = [torch.randn(n, 6, dtype=torch.float64).requires_grad_() for n in (4, 7)]
    slow = [x.detach().clone().requires_grad_() for x in fast]
    a, b = symmetric_info_nce(*fast, gamma=0.1), slow_info_nce(*slow, 0.1)
    assert_close(a.double(), b, rtol=1e-4, atol=1e-5)
    a.backward()
    b.backward()
    for x, y in zip(fast, slow, strict=True):
        assert_close(x.grad, y.grad, rtol=1e-3, atol=1e-5)


def test_info_nce_by_hand() -> None:
    tampered = torch.tensor([[1.0, 0.0], [2.0, 0.0]])  # cosine 1 to each other
    authentic = torch.tensor([[0.0, 1.0]])  # cosine 0 to both, and no pair of its own
    expected = -math.log(math.e / (math.e + 1.0))
    assert_close(symmetric_info_nce(tampered, authentic, gamma=1.0), torch.tensor(expected))


@pytest.mark.parametrize(("p", "q"), [(0, 0), (0, 5), (5, 0), (1, 1)])
def test_without_pairs_the_loss_is_zero_with_a_gradient_path(p: int, q: int) -> None:
    tampered, authentic = torch.randn(p, 4, requires_grad=True), torch.randn(q, 4, requires_grad=True)
    loss = symmetric_info_nce(tampered, authentic, gamma=0.1)
    assert loss.item() == 0.0
    loss.backward()
    for x in (tampered, authentic):
        assert_close(x.grad, torch.zeros_like(x))


def test_patch_kinds_by_hand() -> None:
    mask = torch.zeros(2, 2, 4)
    mask[:, :, :2] = 0.8  # left patch .8, right patch 0
    mask[0, :, 2:] = 0.5  # in the first image the right patch is undecided
    tampered, authentic = patch_kinds(mask, torch.tensor([1, 0]), (1, 2), ConsistencyConfig())
    assert tampered.tolist() == [[True, False], [False, False]]
    assert authentic.tolist() == [[False, False], [True, True]]  # an authentic image is authentic all over


def test_draw_is_bounded_and_mask_gets_no_gradient() -> None:
    tokens = torch.randn(2, 64, 4, requires_grad=True)
    logits = torch.randn(2, 16, 16, requires_grad=True)
    config = ConsistencyConfig(max_patches=5, tau_fg=0.5, tau_bg=0.499)
    loss = contrastive_patch_consistency(tokens, logits.sigmoid(), torch.tensor([1, 0]), (8, 8), config)
    loss.backward()
    touched = (tokens.grad.abs().sum(-1) > 0).sum()
    assert 0 < int(touched) <= 10
    assert logits.grad is None


def test_thresholds_must_be_ordered() -> None:
    with pytest.raises(ValidationError, match="tau_bg"):
        ConsistencyConfig(tau_fg=0.3, tau_bg=0.3)


def test_weight_curve_of_eq_8() -> None:
    curve = [consistency_weight(t, warmup=10, total=100) for t in range(101)]
    assert curve[:10] == [0.0] * 10
    assert curve[10] == 0.0
    assert curve[55] == pytest.approx(1 - math.exp(-0.5))
    assert curve[100] == pytest.approx(0.6321, abs=1e-4)
    assert curve == sorted(curve)


def make_output(batch: int = 2) -> ViLaCoOutput:
    mask_logits = torch.randn(batch, 8, 8) * 4
    return ViLaCoOutput(
        tokens=torch.randn(batch, 16, 6),
        grid=(4, 4),
        patch_logits=torch.randn(batch, 4, 4),
        image_logits=torch.tensor([0.0, 2.0]),
        similarity=torch.randn(batch, 2, 4, 4),
        mask_logits=mask_logits,
        fine_scores=torch.tensor([0.5, 0.25]),
        localization_logits=mask_logits,
        detection_scores=torch.tensor([0.5, 0.5]),
    )


def test_total_is_the_weighted_sum_of_hand_made_parts() -> None:
    torch.manual_seed(0)
    output, labels = make_output(), torch.tensor([1, 0])
    losses = vilaco_losses(output, labels, ObjectiveConfig(), epoch=100, num_epochs=100)
    assert losses.parts["coarse"].item() == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2, rel=1e-5)
    assert losses.parts["fine"].item() == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2, rel=1e-5)
    assert losses.weights == {"cpc": pytest.approx(1 - math.exp(-1))}
    parts = losses.parts
    assert_close(losses.total, parts["coarse"] + parts["fine"] + losses.weights["cpc"] * parts["cpc"])


@pytest.mark.parametrize("part", ["coarse", "fine", "consistency"])
def test_a_part_switched_off_is_gone(part: str) -> None:
    config = ObjectiveConfig(**{part: False})
    losses = vilaco_losses(make_output(), torch.tensor([1, 0]), config, epoch=50, num_epochs=100)
    assert set(losses.parts) == {"coarse", "fine", "cpc"} - {"cpc" if part == "consistency" else part}
    assert torch.isfinite(losses.total)


def test_something_must_count() -> None:
    with pytest.raises(ValidationError, match="nothing would be learned"):
        ObjectiveConfig(coarse=False, fine=False, consistency=False)
