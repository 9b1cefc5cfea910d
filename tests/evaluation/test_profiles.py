"""Each profile: hand-worked cases, and random maps against a slow second implementation."""

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from vilaco.errors import ConfigError
from vilaco.evaluation import profiles
from vilaco.evaluation.image_metrics import ImageScores
from vilaco.evaluation.profiles import PROFILES, Columns, PixelCase, Profile, get_profile


def case(localization_map, mask) -> PixelCase:
    mask = np.asarray(mask, bool)
    return PixelCase(np.asarray(localization_map, np.float32), mask, mask)


def square_mask(size: int = 40, low: int = 10, high: int = 30) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def random_case(seed: int) -> PixelCase:
    """A map that knows something, at an odd size, its values on 21 steps with 0.5 among them."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((61, 53), bool)
    y, x = rng.integers(0, 25, 2)
    mask[y : y + 30, x : x + 28] = True
    scores = np.clip(np.round((rng.normal(0.4, 0.25, mask.shape) + 0.2 * mask) * 20) / 20, 0, 1)
    return case(scores, mask)


def slow_f1(pred: np.ndarray, mask: np.ndarray) -> float:
    tp = sum(bool(p and m) for p, m in zip(pred.flat, mask.flat, strict=True))
    fp = sum(bool(p and not m) for p, m in zip(pred.flat, mask.flat, strict=True))
    fn = sum(bool(m and not p) for p, m in zip(pred.flat, mask.flat, strict=True))
    return 2 * tp / (2 * tp + fp + fn)


def finish(profile: Profile, cases: list[PixelCase], labels, scores) -> dict[str, float]:
    """Figures of a few images, all of whose pixels are measured where the profile does so."""
    rows = [
        profile.measure(c) if profile.pixel_images == "all" or label else {}
        for c, label in zip(cases, labels, strict=True)
    ]
    names = {name for row in rows for name in row}
    shapes = {name: next(row[name].shape for row in rows if name in row) for name in names}
    pixel = {name: np.stack([row.get(name, np.full(shapes[name], np.nan)) for row in rows]) for name in names}
    columns = Columns(ImageScores.of(labels, scores), pixel)
    return {m.name: float(m.statistic(columns, np.ones((1, len(labels))))[0]) for m in profile.metrics}


# --- wscl ---


def test_wscl_by_hand() -> None:
    mask = np.array([[True, True, False, False]])
    measure = profiles.measure_wscl
    assert measure(case([[0, 0, 0, 0]], mask))["pixel_f1"] == 0  # empty prediction
    assert measure(case([[1, 1, 1, 1]], mask))["pixel_f1"] == pytest.approx(4 / 6, abs=1e-6)  # full prediction
    assert measure(case([[1, 0, 0, 0]], mask))["pixel_f1"] == pytest.approx(2 / 3, abs=1e-6)  # one pixel
    assert measure(case([[0.5, 0.51, 0.5, 0.5]], mask))["pixel_f1"] == pytest.approx(2 / 3, abs=1e-6)
    one_pixel = np.array([[True, False, False, False]])
    assert measure(case([[1, 0, 0, 0]], one_pixel))["pixel_f1"] == 2 / (2 + 1e-6)


def test_wscl_authentic_pixels_never_enter_and_c_f1_is_made_of_its_parts() -> None:
    tampered = case([[1, 1, 1, 1]], [[1, 1, 0, 0]])
    authentic = case([[1, 1, 1, 1]], [[0, 0, 0, 0]])
    figures = finish(profiles.WSCL, [tampered, authentic, authentic], [1, 0, 0], [0.9, 0.2, 0.8])
    pixel, image = 4 / (6 + 1e-6), 2 * 1 * 0.5 / 1.5
    assert figures["pixel_f1_per_image_mean"] == pytest.approx(pixel)
    assert figures["image_f1_sen_spe_harmonic"] == pytest.approx(image)
    assert figures["combined_f1"] == pytest.approx(2 * pixel * image / (pixel + image))
    assert figures["image_accuracy"] == pytest.approx(2 / 3)
    assert figures["image_auc"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_wscl_slowly(seed: int) -> None:
    c = random_case(seed)
    expected = slow_f1(c.localization_map > 0.5, c.mask)
    assert profiles.measure_wscl(c)["pixel_f1"] == pytest.approx(expected, abs=1e-6)


# --- trufor ---


def test_trufor_ignores_the_border_band() -> None:
    mask = square_mask()
    core, reach = np.zeros_like(mask), np.zeros_like(mask)
    core[17:23, 17:23] = True  # 20 wide, 7 lost on either side
    reach[5:35, 5:35] = True  # 5 won on either side
    for prediction in (core, mask, reach):
        assert profiles.measure_trufor(case(prediction, mask))["pixel_f1"] == 1
    one_more = reach.copy()
    one_more[0, 0] = True
    assert profiles.measure_trufor(case(one_more, mask))["pixel_f1"] == pytest.approx(72 / 73)


def test_trufor_takes_the_better_of_map_and_inverted_map() -> None:
    mask = square_mask()
    inverted = profiles.measure_trufor(case(~mask, mask))
    assert inverted["pixel_f1"] == 1
    assert inverted["pixel_f1_best"] == 1
    empty = profiles.measure_trufor(case(np.zeros(mask.shape), mask))
    full = profiles.measure_trufor(case(np.ones(mask.shape), mask))
    everything = 2 * 36 / (2 * 36 + 1600 - 900)  # 36 core pixels, 700 outside
    assert empty["pixel_f1"] == full["pixel_f1"] == pytest.approx(everything)


def test_trufor_mask_that_erodes_to_nothing_is_undefined() -> None:
    columns = profiles.measure_trufor(case(np.ones((40, 40)), square_mask(40, 13, 27)))  # 14 wide
    assert all(np.isnan(value) for value in columns.values())


@pytest.mark.parametrize("seed", range(4))
def test_trufor_slowly(seed: int) -> None:
    c = random_case(seed)
    positive = minimum_filter(c.mask, 15)
    used = positive | ~maximum_filter(c.mask, 11)
    scores, truth = c.localization_map[used], positive[used]

    def better(pred: np.ndarray) -> float:
        return max(slow_f1(pred, truth), slow_f1(~pred, truth))

    columns = profiles.measure_trufor(c)
    assert columns["pixel_f1"] == pytest.approx(better(scores > 0.5))
    thresholds = [-1.0, *np.unique(scores)]
    assert columns["pixel_f1_best"] == pytest.approx(max(better(scores > t) for t in thresholds))


# --- benco ---


def test_benco_modes_by_hand() -> None:
    mask = np.zeros((512, 512), bool)
    mask[:256] = True
    quarter = np.zeros((512, 512))
    quarter[:128] = 1
    columns = profiles.BENCO.measure(case(quarter, mask))
    assert columns["pixel_f1_origin"] == pytest.approx(2 / 3)
    assert columns["pixel_f1_reverse"] == pytest.approx(2 * 1 / (2 * 1 + 2 + 1))  # strips of 128 rows
    assert columns["pixel_f1_double"] == columns["pixel_f1_origin"]
    assert columns["pixel_iou_origin"] == 0.5
    assert columns["pixel_accuracy_origin"] == 0.75
    assert columns["pixel_accuracy_reverse"] == 0.25
    assert columns["pixel_auc_origin"] == 0.75
    assert columns["pixel_auc_double"] == 0.75


def test_benco_authentic_image_has_an_accuracy_and_nothing_else() -> None:
    columns = profiles.BENCO.measure(case(np.ones((9, 7)), np.zeros((9, 7))))
    assert columns["pixel_accuracy_origin"] == 0
    assert columns["pixel_accuracy_double"] == 1
    for name, value in columns.items():
        assert np.isnan(value) == ("accuracy" not in name), name


def test_benco_measures_half_masks() -> None:
    prediction = np.ones((512, 512), np.float32)
    half = np.zeros((512, 512), bool)
    half[:, :128] = True
    columns = profiles.BENCO.measure(PixelCase(prediction, np.ones((512, 512), bool), half))
    assert columns["pixel_iou_origin"] == 0.25


def test_benco_pad_measures_a_small_image_at_its_own_size_and_shrinks_a_large_one() -> None:
    c = random_case(0)
    small = profiles.BENCO_PAD.measure(c)
    assert small["pixel_f1_origin"] == pytest.approx(slow_f1(c.localization_map > 0.5, c.mask))
    assert small["pixel_auc_origin"] == pytest.approx(roc_auc_score(c.mask.ravel(), c.localization_map.ravel()))
    large = np.zeros((100, 4096), bool)
    large[:, :1024] = True
    assert profiles.BENCO_PAD.measure(case(large, large))["pixel_iou_origin"] == 1
    line = np.ones((1, 4096), bool)
    assert profiles.BENCO_PAD.measure(case(line, line))["pixel_iou_origin"] == 1


# --- pooled ---


def test_pooled_adds_pixels_before_it_divides() -> None:
    first, second = np.ones((1, 1), bool), np.zeros((1, 50), bool)
    second[0, :10] = True
    cases = [case(np.ones((1, 1)), first), case(np.ones((1, 50)), second)]
    figures = finish(profiles.POOLED, cases, [1, 1], [0.9, 0.9])
    assert figures["pixel_iou_pooled"] == pytest.approx(11 / 51)  # the mean of the two would be 0.60
    assert figures["pixel_f1_pooled"] == pytest.approx(22 / 62)
    assert np.isnan(figures["image_mcc"])  # no authentic image


def test_pooled_slowly_authentic_images_included() -> None:
    cases = [random_case(seed) for seed in range(3)] + [case(np.full((9, 9), 0.7), np.zeros((9, 9)))]
    figures = finish(profiles.POOLED, cases, [1, 1, 1, 0], [0.9, 0.1, 0.8, 0.7])
    pred = np.concatenate([c.localization_map.ravel() > 0.5 for c in cases])
    mask = np.concatenate([c.mask.ravel() for c in cases])
    assert figures["pixel_f1_pooled"] == pytest.approx(slow_f1(pred, mask))
    assert figures["pixel_mcc_pooled"] == pytest.approx(matthews_corrcoef(mask, pred))
    assert figures["image_f1_ordinary"] == pytest.approx(4 / 6)
    assert figures["image_iou"] == pytest.approx(0.5)
    assert figures["image_mcc"] == pytest.approx(matthews_corrcoef([1, 1, 1, 0], [1, 0, 1, 1]))


# --- full ---


def test_full_by_hand() -> None:
    mask = np.array([[True, True, False, False]])
    columns = profiles.measure_full(case([[0.4, 0.3, 0.2, 0.35]], mask))
    assert columns["pixel_f1"] == 0
    assert columns["pixel_iou"] == 0
    assert columns["pixel_auc"] == pytest.approx(3 / 4)
    assert columns["pixel_f1_oracle"] == pytest.approx(4 / 5)  # three pixels called, two of them right


def test_full_oracles_one_threshold_for_the_set_and_one_an_image() -> None:
    low, high = case([[0.3, 0.1]], [[1, 0]]), case([[0.9, 0.7]], [[1, 0]])
    figures = finish(profiles.FULL, [low, high], [1, 1], [0.9, 0.9])
    assert figures["pixel_f1_oracle_per_image_threshold"] == 1
    assert figures["pixel_f1_oracle_set_threshold"] == pytest.approx((1 + 2 / 3) / 2)  # between .1 and .3
    assert figures["pixel_f1_per_image_mean"] == pytest.approx((0 + 2 / 3) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_full_slowly(seed: int) -> None:
    c = random_case(seed)
    columns = profiles.measure_full(c)
    scores, pred = c.localization_map, c.localization_map > 0.5
    assert columns["pixel_f1"] == pytest.approx(slow_f1(pred, c.mask))
    assert columns["pixel_iou"] == pytest.approx((pred & c.mask).sum() / (pred | c.mask).sum())
    assert columns["pixel_auc"] == pytest.approx(roc_auc_score(c.mask.ravel(), scores.ravel()))
    thresholds = [-1.0, *np.unique(scores)]
    assert columns["pixel_f1_oracle"] == pytest.approx(max(slow_f1(scores > t, c.mask) for t in thresholds))
    for index in (0, 123, 500, 777, 1000):
        expected = slow_f1(scores > profiles.SET_THRESHOLDS[index] + 1e-6, c.mask)
        assert columns["pixel_f1_by_threshold"][index] == pytest.approx(expected)


def test_full_oracle_is_never_below_the_fixed_threshold() -> None:
    figures = finish(profiles.FULL, [random_case(s) for s in range(5)], [1] * 5, [0.9] * 5)
    fixed = figures["pixel_f1_per_image_mean"]
    shared = figures["pixel_f1_oracle_set_threshold"]
    assert fixed <= shared + 1e-6
    assert shared <= figures["pixel_f1_oracle_per_image_threshold"] + 1e-6


# --- all of them ---


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_flipping_image_and_mask_changes_nothing(profile: Profile) -> None:
    c = random_case(5)
    flipped = case(c.localization_map[:, ::-1].copy(), c.mask[:, ::-1].copy())
    before, after = profile.measure(c), profile.measure(flipped)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=2e-3 if profile.name == "benco" else 1e-12)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_perfect_prediction_is_perfect(profile: Profile) -> None:
    mask = square_mask()
    figures = finish(profile, [case(mask, mask), case(np.zeros((5, 5)), np.zeros((5, 5)))], [1, 0], [1.0, 0.0])
    tolerance = 1e-3 if profile.name == "benco" else 1e-6  # its map is resized softly, its mask hard
    for name, value in figures.items():
        if "reverse" not in name:
            assert value == pytest.approx(0 if "error" in name or "eer" in name else 1, abs=tolerance), name


def test_another_size_is_refused_and_an_unknown_profile_named() -> None:
    with pytest.raises(ValueError, match="one shape"):
        case(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="'wsc' does not exist; choose from wscl, trufor"):
        get_profile("wsc")
