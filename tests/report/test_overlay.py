import cv2
import numpy as np
import pytest

from vilaco.report.overlay import draw_overlay, heat_colours, side_by_side, titled_row


def blob(height: int, width: int) -> np.ndarray:
    values = np.zeros((height, width), np.float32)
    values[height // 4 : height // 2, width // 4 : width // 2] = 1
    return values


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_nothing_is_touched_where_the_map_is_low(grey: int) -> None:
    pixels = np.full((300, 400, 3), grey, np.uint8)
    np.testing.assert_array_equal(draw_overlay(pixels, np.full((300, 400), 0.25), np.zeros((300, 400), bool)), pixels)
    drawn = draw_overlay(pixels, blob(300, 400), blob(300, 400) > 0.5)
    np.testing.assert_array_equal(drawn[160:], pixels[160:])
    assert (pixels == grey).all()  # the photo itself is left alone


def test_tint_grows_with_the_map() -> None:
    pixels = np.full((1, 101, 3), 80, np.uint8)
    values = np.linspace(0, 1, 101, dtype=np.float32)[None]
    drawn = draw_overlay(pixels, values, np.zeros((1, 101), bool)).astype(int)
    change = np.abs(drawn - pixels).sum(axis=2)[0]
    assert (np.diff(change) >= 0).all()
    assert change[25] == 0
    assert change[75] == change[100]
    halfway = np.mean([(80, 80, 80), (255, 0, 128)], axis=0)
    assert np.abs(drawn[0, 100] - halfway).max() <= 0.5


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_outline_shows_on_any_ground(grey: int) -> None:
    pixels = np.full((300, 400, 3), grey, np.uint8)
    drawn = draw_overlay(pixels, np.zeros((300, 400), np.float32), blob(300, 400) > 0.5).astype(int)
    edge = drawn[65:85, 150]  # across the upper edge of the square, at row 75
    assert np.abs(edge - grey).max() >= 120
    assert edge.min() <= 60
    assert edge.max() >= 220


def test_outline_grows_with_the_photo() -> None:
    shares = []
    for scale in (1, 4):
        shape = 300 * scale, 400 * scale
        drawn = draw_overlay(np.full((*shape, 3), 127, np.uint8), np.zeros(shape, np.float32), blob(*shape) > 0.5)
        shares.append((drawn != 127).any(axis=2).mean())
    assert 0.3 < shares[1] / shares[0] <= 1  # smoothing adds a pixel or two to the thin one


def test_holes_and_whole_masks_are_outlined() -> None:
    pixels = np.full((100, 100, 3), 127, np.uint8)
    ring = np.ones((100, 100), bool)
    ring[40:60, 40:60] = False
    drawn = draw_overlay(pixels, np.zeros((100, 100)), ring)
    assert (drawn[:, 0] != 127).any()
    assert (drawn[38:42, 50] != 127).any()
    assert (drawn[50, 50] == 127).all()


def test_bands_of_rows_leave_no_seam() -> None:
    values = np.random.default_rng(0).random((600, 8)).astype(np.float32)
    pixels = np.random.default_rng(1).integers(0, 256, (600, 8, 3), dtype=np.uint8)
    whole = draw_overlay(pixels, values, np.zeros((600, 8), bool))
    parts = [draw_overlay(pixels[i : i + 50], values[i : i + 50], np.zeros((50, 8), bool)) for i in range(0, 600, 50)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_heat_gets_lighter_all_the_way() -> None:
    colours = heat_colours(np.linspace(0, 1, 256, dtype=np.float32)[None])
    lightness = cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]
    assert (np.diff(lightness) > -0.2).all()  # 8-bit colours round
    assert colours[0, 0].sum() < 10
    assert lightness[-1] > 95


@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (2000, 300), (30, 3000)])
def test_side_by_side_fits_any_shape(shape: tuple[int, int]) -> None:
    values = np.full(shape, 0.9, np.float32)
    row = side_by_side(np.zeros((*shape, 3), np.uint8), values, values > 0.5, height=200)
    width = max(1, round(200 * shape[1] / shape[0]))
    assert row.dtype == np.uint8
    assert 200 < row.shape[0] < 250
    assert 3 * width < row.shape[1] < 3 * width + 40
    assert (row[-1] == 255).all()


def test_titles_are_drawn_and_pictures_come_through_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 50, 3), dtype=np.uint8)
    row = titled_row([("one", picture), ("two", picture[:, ::-1])])
    top = row.shape[0] - 120 - 4
    np.testing.assert_array_equal(row[top : top + 120, 4:54], picture)
    np.testing.assert_array_equal(row[top : top + 120, 58:108], picture[:, ::-1])
    assert (row[:top, :54] < 100).any()
    assert (row[:top, 58:] < 100).any()
