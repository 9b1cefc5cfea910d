"""Image-level metrics: hand-worked numbers, other libraries, and weights that mean repeated images."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error, binary_eer

from vilaco.evaluation import image_metrics as im
from vilaco.evaluation.image_metrics import ImageScores

SIX = ImageScores.of([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.2, 0.6, 0.3, 0.1])
EVERY = [
    im.image_f1_sen_spe_harmonic,
    im.image_f1_ordinary,
    im.image_auc,
    im.image_eer,
    lambda images, weights=None: im.image_tpr_at_fpr(images, weights, max_fpr=0.05),
    im.image_calibration_error,
]


def random_images(seed: int, n: int = 60) -> ImageScores:
    rng = np.random.default_rng(seed)
    return ImageScores.of(rng.random(n) < 0.4, rng.integers(0, 21, n) / 20)  # with many ties


def test_by_hand() -> None:
    assert im.image_counts(SIX).stack().tolist() == [[2, 1, 1, 2]]
    assert im.image_f1_sen_spe_harmonic(SIX) == pytest.approx(2 / 3)
    assert im.image_f1_ordinary(SIX) == pytest.approx(4 / 6)
    assert im.image_auc(SIX) == pytest.approx(7 / 9)  # .2 loses to .6 and .3
    assert im.image_eer(SIX) == pytest.approx(1 / 3)
    assert im.image_tpr_at_fpr(SIX, max_fpr=0.01) == pytest.approx(2 / 3)
    assert im.image_tpr_at_fpr(SIX, max_fpr=0.67) == pytest.approx(1)


def test_the_two_image_f1_are_different_things() -> None:
    everything_called = ImageScores.of([1, 1, 1, 0], [0.9, 0.9, 0.9, 0.9])
    assert im.image_f1_sen_spe_harmonic(everything_called) == 0
    assert im.image_f1_ordinary(everything_called) == pytest.approx(6 / 7)


def test_a_score_of_one_half_is_authentic() -> None:
    assert im.image_counts(ImageScores.of([1, 0], [0.5, 0.5])).stack().tolist() == [[0, 0, 1, 1]]


def test_calibration_error_by_hand() -> None:
    # bin (0.6, 0.667]: scores .65 and .65, one of two tampered; bin (0, 0.067]: score .05, authentic
    images = ImageScores.of([1, 0, 0], [0.65, 0.65, 0.05])
    assert im.image_calibration_error(images) == pytest.approx(2 / 3 * 0.15 + 1 / 3 * 0.05)


def test_tpr_at_fpr_takes_a_rate_that_is_met_exactly() -> None:
    images = ImageScores.of([0] * 100 + [1], [0.9] + [0.1] * 99 + [0.8])
    assert im.image_tpr_at_fpr(images, max_fpr=0.01) == 1


@pytest.mark.parametrize("seed", range(5))
def test_other_libraries_agree(seed: int) -> None:
    images = random_images(seed)
    assert im.image_auc(images)[0] == pytest.approx(roc_auc_score(images.labels, images.scores))
    assert im.image_f1_ordinary(images)[0] == pytest.approx(f1_score(images.labels, images.scores > 0.5))
    labels = torch.from_numpy(images.labels).int()
    off_edges = np.clip(images.scores, 0, 0.99) + 0.003
    ours = im.image_calibration_error(ImageScores(images.labels, off_edges))[0]
    assert ours == pytest.approx(float(binary_calibration_error(torch.from_numpy(off_edges), labels)), abs=1e-6)


def test_eer_agrees_with_torchmetrics_where_the_curve_meets_it() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 400)
    scores = 1 / (1 + np.exp(-rng.normal(labels * 1.5)))
    theirs = float(binary_eer(torch.from_numpy(scores), torch.from_numpy(labels)))
    assert im.image_eer(ImageScores.of(labels, scores))[0] == pytest.approx(theirs, abs=1 / 400)


@pytest.mark.parametrize("seed", range(5))
def test_eer_and_tpr_against_a_slow_second_implementation(seed: int) -> None:
    images = random_images(seed)
    positives, negatives = images.scores[images.labels], images.scores[~images.labels]
    points = [(1.0, 1.0)]
    for threshold in sorted(set(images.scores)):
        points.append((np.mean(negatives > threshold), np.mean(positives > threshold)))
    fine = np.linspace(0, 1, 2001)
    crossing = min(
        (abs(fpr - (1 - tpr)), fpr)
        for (f1, t1), (f2, t2) in pairwise(points)
        for fpr, tpr in zip(f1 + fine * (f2 - f1), t1 + fine * (t2 - t1), strict=True)
    )[1]
    assert im.image_eer(images)[0] == pytest.approx(crossing, abs=1e-3)
    best = max(tpr for fpr, tpr in points if fpr <= 0.05)
    assert im.image_tpr_at_fpr(images, max_fpr=0.05)[0] == best


@pytest.mark.parametrize("metric", EVERY)
def test_weights_are_repetitions_and_order_is_nothing(metric) -> None:
    images, rng = random_images(7), np.random.default_rng(8)
    weights = rng.integers(0, 4, (3, images.labels.size))
    at_once = metric(images, weights)
    assert at_once.shape == (3,)
    for row, value in zip(weights, at_once, strict=True):
        chosen = rng.permutation(np.repeat(np.arange(images.labels.size), row))
        repeated = metric(ImageScores(images.labels[chosen], images.scores[chosen]))
        np.testing.assert_allclose(repeated, [value], atol=1e-12)


@pytest.mark.parametrize("metric", [im.image_f1_sen_spe_harmonic, im.image_auc, im.image_eer, EVERY[4]])
@pytest.mark.parametrize("label", [0, 1])
def test_a_missing_class_is_undefined(metric, label: int) -> None:
    assert np.isnan(metric(ImageScores.of([label, label], [0.2, 0.8]))).all()


def test_scores_outside_the_scale_are_refused() -> None:
    for wrong in (1.01, -0.01, np.nan):
        with pytest.raises(ValueError, match="without NaN"):
            ImageScores.of([1], [wrong])
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        ImageScores.of([1, 0], [0.1])
    with pytest.raises(ValueError, match="weights"):
        im.image_auc(SIX, np.ones((1, 5)))
