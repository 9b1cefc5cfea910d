"""Parameters and multiply-adds of each box of the network."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vilaco.matching import CELL, CHANNELS
from vilaco.method.network import PatchNetwork


@dataclass(frozen=True)
class BoxSize:
    """Size of one box; ``multiply_adds`` is for one image, text side included, and half of torch's FLOP count."""

    box: str
    trainable: int
    frozen: int
    multiply_adds: int


def describe_model(model: PatchNetwork) -> list[BoxSize]:
    """Measure each box on one blank image, and the whole in a last row named ``total``.

    Multiply-adds are those of matrix products and convolutions, as ``torch.utils.flop_counter`` counts them.
    """
    size = model.config.image_size
    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False, depth=2)
    training = model.training
    with torch.no_grad(), counter:
        model.eval()(*_blank(model, size, device))
    model.train(training)
    flops = {name: sum(by_op.values()) for name, by_op in counter.get_flop_counts().items()}
    root = type(model).__name__
    front_end = flops.pop(f"{root}.residuals.front_end", 0)  # called past its box, so that it can go in tiles
    flops[f"{root}.residuals"] = flops.get(f"{root}.residuals", 0) + front_end
    total = _box("total", model, flops["Global"])
    boxes = [
        _box(name, box, flops.get(f"{root}.{name}", 0)) for name, box in model.named_children() if name != "encoder"
    ]
    # The encoder is not called as a module, so what the boxes do not account for is its own.
    encoder = _box("encoder", model.encoder, (flops["Global"] - sum(2 * box.multiply_adds for box in boxes)))
    return [encoder, *boxes, total]


def _blank(model: PatchNetwork, size: int, device: torch.device) -> list[torch.Tensor | None]:
    """A view, stored pixels of the same size and no repetition, as far as the network asks for them."""
    view = torch.zeros(1, 3, size, size, device=device)
    blocks = -(-size // CELL)
    matches = torch.zeros(1, CHANNELS, blocks, blocks, device=device)
    return [view, view if model.reads_pixels else None, matches if model.reads_matches else None]


def _box(name: str, module: nn.Module, flops: int) -> BoxSize:
    counts = {True: 0, False: 0}
    for parameter in module.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    return BoxSize(name, counts[True], counts[False], flops // 2)
