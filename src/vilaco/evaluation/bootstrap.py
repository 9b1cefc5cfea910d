"""Percentile bootstrap over images: how far a figure moves when other images are drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vilaco.evaluation.metrics import Floats

_CHUNK = 2_000_000
"""Weights held at once, so that the memory does not grow with images x resamples."""

Statistic = Callable[[NDArray], Floats]
"""Weights ``(R, n)``, how often each image was drawn, to values ``(R,)``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval; NaN at both ends when no resample had a defined value."""

    low: float
    high: float


def resample_weights(images: int, *, resamples: int, seed: int) -> Iterator[NDArray]:
    """Draw ``images`` of ``images`` with replacement, ``resamples`` times, as counts, a block at a time.

    The rows depend on the seed alone, not on the block size.

    Yields:
        Counts ``(rows, images)``; each row sums to ``images``.

    Example:
        >>> next(resample_weights(5, resamples=3, seed=0)).sum(axis=1)
        array([5., 5., 5.])
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // max(1, images))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(images, size=(count, images)) + np.arange(count)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(float)


def bootstrap_intervals(
    statistics: Sequence[Statistic], images: int, *, resamples: int = 1000, seed: int = 0
) -> list[Interval]:
    """95% percentile intervals of several statistics on the same resamples.

    Args:
        statistics: Each maps weights ``(R, n)`` to values ``(R,)``.
        images: ``n``, at least 1.
        resamples: How many times the images are drawn anew; 0 gives NaN.
        seed: Of the draws.

    Returns:
        One interval a statistic, from the 2.5th to the 97.5th percentile of its defined values.

    Example:
        >>> values = np.array([0.0, 1.0] * 50)
        >>> (interval,) = bootstrap_intervals([lambda w: w @ values / w.sum(axis=1)], 100)
        >>> interval.low < 0.5 < interval.high
        True
    """
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}.")
    drawn: list[list[Floats]] = [[] for _ in statistics]
    for weights in resample_weights(images, resamples=resamples, seed=seed):
        for values, statistic in zip(drawn, statistics, strict=True):
            values.append(statistic(weights))
    return [_interval(np.concatenate(values)) if values else Interval(np.nan, np.nan) for values in drawn]


def _interval(values: Floats) -> Interval:
    defined = values[~np.isnan(values)]
    if defined.size == 0:
        return Interval(np.nan, np.nan)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(float(low), float(high))
