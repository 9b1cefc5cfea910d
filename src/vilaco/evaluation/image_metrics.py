"""Image-level metrics as pure functions of labels and detection scores.

Each takes ``weights`` of shape ``(R, n)``, how often each of ``n`` images counts in each of ``R`` resamples,
and returns ``(R,)``; without weights every image counts once and the result has shape ``(1,)``. So the point
value and its bootstrap interval come from the same lines. Scores are used as they are, without quantisation;
an image is called tampered when its score is above the threshold.

Two different quantities are called I-F1 in this field. :func:`image_f1_sen_spe_harmonic` is the weakly
supervised field's (WSCL, MVSS-Net); :func:`image_f1_ordinary` is everybody else's (IMDLBenCo among them).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vilaco.evaluation import metrics
from vilaco.evaluation.metrics import Bools, Counts, Floats

CALIBRATION_BINS = 15
"""Equal-width bins of the calibration error (Guo et al., ICML 2017 use 15)."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """Labels and scores of ``n`` images.

    Attributes:
        labels: True is tampered. Shape ``(n,)``.
        scores: Detection scores in [0, 1]. Shape ``(n,)``.

    Raises:
        ValueError: If the shapes differ or a score is NaN or outside [0, 1].
    """

    labels: Bools
    scores: Floats

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.shape != self.scores.shape:
            raise ValueError(f"labels and scores must be (n,), got {self.labels.shape} and {self.scores.shape}.")
        if not np.all((self.scores >= 0) & (self.scores <= 1)):
            raise ValueError("scores must lie in [0, 1] without NaN.")

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike) -> "ImageScores":
        """Build from plain lists, labels being 0 or 1."""
        return cls(np.asarray(labels).astype(bool), np.asarray(scores, float))


def image_counts(images: ImageScores, weights: NDArray | None = None, *, threshold: float = 0.5) -> Counts:
    """Confusion counts of images, shape ``(R,)`` each.

    Example:
        >>> image_counts(ImageScores.of([1, 1, 0], [0.9, 0.5, 0.6])).stack()
        array([[1., 1., 1., 0.]])
    """
    weights = _weights_or_ones(images, weights)
    called, labels = images.scores > threshold, images.labels

    def total(chosen: Bools) -> Floats:
        return weights @ chosen.astype(float)

    return Counts(
        tp=total(called & labels),
        fp=total(called & ~labels),
        fn=total(~called & labels),
        tn=total(~called & ~labels),
    )


def image_f1_sen_spe_harmonic(images: ImageScores, weights: NDArray | None = None, *, threshold: float = 0.5) -> Floats:
    """The weakly supervised field's I-F1, ``2 sen spe / (sen + spe)``; NaN when a class is missing.

    Calling everything tampered gives 0 here and up to 1 in :func:`image_f1_ordinary`, so the two never
    compare.

    Example:
        >>> image_f1_sen_spe_harmonic(ImageScores.of([1, 1, 0], [0.9, 0.1, 0.2]))  # sen 1/2, spe 1
        array([0.66666667])
    """
    counts = image_counts(images, weights, threshold=threshold)
    return metrics.harmonic_mean(metrics.sensitivity(counts), metrics.specificity(counts))


def image_f1_ordinary(images: ImageScores, weights: NDArray | None = None, *, threshold: float = 0.5) -> Floats:
    """``2TP / (2TP + FP + FN)`` over images.

    Example:
        >>> image_f1_ordinary(ImageScores.of([1, 1, 0], [0.9, 0.8, 0.7]))
        array([0.8])
    """
    return metrics.f1(image_counts(images, weights, threshold=threshold))


def image_auc(images: ImageScores, weights: NDArray | None = None) -> Floats:
    """Area under the image-level ROC curve, ties counted half; NaN when a class is missing.

    Example:
        >>> image_auc(ImageScores.of([1, 0, 0], [0.6, 0.6, 0.1]))
        array([0.75])
    """
    return metrics.auc(*_score_histograms(images, weights))


def image_eer(images: ImageScores, weights: NDArray | None = None) -> Floats:
    """Equal error rate: where false alarms and misses are the same share, on the ROC's straight segments.

    Example:
        >>> image_eer(ImageScores.of([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1]))
        array([0.5])
    """
    fpr, tpr = image_roc(images, weights)
    excess = fpr - (1 - tpr)  # (R, L + 1), falls from 1 to -1 as fewer images are called tampered
    after = np.argmax(excess <= 0, axis=-1)[:, None]
    before = np.maximum(after - 1, 0)

    def at(curve: Floats, index: NDArray) -> Floats:
        return np.take_along_axis(curve, index, axis=-1)[:, 0]

    gap = at(excess, before) - at(excess, after)
    share = metrics.divide(at(excess, before), gap)
    return at(fpr, before) + share * (at(fpr, after) - at(fpr, before))


def image_tpr_at_fpr(images: ImageScores, weights: NDArray | None = None, *, max_fpr: float) -> Floats:
    """The highest share of tampered images that a threshold finds with at most ``max_fpr`` false alarms.

    Example:
        >>> image_tpr_at_fpr(ImageScores.of([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1]), max_fpr=0.05)
        array([0.5])
    """
    fpr, tpr = image_roc(images, weights)
    best = np.max(np.where(fpr <= max_fpr, tpr, 0.0), axis=-1)
    return np.where(np.isnan(fpr).any(axis=-1) | np.isnan(tpr).any(axis=-1), np.nan, best)


def image_calibration_error(images: ImageScores, weights: NDArray | None = None) -> Floats:
    """Expected calibration error of the score as the chance of being tampered, 15 bins ``(low, high]``.

    Sum over bins of ``share of images x |mean score - share tampered|`` (Guo et al., ICML 2017, Eq. 3, for
    the tampered class). It depends on how many images of each class the set holds.

    Example:
        >>> image_calibration_error(ImageScores.of([1, 0], [0.75, 0.25])).round(3)
        array([0.25])
    """
    weights = _weights_or_ones(images, weights)
    bins = np.clip(np.ceil(images.scores * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(int)
    gaps = (images.scores - images.labels)[:, None] * (bins[:, None] == np.arange(CALIBRATION_BINS))
    return metrics.divide(np.abs(weights @ gaps).sum(axis=-1), weights.sum(axis=-1))


def image_roc(images: ImageScores, weights: NDArray | None = None) -> tuple[Floats, Floats]:
    """False and true positive rates ``(R, L + 1)``, from all called tampered to none; NaN without a class."""
    counts = metrics.counts_by_threshold(*_score_histograms(images, weights))
    return metrics.divide(counts.fp, counts.fp + counts.tn), metrics.sensitivity(counts)


def _score_histograms(images: ImageScores, weights: NDArray | None) -> tuple[Floats, Floats]:
    """Authentic and tampered weight at each distinct score, ascending; ``(R, L)`` both."""
    weights = _weights_or_ones(images, weights)
    order = np.argsort(images.scores, kind="stable")
    starts = np.flatnonzero(np.diff(images.scores[order], prepend=-1.0))
    labels, weights = images.labels[order], weights[:, order]
    negatives = np.add.reduceat(weights * ~labels, starts, axis=1)
    positives = np.add.reduceat(weights * labels, starts, axis=1)
    return negatives, positives


def _weights_or_ones(images: ImageScores, weights: NDArray | None) -> Floats:
    if weights is None:
        return np.ones((1, images.labels.size))
    if weights.ndim != 2 or weights.shape[1] != images.labels.size:
        raise ValueError(f"weights must be (R, {images.labels.size}), got {weights.shape}.")
    return weights.astype(float)
