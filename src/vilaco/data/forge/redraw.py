"""AI re-drawing: a region sent through the autoencoder of an image generator, as every edit by one is.

What such an edit shows beside its content comes from the autoencoder, whatever drew in its latents. The tiny ones of
TAESD (https://github.com/madebyollin/taesd, MIT) stand in for the large ones that they were distilled from.
"""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vilaco.data.forge.blending import Patch, draw_feather, soften
from vilaco.data.forge.config import ForgeConfig
from vilaco.data.forge.shapes import Frame, Shape
from vilaco.errors import DataError

CELL = 8
"""Pixels a side for one latent."""
MARGIN = 24
"""Pixels around the region that are encoded with it, so that it joins its surroundings."""
MAX_NOISE = 0.2
"""Of the latents' own spread: the most that is added to them, as a generator changes what it keeps."""
WIDTH = 64


class Autoencoder:
    """A TAESD of 8 x 8 pixels a latent, of any number of channels.

    Args:
        encoder: Pixels ``(1, 3, H, W)`` in [0, 1] to latents ``(1, C, H / 8, W / 8)``.
        decoder: Back.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        self.encoder, self.decoder = (
            part.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for part in (encoder, decoder)
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``*encoder.pth`` and ``*decoder.pth``, or ``.safetensors``, from a folder.

        Raises:
            DataError: If one of them is not there, cannot be read, or is another network.
        """
        encoder, decoder = (_read(folder, part) for part in ("encoder", "decoder"))
        try:
            with_norms = any(".pool." in name for name in encoder)
            latents = encoder["14.weight"].shape[0]
            networks = _encoder(latents, with_norms=with_norms), _decoder(latents, with_norms=with_norms)
            for network, weights in zip(networks, (encoder, decoder), strict=True):
                network.load_state_dict(weights)
        except (AttributeError, KeyError, RuntimeError, TypeError):  # another network's weights, or none at all
            raise DataError(
                f"{folder}: its encoder and decoder are not those of a TAESD with 8 pixels a latent"
            ) from None
        return cls(*networks)

    @torch.inference_mode()
    def redraw(self, pixels: np.ndarray, rng: np.random.Generator, *, noise: float = 0.0) -> np.ndarray:
        """Encode and decode, in bfloat16 as generators do.

        Args:
            pixels: ``(H, W, 3)`` uint8 RGB, sides multiples of 8.
            rng: Draws the noise.
            noise: Standard deviation of what is added to the latents, in that of the latents.

        Returns:
            Like ``pixels``.
        """
        view = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
        with torch.autocast("cpu", torch.bfloat16):
            latents = self.encoder(view.to(memory_format=torch.channels_last)).float()
        if noise:
            drawn = torch.from_numpy(rng.standard_normal(latents.shape, dtype=np.float32))
            latents = latents + noise * latents.std() * drawn
        with torch.autocast("cpu", torch.bfloat16):
            drawn_again = self.decoder(latents)[0].float()
        redrawn = drawn_again.clamp(0, 1).numpy().transpose(1, 2, 0)
        return np.asarray(np.rint(redrawn * 255), np.uint8)


def redraw(
    host: np.ndarray,
    shape: Shape,
    frame: Frame,
    autoencoder: Autoencoder,
    rng: np.random.Generator,
    config: ForgeConfig,
) -> Patch | None:
    """Have a region of ``host`` drawn anew, its latents on a grid of any phase.

    Args:
        host: Shape ``(H, W, 3)``, uint8 RGB.
        shape: The region.
        frame: The part of the host that may be looked at.
        autoencoder: What draws.
        rng: Random numbers.
        config: Edge softness.

    Returns:
        The patch; ``None`` where the frame is too narrow for a latent.
    """
    height, width = shape.mask.shape
    rows = _span(shape.top, height, frame.top, frame.height, rng)
    columns = _span(shape.left, width, frame.left, frame.width, rng)
    if rows is None or columns is None:
        return None
    box = np.ascontiguousarray(host[rows, columns])
    redrawn = autoencoder.redraw(box, rng, noise=float(rng.uniform(0, MAX_NOISE)))
    alpha = np.zeros(box.shape[:2], np.float32)
    inside = alpha[shape.top - rows.start :, shape.left - columns.start :][:height, :width]
    inside[...] = soften(shape.mask, draw_feather(shape.mask, rng, config))[: inside.shape[0], : inside.shape[1]]
    return Patch(redrawn, alpha, rows.start, columns.start, shape.kind)


def _span(start: int, length: int, low: int, available: int, rng: np.random.Generator) -> slice | None:
    """Whole latents around a region as far as the frame goes, from a random phase before it on."""
    first = max(low, start - MARGIN - int(rng.integers(CELL)))
    wanted = -(-(start + length + MARGIN - first) // CELL)
    cells = min(wanted, (low + available - first) // CELL)
    return slice(first, first + CELL * cells) if cells > 0 else None


def _read(folder: Path, part: str) -> dict[str, Tensor]:
    files = sorted(file for ending in ("pth", "safetensors") for file in folder.glob(f"*{part}.{ending}"))
    if not files:
        raise DataError(f"{folder}: no *{part}.pth or *{part}.safetensors of a tiny autoencoder is there")
    try:
        if files[0].suffix == ".safetensors":
            return load_file(files[0])
        weights: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
        return weights
    except Exception as error:  # almost any type comes out of a broken file
        raise DataError(f"{files[0]}: cannot be read ({type(error).__name__})") from None


class _Block(nn.Module):
    """Three convolutions beside a shortcut, in the middle of the network after a normed bottleneck of another."""

    def __init__(self, *, with_norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(WIDTH), nn.ReLU(), _conv(WIDTH), nn.ReLU(), _conv(WIDTH))
        self.pool = None
        if with_norm:
            wide = 4 * WIDTH
            self.pool = nn.Sequential(
                nn.Conv2d(WIDTH, wide, 1, bias=False),
                nn.GroupNorm(4, wide),
                nn.ReLU(),
                nn.Conv2d(wide, WIDTH, 1, bias=False),
            )

    def forward(self, features: Tensor) -> Tensor:
        if self.pool is not None:
            features = features + self.pool(features)
        return (self.conv(features) + features).relu()


class _SoftClamp(nn.Module):
    """Keeps latents within 3 either way."""

    def forward(self, latents: Tensor) -> Tensor:
        return 3 * torch.tanh(latents / 3)


def _conv(inputs: int, outputs: int = WIDTH, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)


def _encoder(latents: int, *, with_norms: bool) -> nn.Sequential:
    layers: list[nn.Module] = [_conv(3), _Block()]
    for stage in range(3):
        layers.append(_conv(WIDTH, stride=2, bias=False))
        layers += [_Block(with_norm=with_norms and stage == 2) for _ in range(3)]
    return nn.Sequential(*layers, _conv(WIDTH, latents))


def _decoder(latents: int, *, with_norms: bool) -> nn.Sequential:
    layers: list[nn.Module] = [_SoftClamp(), _conv(latents), nn.ReLU()]
    for stage in range(3):
        layers += [_Block(with_norm=with_norms and stage == 0) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), _conv(WIDTH, bias=False)]
    return nn.Sequential(*layers, _Block(), _conv(WIDTH, 3))
