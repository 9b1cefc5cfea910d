"""Muon for the weights of convolutions and linear layers, each seen as a matrix with a row an output.

Momentum whose singular values are all brought near 1 moves a weight in every direction that its gradients showed, not
in the strongest few alone (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"). Updates are
scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982), so both take one learning rate.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

MIN_SIDE = 8
"""Rows and columns of a weight that is worth it; smaller ones, biases and gains are left to AdamW."""


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight is seen as a matrix."""
    return weight.ndim >= 2 and min(weight.shape[0], weight[0].numel()) >= MIN_SIDE


class MatrixMuon(torch.optim.Muon):
    """PyTorch's Muon, which takes matrices alone, on weights of any number of dimensions.

    Args:
        weights: Contiguous, of two dimensions or more; the first counts outputs.
        learning_rate: As for AdamW.
        weight_decay: Decoupled, as AdamW's.
    """

    def __init__(self, weights: Sequence[Tensor], *, learning_rate: float, weight_decay: float) -> None:
        self.weights = list(weights)
        matrices = [nn.Parameter(weight.detach().view(len(weight), -1)) for weight in self.weights]  # the same memory
        super().__init__(matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: Any = None) -> Any:
        """Take the weights' gradients, and move them."""
        for weight, matrix in zip(self.weights, self.param_groups[0]["params"], strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.reshape(matrix.shape)
        return super().step(closure)
