"""The objective of self-forged training: each part is its own function, and every weight can be switched off."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.method.consistency import ConsistencyConfig, symmetric_info_nce
from vilaco.method.pixel_losses import patch_cross_entropy, pixel_cross_entropy, soft_dice_loss
from vilaco.method.self_forged import SelfForgedObjectiveConfig, self_forged_losses
from vilaco.method.vilaco import ViLaCoOutput

LABELS = torch.tensor([1, 0, 1])


def an_output() -> ViLaCoOutput:
    torch.manual_seed(0)
    mask_logits = torch.randn(3, 8, 8, requires_grad=True)
    patch_logits = torch.randn(3, 2, 2, requires_grad=True)
    image_logits = torch.randn(3, requires_grad=True)
    return ViLaCoOutput(
        tokens=torch.randn(3, 4, 5, requires_grad=True),
        grid=(2, 2),
        patch_logits=patch_logits,
        image_logits=image_logits,
        similarity=torch.zeros(3, 2, 2, 2),
        mask_logits=mask_logits,
        fine_scores=torch.tensor([0.25, 0.5, 1.0], requires_grad=True),
        localization_logits=mask_logits,
        detection_scores=torch.zeros(3),
    )


def known() -> tuple[torch.Tensor, torch.Tensor]:
    """Targets and weights: a forged image, its left half tampered; an authentic one; one of which nothing is known."""
    target, weight = torch.zeros(3, 8, 8), torch.ones(3, 8, 8)
    target[0, :, :4] = 1
    weight[2] = 0
    return target, weight


def test_every_part_is_its_own_function() -> None:
    output = an_output()
    losses = self_forged_losses(output, LABELS, *known(), SelfForgedObjectiveConfig(), progress=1.0)
    assert_close(losses.parts["bce"], pixel_cross_entropy(output.mask_logits, *known()))
    assert_close(losses.parts["dice"], soft_dice_loss(output.mask_logits, *known()))
    assert_close(losses.parts["patch"], patch_cross_entropy(output.patch_logits, *known()))
    target = torch.tensor([1.0, 0.0, 1.0])
    assert_close(losses.parts["coarse"], F.binary_cross_entropy_with_logits(output.image_logits, target))
    by_hand = -(torch.tensor([0.25, 0.5]).log().sum() + torch.tensor(1 - 1e-6).log()) / 3
    assert_close(losses.parts["fine"], by_hand)
    weights = {"bce": 1.0, "dice": 1.0, "patch": 1.0, "coarse": 0.2, "fine": 0.2, "cpc": 0.1 * (1 - 0.36787944)}
    assert losses.weights == pytest.approx(weights)
    assert_close(losses.total, sum(weights[name] * part for name, part in losses.parts.items()))


def test_consistency_takes_the_known_mask_where_there_is_one_and_the_drawn_one_elsewhere() -> None:
    output = an_output()
    drawn = torch.full((3, 8, 8), -9.0)
    drawn[0] = 9.0  # wrong on the forged image, whose mask is known
    drawn[2, :4] = 9.0  # on the unknown image: the upper two patches
    output = replace(output, mask_logits=drawn)
    config = SelfForgedObjectiveConfig(cpc=ConsistencyConfig(gamma=0.5))
    part = self_forged_losses(output, LABELS, *known(), config, progress=1.0).parts["cpc"]
    tokens = output.tokens
    tampered = torch.stack([tokens[0, 0], tokens[0, 2], tokens[2, 0], tokens[2, 1]])
    authentic = torch.cat([tokens[0, [1, 3]], tokens[1], tokens[2, 2:]])
    assert_close(part, symmetric_info_nce(tampered, authentic, gamma=0.5))


@pytest.mark.parametrize(
    ("off", "untouched"),
    [
        ("pixel", ["mask_logits", "patch_logits"]),
        ("image", ["image_logits", "fine_scores"]),
        ("consistency", ["tokens"]),
    ],
)
def test_a_weight_of_zero_switches_its_part_off(off: str, untouched: list[str]) -> None:
    output = an_output()
    config = SelfForgedObjectiveConfig(**{off: 0.0})
    self_forged_losses(output, LABELS, *known(), config, progress=1.0).total.backward()
    for name in ("tokens", "patch_logits", "image_logits", "mask_logits", "fine_scores"):
        gradient = getattr(output, name).grad
        assert (gradient is None or not gradient.any()) == (name in untouched), name


def test_consistency_waits_for_the_warm_up() -> None:
    output = an_output()
    early = self_forged_losses(output, LABELS, *known(), SelfForgedObjectiveConfig(warmup_share=0.3), progress=0.29)
    assert early.weights["cpc"] == 0.0
    assert (
        "cpc"
        not in self_forged_losses(
            output, LABELS, *known(), SelfForgedObjectiveConfig(consistency=0), progress=1.0
        ).parts
    )


def test_the_order_of_the_batch_does_not_matter() -> None:
    output, order = an_output(), torch.tensor([2, 0, 1])
    turned = replace(
        output,
        **{
            name: getattr(output, name)[order]
            for name in ("tokens", "patch_logits", "image_logits", "mask_logits", "fine_scores")
        },
    )
    first = self_forged_losses(output, LABELS, *known(), SelfForgedObjectiveConfig(), progress=0.7)
    second = self_forged_losses(
        turned, LABELS[order], *(part[order] for part in known()), SelfForgedObjectiveConfig(), progress=0.7
    )
    for name, part in first.parts.items():
        assert_close(second.parts[name], part)


def test_a_batch_of_which_nothing_is_known_still_has_its_image_losses() -> None:
    losses = self_forged_losses(
        an_output(), LABELS, torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), SelfForgedObjectiveConfig(), progress=0.0
    )
    assert [losses.parts[name].item() for name in ("bce", "dice", "patch")] == [0.0, 0.0, 0.0]
    assert losses.total.item() > 0
    assert torch.isfinite(losses.total)
