"""Pixel metrics as pure functions: counts, their formulas, and everything that needs all thresholds at once.

A map of floats is first written as 16-bit *levels*, the scale of a 16-bit PNG: ``level = ceil(65535 * score -
0.5)``, so that two scores share a level only when they differ by less than 1/65535. The fixed threshold
survives this
exactly: ``score > 0.5`` holds if and only if ``level >= 32768``. A map and its mask then shrink to two
histograms of 65536 bins, from which each threshold's counts, the best F1 and the AUC follow without keeping
the map.

Counts and formulas are elementwise, so one function serves a single image, a curve over thresholds, and a
thousand bootstrap resamples. A ratio of nothing to nothing is undefined: NaN, never zero.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

LEVELS = 65536
FIXED_LEVEL = 32768
"""The lowest level whose scores are above 0.5."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """A confusion matrix, or an array of them; all fields have one shape (any), tampered is positive."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats

    def inverted(self) -> "Counts":
        """Counts of the opposite prediction: what was called tampered is called authentic.

        Example:
            >>> float(pixel_counts(np.array([True, False]), np.array([False, True])).inverted().tp)
            1.0
        """
        return Counts(tp=self.fn, fp=self.tn, fn=self.tp, tn=self.fp)

    def stack(self) -> Floats:
        """``(..., 4)`` array in the order TP, FP, FN, TN."""
        return np.stack([self.tp, self.fp, self.fn, self.tn], axis=-1)

    @classmethod
    def unstack(cls, array: Floats) -> "Counts":
        """The inverse of :meth:`stack`."""
        return cls(*np.moveaxis(array, -1, 0))


def divide(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Elementwise quotient, NaN where the denominator is zero, without a warning.

    Example:
        >>> divide([1.0, 0.0], [2.0, 0.0])
        array([0.5, nan])
    """
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def pixel_counts(pred_mask: Bools, mask: Bools) -> Counts:
    """Confusion counts of one predicted mask.

    Args:
        pred_mask: True is tampered. Any shape.
        mask: Pixel-level truth, same shape.

    Returns:
        Counts of scalars (arrays of shape ``()``).

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> float(f1(pixel_counts(np.array([True, True, False]), np.array([True, False, True]))))
        0.5
    """
    if pred_mask.shape != mask.shape:
        raise ValueError(f"pred_mask and mask must have one shape, got {pred_mask.shape} and {mask.shape}.")
    tp = np.count_nonzero(pred_mask & mask)
    predicted, tampered = np.count_nonzero(pred_mask), np.count_nonzero(mask)
    tn = mask.size - predicted - tampered + tp
    return Counts(*(np.asarray(n, float) for n in (tp, predicted - tp, tampered - tp, tn)))


def f1(counts: Counts) -> Floats:
    """``2TP / (2TP + FP + FN)``; NaN when nothing is tampered and nothing was called so."""
    return divide(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def f1_wscl(counts: Counts) -> Floats:
    """``2TP / (2TP + FP + FN + 1e-6)``, the field's P-F1 (WSCL, ICCV 2023; MVSS-Net agrees)."""
    return np.asarray(2 * counts.tp / (2 * counts.tp + counts.fp + counts.fn + 1e-6))


def iou(counts: Counts) -> Floats:
    """``TP / (TP + FP + FN)``; NaN when nothing is tampered and nothing was called so."""
    return divide(counts.tp, counts.tp + counts.fp + counts.fn)


def accuracy(counts: Counts) -> Floats:
    """``(TP + TN) / all``."""
    return divide(counts.tp + counts.tn, counts.tp + counts.fp + counts.fn + counts.tn)


def sensitivity(counts: Counts) -> Floats:
    """``TP / (TP + FN)``: the share of what is tampered that was called so."""
    return divide(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> Floats:
    """``TN / (TN + FP)``: the share of what is authentic that was left alone."""
    return divide(counts.tn, counts.tn + counts.fp)


def balanced_accuracy(counts: Counts) -> Floats:
    """Mean of sensitivity and specificity; NaN when either class is missing."""
    return (sensitivity(counts) + specificity(counts)) / 2


def mcc(counts: Counts) -> Floats:
    """Matthews correlation in [-1, 1]; NaN when the truth or the prediction has one class only.

    ``(TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN))``, the root taken factor by factor because the
    product of four pixel totals overflows.
    """
    tp, fp, fn, tn = counts.tp, counts.fp, counts.fn, counts.tn
    root = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return divide(tp * tn - fp * fn, root)


def harmonic_mean(first: ArrayLike, second: ArrayLike) -> Floats:
    """``2ab / (a + b)``; 0 when both are 0, since then neither part has anything to offer; NaN stays NaN.

    Example:
        >>> harmonic_mean([0.5, 0.0], [1.0, 0.0])
        array([0.66666667, 0.        ])
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    both_zero = (a == 0) & (b == 0)
    return np.where(both_zero, 0.0, divide(2 * a * b, a + b))


def score_levels(scores: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Scores as 16-bit levels, ``ceil(65535 * score - 0.5)``: halves round down, so 0.5 stays below 32768.

    Args:
        scores: In [0, 1], float32. Any shape.

    Returns:
        uint16 of the same shape.

    Example:
        >>> score_levels(np.array([0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1.0], np.float32))
        array([    0, 32767, 32768, 65535], dtype=uint16)
    """
    scaled = scores * np.float32(LEVELS - 1)
    scaled -= np.float32(0.5)
    np.ceil(scaled, out=scaled)
    return np.abs(scaled, out=scaled).astype(np.uint16)


def level_histograms(levels: NDArray[np.uint16], mask: Bools, valid: Bools | None = None) -> NDArray[np.int64]:
    """How many authentic and tampered pixels sit at each level.

    Args:
        levels: From :func:`score_levels`. Shape ``(H, W)``.
        mask: True is tampered. Shape ``(H, W)``.
        valid: False leaves a pixel out. Shape ``(H, W)``.

    Returns:
        Shape ``(2, 65536)``: row 0 authentic, row 1 tampered.
    """
    tampered = mask if valid is None else mask & valid
    kept = levels if valid is None else levels[valid]
    total = np.bincount(kept.ravel(), minlength=LEVELS)
    positive = np.bincount(levels[tampered], minlength=LEVELS)
    return np.stack([total - positive, positive])


def counts_by_threshold(negatives: NDArray, positives: NDArray) -> Counts:
    """Counts at every threshold, from histograms of scores in ascending order.

    Args:
        negatives: How much authentic weight sits at each of ``L`` scores. Shape ``(..., L)``.
        positives: The same for tampered. Shape ``(..., L)``.

    Returns:
        Counts of shape ``(..., L + 1)``: entry ``k`` calls the scores ``k, k+1, ...`` tampered, so the first
        entry calls everything tampered and the last one nothing.

    Example:
        >>> counts_by_threshold(np.array([3, 1]), np.array([0, 2])).fp
        array([4., 1., 0.])
    """
    fp, tp = _sum_from(negatives), _sum_from(positives)
    return Counts(tp=tp, fp=fp, fn=tp[..., :1] - tp, tn=fp[..., :1] - fp)


def _sum_from(histogram: NDArray) -> Floats:
    """Sum over this and all higher scores, with a final zero; shape ``(..., L)`` to ``(..., L + 1)``."""
    sums = np.zeros((*histogram.shape[:-1], histogram.shape[-1] + 1))
    np.cumsum(histogram[..., ::-1], axis=-1, out=sums[..., -2::-1])
    return sums


def auc(negatives: NDArray, positives: NDArray) -> Floats:
    """Area under the ROC curve, ties counted half; NaN when a class is empty.

    It is the chance that a tampered item scores above an authentic one: the trapezoid rule over the curve of
    :func:`counts_by_threshold`, which on true scores is exactly the Mann-Whitney statistic. On 16-bit levels
    the error is at most half the share of (tampered, authentic) pairs that fall into one level.

    Args:
        negatives: Weight of authentic items at each score, ascending. Shape ``(..., L)``.
        positives: Weight of tampered items. Shape ``(..., L)``.

    Returns:
        Shape ``(...)``.

    Example:
        >>> float(auc(np.array([1, 1, 0]), np.array([0, 1, 0])))  # above one, tied with the other
        0.75
    """
    below = np.cumsum(negatives, axis=-1, dtype=float) - negatives
    wins = np.sum(positives * (below + 0.5 * negatives), axis=-1)
    return divide(wins, np.sum(positives, axis=-1, dtype=float) * np.sum(negatives, axis=-1, dtype=float))
