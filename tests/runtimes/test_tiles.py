from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from vilaco.runtimes.tiles import fill_in_tiles


@pytest.mark.parametrize(("height", "width"), [(40, 72), (16, 16), (8, 8), (64, 8)])
@pytest.mark.parametrize("several", [False, True])
def test_tiles_make_the_whole(height: int, width: int, several: bool) -> None:
    picture = np.random.default_rng(0).random((height, width)).astype(np.float32)

    def front_end(rows: slice, columns: slice) -> list[np.ndarray]:
        blurred = cv2.blur(picture[rows, columns], (15, 15), borderType=cv2.BORDER_REPLICATE)  # sees 7 pixels around
        return [blurred[None, None, ::4, ::4], blurred[None, None, ::8, ::8]]

    maps = [np.full((1, 1, height // stride, width // stride), np.nan, np.float32) for stride in (4, 8)]
    with ThreadPoolExecutor(2) as pool:
        fill_in_tiles(maps, front_end, (height, width), tile=16, halo=8, run=pool.map if several else map)
    for got, expected in zip(maps, front_end(slice(None), slice(None)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_an_error_in_a_tile_is_raised() -> None:
    def front_end(rows: slice, columns: slice) -> list[np.ndarray]:
        raise MemoryError("no room")

    with ThreadPoolExecutor(2) as pool, pytest.raises(MemoryError, match="no room"):
        fill_in_tiles([np.zeros((1, 1, 2, 2))], front_end, (16, 16), tile=8, halo=8, run=pool.map)
