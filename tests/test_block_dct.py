import numpy as np
from scipy.fft import dctn

from vilaco.block_dct import block_dct, spread_blocks


def test_equals_scipys_orthonormal_dct_block_by_block() -> None:
    plane = np.random.default_rng(0).uniform(0, 255, (19, 27)).astype(np.float32)
    coefficients = block_dct(plane)
    assert coefficients.shape == (2, 3, 8, 8)
    for row in range(2):
        for column in range(3):
            block = plane[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            expected = dctn(block.astype(np.float64), norm="ortho")
            np.testing.assert_allclose(coefficients[row, column], expected, atol=2e-3)


def test_partial_blocks_take_their_neighbours_value() -> None:
    values = np.array([[1, 2], [3, 4]], np.float32)
    painted = spread_blocks(values, (18, 17))
    assert painted[17, 16] == 4
    assert painted[7, 8] == 2
    assert painted[8, 7] == 3
