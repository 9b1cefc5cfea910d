import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.method.baselines.araslanov import weighted_pool_logits
from vilaco.method.baselines.cam import normalized_activation
from vilaco.method.baselines.fcn import FcnHead, FcnHeadConfig, FcnOutput, as_grid, image_label_losses
from vilaco.method.baselines.mil_fcn import smooth_max


def test_head_is_a_convolution_and_a_classifier_shared_by_all_patches() -> None:
    torch.manual_seed(0)
    head = FcnHead(6, FcnHeadConfig(channels=4))
    tokens = 5 * torch.randn(2, 12, 6)
    features, logits = head(tokens, (3, 4))
    assert (features.shape, logits.shape) == ((2, 4, 3, 4), (2, 3, 4))
    normed = F.layer_norm(tokens, (6,))
    assert_close(as_grid(tokens, (3, 4))[1, :, 2, 3], normed[1, 11])
    # The patch at row 1, column 2 by hand: its 3 x 3 neighbourhood is all inside.
    around = torch.stack([torch.stack([normed[0, 4 * r + c] for c in (1, 2, 3)]) for r in (0, 1, 2)])  # (3, 3, D)
    hidden = F.gelu(torch.einsum("cdij,ijd->c", head.conv.weight, around) + head.conv.bias)
    assert_close(features[0, :, 1, 2], hidden)
    assert_close(logits[0, 1, 2], head.classifier.weight.flatten() @ hidden + head.classifier.bias[0])


def test_a_view_changes_what_the_head_looks_at() -> None:
    head = FcnHead(6, FcnHeadConfig(channels=4), view=torch.zeros_like)
    logits = head(torch.randn(1, 4, 6), (2, 2))[1]
    assert_close(logits, logits[0, 0, 0].expand(1, 2, 2))


def test_smooth_max_lies_between_mean_and_maximum() -> None:
    logits = torch.randn(3, 4, 5, dtype=torch.float64)
    mean, highest = logits.mean(dim=(1, 2)), logits.amax(dim=(1, 2))
    assert_close(smooth_max(logits, sharpness=1e-6), mean, rtol=1e-4, atol=1e-4)
    assert_close(smooth_max(logits, sharpness=1e6), highest, rtol=1e-4, atol=1e-4)
    pooled = smooth_max(logits, sharpness=5.0)
    assert ((pooled > mean) & (pooled < highest)).all()
    slow = torch.stack([torch.log(sum(torch.exp(5 * s) for s in image.flatten()) / 20) / 5 for image in logits])
    assert_close(pooled, slow)


def test_activation_of_one_image_does_not_scale_another() -> None:
    evidence = torch.stack([torch.full((2, 2), 7.0), torch.tensor([[0.0, -5.0], [0.5, 0.25]])])
    assert normalized_activation(evidence).tolist() == [[[1, 1], [1, 1]], [[0, 0], [1, 0.5]]]


def test_weighted_pooling_by_hand() -> None:
    logits = torch.tensor([[[1.0, 1.0 + math.log(3.0)]]], dtype=torch.float64)  # masks 1/2 and 3/4
    area = (0.5 + 0.75) / 2
    expected = (0.5 * 1.0 + 0.75 * (1.0 + math.log(3.0))) / (1.0 + 1.25) + (1 - area) ** 3 * math.log(0.01 + area)
    assert weighted_pool_logits(logits).item() == pytest.approx(expected)


def test_weighted_pooling_of_empty_and_full_masks() -> None:
    assert weighted_pool_logits(torch.full((1, 3, 3), -60.0)).item() == pytest.approx(math.log(0.01), abs=1e-4)
    full = weighted_pool_logits(torch.full((1, 3, 3), 60.0)).item()
    assert full == pytest.approx(60 * 9 / 10)  # nine patches over one for the background, no penalty left


def test_image_loss_by_hand() -> None:
    output = FcnOutput(torch.zeros(2, 1, 1), torch.tensor([0.0, 2.0]), torch.zeros(2, 4, 4))
    losses = image_label_losses(output, torch.tensor([1, 0]), epoch=0, num_epochs=1)
    assert losses.total.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)
    assert_close(output.detection_scores, torch.tensor([0.5, 1 / (1 + math.exp(-2))]))
