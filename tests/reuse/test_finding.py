"""What is said of two pictures that were laid over each other."""

import cv2
import numpy as np
import pytest

from pictures import make_textured
from vilaco.images import resave_jpeg, resize_pixels
from vilaco.reuse.agree import drawn_places
from vilaco.reuse.features import MAX_PIXELS, extract, reduced_grey
from vilaco.reuse.finding import Finding, _overlap, find, judge_origin, judge_strength
from vilaco.reuse.register import lay


def look(first: np.ndarray, second: np.ndarray, *, mirrored: bool = False) -> Finding | None:
    (ours, factor), (theirs, other) = reduced_grey(first, MAX_PIXELS), reduced_grey(second, MAX_PIXELS)
    ways = lay(extract(first), extract(second), mirrored=mirrored)
    return find(ours, theirs, ways, factor, other)


def itself(pixels: np.ndarray) -> Finding | None:
    grey, factor = reduced_grey(pixels, MAX_PIXELS)
    features = extract(pixels)
    return find(grey, grey, lay(features, features, mirrored=False), factor, factor, itself=True)


def picture(seed: int, height: int = 300, width: int = 400) -> np.ndarray:
    return make_textured(np.random.default_rng(seed), height, width)


def test_a_copy_at_half_the_size() -> None:
    pixels = picture(0)
    found = look(pixels, resave_jpeg(resize_pixels(pixels, (150, 200)), 70))
    assert found is not None
    assert (found.kind, found.best.origin, found.best.strength) == ("copy", "same pixels", "strong")
    assert found.best.scale == pytest.approx(0.5, rel=0.01)
    x, y, width, height = found.best.second.box
    assert (x, y) <= (8, 8)
    assert width >= 180
    assert height >= 130


def test_a_mirrored_crop() -> None:
    pixels = picture(1)
    found = look(pixels, resave_jpeg(np.ascontiguousarray(pixels[50:250, 80:330][:, ::-1]), 80), mirrored=True)
    assert found is not None
    assert found.kind == "copy"
    assert found.best.mirrored
    assert np.abs(np.array(found.best.first.box) - (80, 50, 250, 200)).max() <= 12


def test_a_shared_region_is_outlined_in_both() -> None:
    donor, host = picture(2), picture(3).copy()
    host[20:140, 230:350] = donor[150:270, 40:160]
    found = look(donor, resave_jpeg(host, 85))
    assert found is not None
    assert (found.kind, found.best.origin, found.best.strength) == ("shared region", "same pixels", "strong")
    assert np.abs(np.array(found.best.first.box) - (40, 150, 120, 120)).max() <= 8
    assert np.abs(np.array(found.best.second.box) - (230, 20, 120, 120)).max() <= 8
    assert np.array(found.best.matrix)[:, 2] == pytest.approx([190, -130], abs=0.5)


def test_a_repeat_within_a_picture_is_named_once() -> None:
    pixels = picture(4).copy()
    pixels[10:110, 20:140] = pixels[180:280, 240:360]
    found = itself(resave_jpeg(pixels, 90))
    assert found is not None
    assert found.kind == "repeat"
    assert [region.strength for region in found.regions] == ["strong"]
    boxes = sorted((found.best.first.box, found.best.second.box))
    assert np.abs(np.array(boxes) - [(20, 10, 120, 100), (240, 180, 120, 100)]).max() <= 8


def test_a_pattern_laid_over_itself_is_no_repeat() -> None:
    tile = picture(9, 24, 400)
    striped = np.tile(tile, (12, 1, 1))  # the same every 24 pixels down
    found = itself(striped)
    assert found is None or all(region.first.box != region.second.box for region in found.regions)
    assert found is None or max(_overlap(region) for region in found.regions) < 0.25


def test_unrelated_pictures_have_nothing_sure_in_common() -> None:
    for seed in range(5):
        found = look(picture(10 + seed), picture(20 + seed))
        assert found is None or found.best.strength == "weak"


def test_another_shot_is_not_a_copy() -> None:
    """The same things, seen with parallax: a depth moves each place by another amount, and noise is new."""
    pixels, depth = picture(5, 400, 500), cv2.resize(np.random.default_rng(6).uniform(-6, 6, (5, 6)), (500, 400))
    y, x = np.mgrid[:400, :500].astype(np.float32)
    moved = cv2.remap(pixels, x + depth.astype(np.float32), y, cv2.INTER_CUBIC)
    noise = np.random.default_rng(7).normal(0, 5, pixels.shape)
    shot = resave_jpeg(np.clip(moved + noise, 0, 255).astype(np.uint8), 90)
    found = look(pixels, shot)
    assert found is None or found.best.origin != "same pixels"


def test_words_for_numbers() -> None:
    assert judge_origin(held=50, laid=50, fine=None, share=0.9) == "cannot tell"
    assert judge_origin(held=5, laid=100, fine=0.99, share=0.1) == "same scene"
    assert judge_origin(held=50, laid=50, fine=0.6, share=0.1) == "cannot tell"
    assert judge_origin(held=50, laid=50, fine=0.6, share=0.9) == "same pixels"
    assert judge_strength(origin="same pixels", matches=9, area=5000, drawn=0.1) == "moderate"
    assert judge_strength(origin="cannot tell", matches=90, area=5000, drawn=0.1) == "moderate"
    assert judge_strength(origin="same pixels", matches=5, area=5000, drawn=0.1) == "weak"


def test_lettering_is_drawn_and_photos_are_not() -> None:
    page = np.full((60, 300), 255, np.uint8)
    cv2.putText(page, "Figure 1. Mean", (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0, 2)
    assert drawn_places(page)[page < 255].mean() > 0.9
    assert not drawn_places(cv2.cvtColor(picture(8), cv2.COLOR_RGB2GRAY)).any()
