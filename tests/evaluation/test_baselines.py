"""Each baseline on an image built so that the answer is known."""

import time

import cv2
import numpy as np
import pytest

from vilaco.errors import ConfigError
from vilaco.evaluation.baselines import BASELINES, get_baseline
from vilaco.evaluation.baselines.adq1 import adq1_map, last_step
from vilaco.evaluation.baselines.cfa1 import cfa1_map, cfa_feature
from vilaco.evaluation.baselines.ela import QUALITY, WINDOW, ela_map
from vilaco.evaluation.baselines.gaussian import gaussian_map
from vilaco.evaluation.baselines.map_baseline import MapBaseline, top_share_mean
from vilaco.evaluation.baselines.noi1 import DAUBECHIES_8_TAP, noi1_map, noise_levels
from vilaco.images import Photo, resave_jpeg

UNTRAINED = [name for name in BASELINES if name != "zero_shot"]
PATCH = slice(64, 128), slice(128, 224)


def scene(seed: int = 0, size: tuple[int, int] = (256, 384)) -> np.ndarray:
    """A photo-like picture: noise with a 1/f spectrum, as natural scenes have."""
    rng = np.random.default_rng(seed)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(size[1]), np.fft.fftfreq(size[0])))
    spectrum = np.fft.fft2(rng.standard_normal((*size, 3)), axes=(0, 1)) / (frequencies[..., None] + 0.01)
    picture = np.fft.ifft2(spectrum, axes=(0, 1)).real
    return np.clip(128 + 45 * picture / picture.std(), 0, 255).astype(np.uint8)


def outside(array: np.ndarray) -> np.ndarray:
    mask = np.ones(array.shape, bool)
    mask[slice(40, 152), slice(104, 248)] = False
    return array[mask]


def inside(array: np.ndarray) -> np.ndarray:
    return array[slice(80, 112), slice(144, 208)]


@pytest.mark.parametrize("name", UNTRAINED)
@pytest.mark.parametrize("size", [(1, 1), (7, 30), (16, 16), (100, 150)])
def test_any_size_gives_a_valid_prediction(name: str, size: tuple[int, int]) -> None:
    prediction = get_baseline(name)(Photo(scene(1, size), 1, "scene"))
    assert prediction.localization_map.shape == size  # its range is checked by Prediction itself


@pytest.mark.parametrize("name", UNTRAINED)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_gives_a_valid_prediction(name: str, value: int) -> None:
    get_baseline(name)(Photo(np.full((64, 64, 3), value, np.uint8), 1, "flat"))


@pytest.mark.parametrize("name", UNTRAINED)
def test_the_map_is_computed_on_the_stored_grid_and_turned_upright(name: str) -> None:
    pixels = scene(2, (96, 160))
    baseline = get_baseline(name)
    stored = baseline(Photo(pixels, 1, "stored")).localization_map
    turned = baseline(Photo(pixels, 6, "turned")).localization_map
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


@pytest.mark.parametrize("name", UNTRAINED)
def test_the_same_photo_gives_the_same_prediction(name: str) -> None:
    photo = Photo(scene(3, (64, 96)), 1, "scene")
    first, second = get_baseline(name)(photo), get_baseline(name)(photo)
    np.testing.assert_array_equal(first.localization_map, second.localization_map)
    assert first.detection_score == second.detection_score


@pytest.mark.parametrize("name", UNTRAINED)
def test_a_small_photo_takes_well_under_a_second(name: str) -> None:
    photo = Photo(scene(), 1, "scene")
    baseline = get_baseline(name)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        baseline(photo)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.15


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'noi1'"):
        get_baseline("noi")


def test_all_ones_scores_one() -> None:
    prediction = get_baseline("all_ones")(Photo(np.zeros((4, 6, 3), np.uint8), 1, "black"))
    assert prediction.localization_map.tolist() == [[1.0] * 6] * 4
    assert prediction.detection_score == 1.0


def test_gaussian_is_one_in_the_middle_and_has_no_opinion_of_the_image() -> None:
    bump = gaussian_map(np.zeros((101, 201, 3), np.uint8))
    assert bump[50, 100] == pytest.approx(1.0)
    assert bump[0, 100] == pytest.approx(np.exp(-0.5 * (50 / 101 / 0.25) ** 2))
    # The part above 1/2 is an ellipse of semi-axes sqrt(2 ln 2) / 4 of the sides.
    assert (bump > 0.5).mean() == pytest.approx(np.pi * 2 * np.log(2) / 16, abs=0.002)
    assert get_baseline("gaussian")(Photo(scene(), 1, "scene")).detection_score == 0.5


def test_pooling_takes_a_sixteenth() -> None:
    values = np.arange(32, dtype=np.float32).reshape(4, 8) / 32
    assert top_share_mean(values) == pytest.approx((30 + 31) / 2 / 32)


def test_ela_equals_a_slow_second_implementation() -> None:
    pixels = scene(4, (24, 40))
    saved = resave_jpeg(pixels, QUALITY, subsampling="4:4:4")
    change = np.abs(pixels.astype(float) - saved.astype(float)).mean(axis=2)
    half = WINDOW // 2
    padded = np.pad(change, half, mode="symmetric")
    expected = np.empty_like(change)
    for y in range(24):
        for x in range(40):
            error = padded[y : y + WINDOW, x : x + WINDOW].mean()
            expected[y, x] = error / (error + change.mean())
    np.testing.assert_allclose(ela_map(pixels), expected, atol=1e-5)


def test_ela_finds_what_was_never_compressed() -> None:
    pixels = resave_jpeg(scene(), QUALITY, subsampling="4:4:4")
    pixels[PATCH] = scene(5)[PATCH]
    found = ela_map(pixels)
    assert inside(found).min() > 0.5 > outside(found).mean()


def test_ela_scores_an_even_picture_low_and_a_pasted_one_high() -> None:
    """By hand: a sixteenth that changes 9 times as much as the rest's 1, whose mean is 1.5, has 9 / 10.5."""
    even = np.full((64, 64), 0.5, np.float32)
    assert get_baseline("ela").pool(even) == 0.0
    change = np.ones((64, 64), np.float32)
    change[:16, :16] = 9.0
    assert get_baseline("ela").pool(change / (change + change.mean())) == pytest.approx(2 * 9 / 10.5 - 1)

    noise = np.random.default_rng(0).integers(0, 256, (256, 384, 3), dtype=np.uint8)
    assert get_baseline("ela")(Photo(noise, 1, "even")).detection_score < 0.1
    pasted = cv2.GaussianBlur(noise, (0, 0), 6)
    pasted[PATCH] = noise[PATCH]
    assert get_baseline("ela")(Photo(pasted, 1, "pasted")).detection_score > 0.5


def test_the_wavelet_filter_is_orthonormal() -> None:
    for shift in range(0, 8, 2):
        product = DAUBECHIES_8_TAP[shift:] @ DAUBECHIES_8_TAP[: 8 - shift]
        assert product == pytest.approx(1.0 if shift == 0 else 0.0, abs=1e-9)
    assert DAUBECHIES_8_TAP.sum() == pytest.approx(np.sqrt(2))


def test_noise_levels_are_the_standard_deviation_of_white_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 7, (512, 512)).astype(np.float32)
    assert noise_levels(noise).mean() == pytest.approx(7, rel=0.03)


def test_noi1_finds_a_noisier_patch() -> None:
    rng = np.random.default_rng(1)
    level = np.full((256, 384, 1), 3.0)
    level[PATCH] = 12.0
    smooth = cv2.GaussianBlur(scene(), (0, 0), 3).astype(float)
    pixels = np.clip(smooth + rng.standard_normal((256, 384, 1)) * level, 0, 255).astype(np.uint8)
    found = noi1_map(pixels)
    # Twice two octaves: d = 2, so the map is near 2/3 inside; noise of like level stays near 0.
    assert np.median(inside(found)) == pytest.approx(2 / 3, abs=0.05)
    assert np.median(outside(found)) < 0.2


@pytest.mark.parametrize("size", [(286, 286), (271, 300), (300, 272)])
def test_noi1_draws_a_tile_where_it_lies(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, size)
    noise[240:256, 240:256] *= 8
    found = noi1_map(np.repeat(np.clip(128 + noise, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    assert found.shape == size
    for places in np.nonzero(found > 0.9 * found.max()):
        assert places.mean() == pytest.approx(247.5, abs=1)


def bayer_interpolated(pixels: np.ndarray) -> np.ndarray:
    """Green measured where row + column is even, and the mean of four neighbours elsewhere."""
    rows, columns = np.indices(pixels.shape[:2])
    green = pixels[..., 1].astype(np.float32)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    mean = cv2.filter2D(green, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    out = pixels.copy()
    out[..., 1] = np.rint(np.where((rows + columns) % 2 == 0, green, mean))
    return out


def sensor(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 4, (256, 384, 3))
    return np.clip(scene(seed) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift", [0, 1])
def test_cfa1_finds_the_region_without_demosaicing_traces(shift: int) -> None:
    pixels = np.roll(bayer_interpolated(sensor(0)), shift, axis=1)
    feature = cfa_feature(pixels[..., 1].astype(np.float32))
    assert np.sign(np.median(feature)) == (1 if shift == 0 else -1)
    pixels[PATCH] = sensor(6)[PATCH]
    found = cfa1_map(pixels)
    assert inside(found).mean() > 0.9
    assert outside(found).mean() < 0.1


def test_cfa1_finds_the_region_in_what_opencv_demosaics() -> None:
    """A camera of somebody else's making: a full Bayer mosaic, all three channels interpolated by OpenCV."""
    rows, columns = np.indices((256, 384))
    channel = np.where((rows + columns) % 2 == 0, 1, np.where(rows % 2 == 0, 0, 2))  # GRBG
    mosaic = np.take_along_axis(sensor(0), channel[..., None], axis=2)[..., 0]
    pixels = cv2.cvtColor(mosaic, cv2.COLOR_BayerGRBG2RGB)
    measured = (channel == 1)[1:-1, 1:-1]
    assert np.array_equal(pixels[1:-1, 1:-1, 1][measured], mosaic[1:-1, 1:-1][measured])
    pixels[PATCH] = sensor(6)[PATCH]
    found = cfa1_map(pixels)
    assert inside(found).mean() > 0.9
    assert outside(found).mean() < 0.1


def test_cfa1_is_silent_where_the_whole_image_has_no_pattern() -> None:
    assert not cfa1_map(sensor(0)).any()
    assert not cfa1_map(resave_jpeg(sensor(0), 80)).any()


@pytest.mark.parametrize(("step", "noise"), [(3, 0.3), (7, 0.4), (16, 0.4)])
def test_the_last_quantisation_step_is_read_off_noisy_coefficients(step: int, noise: float) -> None:
    rng = np.random.default_rng(0)
    values = step * np.rint(rng.laplace(0, 3 * step, 1500) / step) + rng.normal(0, noise, 1500)
    assert last_step(values.astype(np.float32)) == step


def test_coefficients_that_were_never_quantised_have_step_one() -> None:
    assert last_step(np.random.default_rng(0).laplace(0, 20, 1500).astype(np.float32)) == 1


@pytest.mark.parametrize(("first", "second"), [(60, 90), (70, 85), (50, 80)])
def test_adq1_finds_a_singly_compressed_patch(first: int, second: int) -> None:
    pixels = resave_jpeg(scene(), first)
    pixels[PATCH] = scene(7)[PATCH]
    found = adq1_map(resave_jpeg(pixels, second))
    assert inside(found).mean() > 0.8
    assert outside(found).mean() < 0.1


def test_adq1_is_silent_about_an_image_compressed_once() -> None:
    assert not adq1_map(resave_jpeg(scene(), 85)).any()
    assert not adq1_map(scene()).any()


def test_a_baseline_is_a_pure_function_of_the_pixels() -> None:
    pixels = scene(8, (64, 64))
    before = pixels.copy()
    for name in UNTRAINED:
        baseline = get_baseline(name)
        assert isinstance(baseline, MapBaseline)
        baseline(Photo(pixels, 1, "scene"))
    np.testing.assert_array_equal(pixels, before)
