"""Calibration: worked by hand, against MAPIE, and the promise itself by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin

from vilaco.calibration import Calibration, RegionThresholds, Thresholds, false_alarm_threshold, miss_threshold, platt
from vilaco.errors import ConfigError

TENTHS = tuple(i / 10 for i in range(1, 10))  # .1 to .9


def make_calibration(**changes: object) -> Calibration:
    fields = {"slope": 1.0, "offset": 0.0, "map_shift": 0.0, "authentic_scores": TENTHS, "tampered_scores": TENTHS}
    return Calibration(**({"max_false_alarms": 0.1, "max_misses": 0.2} | fields | changes))


def test_thresholds_by_hand() -> None:
    assert false_alarm_threshold(TENTHS, 0.1) == 0.9  # the 9th of 9: of ten photos, one may be above
    assert false_alarm_threshold(TENTHS, 0.19) == 0.9
    assert false_alarm_threshold(TENTHS, 0.3) == 0.7
    assert false_alarm_threshold(TENTHS, 0.999) == 0.1
    assert false_alarm_threshold((0.2, 0.2, 0.2), 0.5) == 0.2
    assert miss_threshold(TENTHS, 0.1) == pytest.approx(0.1 - 1e-6, abs=1e-12)
    assert miss_threshold(TENTHS, 0.3) < 0.3  # the third itself is not called authentic
    assert miss_threshold((0.0, 0.5), 0.4) == 0.0


@pytest.mark.parametrize("count", [1, 6, 19, 49, 99])
def test_a_rate_lower_than_the_pictures_can_promise_is_refused_with_the_lowest(count: int) -> None:
    scores = tuple(np.linspace(0, 1, count).tolist())
    assert false_alarm_threshold(scores, 1 / (count + 1)) == scores[-1]
    with pytest.raises(ConfigError, match=rf"calibrated on {count} authentic .* 1 in {count + 1} "):
        false_alarm_threshold(scores, 0.99 / (count + 1))
    with pytest.raises(ConfigError, match=r"max_misses.*forged"):
        miss_threshold(scores, 0.99 / (count + 1))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_rates_out_of_range_are_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="max_false_alarms must be between 0 and 1"):
        false_alarm_threshold(TENTHS, rate)


class Score(ClassifierMixin, BaseEstimator):
    """The column of X as the chance of class 1: what MAPIE calibrates is our score."""

    def __init__(self) -> None:
        self.classes_, self.n_features_in_, self.is_fitted_ = np.array([0, 1]), 1, True

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Score":
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (x[:, 0] > 0.5).astype(int)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([1 - x, x], axis=1)


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels:UserWarning")
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.33])
@pytest.mark.parametrize("ties", [False, True])
def test_mapie_leaves_authentic_out_exactly_above_the_threshold(rate: float, ties: bool) -> None:
    """MAPIE's set for one class: "authentic" is in it until the score is above our threshold."""
    from mapie.classification import SplitConformalClassifier

    rng = np.random.default_rng(round(1000 * rate))
    for count in (100, 137, 500):
        scores = rng.beta(2, 5, count)
        scores = scores.round(1) if ties else scores
        mapie = SplitConformalClassifier(Score(), confidence_level=1 - rate, conformity_score="lac", prefit=True)
        mapie.conformalize(scores[:, None], np.zeros(count, int))
        threshold = false_alarm_threshold(tuple(sorted(scores.tolist())), rate)
        asked = np.concatenate([scores, rng.random(200), [threshold - 1e-5, threshold, threshold + 1e-5]])
        _, sets = mapie.predict_set(asked[:, None])
        np.testing.assert_array_equal(sets[:, 0, 0], asked <= threshold + 1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("count", "rate"), [(19, 0.05), (20, 0.1), (100, 0.05)])
def test_the_promise_holds_over_many_calibrations(count: int, rate: float, ties: bool) -> None:
    rng = np.random.default_rng(count)
    draws = 20_000
    scores = rng.beta(2, 5, (draws, count + 1))
    scores = scores.round(1) if ties else scores
    calibrated, photos = np.sort(scores[:, 1:], axis=1), scores[:, 0]
    alarms = np.array(
        [
            photo > false_alarm_threshold(tuple(row), rate)
            for row, photo in zip(calibrated.tolist(), photos, strict=True)
        ]
    )
    misses = np.array(
        [photo <= miss_threshold(tuple(row), rate) for row, photo in zip(calibrated.tolist(), photos, strict=True)]
    )
    noise = 4 * math.sqrt(rate / draws)
    for wrong in (alarms, misses):
        assert wrong.mean() <= rate + noise
        if not ties:  # and it gives nothing away: at least rate - 1 / (n + 1)
            assert wrong.mean() >= rate - 1 / (count + 1) - noise


def test_the_plain_quantile_breaks_the_promise() -> None:
    """What the ``n + 1`` is for: of 20 scores the plain 90% quantile is the 18th, and 3 of 21 lie beyond it."""
    scores = np.random.default_rng(0).random((20_000, 21))
    plain = np.quantile(scores[:, 1:], 0.9, axis=1, method="inverted_cdf")
    assert (scores[:, 0] > plain).mean() > 0.13


def test_a_weak_model_leaves_a_gap_and_a_strong_one_none() -> None:
    weak = make_calibration()  # both kinds score alike
    assert weak.thresholds() == Thresholds(decision=0.9, authentic=pytest.approx(0.2, abs=1e-5))
    strong = make_calibration(authentic_scores=(0.05, 0.1, 0.15), tampered_scores=(0.8,) * 9, max_false_alarms=0.25)
    assert strong.thresholds() == Thresholds(decision=0.5, authentic=0.5)
    low = make_calibration(authentic_scores=(0.05,) * 9, tampered_scores=(0.3,) * 9)
    assert low.thresholds() == Thresholds(decision=pytest.approx(0.3, abs=1e-5), authentic=pytest.approx(0.3, abs=1e-5))
    high = make_calibration(authentic_scores=(0.6,) * 9, tampered_scores=(0.9,) * 9)
    assert high.thresholds() == Thresholds(decision=0.6, authentic=0.6)


def test_with_regions_both_thresholds_are_about_authentic_photos() -> None:
    calibration = make_calibration(authentic_regions=(0.0,) * 5 + (0.6, 0.7, 0.8, 0.9), max_suspicions=0.3)
    assert calibration.thresholds() == Thresholds(decision=0.9, authentic=0.7)
    assert calibration.thresholds(0.5) == Thresholds(decision=0.5, authentic=0.5)  # an accusation is a suspicion too
    regions = calibration.region_thresholds()
    assert regions == RegionThresholds(weak=0.7, strong=1.0)  # nine photos cannot promise 1 in 50
    strong = calibration.model_copy(update={"max_strong": 0.1}).region_thresholds()
    assert strong == RegionThresholds(weak=0.7, strong=0.9)
    assert make_calibration().region_thresholds() is None
    assert (calibration.missed(0.3), calibration.missed(0.29), calibration.missed(1.0)) == (3 / 9, 2 / 9, 1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), drawn_on=st.floats(0.2, 1.0))
def test_regions_of_photos_like_those_are_drawn_as_rarely_as_promised(seed: int, drawn_on: float) -> None:
    """Of many calibrations on 99 photos each, the mean share of other photos with a region above each threshold."""
    rng = np.random.default_rng(seed)
    strongest = rng.beta(8, 2, (1000, 100)) * (rng.random((1000, 100)) < drawn_on)
    calibrated = [make_calibration(authentic_regions=tuple(np.sort(row[1:]).tolist())) for row in strongest]
    limits = [calibration.region_thresholds() for calibration in calibrated]
    for name, promised in {"weak": 0.1, "strong": 0.02}.items():
        beyond = [row[0] > getattr(limit, name) for row, limit in zip(strongest, limits, strict=True)]
        assert np.mean(beyond) < promised + 4 * math.sqrt(promised / 1000), name


score_lists = st.lists(st.floats(0, 1).map(lambda x: round(x, 6)), min_size=20, max_size=40).map(
    lambda x: tuple(sorted(x))
)


@settings(max_examples=200, deadline=None)
@given(authentic=score_lists, tampered=score_lists, rate=st.floats(0.05, 0.95), stricter=st.floats(0.05, 0.95))
def test_both_promises_hold_for_any_scores_and_a_lower_rate_never_lowers_the_threshold(
    authentic: tuple[float, ...], tampered: tuple[float, ...], rate: float, stricter: float
) -> None:
    calibration = make_calibration(authentic_scores=authentic, tampered_scores=tampered)
    decision, cleared = calibration.thresholds(rate)
    assert 0 <= cleared <= decision <= 1
    assert sum(s > decision for s in authentic) <= rate * (len(authentic) + 1)
    assert sum(s <= cleared for s in tampered if s > 0) <= 0.2 * (len(tampered) + 1)
    lower, higher = sorted((rate, stricter))
    assert calibration.thresholds(lower).decision >= calibration.thresholds(higher).decision
    quiet = calibration.model_copy(update={"authentic_regions": authentic, "max_suspicions": 0.2})
    decision, cleared = quiet.thresholds(rate)
    assert 0 <= cleared <= decision <= 1
    assert sum(s > decision for s in authentic) <= rate * (len(authentic) + 1)
    assert sum(s > cleared for s in authentic) <= max(rate, 0.2) * (len(authentic) + 1)
    regions = quiet.region_thresholds()
    assert regions is not None
    assert sum(s > regions.weak for s in authentic) <= 0.2 * (len(authentic) + 1)
    assert regions.weak <= regions.strong


def test_scores_by_hand() -> None:
    assert make_calibration(slope=2, offset=math.log(3)).score(0.75) == pytest.approx(27 / 28)  # odds 3^2 * 3
    assert make_calibration().score(0.25) == pytest.approx(0.25)
    steep = make_calibration(slope=100, offset=0)
    assert [steep.score(s) for s in (0.0, 0.5, 1.0)] == pytest.approx([0, 0.5, 1])


@given(scores=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=9), slope=st.floats(0.1, 5))
def test_platt_scaling_keeps_the_order(scores: list[float], slope: float) -> None:
    scaled = platt(np.sort(scores), slope, 0.3)
    assert np.all(np.diff(scaled) >= 0)


@settings(deadline=None)
@given(
    values=hnp.arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)),
    shift=st.floats(-8, 8),
)
def test_the_map_moves_by_its_logit(values: np.ndarray, shift: float) -> None:
    moved = make_calibration(map_shift=shift).map(values)
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    inner = (values > 1e-5) & (values < 1 - 1e-3)
    slow = 1 / (1 + np.exp(-(np.log(values[inner].astype(float) / (1 - values[inner].astype(float))) + shift)))
    np.testing.assert_allclose(moved[inner], slow, atol=1e-4)
    np.testing.assert_array_equal(moved[values == 0], 0)
    np.testing.assert_array_equal(moved[values == 1], 1)


def test_it_reads_back_from_json() -> None:
    calibration = make_calibration(calibrated_with={"photos": 9})
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"slope": 0.0}, "slope"),
        ({"slope": float("inf")}, "slope"),
        ({"authentic_scores": ()}, "authentic_scores"),
        ({"tampered_scores": (0.5, 0.4)}, "must ascend"),
        ({"authentic_scores": (0.5, 1.4)}, "authentic_scores"),
        ({"map_shift": 9.0}, "map_shift"),
        ({"max_misses": 1.0}, "max_misses"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        make_calibration(**changes)
