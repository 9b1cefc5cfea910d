import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pydantic import ValidationError

from vilaco.calibration import RegionThresholds
from vilaco.images import Photo, load_photo
from vilaco.result import Region, Result, ResultRow, find_regions, strongest_region


def make_result(values: np.ndarray, **changes: object) -> Result:
    fields = {
        "path": "photos/beach.jpg",
        "detection_score": 0.8,
        "localization_map": values.astype(np.float32),
        "pixels": np.full((*values.shape, 3), 90, np.uint8),
        "model": "quick",
        "seconds": 0.25,
    }
    return Result(**(fields | changes))


def two_squares() -> np.ndarray:
    values = np.zeros((20, 30))
    values[2:6, 3:8] = 0.75  # 20 pixels, sum 15
    values[10:15, 20:25] = 0.9375  # 25 pixels, sum 23.4
    return values


def test_regions_by_hand() -> None:
    assert make_result(two_squares()).regions == (
        Region(box=(20, 10, 5, 5), area=25, mean_score=0.9375),
        Region(box=(3, 2, 5, 4), area=20, mean_score=0.75),
    )


def test_regions_touch_by_corners_and_a_strong_small_one_comes_first() -> None:
    values = np.zeros((4, 8))
    values[0, 0] = values[1, 1] = 1.0  # one region, sum 2
    values[0:3, 5] = 0.625  # sum 1.875
    assert [region.box for region in make_result(values).regions] == [(0, 0, 2, 2), (5, 0, 1, 3)]


def test_specks_are_dropped_but_never_the_last_region() -> None:
    values = np.zeros((100, 100))
    values[50, 50] = 1
    assert make_result(values).regions == (Region(box=(50, 50, 1, 1), area=1, mean_score=1.0),)
    values[10:20, 10:20] = 0.75
    values[80, 80:85] = 0.75  # 5 pixels of 10,000 are the smallest share that counts
    assert [region.area for region in make_result(values).regions] == [100, 5]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_whole_masks(value: float) -> None:
    result = make_result(np.full((7, 9), value))
    expected = (Region(box=(0, 0, 9, 7), area=63, mean_score=1.0),) if value else ()
    assert result.regions == expected
    assert result.pred_mask.all() == bool(value)


@pytest.mark.parametrize("seed", range(5))
def test_regions_against_a_flood_fill(seed: int) -> None:
    levels = np.array([0.0, 0.0, 0.0, 0.25, 0.75, 1.0], np.float32)
    values = np.random.default_rng(seed).choice(levels, (300, 9))  # taller than one band of rows
    mask = values > 0.5
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    expected = []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        ys, xs = zip(*part, strict=True)
        box = (min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1)
        expected.append((box, len(part), sum(float(values[pixel]) for pixel in part) / len(part)))
    found = [(region.box, region.area, region.mean_score) for region in find_regions(mask, values, min_share=0)]
    assert sorted(found) == sorted(expected)
    sums = [area * mean for _, area, mean in found]
    assert sums == sorted(sums, reverse=True)


def test_label_and_mask_follow_their_own_thresholds() -> None:
    values = np.array([[0.5, 0.51], [0.2, 0.9]])
    result = make_result(values, detection_score=0.5)
    assert result.label == 0  # at the threshold is not tampered, as in every table
    assert make_result(values, detection_score=0.501).label == 1
    assert result.pred_mask.tolist() == [[False, True], [False, True]]
    stricter = make_result(values, detection_score=0.5, decision_threshold=0.6, mask_threshold=0.8)
    assert stricter.label == 0
    assert stricter.pred_mask.sum() == 1


@pytest.mark.parametrize(
    ("score", "verdict", "label"),
    [
        (0.71, "tampered", 1),
        (0.7, "cannot tell", 0),
        (0.31, "cannot tell", 0),
        (0.3, "nothing found", 0),
        (0.0, "nothing found", 0),
    ],
)
def test_between_the_thresholds_the_verdict_is_cannot_tell(score: float, verdict: str, label: int) -> None:
    result = make_result(
        np.zeros((2, 2)), detection_score=score, decision_threshold=0.7, authentic_threshold=0.3, mask_threshold=0.5
    )
    assert (result.verdict, result.label) == (verdict, label)
    assert json.loads(result.to_json())["verdict"] == verdict


def test_regions_are_drawn_and_named_by_their_evidence() -> None:
    def judged(weak: float, strong: float, score: float = 0.2) -> Result:
        limits = RegionThresholds(weak=weak, strong=strong)
        return make_result(two_squares(), detection_score=score, authentic_threshold=0.3, region_thresholds=limits)

    both = judged(0.7, 0.9)
    assert [(region.mean_score, region.strength) for region in both.regions] == [(0.9375, "strong"), (0.75, "weak")]
    assert both.pred_mask.sum() == 45
    one = judged(0.75, 0.95)  # at the threshold is not above it
    assert [(region.mean_score, region.strength) for region in one.regions] == [(0.9375, "weak")]
    expected = np.zeros((20, 30))
    expected[10:15, 20:25] = 0.9375
    np.testing.assert_array_equal(one.pred_mask, expected > 0)
    np.testing.assert_array_equal(one.shown_map, expected)
    np.testing.assert_array_equal(one.localization_map, two_squares())
    assert one.verdict == "cannot tell"  # the score speaks against it
    assert json.loads(one.to_json())["region_thresholds"] == {"weak": 0.75, "strong": 0.95}
    none = judged(0.95, 1.0)
    assert (none.verdict, none.regions, none.pred_mask.any()) == ("nothing found", (), False)
    np.testing.assert_array_equal(none.overlay(), none.pixels)
    assert judged(0.95, 1.0, score=0.4).verdict == "cannot tell"
    assert judged(0.95, 1.0, score=0.9).verdict == "tampered"


def test_the_strongest_region_is_the_one_of_the_highest_mean() -> None:
    assert strongest_region(two_squares()) == 0.9375
    assert strongest_region(0.5 * two_squares()) == 0.0


@given(score=st.floats(0, 1))
def test_with_the_default_thresholds_the_verdict_follows_the_label(score: float) -> None:
    result = make_result(np.zeros((1, 1)), detection_score=score)
    assert result.verdict == ("tampered" if result.label else "nothing found")


@pytest.mark.parametrize(
    "changes",
    [
        {"detection_score": 1.2},
        {"detection_score": float("nan")},
        {"mask_threshold": -0.1},
        {"authentic_threshold": 0.6},
        {"localization_map": np.full((2, 2), 1.5, np.float32)},
        {"localization_map": np.full((2, 2), np.nan, np.float32)},
        {"localization_map": np.zeros((2, 2))},
        {"localization_map": np.zeros((3, 2), np.float32)},
        {"pixels": np.zeros((2, 2), np.uint8)},
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        make_result(np.zeros((2, 2)), **changes)


def test_from_map_turns_the_pixels_with_the_photo() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    photo = Photo(pixels, 6, "photo.jpg")
    result = Result.from_map(photo, np.zeros((3, 2)), 0.25, model="quick", seconds=1.0)
    np.testing.assert_array_equal(result.pixels, np.rot90(pixels, -1))
    assert (result.path, result.label) == ("photo.jpg", 0)
    with pytest.raises(ValueError, match="pixels"):
        Result.from_map(photo, np.zeros((2, 3)), 0.25, model="quick", seconds=1.0)


def test_row_is_one_json_line_that_reads_back() -> None:
    result = make_result(two_squares())
    line = result.to_json()
    assert "\n" not in line
    fields = json.loads(line)
    assert {"path", "verdict", "label", "detection_score", "regions", "model", "seconds"} <= set(fields)
    assert fields["regions"][0] == {"box": [20, 10, 5, 5], "area": 25, "mean_score": 0.9375, "strength": None}
    assert (fields["width"], fields["height"]) == (30, 20)
    assert ResultRow.model_validate_json(line) == result.to_row()
    with pytest.raises(ValidationError):
        ResultRow.model_validate(fields | {"extra": 1})


@settings(max_examples=20, deadline=None)
@given(values=hnp.arrays(np.float32, (6, 5), elements=st.floats(0, 1, width=32)))
def test_saved_map_and_mask_read_back(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    result = make_result(values)
    saved = result.save(tmp_path_factory.mktemp("saved"))
    with Image.open(saved.map) as stored_map, Image.open(saved.mask) as stored_mask:
        levels = np.array(stored_map).astype(np.float64)
        np.testing.assert_array_equal(np.array(stored_mask), np.where(values > 0.5, 255, 0))
    assert np.abs(levels / 65535 - values).max() <= 1 / 65535
    np.testing.assert_array_equal(levels / 65535 > 0.5, values > 0.5)


def test_a_saved_map_says_at_the_threshold_what_the_mask_says(tmp_path: Path) -> None:
    values = np.array([[0.5, np.nextafter(np.float32(0.5), np.float32(1))], [0.0, 1.0]], np.float32)
    with Image.open(make_result(values).save(tmp_path).map) as stored:
        assert np.array(stored).tolist() == [[32767, 32768], [0, 65535]]


def test_saved_files_have_the_promised_names_kinds_and_sizes(tmp_path: Path) -> None:
    result = make_result(two_squares())
    saved = result.save(tmp_path, "trip/day.1")
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"trip/day.1.mask.png", "trip/day.1.map.png", "trip/day.1.overlay.jpg"}
    assert cv2.imread(str(saved.map), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert cv2.imread(str(saved.mask), cv2.IMREAD_UNCHANGED).shape == (20, 30)
    overlay = load_photo(saved.overlay).pixels
    assert overlay.shape == (20, 30, 3)
    assert np.abs(overlay.astype(int) - result.overlay()).mean() < 6


def test_default_stem_is_the_photo_name(tmp_path: Path) -> None:
    assert make_result(np.zeros((2, 2))).save(tmp_path).mask == tmp_path / "beach.mask.png"
    assert make_result(np.zeros((2, 2)), path="<bytes>").save(tmp_path).mask == tmp_path / "bytes.mask.png"


@pytest.mark.parametrize("stem", ["../out", "/tmp/out", "a/../../b", ""])
def test_stem_cannot_leave_the_folder(tmp_path: Path, stem: str) -> None:
    with pytest.raises(ValueError, match="inside the folder"):
        make_result(np.zeros((2, 2))).save(tmp_path, stem)
