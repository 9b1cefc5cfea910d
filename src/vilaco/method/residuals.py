"""The residual stream (ours): how a picture was made, cell by cell, beside what it shows.

A vision-language encoder sees content in a picture squashed to its input size; the traces of a forgery lie in the
stored pixels. This stream looks at those, on the grid in which a JPEG stores them, and meets the encoder's tokens in
the boxes of the paper: adapter, text-guided attention, fine head.

Everything is a convolution, a pooling or an element-wise step, so an exported graph holds it whole. The front end has
a bounded view (:data:`HALO` pixels) and no statistic of the whole picture, so a large photo can go through it in tiles
and comes out the same.

Sources: block DCT and standard quantisation tables, ITU-T T.81; JPEG ghosts, Farid 2009; high-pass kernels of the rich
models, Fridrich and Kodovsky 2012; constrained convolution, Bayar and Stamm 2018; JPEG grid, Fan and de Queiroz 2003.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 8
"""Pixels along a side of a JPEG block and of a cell of the stream."""
FINE = 4
"""Pixels along a side of a cell of the finest features."""
HALO = 16
"""Pixels around a cell that its front-end features can see, rounded up to whole blocks."""

ResidualKind = Literal["dct", "ghosts", "noise", "grid", "learned"]
KINDS: tuple[ResidualKind, ...] = ("dct", "ghosts", "noise", "grid", "learned")

GHOST_QUALITIES = (50, 60, 70, 80, 90, 95)
CHROMA_COEFFICIENTS = 16  # of the zigzag order: what subsampled chroma keeps
TRUNCATION = 8.0  # grey levels; larger residuals are edges of the scene

# ITU-T T.81, Annex K, tables K.1 and K.2.
_LUMA_TABLE = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
_CHROMA_TABLE = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99 " + "99 " * 32
)


class ResidualConfig(BaseModel):
    """Settings of the residual stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[ResidualKind, ...] = KINDS  # leave one out for an ablation
    channels: int = Field(96, ge=16, multiple_of=8)  # width at one cell a JPEG block; 8 would leave a norm one value
    deep_channels: int = Field(128, ge=16, multiple_of=8)  # width at one cell for 2 x 2 blocks
    fine_channels: int = Field(24, ge=8, multiple_of=8)  # width of what the decoder gets at 4 pixels a cell
    depth: int = Field(3, ge=1)  # residual blocks at stride 8
    dilations: tuple[int, ...] = (1, 2, 4, 2)  # of the residual blocks at stride 16

    @field_validator("kinds")
    @classmethod
    def _some(cls, value: tuple[ResidualKind, ...]) -> tuple[ResidualKind, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("name at least one kind of residual, and none twice")
        return value


def quantisation_table(kind: Literal["luma", "chroma"], quality: int) -> Tensor:
    """The standard table at a quality as libjpeg scales it, shape ``(64,)``, row by row.

    Example:
        >>> quantisation_table("luma", 50)[:4].tolist()
        [16.0, 11.0, 10.0, 16.0]
        >>> quantisation_table("luma", 90)[:4].tolist()
        [3.0, 2.0, 2.0, 3.0]
    """
    table = torch.tensor([int(step) for step in (_LUMA_TABLE if kind == "luma" else _CHROMA_TABLE).split()])
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((table * scale + 50) // 100).clamp(1, 255).float()


def zigzag() -> list[int]:
    """Place in the block (row by row) of each coefficient in the order of rising frequency.

    Example:
        >>> zigzag()[:6]
        [0, 1, 8, 16, 9, 2]
    """
    cells = [(row, column) for row in range(BLOCK) for column in range(BLOCK)]
    cells.sort(key=lambda cell: (sum(cell), cell[0] if sum(cell) % 2 else cell[1]))
    return [row * BLOCK + column for row, column in cells]


def dct_matrix() -> Tensor:
    """The 64 orthonormal cosine patterns of an 8x8 block, a row each, pixels row by row, shape ``(64, 64)``."""
    index = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(torch.pi * (2 * index + 1) * index[:, None] / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    basis[0] /= 2**0.5
    return torch.einsum("uy,vx->uvyx", basis, basis).reshape(64, 64).float()


def to_ycc(pixels: Tensor) -> Tensor:
    """JPEG's Y, Cb and Cr (ITU-T T.871), centred at 0; RGB in [0, 255], shape ``(B, 3, H, W)``."""
    red, green, blue = pixels.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma - 128.0, (blue - luma) * 0.564, (red - luma) * 0.713], dim=1)


def high_pass_residuals(planes: Tensor) -> tuple[Tensor, ...]:
    """First differences across and down, second ones across, down and both ways (SQUARE 3x3); edges are replicated.

    Each is like ``planes``, ``(B, C, H, W)``. Second differences are halved and the last is quartered, so that all are
    in grey levels a pixel is off by.
    """
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    middle = padded[:, :, :, 1:-1]
    down_twice = (middle[:, :, :-2] + middle[:, :, 2:]) / 2.0 - planes
    across = padded[:, :, 1:-1]
    across_twice = (across[:, :, :, :-2] + across[:, :, :, 2:]) / 2.0 - planes
    sideways = (padded[:, :, :, :-2] + padded[:, :, :, 2:]) / 2.0 - middle
    both_twice = (sideways[:, :, :-2] + sideways[:, :, 2:]) / 2.0 - across_twice
    return across[:, :, :, 2:] - planes, middle[:, :, 2:] - planes, across_twice, down_twice, both_twice


def block_means(planes: Tensor) -> Tensor:
    """Mean of every JPEG block, ``(B, C, 8h, 8w)`` to ``(B, C, h, w)``: rows first, which is faster than pooling.

    Example:
        >>> block_means(torch.ones(1, 1, 16, 8)).flatten().tolist()
        [1.0, 1.0]
    """
    return planes.unflatten(2, (-1, BLOCK)).mean(dim=3).unflatten(3, (-1, BLOCK)).mean(dim=4)


class BlockEvidence(nn.Module):
    """Fixed measurements of every JPEG block; nothing here learns.

    ======== ==== ==========================================================================================
    kind     maps what
    ======== ==== ==========================================================================================
    dct      96   log(1 + abs) of the 64 luma coefficients and of the first 16 of either chroma
    ghosts   18   how far the coefficients are from multiples of the standard tables' steps, for six qualities
    noise    30   five high-pass residuals of Y, Cb, Cr: log mean magnitude, and the share of (almost) none
    grid     16   mean second difference of luma in each of the 8 columns and 8 rows of the block
    always   4    mean luma and chroma, log spread of luma
    ======== ==== ==========================================================================================
    """

    def __init__(self, kinds: tuple[ResidualKind, ...]) -> None:
        super().__init__()
        self.kinds = kinds
        self.register_buffer("dct", dct_matrix().reshape(64, 1, BLOCK, BLOCK), persistent=False)
        steps = [
            torch.stack([quantisation_table(kind, quality) for kind in ("luma", "chroma", "chroma")])
            for quality in GHOST_QUALITIES
        ]
        self.register_buffer("steps", torch.stack(steps)[..., None, None], persistent=False)  # (Q, 3, 64, 1, 1)
        self.register_buffer("chroma", torch.tensor(zigzag()[:CHROMA_COEFFICIENTS]), persistent=False)
        sizes = {"dct": 64 + 2 * CHROMA_COEFFICIENTS, "ghosts": 3 * len(GHOST_QUALITIES), "noise": 30, "grid": 16}
        self.out_channels = 4 + sum(sizes.get(kind, 0) for kind in kinds)

    def forward(self, pixels: Tensor) -> Tensor:
        """Measure; RGB in [0, 255], ``(B, 3, 8h, 8w)``, to ``(B, out_channels, h, w)``, values of the order of 1."""
        ycc = to_ycc(pixels)
        coefficients = F.conv2d(ycc.flatten(0, 1)[:, None], self.get_buffer("dct"), stride=BLOCK).unflatten(0, (-1, 3))
        magnitudes = coefficients.abs()  # (B, 3, 64, h, w)
        energy = coefficients[:, 0, 1:].square().mean(dim=1, keepdim=True)
        parts = [coefficients[:, :, 0] / 512.0, energy.add(1.0).log() / 4.0]
        if "dct" in self.kinds:
            chroma = magnitudes[:, 1:].index_select(2, self.get_buffer("chroma"))
            parts.append(torch.cat([magnitudes[:, 0], chroma.flatten(1, 2)], dim=1).add(1.0).log() / 2.0)
        if "ghosts" in self.kinds:
            parts.append(self._ghosts(magnitudes))
        residuals = [residual.abs() for residual in high_pass_residuals(ycc)]
        if "noise" in self.kinds:
            parts.append(self._noise(residuals))
        if "grid" in self.kinds:
            parts.append(self._grid(residuals[2][:, 0], residuals[3][:, 0]))
        return torch.cat(parts, dim=1)

    def flipped(self, measured: Tensor, *, across: bool, down: bool) -> Tensor:
        """What the flipped picture would measure, but for first differences, which then lean the other way.

        Args:
            measured: From :meth:`forward`; the maps of kind ``grid`` are its last.
            across: Left-right.
            down: Upside down.
        """
        axes = [axis for axis, wanted in ((-1, across), (-2, down)) if wanted]
        if "grid" not in self.kinds:
            return measured.flip(axes)
        others, columns, rows = measured.flip(axes).split([measured.shape[1] - 2 * BLOCK, BLOCK, BLOCK], dim=1)
        return torch.cat([others, columns.flip(1) if across else columns, rows.flip(1) if down else rows], dim=1)

    def _ghosts(self, magnitudes: Tensor) -> Tensor:
        """Share of a quantisation step, 0 to 1/2, by which a block misses the steps' multiples, ``(B, 18, h, w)``.

        Weighted by the coefficients' own size: those that round to zero would say how flat the block is.
        """
        parts = []
        for steps in self.get_buffer("steps"):
            units = magnitudes / steps
            weight = (units - 0.5).clamp(0.0, 1.0)
            missed = (units - units.round()).abs()
            parts.append((missed * weight).sum(dim=2) / (weight.sum(dim=2) + 0.5))
        return torch.cat(parts, dim=1) * 2.0

    def _noise(self, residuals: list[Tensor]) -> Tensor:
        magnitudes = torch.cat([block_means(residual) for residual in residuals], dim=1).add(0.1).log() / 2.0
        flat = 1.0 - torch.cat([block_means(residual.clamp_max(1.0)) for residual in residuals], dim=1)
        return torch.cat([magnitudes, flat], dim=1)

    def _grid(self, across: Tensor, down: Tensor) -> Tensor:
        batch, height, width = across.shape
        blocks = (batch, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
        across, down = (second.clamp_max(TRUNCATION).reshape(blocks) for second in (across, down))
        columns, rows = across.mean(dim=2).permute(0, 3, 1, 2), down.mean(dim=4).permute(0, 2, 1, 3)
        phases = torch.cat([columns, rows], dim=1)  # (B, 16, h, w)
        return phases.add(0.1).log() / 2.0


class ConstrainedConv(nn.Module):
    """Learned high-pass kernels: centre -1, the others sum to 1 (Bayar and Stamm 2018)."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(out_channels, in_channels, size * size) + 0.5)
        centre = torch.zeros(size * size)
        centre[size * size // 2] = 1.0
        self.register_buffer("centre", centre, persistent=False)
        self.size = size

    def kernels(self) -> Tensor:
        """The kernels as they are applied, shape ``(out, in, size, size)``."""
        centre = self.get_buffer("centre")
        around = self.weight * (1.0 - centre)
        normalised = around / around.sum(dim=2, keepdim=True)
        return (normalised - centre).unflatten(2, (self.size, self.size))

    def forward(self, pixels: Tensor) -> Tensor:
        """``(B, in, H, W)`` to ``(B, out, H, W)``."""
        margin = self.size // 2
        return F.conv2d(F.pad(pixels, (margin,) * 4, mode="replicate"), self.kernels())


class LearnedResiduals(nn.Module):
    """Constrained convolution, then strided ones: features at 4 and at 8 pixels a cell."""

    def __init__(self, fine_channels: int, channels: int) -> None:
        super().__init__()
        self.high_pass = ConstrainedConv(3, 8)
        self.to_half = nn.Conv2d(8, 24, 3, stride=2, padding=1)
        self.to_quarter = nn.Conv2d(24, fine_channels, 3, stride=2, padding=1)
        self.to_eighth = nn.Conv2d(fine_channels, channels, 3, stride=2, padding=1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """RGB in [0, 255], ``(B, 3, 8h, 8w)``, to ``(B, fine, 2h, 2w)`` and ``(B, channels, h, w)``."""
        with torch.autocast(pixels.device.type, enabled=False):
            residuals = self.high_pass(pixels)
        if torch.is_autocast_enabled(pixels.device.type):  # the convolution below would take them so anyway
            residuals = residuals.to(torch.get_autocast_dtype(pixels.device.type))
        residuals = F.hardtanh(residuals, -TRUNCATION, TRUNCATION) / 4.0
        fine = F.gelu(self.to_quarter(F.gelu(self.to_half(residuals))))
        return fine, F.gelu(self.to_eighth(fine))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first dilated, around a shortcut."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(8, channels)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, C, h, w)`` to the same shape."""
        inner = self.norm2(self.conv2(F.gelu(self.norm1(self.conv1(features)))))
        return F.gelu(features + inner)


class FrontEnd(nn.Module):
    """What is measured where: everything that looks at pixels, and nothing that looks further than :data:`HALO`."""

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.evidence = BlockEvidence(config.kinds)
        learned = "learned" in config.kinds
        self.learned = LearnedResiduals(config.fine_channels, config.channels) if learned else None
        self.project = nn.Conv2d(self.evidence.out_channels, config.channels, 1)
        self.channels, self.fine_channels = config.channels, config.fine_channels

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Look at pixels.

        Args:
            pixels: RGB in [0, 255] on the stored grid, ``(B, 3, 8h, 8w)``, float32.

        Returns:
            Features at 4 pixels a cell ``(B, fine_channels, 2h, 2w)`` and at 8 ``(B, channels, h, w)``.
        """
        with torch.autocast(pixels.device.type, enabled=False):  # bfloat16 would blur what a single grey level says
            measured = self.evidence(pixels)
        return self.learn(measured, pixels)

    def learn(self, measured: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from the fixed measurements, which may have been made before.

        Args:
            measured: From :class:`BlockEvidence`, ``(B, M, h, w)``.
            pixels: Those measured.
        """
        cells = self.project(measured)
        if self.learned is None:
            batch, _, height, width = cells.shape
            return cells.new_zeros(batch, self.fine_channels, 2 * height, 2 * width), cells
        fine, learned = self.learned(pixels)
        return fine, cells + learned


class ResidualStream(nn.Module):
    """Front end, then convolutions at 8 and 16 pixels a cell."""

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.front_end = FrontEnd(config)
        self.norm = nn.GroupNorm(8, config.channels)
        self.shallow = nn.Sequential(*(ResidualBlock(config.channels) for _ in range(config.depth)))
        self.down = nn.Conv2d(config.channels, config.deep_channels, 3, stride=2, padding=1)
        self.deep = nn.Sequential(*(ResidualBlock(config.deep_channels, dilation) for dilation in config.dilations))

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from the front end's cells.

        Args:
            cells: Shape ``(B, channels, h, w)``.

        Returns:
            Features at 8 pixels a cell ``(B, channels, h, w)`` and at 16 ``(B, deep_channels, ceil(h/2), ceil(w/2))``.
        """
        shallow = self.shallow(F.gelu(self.norm(cells)))
        return shallow, self.deep(self.down(shallow))


def area_pool(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean over the cells of a coarser grid, a cell on a border shared by its overlap; any size, also upwards.

    Args:
        features: Shape ``(B, C, h, w)``.
        grid: Rows and columns wanted.

    Returns:
        Shape ``(B, C, *grid)``.

    Example:
        >>> area_pool(torch.tensor([[[[0.0, 4.0, 8.0, 12.0]]]]), (1, 3)).tolist()  # the first: 3/4 of 0, 1/4 of 4
        [[[[1.0, 6.0, 11.0]]]]
    """
    rows = _overlaps(features.shape[2], grid[0], like=features)
    columns = _overlaps(features.shape[3], grid[1], like=features)
    return rows @ features @ columns.transpose(0, 1)


def _overlaps(cells: int, wanted: int, *, like: Tensor) -> Tensor:
    """Share of each fine cell in each coarse one, shape ``(wanted, cells)``, rows summing to 1."""
    start = torch.arange(cells, device=like.device, dtype=torch.float32) * (wanted / cells)
    bins = torch.arange(wanted, device=like.device, dtype=torch.float32)[:, None]
    overlap = (torch.minimum(start + wanted / cells, bins + 1.0) - torch.maximum(start, bins)).clamp_min(0.0)
    return (overlap / overlap.sum(dim=1, keepdim=True)).to(like.dtype)
