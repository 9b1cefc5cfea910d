"""Pixel metrics: hand-worked numbers, the exact threshold, agreement with scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_f1_score,
    binary_jaccard_index,
    binary_matthews_corrcoef,
)

from vilaco.evaluation import metrics
from vilaco.evaluation.metrics import FIXED_LEVEL, LEVELS, Counts


def counts(tp: float, fp: float, fn: float, tn: float) -> Counts:
    return Counts(*(np.asarray(n, float) for n in (tp, fp, fn, tn)))


def test_formulas_by_hand() -> None:
    example = counts(tp=6, fp=2, fn=4, tn=8)
    assert metrics.f1(example) == 12 / 18
    assert metrics.f1_wscl(example) == 12 / (18 + 1e-6)
    assert metrics.iou(example) == 6 / 12
    assert metrics.accuracy(example) == 14 / 20
    assert metrics.sensitivity(example) == 0.6
    assert metrics.specificity(example) == 0.8
    assert metrics.balanced_accuracy(example) == pytest.approx(0.7)
    assert metrics.mcc(example) == pytest.approx((48 - 8) / np.sqrt(8 * 10 * 10 * 12))


def test_nothing_over_nothing_is_undefined() -> None:
    authentic_and_silent = counts(tp=0, fp=0, fn=0, tn=9)
    for formula in (metrics.f1, metrics.iou, metrics.sensitivity, metrics.balanced_accuracy, metrics.mcc):
        assert np.isnan(formula(authentic_and_silent)), formula
    assert metrics.specificity(authentic_and_silent) == 1
    assert metrics.f1_wscl(authentic_and_silent) == 0  # the field's formula has no undefined case


def test_mcc_does_not_overflow_on_pixel_totals() -> None:
    assert metrics.mcc(counts(tp=1e12, fp=0, fn=0, tn=1e12)) == pytest.approx(1)


def test_harmonic_mean_of_nothing_and_nan() -> None:
    assert metrics.harmonic_mean(0, 0) == 0
    assert metrics.harmonic_mean(1, 0) == 0
    assert np.isnan(metrics.harmonic_mean(np.nan, 0.5))


def test_counts_refuse_another_shape() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(2, 2\)"):
        metrics.pixel_counts(np.ones((1, 2), bool), np.ones((2, 2), bool))


def test_formulas_agree_with_torchmetrics_and_sklearn() -> None:
    rng = np.random.default_rng(0)
    pred, mask = rng.random((2, 40, 30)) > 0.6
    ours = metrics.pixel_counts(pred, mask)
    theirs = torch.from_numpy(pred).int(), torch.from_numpy(mask).int()
    pairs = {
        metrics.f1: binary_f1_score,
        metrics.iou: binary_jaccard_index,
        metrics.accuracy: binary_accuracy,
        metrics.mcc: binary_matthews_corrcoef,
    }
    for formula, reference in pairs.items():
        assert formula(ours) == pytest.approx(float(reference(*theirs)), abs=1e-6), formula
    assert metrics.mcc(ours) == pytest.approx(matthews_corrcoef(mask.ravel(), pred.ravel()))


@given(st.floats(0, 1, width=32))
def test_levels_keep_the_fixed_threshold_exactly(score: float) -> None:
    level = metrics.score_levels(np.array([score], np.float32))[0]
    assert (level >= FIXED_LEVEL) == (np.float32(score) > np.float32(0.5))


def test_levels_are_exact_around_one_half_and_for_16_bit_maps() -> None:
    half = np.float32(0.5)
    around = np.array([np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1))])
    assert metrics.score_levels(around).tolist() == [32767, 32767, 32768]
    every = np.arange(LEVELS, dtype=np.uint16)
    np.testing.assert_array_equal(metrics.score_levels(every.astype(np.float32) / np.float32(65535)), every)


def test_histograms_leave_invalid_pixels_out() -> None:
    levels = np.array([[0, 7], [7, 65535]], np.uint16)
    mask = np.array([[False, True], [False, True]])
    valid = np.array([[True, True], [False, True]])
    negatives, positives = metrics.level_histograms(levels, mask, valid)
    assert (negatives[0], negatives[7], negatives.sum()) == (1, 0, 1)
    assert (positives[7], positives[65535], positives.sum()) == (1, 1, 2)


def test_counts_by_threshold_equal_thresholding_again_and_again() -> None:
    rng = np.random.default_rng(1)
    levels, mask = rng.integers(0, 6, (8, 9)).astype(np.uint16), rng.random((8, 9)) > 0.5
    curve = metrics.counts_by_threshold(*metrics.level_histograms(levels, mask)[:, :6]).stack()
    for level in range(7):
        np.testing.assert_array_equal(curve[level], metrics.pixel_counts(levels >= level, mask).stack())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e-3, 1e-5]))
def test_auc_error_stays_within_half_the_tied_pairs(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.clip(0.3 + spread * rng.normal(size=500), 0, 1).astype(np.float32)
    mask = rng.random(500) < 0.3
    negatives, positives = metrics.level_histograms(metrics.score_levels(scores), mask)
    bound = 0.5 * (negatives * positives).sum() / (negatives.sum() * positives.sum())
    error = abs(float(metrics.auc(negatives, positives)) - roc_auc_score(mask, scores))
    assert error <= bound + 1e-12


def test_auc_of_a_smooth_map_is_off_by_less_than_1e_5() -> None:
    rng = np.random.default_rng(2)
    scores = rng.beta(2, 5, 100_000).astype(np.float32)
    mask = rng.random(scores.size) < 0.2 + 0.5 * scores
    ours = metrics.auc(*metrics.level_histograms(metrics.score_levels(scores), mask))
    assert ours == pytest.approx(roc_auc_score(mask, scores), abs=1e-5)


def test_auc_without_a_class_is_undefined() -> None:
    assert np.isnan(metrics.auc(np.array([1, 2]), np.array([0, 0])))
