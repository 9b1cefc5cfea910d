import cv2
import numpy as np
import pytest

from vilaco.evaluation.ladders import LADDERS, blur, jpeg, messenger, noise, passed_on, recode, screenshot
from vilaco.images import Photo, resave_jpeg


def photo(size: tuple[int, int] = (96, 160), seed: int = 0, orientation: int = 1) -> Photo:
    rng = np.random.default_rng(seed)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2)
    return Photo(pixels, orientation, "made here")


def test_benco_has_the_published_steps_and_a_clean_point() -> None:
    names = [rung.name for rung in LADDERS["benco"].rungs]
    steps = (3, 7, 11, 15, 19, 23)
    expected = [f"blur-{k}" for k in steps] + [f"noise-{v}" for v in steps]
    assert names == ["clean", *expected, *(f"jpeg-{q}" for q in (100, 90, 80, 70, 60, 50))]


def test_social_has_every_long_side_and_quality() -> None:
    names = [rung.name for rung in LADDERS["social"].rungs]
    messengers = [f"resize-{side}-jpeg-{q}" for side in (2048, 1280, 960) for q in (85, 75, 60)]
    assert names == ["clean", *messengers, "screenshot"]


def test_messengers_and_web_have_their_rungs_and_every_rung_says_what_it_stands_for() -> None:
    names = [rung.name for rung in LADDERS["messenger"].rungs]
    sent = [
        f"{how}-{side}-jpeg-{q}" for how in ("sent", "passed-on") for side in (1600, 2048) for q in (85, 80, 75, 70)
    ]
    assert names == ["clean", *sent]
    assert [rung.name for rung in LADDERS["web"].rungs] == [
        "clean", "webp-90", "webp-75", "webp-50", "avif-80", "avif-60", "avif-40"
    ]  # fmt: skip
    for ladder in LADDERS.values():
        told = [rung.stands_for for rung in ladder.rungs]
        assert len(set(told)) == len(told)
        assert all(str(rung.level) in rung.stands_for for rung in ladder.rungs if rung.level is not None)


def test_passing_on_is_sending_twice() -> None:
    original = photo((400, 2000))
    by_hand = cv2.resize(original.pixels, (1600, 320), interpolation=cv2.INTER_AREA)
    by_hand = resave_jpeg(resave_jpeg(by_hand, 75), 75)
    np.testing.assert_array_equal(passed_on(original, long_side=1600, quality=75).pixels, by_hand)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_web_files_change_more_at_lower_quality(kind: str) -> None:
    rng = np.random.default_rng(0)
    original = Photo(rng.integers(100, 156, (96, 160, 3), np.uint8), 1, "made here")
    changes = [
        np.abs(recode(original, kind=kind, quality=q).pixels.astype(float) - original.pixels).mean()
        for q in (90, 60, 30)
    ]
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("ladder", LADDERS)
def test_rungs_are_pure_and_deterministic(ladder: str) -> None:
    original = photo(orientation=6)
    before = original.pixels.copy()
    for rung in LADDERS[ladder].rungs:
        first, second = rung.degrade(original), rung.degrade(original)
        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert first.pixels.dtype == np.uint8
        assert first.orientation == 6
        np.testing.assert_array_equal(original.pixels, before)


@pytest.mark.parametrize("variance", [3, 23])
def test_noise_has_its_variance_in_8_bit_units(variance: int) -> None:
    grey = Photo(np.full((200, 200, 3), 128, np.uint8), 1, "grey")
    difference = noise(grey, variance=variance).pixels.astype(float) - 128
    assert difference.mean() == pytest.approx(0, abs=0.05)
    assert difference.var() == pytest.approx(variance + 1 / 12, rel=0.03)  # rounding adds 1/12


def test_noise_depends_on_the_photo_the_variance_and_the_seed() -> None:
    grey = Photo(np.full((16, 16, 3), 128, np.uint8), 1, "grey")
    other = Photo(np.full((16, 16, 3), 129, np.uint8), 1, "other")
    drawn = [
        noise(grey, variance=23).pixels,
        noise(grey, variance=23, seed=1).pixels,
        noise(grey, variance=19).pixels,
        noise(other, variance=23).pixels - 1,
    ]
    for i in range(4):
        for j in range(i):
            assert (drawn[i] != drawn[j]).any()


def test_noise_is_clipped_not_wrapped() -> None:
    black = Photo(np.zeros((64, 64, 3), np.uint8), 1, "black")
    assert noise(black, variance=23).pixels.max() < 40


def test_blur_and_jpeg_are_the_plain_operations() -> None:
    original = photo()
    np.testing.assert_array_equal(
        blur(original, kernel=11).pixels, cv2.GaussianBlur(original.pixels, (11, 11), 0.3 * (5 - 1) + 0.8)
    )
    np.testing.assert_array_equal(jpeg(original, quality=70).pixels, resave_jpeg(original.pixels, 70))


def test_messengers_shrink_the_long_side_and_never_enlarge() -> None:
    assert messenger(photo((400, 2000)), long_side=960, quality=75).pixels.shape == (192, 960, 3)
    assert messenger(photo((2000, 400)), long_side=960, quality=75).pixels.shape == (960, 192, 3)
    small = photo((100, 120))
    np.testing.assert_array_equal(messenger(small, long_side=960, quality=75).pixels, resave_jpeg(small.pixels, 75))


def test_a_screenshot_enlarges_small_photos_by_the_display_scaling_and_fits_large_ones() -> None:
    assert screenshot(photo((96, 160))).pixels.shape == (120, 200, 3)
    assert screenshot(photo((1200, 1600))).pixels.shape == (1080, 1440, 3)
    # Stored lying down, seen upright: 1600 high, so it is fitted to the screen's 1080.
    assert screenshot(photo((1200, 1600), orientation=6)).pixels.shape == (810, 1080, 3)
