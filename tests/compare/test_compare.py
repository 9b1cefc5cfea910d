"""A suspect beside its original: what is explained, what is marked, what is told to be unrelated."""

import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pictures import make_textured
from scan_runs import run_cli
from vilaco.compare import Comparison, compare
from vilaco.compare.changes import changed_mask, deviation
from vilaco.compare.explain import fit_curves
from vilaco.compare.register import covered, lay_over
from vilaco.compare.words import put_in_words
from vilaco.errors import ImageError
from vilaco.images import encode_jpeg, resave_jpeg, resize_pixels

SIZE = (480, 640)


@pytest.fixture
def original(tmp_path: Path) -> np.ndarray:
    pixels = make_textured(np.random.default_rng(0), *SIZE)
    write(tmp_path / "original.png", pixels)
    return pixels


def write(file: Path, pixels: np.ndarray, quality: int = 0) -> Path:
    Image.fromarray(pixels).save(file, **({"quality": quality} if quality else {}))
    return file


def look(tmp_path: Path, suspect: np.ndarray, quality: int = 0) -> Comparison:
    return compare(
        write(tmp_path / f"suspect.{'jpg' if quality else 'png'}", suspect, quality), tmp_path / "original.png"
    )


def test_the_same_pixels_are_said_to_be(tmp_path: Path, original: np.ndarray) -> None:
    found = look(tmp_path, original)
    assert found.row.same_pixels
    assert not found.row.regions
    assert found.row.matrix == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    cropped = look(tmp_path, original[40:400, 31:600])
    assert cropped.row.same_pixels
    assert cropped.row.matrix == ((1.0, 0.0, 31.0), (0.0, 1.0, 40.0))
    assert cropped.row.seen == pytest.approx(360 * 569 / (480 * 640), abs=0.001)


def test_half_the_size_brightened_and_saved_at_50_leaves_nothing_unexplained(
    tmp_path: Path, original: np.ndarray
) -> None:
    bright = np.clip(resize_pixels(original, (240, 320)) * 1.1 + 12, 0, 255).astype(np.uint8)
    row = look(tmp_path, bright, 50).row
    assert row.related
    assert row.regions == ()
    assert row.scale == pytest.approx(0.5, abs=0.002)
    assert row.jpeg_quality == 50
    expected = float(bright.mean() - resize_pixels(original, (240, 320)).mean())
    assert row.brightness == pytest.approx(expected, abs=2.0)


@pytest.mark.parametrize("quality", [0, 90, 80])
def test_a_small_edit_is_marked_where_it_is(tmp_path: Path, original: np.ndarray, quality: int) -> None:
    suspect = original.copy()
    suspect[200:216, 300:316] = original[100:116, 500:516]
    found = look(tmp_path, suspect, quality)
    assert len(found.row.regions) == 1
    x, y, width, height = found.row.regions[0].box
    assert x >= 288
    assert x + width <= 328
    assert y >= 188
    assert y + height <= 228
    assert found.mask[204:212, 304:312].all()


def test_an_edit_is_found_after_turning_mirroring_and_scaling(tmp_path: Path, original: np.ndarray) -> None:
    suspect = original.copy()
    suspect[100:180, 200:300] = original[300:380, 400:500]
    matrix = cv2.getRotationMatrix2D((320, 240), 4, 0.9)
    turned = cv2.warpAffine(suspect, matrix, SIZE[::-1], flags=cv2.INTER_AREA)[:, ::-1]
    found = look(tmp_path, turned, 85)
    truth = np.zeros(SIZE, np.uint8)
    truth[100:180, 200:300] = 1
    truth = cv2.warpAffine(truth, matrix, SIZE[::-1])[:, ::-1] > 0
    both = (truth & found.mask).sum()
    assert both / (truth | found.mask).sum() > 0.7
    assert found.row.mirrored
    assert found.row.scale == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("quality", [50, 75, 92])
@pytest.mark.parametrize("corner", [(0, 0), (13, 6)])
def test_a_save_that_the_file_does_not_tell_is_read_from_the_pixels(
    tmp_path: Path, original: np.ndarray, quality: int, corner: tuple[int, int]
) -> None:
    x, y = corner
    saved = resave_jpeg(original, quality)[y:, x:].copy()
    row = look(tmp_path, saved).row
    assert (row.jpeg_quality, row.jpeg_seen_in) == (quality, "pixels")
    assert row.regions == ()
    assert row.difference == 0  # the very same save was found
    saved[200:216, 300:316] = original[100:116, 500:516]
    assert len(look(tmp_path, saved).row.regions) == 1


def test_no_save_is_seen_where_there_was_none(tmp_path: Path, original: np.ndarray) -> None:
    noisy = np.clip(original + np.random.default_rng(1).normal(0, 3, original.shape), 0, 255).astype(np.uint8)
    for suspect in (original, noisy, resize_pixels(resave_jpeg(original, 70), (360, 480))):
        assert look(tmp_path, suspect).row.jpeg_quality is None
    assert look(tmp_path, original, 80).row.jpeg_seen_in == "tables"


@pytest.mark.parametrize("quality", [0, 85])
def test_colours_taken_away_are_said_and_not_marked(tmp_path: Path, original: np.ndarray, quality: int) -> None:
    grey = cv2.cvtColor(original, cv2.COLOR_RGB2GRAY)
    row = look(tmp_path, grey, quality).row
    assert (row.greyed, row.regions) == (True, ())
    assert "turned to grey" in put_in_words(row).meaning[0]
    assert row.difference < 0.5  # the save of grey levels is done to the original too
    grey[200:260, 300:360] = grey[100:160, 500:560]
    assert len(look(tmp_path, grey, quality).row.regions) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (50, 60)])
def test_blank_and_tiny_pictures_are_the_same_or_cannot_be_told(tmp_path: Path, size: tuple[int, int]) -> None:
    blank = np.full((*size, 3), 255, np.uint8)
    write(tmp_path / "original.png", blank)
    same = look(tmp_path, blank).row
    assert (same.related, same.same_pixels, same.regions) == (True, True, ())
    assert not look(tmp_path, make_textured(np.random.default_rng(0), 80, 90)).row.related
    assert not look(tmp_path, np.full((70, 60, 3), 255, np.uint8)).row.related


def test_what_cannot_be_read_is_named_whichever_it_is(tmp_path: Path, original: np.ndarray) -> None:
    data = encode_jpeg(original, 90)
    files = {"empty": b"", "not_an_image": b"nothing", "truncated": data[: len(data) // 2]}
    for code, content in files.items():
        (tmp_path / f"{code}.jpg").write_bytes(content)
        for pair in ((f"{code}.jpg", "original.png"), ("original.png", f"{code}.jpg")):
            with pytest.raises(ImageError) as raised:
                compare(*(tmp_path / name for name in pair))
            assert raised.value.code == code
            assert "--" not in raised.value.reason  # of an option that other commands have
            assert str(raised.value.source).endswith(f"{code}.jpg")
    with pytest.raises(ImageError, match="no such file"):
        compare(tmp_path / "gone.png", tmp_path / "original.png")
    with pytest.raises(ImageError) as raised:
        compare(tmp_path / "original.png", tmp_path / "original.png", max_pixels=1000)
    assert raised.value.code == "too_many_pixels"


def test_small_changes_beside_a_large_one_are_not_left_out(tmp_path: Path, original: np.ndarray) -> None:
    large = cv2.resize(original, (1600, 1200), interpolation=cv2.INTER_CUBIC)
    write(tmp_path / "original.png", large)
    suspect = large.copy()
    suspect[100:500, 100:500] = large[600:1000, 1000:1400]
    suspect[900:916, 300:316] = 255 - suspect[900:916, 300:316]
    assert len(look(tmp_path, suspect).row.regions) == 2


def test_memory_per_pixel_is_bounded() -> None:
    pixels = cv2.resize(make_textured(np.random.default_rng(0), 500, 700), (2100, 1500))
    valid = np.ones(pixels.shape[:2], bool)
    tracemalloc.start()
    deviation(pixels, pixels[::-1].copy(), valid)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / valid.size < 30  # bytes; three colours in floats, twice, would be 24 alone


def test_unrelated_and_blank_pictures_are_told_to_be_so(tmp_path: Path, original: np.ndarray) -> None:
    other = look(tmp_path, make_textured(np.random.default_rng(9), *SIZE), 90)
    assert not other.row.related
    assert other.row.regions == ()
    assert put_in_words(other.row).headline == "Not the same picture"
    assert not look(tmp_path, np.full((50, 60, 3), 200, np.uint8)).row.related
    assert not look(tmp_path, np.zeros((1, 1, 3), np.uint8)).row.related


def test_curves_by_hand() -> None:
    before = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 300, 3))
    after = np.clip(before * 0.5 + 40.0, 0, 255).astype(np.uint8)
    curve = fit_curves(before, after, np.ones(before.shape[:2], bool))
    np.testing.assert_allclose(curve[[16, 128, 240], 1], [48, 104, 160], atol=1.5)


def test_deviation_is_zero_where_nothing_is_known() -> None:
    grey = np.full((40, 40, 3), 100, np.uint8)
    other = np.full((40, 40, 3), 200, np.uint8)
    known = np.zeros((40, 40), bool)
    known[:, :20] = True
    difference, above = deviation(grey, other, known)
    assert difference[:, 24:].max() == 0
    assert above[:, 24:].max() == 0
    assert not changed_mask(difference, above).any()  # the same everywhere is the usual difference


def test_laying_over_by_hand() -> None:
    pixels = make_textured(np.random.default_rng(1), 60, 80)
    shift = np.array([[1.0, 0, 5], [0, 1, -3]])
    over = lay_over(pixels, shift, (60, 80))
    assert np.array_equal(over[3:, :75], pixels[:57, 5:])
    valid = covered(pixels.shape, shift, (60, 80))
    assert not valid[:3].any()
    assert not valid[:, 75:].any()
    assert valid[6:, :70].all()


def test_the_command(tmp_path: Path, original: np.ndarray) -> None:
    suspect = original.copy()
    suspect[200:260, 300:360] = original[100:160, 500:560]
    write(tmp_path / "suspect.jpg", suspect, 90)
    paths = tmp_path / "suspect.jpg", tmp_path / "original.png"
    done = run_cli(
        "compare", *paths, "--out", tmp_path / "out", "--report", tmp_path / "r.html", "--fail-on", "changed"
    )
    assert done.returncode == 1
    assert done.stdout.startswith("One region is changed. The whole picture was saved as JPEG")
    assert cv2.imread(str(tmp_path / "out" / "mask.png"), cv2.IMREAD_GRAYSCALE).shape == SIZE
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["related"] is True
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "mask.png", "difference.png", "overlay.jpg", "explained.jpg", "comparison.json",
    }  # fmt: skip
    assert "What this does not mean" in (tmp_path / "r.html").read_text()
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    bad = run_cli("compare", tmp_path / "bad.jpg", paths[1])
    assert bad.returncode == 3
    assert bad.stderr.count("\n") == 1
    assert "bad.jpg" in bad.stderr
    wrong = run_cli("compare", *paths, "--report", tmp_path / "r.txt")
    assert wrong.returncode == 2
    assert "ends in .html or .pdf" in wrong.stderr
