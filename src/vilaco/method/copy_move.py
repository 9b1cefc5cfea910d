"""Copy-move evidence (ours): each cell's best matches elsewhere in the same picture.

Self-correlation in the manner of BusterNet (Wu et al., ECCV 2018) on descriptors that a turn does not change: the
picture is read on rings around each cell, and of each ring's angular frequencies only the magnitudes are kept (Zernike
and polar cosine moments do the same; Cozzolino et al., TIFS 2015). A learned projection of them says what makes two
cells alike.

Natural repetition, windows or leaves, is alike too. What a copy has beside it: its neighbours' matches lie beside its
own match. So every cell also tells how well its match fits those of its neighbours, and what its match looks like in
the residual stream, which can tell the copy from its source.
"""

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vilaco.method.residuals import area_pool

QUERY_STRIDE, KEY_STRIDE = 8, 4
STEP = QUERY_STRIDE // KEY_STRIDE


class CopyMoveConfig(BaseModel):
    """Settings of the copy-move branch; lengths are in pixels of the squashed view the encoder sees too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    radius: int = Field(
        7, ge=3
    )  # pixels of the half-size view, of the descriptor: large enough to be distinctive, small enough for small copies
    rings: int = Field(5, ge=2)
    orders: int = Field(4, ge=1)  # angular frequencies kept: 0 to orders - 1
    embed_dim: int = Field(48, ge=8)
    min_distance: int = Field(32, ge=1)  # nearer matches are the cell itself and its smooth surroundings
    matches: int = Field(4, ge=1)  # best similarities kept per cell
    channels: int = Field(32, ge=8, multiple_of=8)  # width of the evidence handed on


def ring_filters(radius: int, rings: int, orders: int) -> Tensor:
    """Soft rings times cosines and sines of the angle, shape ``(rings * (2 * orders - 1), 1, 2 * radius + 1, same)``.

    For each ring: its mean, then cosine and sine of order 1, 2, ….
    """
    reach = torch.arange(-radius, radius + 1, dtype=torch.float32)
    distance, angle = torch.hypot(reach[:, None], reach), torch.atan2(reach[:, None], reach)
    filters = []
    for ring in range(rings):
        centre, spread = (ring + 0.5) * radius / rings, 0.6 * radius / rings
        weight = torch.exp(-0.5 * ((distance - centre) / spread) ** 2) * (distance <= radius + 0.5)
        weight = weight / weight.sum()
        filters.append(weight)
        for order in range(1, orders):
            filters += [weight * torch.cos(order * angle), weight * torch.sin(order * angle)]
    return torch.stack(filters).unsqueeze(1)


class RingDescriptors(nn.Module):
    """What surrounds each cell, whichever way it is turned."""

    def __init__(self, config: CopyMoveConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("filters", ring_filters(config.radius, config.rings, config.orders), persistent=False)
        self.out_channels = 3 * config.rings * config.orders

    def forward(self, view: Tensor) -> Tensor:
        """RGB in [0, 1], ``(B, 3, S, S)``, to magnitudes ``(B, C, S / 4, S / 4)``, standardised per picture."""
        config = self.config
        half = F.avg_pool2d(view.flatten(0, 1).unsqueeze(1), 2)
        padded = F.pad(half, (config.radius,) * 4, mode="reflect")
        responses = F.conv2d(padded, self.get_buffer("filters"), stride=KEY_STRIDE // 2)
        rings = responses.unflatten(1, (config.rings, -1))  # (3B, rings, 2 * orders - 1, s, s)
        waves = rings[:, :, 1:].unflatten(2, (config.orders - 1, 2))
        magnitudes = torch.cat([rings[:, :, :1], (waves.square().sum(dim=3) + 1e-8).sqrt()], dim=2)
        descriptors = magnitudes.flatten(1, 2).unflatten(0, (-1, 3)).flatten(1, 2)  # (B, 3 * rings * orders, s, s)
        mean = descriptors.mean(dim=(2, 3), keepdim=True)
        centred = descriptors - mean
        return centred / (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-6).sqrt()


def coherence(matches: Tensor, grid: tuple[int, int], *, tolerance: float = 1.0) -> Tensor:
    """How well each cell's match fits those of its eight neighbours.

    A neighbour one cell to the right should match one cell to the right of this cell's match, or about so where the
    copy was turned or scaled.

    Args:
        matches: Row and column of every cell's match in cells, float, ``(B, 2, h, w)``.
        grid: ``(h, w)``.
        tolerance: Cells; the standard deviation of what still counts as fitting.

    Returns:
        Mean fit in [0, 1], ``(B, 1, h, w)``.
    """
    h, w = grid
    rows = torch.arange(h, device=matches.device, dtype=matches.dtype)[:, None].expand(h, w)
    columns = torch.arange(w, device=matches.device, dtype=matches.dtype).expand(h, w)
    offsets = matches - torch.stack([rows, columns])
    padded = F.pad(offsets, (1, 1, 1, 1), mode="replicate")
    fits = [
        torch.exp(-(padded[:, :, y : y + h, x : x + w] - offsets).square().sum(dim=1, keepdim=True) / 2 / tolerance**2)
        for y in range(3)
        for x in range(3)
        if (y, x) != (1, 1)
    ]
    return torch.stack(fits).mean(dim=0)


class CopyMove(nn.Module):
    """Best matches of every cell and what they say.

    Args:
        residual_channels: Width of the residual stream's features that copy and source are compared by.
        image_size: Side of the squashed view, in pixels.
        config: See :class:`CopyMoveConfig`.
    """

    def __init__(self, residual_channels: int, image_size: int, config: CopyMoveConfig) -> None:
        super().__init__()
        self.config = config
        self.describe = RingDescriptors(config)
        hidden = 2 * config.embed_dim
        self.embed = nn.Sequential(
            nn.Conv2d(self.describe.out_channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, config.embed_dim, 1)
        )
        self.shortcut = nn.Conv2d(self.describe.out_channels, config.embed_dim, 1, bias=False)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(8.0)))
        self.compare = nn.Conv2d(residual_channels, 16, 1)
        self.out = nn.Conv2d(config.matches + 3 + 16, config.channels, 3, padding=1)
        queries, keys = image_size // QUERY_STRIDE, image_size // KEY_STRIDE
        self.grid, self.key_grid = (queries, queries), (keys, keys)
        query = torch.arange(queries) * STEP
        near = ((query[:, None] - torch.arange(keys)).abs() * KEY_STRIDE < config.min_distance).float()
        self.register_buffer("near", near, persistent=False)  # (queries, keys) along one side

    def forward(self, view: Tensor, residuals: Tensor) -> Tensor:
        """Match every cell.

        Args:
            view: RGB in [0, 1], the whole picture squashed, ``(B, 3, S, S)``.
            residuals: Features of the residual stream, any grid, ``(B, C, h, w)``.

        Returns:
            Evidence on the grid ``(S / 8, S / 8)``, shape ``(B, channels, S / 8, S / 8)``.
        """
        with torch.autocast(view.device.type, enabled=False):  # similarities of .99 and .995 differ
            descriptors = self.describe(view)
            keys = F.normalize(self.embed(descriptors) + self.shortcut(descriptors), dim=1)
            queries = keys[:, :, ::STEP, ::STEP].flatten(2).transpose(1, 2)  # (B, queries, embed_dim)
            keys = keys.flatten(2)  # (B, embed_dim, keys)
            index = self._best(queries, keys)  # (B, queries, matches)
            chosen = keys.gather(2, index.flatten(1)[:, None].expand(-1, keys.shape[1], -1))
            best = (queries.transpose(1, 2)[..., None] * chosen.unflatten(2, index.shape[1:])).sum(dim=1)
            usual = queries @ keys.mean(dim=2, keepdim=True)
            sharp = ((best - 1.0) * self.log_sharpness.exp()).exp()
            maps = torch.cat([sharp, best[:, :, :1], best[:, :, :1] - usual], dim=2).transpose(1, 2)
        matched = self._cells(index[:, :, 0])  # (B, 2, h, w)
        fit = coherence(matched, self.grid)
        own = self.compare(area_pool(residuals, self.grid))
        row, column = matched.floor().long().unbind(1)
        cell = (row * self.grid[1] + column).flatten(1)
        partner = own.flatten(2).gather(2, cell[:, None].expand(-1, own.shape[1], -1)).unflatten(2, self.grid)
        evidence = torch.cat([maps.unflatten(2, self.grid), fit, own - partner], dim=1)
        return F.gelu(self.out(evidence))

    @torch.no_grad()
    def _best(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Place of the most similar keys of each query, the near ones left out, ``(B, queries, matches)``."""
        near = self.get_buffer("near")
        too_near = (near[:, None, :, None] * near[None, :, None, :]).reshape(queries.shape[1], keys.shape[2])
        return torch.baddbmm(-4.0 * too_near, queries, keys).topk(self.config.matches, dim=2).indices

    def _cells(self, index: Tensor) -> Tensor:
        """Row and column of a key, in query cells, ``(B, queries)`` to float ``(B, 2, h, w)``."""
        row = index.div(self.key_grid[1], rounding_mode="floor")
        return (torch.stack([row, index - row * self.key_grid[1]], dim=1).float() / STEP).unflatten(2, self.grid)
