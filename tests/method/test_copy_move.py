"""What repetitions mean: cells compared with their partners, and nothing where nothing repeats."""

import numpy as np
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from vilaco.matching import CHANNELS
from vilaco.method.copy_move import CopyMove, CopyMoveConfig

CONFIG = CopyMoveConfig(compared=3, channels=8)


def make_branch(residual_channels: int = 5) -> CopyMove:
    torch.manual_seed(0)
    return CopyMove(residual_channels, CONFIG)


def make_matches(batch: int, h: int, w: int) -> torch.Tensor:
    """Some cells repeated, some not; partners anywhere and a little beyond the picture's edges."""
    matches = torch.rand(batch, CHANNELS, h, w)
    matches[:, 0] *= torch.rand(batch, h, w) > 0.5
    matches[:, 3:] = matches[:, 3:] * 2.4 - 1.2
    return matches


def slow_sample(features: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear value at a place from -1 (left, upper edge of the first cell) to 1; the edge's beyond it."""
    _, h, w = features.shape
    column = min(max((x + 1) / 2 * w - 0.5, 0), w - 1)
    row = min(max((y + 1) / 2 * h - 0.5, 0), h - 1)
    left, top = int(column), int(row)
    right, bottom = min(left + 1, w - 1), min(top + 1, h - 1)
    a, b = column - left, row - top
    upper = (1 - a) * features[:, top, left] + a * features[:, top, right]
    lower = (1 - a) * features[:, bottom, left] + a * features[:, bottom, right]
    return (1 - b) * upper + b * lower


def differences(branch: CopyMove, matches: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
    """What the branch hands to its first 3 x 3 layer beyond the matches' own channels."""
    seen: list[torch.Tensor] = []
    hook = branch.mix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    branch(matches, residuals)
    hook.remove()
    assert_close(seen[0][:, :3], matches[:, :3])
    return seen[0][:, 3:]


@torch.no_grad()
def test_cells_are_compared_with_their_partners_as_a_slow_version_does() -> None:
    branch, h, w = make_branch(), 4, 7
    matches, residuals = make_matches(2, h, w), torch.randn(2, 5, h, w)
    found = differences(branch, matches, residuals)
    own = branch.compare(residuals).numpy()
    expected = np.zeros_like(own)
    for number in range(2):
        for row in range(h):
            for column in range(w):
                strength, _, _, x, y = matches[number, :, row, column].tolist()
                partner = slow_sample(own[number], x, y)
                expected[number, :, row, column] = (own[number, :, row, column] - partner) * strength
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_a_place_is_that_of_the_cell_it_names() -> None:
    """Every cell sent to row 1, column 4 of 3 x 6: minus 1 is the first cell's outer edge, not its middle."""
    branch, residuals = make_branch(), torch.randn(1, 5, 3, 6)
    matches = torch.zeros(1, CHANNELS, 3, 6)
    matches[:, 0] = 1
    matches[:, 3], matches[:, 4] = (4 + 0.5) / 6 * 2 - 1, (1 + 0.5) / 3 * 2 - 1
    own = branch.compare(residuals)
    assert_close(differences(branch, matches, residuals), own - own[:, :, 1:2, 4:5])


@torch.no_grad()
def test_without_strength_nothing_is_compared() -> None:
    branch, residuals = make_branch(), torch.randn(2, 5, 4, 6)
    matches = torch.zeros(2, CHANNELS, 4, 6)
    assert not differences(branch, matches, residuals).any()
    evidence = branch(matches, residuals)
    assert evidence.shape == (2, CONFIG.channels, 4, 6)
    assert torch.equal(evidence, branch(matches, torch.randn(2, 5, 4, 6)))  # residuals alone say nothing
    matches[:, 0, 1, 1] = 0.5
    assert not torch.equal(branch(matches, residuals), branch(matches, torch.randn(2, 5, 4, 6)))


@torch.no_grad()
def test_identical_residuals_cancel_wherever_the_partner_lies() -> None:
    matches = make_matches(1, 4, 6)
    assert_close(differences(make_branch(), matches, torch.full((1, 5, 4, 6), 0.7)), torch.zeros(1, 3, 4, 6))


def test_every_weight_has_a_gradient_and_compare_only_where_something_repeats() -> None:
    branch, residuals = make_branch(), torch.randn(2, 5, 4, 6, requires_grad=True)
    matches = make_matches(2, 4, 6)
    branch(matches, residuals).square().sum().backward()
    biased = [name for name, value in branch.named_parameters() if not value.grad.any()]
    assert biased in ([], ["compare.bias"])  # it cancels in a difference, but for rounding
    assert branch.compare.weight.grad.any()
    assert residuals.grad.any()
    branch.zero_grad()
    matches[:, 0] = 0
    branch(matches, residuals.detach()).square().sum().backward()
    assert not branch.compare.weight.grad.any()
    assert branch.mix.weight.grad.any()


@torch.no_grad()
def test_pictures_of_a_batch_do_not_meet() -> None:
    branch, matches, residuals = make_branch(), make_matches(3, 5, 4), torch.randn(3, 5, 5, 4)
    together = branch(matches, residuals)
    for number in range(3):
        assert_close(branch(matches[number : number + 1], residuals[number : number + 1])[0], together[number])


@torch.no_grad()
def test_in_half_precision_partners_are_still_found_in_single() -> None:
    """A place is a number of 8 bits in bfloat16: too few for the columns of a large picture."""
    branch, w = make_branch(), 600
    residuals, matches = torch.randn(1, 5, 1, w), torch.zeros(1, CHANNELS, 1, w)
    matches[:, 0] = 1
    matches[:, 3] = ((torch.arange(w).roll(-1) + 0.5) / w * 2 - 1)[None, None]  # the neighbour to the right
    with torch.autocast("cpu", torch.bfloat16):
        own = branch.compare(residuals).float()
        found = differences(branch, matches, residuals).float()
    assert F.mse_loss(found, own - own.roll(-1, dims=3)) < 1e-4
