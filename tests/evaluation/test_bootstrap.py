"""The bootstrap: seeded, independent of its blocks, and as wide as theory says."""

import numpy as np
import pytest

from vilaco.evaluation import bootstrap
from vilaco.evaluation.bootstrap import bootstrap_intervals, resample_weights


def test_rows_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = resample_weights(7, resamples=10, seed=3)
    monkeypatch.setattr(bootstrap, "_CHUNK", 21)
    blocks = list(resample_weights(7, resamples=10, seed=3))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert (whole.sum(axis=1) == 7).all()
    assert not np.array_equal(whole, next(resample_weights(7, resamples=10, seed=4)))


def test_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=400)
    (interval,) = bootstrap_intervals([lambda w: w @ values / w.sum(axis=1)], 400, resamples=4000)
    error = values.std() / np.sqrt(400)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert interval.low < values.mean() < interval.high


def test_undefined_resamples_are_left_out_and_all_undefined_is_nan() -> None:
    def only_with_the_first(weights: np.ndarray) -> np.ndarray:
        return np.where(weights[:, 0] > 0, 0.5, np.nan)

    some, none, constant = bootstrap_intervals(
        [only_with_the_first, lambda w: np.full(len(w), np.nan), lambda w: np.ones(len(w))], 5, resamples=50
    )
    assert (some.low, some.high) == (0.5, 0.5)
    assert np.isnan(none.low)
    assert np.isnan(none.high)
    assert (constant.low, constant.high) == (1, 1)


def test_no_resamples_no_interval_and_no_images_no_bootstrap() -> None:
    (interval,) = bootstrap_intervals([lambda w: np.ones(len(w))], 5, resamples=0)
    assert np.isnan(interval.low)
    with pytest.raises(ValueError, match="at least 1"):
        bootstrap_intervals([], 0)
