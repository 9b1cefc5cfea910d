"""Losses on masks that no human drew: by hand, against slow versions, and where nothing is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from vilaco.method.pixel_losses import patch_cross_entropy, pixel_cross_entropy, soft_dice_loss

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Loss] = {"bce": pixel_cross_entropy, "dice": soft_dice_loss, "patch": patch_cross_entropy}


def random_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and masks of four images: mixed, all authentic, wholly tampered, all unknown."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 6, 8, generator=generator)
    mask = torch.randint(0, 3, (4, 6, 8), generator=generator)
    mask[mask == 2] = 255
    mask[1], mask[2], mask[3] = 0, 1, 255
    return logits, mask.to(torch.uint8)


def slow_cross_entropy(logits: torch.Tensor, mask: torch.Tensor, tampered_weight: float = 2.0) -> float:
    loss = weights = 0.0
    for logit, pixel in zip(logits.flatten().tolist(), mask.flatten().tolist(), strict=True):
        prob = 1 / (1 + math.exp(-logit))
        if pixel == 1:
            loss, weights = loss - tampered_weight * math.log(prob), weights + tampered_weight
        elif pixel == 0:
            loss, weights = loss - math.log(1 - prob), weights + 1
    return loss / weights


def slow_dice(logits: torch.Tensor, mask: torch.Tensor) -> float:
    losses = []
    for image, truth in zip(logits.tolist(), mask.tolist(), strict=True):
        known = [(1 / (1 + math.exp(-a)), b) for row, line in zip(image, truth, strict=True)
                 for a, b in zip(row, line, strict=True) if b != 255]  # fmt: skip
        if any(b for _, b in known):
            losses.append(1 - 2 * sum(a * b for a, b in known) / (sum(a for a, _ in known) + sum(b for _, b in known)))
    return float(np.mean(losses))


def slow_patches(logits: torch.Tensor, mask: torch.Tensor) -> float:
    losses = []
    for image, truth in zip(logits, mask, strict=True):
        if (truth == 255).any():
            continue
        h, w = truth.shape[0] // image.shape[0], truth.shape[1] // image.shape[1]
        for row in range(image.shape[0]):
            for column in range(image.shape[1]):
                share = float((truth[h * row : h * (row + 1), w * column : w * (column + 1)] == 1).double().mean())
                prob = 1 / (1 + math.exp(-float(image[row, column])))
                losses.append(-share * math.log(prob) - (1 - share) * math.log(1 - prob))
    return float(np.mean(losses))


@pytest.mark.parametrize("seed", range(3))
def test_losses_are_the_slow_loops(seed: int) -> None:
    logits, mask = random_batch(seed)
    assert pixel_cross_entropy(logits, mask).item() == pytest.approx(slow_cross_entropy(logits, mask), rel=1e-5)
    weighted = pixel_cross_entropy(logits, mask, tampered_weight=5.0).item()
    assert weighted == pytest.approx(slow_cross_entropy(logits, mask, 5.0), rel=1e-5)
    assert soft_dice_loss(logits, mask).item() == pytest.approx(slow_dice(logits, mask), rel=1e-5)
    coarse = logits[:, ::2, ::2]
    assert patch_cross_entropy(coarse, mask).item() == pytest.approx(slow_patches(coarse, mask), rel=1e-5)


def test_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0), 5.0]]])  # probabilities 1/2, 3/4
    mask = torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
    expected = (2 * math.log(2) + math.log(4)) / 3  # the tampered pixel counts twice
    assert_close(pixel_cross_entropy(logits, mask), torch.tensor(expected))
    assert_close(soft_dice_loss(logits, mask), torch.tensor(1 - 2 * 0.5 / (1.25 + 1)))
    halves = torch.tensor([[[1, 1, 0, 0], [1, 0, 0, 0]]], dtype=torch.uint8)  # 3/4 and 0 of two patches
    patch = patch_cross_entropy(torch.tensor([[[0.0, math.log(3.0)]]]), halves)
    assert_close(patch, torch.tensor((math.log(2) + math.log(4)) / 2))


def test_perfect_and_inverted_drawings() -> None:
    mask = torch.zeros(2, 4, 4, dtype=torch.uint8)
    mask[:, 1:3, 1:3] = 1
    logits = torch.where(mask == 1, 30.0, -30.0)
    for loss in (pixel_cross_entropy, soft_dice_loss):
        assert_close(loss(logits, mask), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert_close(soft_dice_loss(-logits, mask), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert pixel_cross_entropy(-logits, mask).item() == pytest.approx(30.0)


@pytest.mark.parametrize("name", LOSSES)
def test_where_nothing_is_known_the_loss_is_zero_with_a_gradient_path(name: str) -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    loss = LOSSES[name](logits, torch.full((2, 4, 4), 255, dtype=torch.uint8))
    assert loss.item() == 0.0
    loss.backward()
    assert_close(logits.grad, torch.zeros(2, 4, 4))


def test_without_tampered_pixels_dice_is_zero_with_a_gradient_path() -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    loss = soft_dice_loss(logits, torch.zeros(2, 4, 4, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0.0
    assert_close(logits.grad, torch.zeros(2, 4, 4))


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_pixels_get_no_gradient_and_change_nothing(name: str) -> None:
    logits, mask = random_batch(3)
    logits.requires_grad_(True)
    loss = LOSSES[name](logits, mask)
    loss.backward()
    unknown = mask == 255
    assert (logits.grad[unknown] == 0).all()
    other = torch.where(unknown, 7.0, logits.detach())
    assert_close(LOSSES[name](other, mask), loss.detach())


@pytest.mark.parametrize("name", LOSSES)
def test_order_flips_and_precision_do_not_matter(name: str) -> None:
    logits, mask = random_batch(4)
    loss = LOSSES[name](logits, mask)
    order = torch.tensor([2, 0, 3, 1])
    assert_close(LOSSES[name](logits[order], mask[order]), loss)
    assert_close(LOSSES[name](logits.flip(2), mask.flip(2)), loss)
    assert_close(LOSSES[name](logits.bfloat16(), mask), LOSSES[name](logits.bfloat16().float(), mask))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    logits, mask = random_batch(5)
    logits.requires_grad_(True)
    LOSSES[name](logits, mask).backward()
    with torch.no_grad():
        for place in ((0, 1, 2), (0, 3, 3), (2, 0, 0)):
            moved = logits.detach().clone()
            moved[place] += 0.05
            above = LOSSES[name](moved, mask)
            moved[place] -= 0.1
            slope = (above - LOSSES[name](moved, mask)) / 0.1
            assert_close(logits.grad[place], slope, atol=2e-4, rtol=2e-2)
