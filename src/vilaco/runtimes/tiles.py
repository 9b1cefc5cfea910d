"""A photo of any size through a front end with a bounded view: in tiles with a halo, put together again."""

from collections.abc import Callable, Sequence
from typing import Any

from vilaco.images import Tile, tile_rows


def fill_in_tiles(
    maps: Sequence[Any],
    front_end: Callable[[slice, slice], Sequence[Any]],
    size: tuple[int, int],
    *,
    tile: int,
    halo: int,
    run: Callable[..., Any] = map,
) -> None:
    """Fill whole maps with what a front end makes of tiles; no seam shows where the halo covers what it sees.

    Args:
        maps: Arrays or tensors to fill, each ``(1, C, H / stride, W / stride)`` with a stride of its own.
        front_end: Takes the rows and the columns to look at, in pixels; gives its part of each of ``maps``.
        size: Of the picture, ``(H, W)`` in pixels; whole cells of every map.
        tile: Side of a tile in pixels; whole cells of every map.
        halo: Pixels looked at around a tile; likewise.
        run: Does the tiles, as ``map`` does; that of a pool does several at once.
    """

    def fill(part: Tile) -> None:
        for whole, features in zip(maps, front_end(*part.outer), strict=True):
            stride = size[0] // whole.shape[2]
            rows, columns = (slice(kept.start // stride, kept.stop // stride) for kept in part.kept)
            inner_rows, inner_columns = part.inner(stride)
            whole[:, :, rows, columns] = features[:, :, inner_rows, inner_columns]

    for _ in run(fill, [part for row in tile_rows(*size, tile=tile, halo=halo) for part in row]):
        pass
