"""Muon on convolutions: the update is the gradient with its singular values made alike, at the size of AdamW's."""

import torch
from torch import nn

from vilaco.training.muon import MatrixMuon, is_matrix

RATE, DECAY = 0.1, 0.01


def test_weights_are_matrices_from_eight_rows_and_columns_on() -> None:
    assert is_matrix(nn.Conv2d(4, 8, 3).weight)  # 8 x 36
    assert not is_matrix(nn.Conv2d(32, 1, 3).weight)  # one output
    assert not is_matrix(nn.Conv2d(4, 8, 1).weight)  # 8 x 4
    assert not is_matrix(nn.Linear(16, 16).bias)


def test_a_step_turns_along_the_gradients_own_axes_by_as_much_on_each() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 10, 3, bias=False)
    before = convolution.weight.detach().clone()
    gradient = torch.randn_like(before)
    convolution.weight.grad = gradient
    MatrixMuon([convolution.weight], learning_rate=RATE, weight_decay=DECAY).step()

    left, _, right = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    kept = before.flatten(1) * (1 - RATE * DECAY)
    moved = (kept - convolution.weight.detach().flatten(1)) / (RATE * 0.2 * 36**0.5)  # 36: the longer side
    along = left.T @ moved @ right.T
    assert (along.diagonal() > 0.5).all()  # five Newton-Schulz steps in bfloat16 come near 1, by design not to it
    assert (along.diagonal() < 1.5).all()
    off = along - along.diagonal().diag()
    assert off.abs().max() < 0.1
    assert moved.square().mean().sqrt() * 0.2 * 36**0.5 < 0.3  # an entry moves about 0.2 of the rate, as AdamW's do


def test_a_weight_without_a_gradient_stays() -> None:
    weight = nn.Parameter(torch.ones(8, 8))
    before = weight.detach().clone()
    MatrixMuon([weight], learning_rate=RATE, weight_decay=DECAY).step()
    assert torch.equal(weight, before)


def test_steps_reach_the_weights_that_a_network_computes_with() -> None:
    torch.manual_seed(0)
    network, inputs = nn.Linear(16, 16, bias=False), torch.randn(64, 16)
    target = inputs @ torch.randn(16, 16)
    muon = MatrixMuon(list(network.parameters()), learning_rate=0.1, weight_decay=0.0)
    losses = []
    for _ in range(100):
        network.zero_grad()
        loss = (network(inputs) - target).square().mean()
        loss.backward()
        muon.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
