"""Traits of photos, by hand and against a slow second way; ranges, and what results say of a photo beyond them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cases import JUDGE, make_jpeg
from pictures import make_photo
from vilaco.calibration import Calibration
from vilaco.images import encode_jpeg, load_photo
from vilaco.localizer import Localizer
from vilaco.report import Case
from vilaco.report.words import put_in_words
from vilaco.traits import Traits, usual_ranges


def test_traits_by_hand() -> None:
    pixels = np.full((32, 48, 3), 100, np.uint8)
    pixels[:16, :16] = (0, 1, 2)  # black: four of 24 blocks; their edges lie on the grid, so all blocks are flat
    pixels[16:, 32:] = 255
    grey = Traits.of(pixels)
    assert (grey.side, grey.detail, grey.flat) == (32, 0, 1)
    assert grey.clipped == pytest.approx(2 * 256 / (32 * 48))
    coloured = np.full((8, 8, 3), (200, 100, 100), np.uint8)
    _, cr, cb = cv2.cvtColor(coloured[:1, :1], cv2.COLOR_RGB2YCrCb)[0, 0].astype(float)
    assert Traits.of(coloured).colour == pytest.approx((abs(cr - 128) + abs(cb - 128)) / 2)


def test_detail_is_the_share_of_coefficients_that_a_save_left() -> None:
    photo = make_photo(np.random.default_rng(0), 64, 96)
    for quality in (95, 60, 20):
        pixels = load_photo(encode_jpeg(photo, quality)).pixels
        grey = pixels.astype(np.float64) @ (0.299, 0.587, 0.114)
        kept = []
        for row in range(0, 64, 8):
            for column in range(0, 96, 8):
                block = cv2.dct(grey[row : row + 8, column : column + 8])
                kept.append((np.abs(block.ravel()[1:]) >= 0.6).mean())
        assert Traits.of(pixels).detail == pytest.approx(np.mean(kept), abs=2e-3)
    saves = [Traits.of(load_photo(encode_jpeg(photo, quality)).pixels).detail for quality in (95, 80, 60, 40, 20)]
    assert saves == sorted(saves, reverse=True)
    soft = cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert Traits.of(soft).detail < 0.6 * Traits.of(photo).detail


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (7, 7)])
def test_specks_and_slivers_have_traits(size: tuple[int, int]) -> None:
    traits = Traits.of(np.full((*size, 3), 9, np.uint8))
    assert (traits.side, traits.detail) == (min(size), 0)


def test_few_of_those_a_range_is_made_from_lie_beyond_it() -> None:
    rng = np.random.default_rng(0)
    pictures = [Traits(*rng.random(5).round(5)) for _ in range(400)]
    ranges = usual_ranges(pictures)
    low, high = ranges["side"]
    assert sum(picture.side < low for picture in pictures) == sum(picture.side > high for picture in pictures) == 2
    beyond = Traits(side=-1, detail=2, flat=2, clipped=-1, colour=-1).unusual(ranges)
    assert beyond[0] == "it is smaller (-1 pixels on its shorter side)"
    assert len(beyond) == 4  # few black pixels are nothing to speak of
    assert usual_ranges(pictures[:199]) == {}  # too few to tell what one in two hundred has
    assert usual_ranges(pictures[:200]).keys() == ranges.keys()


def test_a_photo_beyond_is_told_so_and_one_within_is_not(tiny_model: Path) -> None:
    tens = tuple(i / 100 for i in range(100))
    calibration = Calibration(
        slope=1, offset=0, map_shift=0, authentic_scores=tens, tampered_scores=tens, traits={"side": (60, 90)}
    )
    calibrated = Localizer(Localizer.load(tiny_model, device="cpu").runtime, name="test", calibration=calibration)
    for side, word in ((72, None), (40, "smaller (40 pixels"), (120, "larger (120 pixels")):
        data = make_jpeg(side, 130)
        photo = load_photo(data)
        result = calibrated.predict(photo)
        assert len(result.unlike) == (word is not None)
        meaning = " ".join(put_in_words(Case.build(photo, result, JUDGE, source=data)).meaning)
        assert ("How often such photos are misjudged is not known" in meaning) == (word is not None)
        if word:
            assert word in result.unlike[0]
            assert word in meaning
            assert result.to_row().unlike == result.unlike
    blank = calibrated(np.full((40, 130, 3), 9, np.uint8))
    assert (blank.is_blank, blank.unlike) == (True, ())  # it has no verdict that could be mistrusted
