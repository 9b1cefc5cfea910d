"""Losses on pixels that no human marked: by hand, against slow versions, and where nothing is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from vilaco.method.pixel_losses import patch_cross_entropy, pixel_cross_entropy, soft_dice_loss

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Loss] = {"bce": pixel_cross_entropy, "dice": soft_dice_loss, "patch": patch_cross_entropy}


def random_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets and weights of four images: mixed, all authentic, wholly tampered, all unknown."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 6, 8, generator=generator)
    target = torch.rand(4, 6, 8, generator=generator)
    weight = torch.rand(4, 6, 8, generator=generator)
    weight[weight < 0.3] = 0.0
    target[1], weight[1] = 0.0, 1.0
    target[2], weight[2], weight[3] = 1.0, 1.0, 0.0
    return logits, target, weight


def slow_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, tampered_weight: float = 2.0
) -> float:
    loss = total = 0.0
    for logit, wanted, counted in zip(*(part.flatten().tolist() for part in (logits, target, weight)), strict=True):
        prob, times = 1 / (1 + math.exp(-logit)), counted * (wanted * tampered_weight + 1 - wanted)
        loss -= times * (wanted * math.log(prob) + (1 - wanted) * math.log(1 - prob))
        total += times
    return loss / total


def slow_dice(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> float:
    losses = []
    for image in zip(logits.tolist(), target.tolist(), weight.tolist(), strict=True):
        both = drawn = wanted = 0.0
        for row in zip(*image, strict=True):
            for logit, truth, counted in zip(*row, strict=True):
                prob = 1 / (1 + math.exp(-logit))
                both += counted * prob * truth
                drawn += counted * prob
                wanted += counted * truth
        if wanted:
            losses.append(1 - 2 * both / (drawn + wanted))
    return float(np.mean(losses))


def slow_patches(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> float:
    loss = total = 0.0
    for image, truth, counted in zip(logits, target, weight, strict=True):
        h, w = truth.shape[0] // image.shape[0], truth.shape[1] // image.shape[1]
        for row in range(image.shape[0]):
            for column in range(image.shape[1]):
                patch = np.s_[h * row : h * (row + 1), w * column : w * (column + 1)]
                known = float(counted[patch].mean())
                share = float((truth[patch] * counted[patch]).mean()) / known if known else 0.0
                prob = 1 / (1 + math.exp(-float(image[row, column])))
                loss -= known * (share * math.log(prob) + (1 - share) * math.log(1 - prob))
                total += known
    return loss / total


@pytest.mark.parametrize("seed", range(3))
def test_losses_are_the_slow_loops(seed: int) -> None:
    logits, target, weight = random_batch(seed)
    assert pixel_cross_entropy(logits, target, weight).item() == pytest.approx(
        slow_cross_entropy(logits, target, weight), rel=1e-5
    )
    weighted = pixel_cross_entropy(logits, target, weight, tampered_weight=5.0).item()
    assert weighted == pytest.approx(slow_cross_entropy(logits, target, weight, 5.0), rel=1e-5)
    assert soft_dice_loss(logits, target, weight).item() == pytest.approx(slow_dice(logits, target, weight), rel=1e-5)
    coarse = logits[:, ::2, ::2]
    patches = patch_cross_entropy(coarse, target, weight).item()
    assert patches == pytest.approx(slow_patches(coarse, target, weight), rel=1e-5)


def test_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0), 5.0]]])  # probabilities 1/2, 3/4
    target, weight = torch.tensor([[[1.0, 0.0, 1.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    expected = (2 * math.log(2) + math.log(4)) / 3  # the tampered pixel counts twice
    assert_close(pixel_cross_entropy(logits, target, weight), torch.tensor(expected))
    assert_close(soft_dice_loss(logits, target, weight), torch.tensor(1 - 2 * 0.5 / (1.25 + 1)))
    half_sure = torch.tensor([[[0.5, 1.0, 0.0]]])
    expected = (math.log(2) + math.log(4)) / 2
    assert_close(pixel_cross_entropy(logits, target, half_sure), torch.tensor(expected))
    assert_close(soft_dice_loss(logits, target, half_sure), torch.tensor(1 - 2 * 0.25 / (1.0 + 0.5)))
    halves = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])  # 3/4 and 0 of two patches
    coarse = torch.tensor([[[0.0, math.log(3.0)]]])
    patch = patch_cross_entropy(coarse, halves, torch.ones_like(halves))
    assert_close(patch, torch.tensor((math.log(2) + math.log(4)) / 2))
    left_known = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])  # half of the first: all of it tampered
    patch = patch_cross_entropy(torch.tensor([[[math.log(3.0), 5.0]]]), halves, left_known)
    assert_close(patch, torch.tensor(0.5 * math.log(4 / 3)))  # a sum of weights below 1 counts as 1


def test_perfect_and_inverted_drawings() -> None:
    target, weight = torch.zeros(2, 4, 4), torch.ones(2, 4, 4)
    target[:, 1:3, 1:3] = 1
    logits = torch.where(target == 1, 30.0, -30.0)
    for loss in (pixel_cross_entropy, soft_dice_loss):
        assert_close(loss(logits, target, weight), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert_close(soft_dice_loss(-logits, target, weight), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert pixel_cross_entropy(-logits, target, weight).item() == pytest.approx(30.0)


@pytest.mark.parametrize("name", LOSSES)
def test_where_nothing_is_known_the_loss_is_zero_with_a_gradient_path(name: str) -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    loss = LOSSES[name](logits, torch.ones(2, 4, 4), torch.zeros(2, 4, 4))
    assert loss.item() == 0.0
    loss.backward()
    assert_close(logits.grad, torch.zeros(2, 4, 4))


def test_without_tampered_pixels_dice_is_zero_with_a_gradient_path() -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    loss = soft_dice_loss(logits, torch.zeros(2, 4, 4), torch.ones(2, 4, 4))
    loss.backward()
    assert loss.item() == 0.0
    assert_close(logits.grad, torch.zeros(2, 4, 4))


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_without_weight_get_no_gradient_and_change_nothing(name: str) -> None:
    logits, target, weight = random_batch(3)
    logits.requires_grad_(True)
    loss = LOSSES[name](logits, target, weight)
    loss.backward()
    unknown = weight == 0
    assert unknown[0].any()
    assert (logits.grad[unknown] == 0).all()
    other = torch.where(unknown, 7.0, logits.detach())
    assert_close(LOSSES[name](other, target, weight), loss.detach())
    assert_close(LOSSES[name](logits, torch.where(unknown, 0.5, target), weight), loss)


@pytest.mark.parametrize("name", LOSSES)
def test_order_flips_and_precision_do_not_matter(name: str) -> None:
    logits, *known = random_batch(4)
    loss = LOSSES[name](logits, *known)
    order = torch.tensor([2, 0, 3, 1])
    assert_close(LOSSES[name](logits[order], *(part[order] for part in known)), loss)
    assert_close(LOSSES[name](logits.flip(2), *(part.flip(2) for part in known)), loss)
    assert_close(LOSSES[name](logits.bfloat16(), *known), LOSSES[name](logits.bfloat16().float(), *known))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    logits, *known = random_batch(5)
    logits.requires_grad_(True)
    LOSSES[name](logits, *known).backward()
    with torch.no_grad():
        for place in ((0, 1, 2), (0, 3, 3), (2, 0, 0)):
            moved = logits.detach().clone()
            moved[place] += 0.05
            above = LOSSES[name](moved, *known)
            moved[place] -= 0.1
            slope = (above - LOSSES[name](moved, *known)) / 0.1
            assert_close(logits.grad[place], slope, atol=2e-4, rtol=2e-2)
