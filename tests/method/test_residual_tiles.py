"""The front end sees no further than it says, so a picture may go through it in tiles."""

import torch

from vilaco.method.residuals import BLOCK, HALO, FrontEnd, ResidualConfig, block_means


def test_the_front_end_sees_a_halo_and_no_further() -> None:
    torch.manual_seed(0)
    front_end = FrontEnd(ResidualConfig())
    pixels = torch.rand(1, 3, 96, 96, requires_grad=True)
    for features, cell in zip(front_end(pixels), (slice(10, 12), slice(5, 6)), strict=True):  # one block of each
        (gradient,) = torch.autograd.grad(features[:, :, cell, cell].sum(), pixels, retain_graph=True)
        seen = gradient.abs().sum(dim=(0, 1)).nonzero()
        assert seen.min() >= 5 * BLOCK - HALO
        assert seen.max() < 6 * BLOCK + HALO
        assert seen.min() < 5 * BLOCK  # the halo is needed


def test_block_means_are_those_of_a_pooling() -> None:
    torch.manual_seed(0)
    planes = torch.rand(2, 3, 24, 40)
    torch.testing.assert_close(block_means(planes), torch.nn.functional.avg_pool2d(planes, BLOCK))
