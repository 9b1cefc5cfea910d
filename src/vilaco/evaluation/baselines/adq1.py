"""ADQ1: blocks that were JPEG-compressed once where the rest was compressed twice.

Sources: Z. Lin, J. He, X. Tang and C.-K. Tang, "Fast, automatic and fine-grained tampered JPEG image
detection via DCT coefficient analysis", Pattern Recognition 42(11), 2009 (the idea: double quantisation
leaves gaps and peaks in the histograms of block-DCT coefficients, which a pasted region does not share); T.
Bianchi, A. De Rosa and A. Piva, "Improved DCT coefficient analysis for forgery localization in JPEG
images", ICASSP 2011 (the likelihoods used here: coefficients of the image with its grid shifted by half a
block stand for coefficients that were never quantised).

For each of nine low frequencies: the last step ``q2`` is read off the coefficients; for each possible
earlier step ``q1`` the shifted coefficients are quantised by ``q1`` and then ``q2``; the mixture of "twice"
and "once" that explains the histogram best is kept if it explains it clearly better than "once" alone. A
block's posterior multiplies the likelihood ratios of its frequencies, as in Lin et al.'s Eq. 4. Only pixels
are read, so any lossless copy will do.

Where no frequency shows double quantisation there is nothing to contradict: the map is 0.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vilaco.block_dct import BLOCK, block_dct, luma, spread_blocks

FREQUENCIES = ((0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0))
MAX_STEP = 40
MIN_GAIN = 0.05
"""Least gain in mean log-likelihood, nats a coefficient, at which "twice" is believed over "once"."""

_SHARES_ONCE = np.linspace(0.05, 0.95, 10)[:, None]
_MAX_SAMPLES = 20_000
_MAX_DECODING_ERROR, _MAX_STRAYS = 1.5, 0.01
"""Coefficients further than this from a multiple (DCT units) are strays; clipped pixels make a few."""
_BINS = 40
_ROUNDING = (-0.5, 0.0, 0.5)
"""Offsets that stand for the error of rounding decoded pixels between the two saves, in DCT units."""


@dataclass(frozen=True, slots=True, eq=False)
class _Likelihoods:
    """Probability of each histogram bin under one and under two quantisations, for one frequency."""

    once: NDArray[np.float64]
    twice: NDArray[np.float64]


def last_step(coefficients: NDArray[np.float32]) -> int:
    """The quantisation step that coefficients were last rounded to.

    Args:
        coefficients: Decoded coefficients of one frequency, any shape.

    Returns:
        The largest step whose multiples the coefficients sit on, at most ``MAX_STEP``; 1 if there is none,
        as for images that never were JPEG.

    Example:
        >>> values = 6 * np.arange(-20, 21)
        >>> last_step(np.float32(values)), last_step(np.float32(values) + 0.3)
        (6, 6)
    """
    values = np.abs(coefficients).ravel()
    for step in range(MAX_STEP, 1, -1):
        large = values[values > step / 2]
        # cos is 1 on multiples of the step; decoding noise of 0.4 leaves exp(-2 (0.4 pi / step)^2) of that.
        expected = np.exp(-2.0 * (0.4 * np.pi / step) ** 2)
        if large.size < BLOCK or np.cos(2.0 * np.pi / step * large).mean() < 0.7 * expected:
            continue
        # An earlier, coarser step fits almost all coefficients too, but not those of a pasted region.
        if (np.abs(values - step * np.rint(values / step)) > _MAX_DECODING_ERROR).mean() < _MAX_STRAYS:
            return step
    return 1


def adq1_map(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Posterior that a block was compressed once in an image that was compressed twice.

    Args:
        pixels: RGB on the stored grid, shape ``(H, W, 3)``.

    Returns:
        Shape ``(H, W)``, in [0, 1]; 0.5 would be no evidence either way; zeros for an image below two
        blocks a side.
    """
    size = pixels.shape[0], pixels.shape[1]
    if min(size) < 2 * BLOCK:
        return np.zeros(size, np.float32)
    plane = luma(pixels) - 128.0
    stored, shifted = block_dct(plane), block_dct(plane[BLOCK // 2 :, BLOCK // 2 :])
    log_ratio = np.zeros(stored.shape[:2], np.float32)
    found = False
    for row, column in FREQUENCIES:
        values = stored[..., row, column]
        step = last_step(values)
        bins = _bin(values / step)
        fitted = _fit(bins, shifted[..., row, column].ravel(), step)
        if fitted is not None:
            found = True
            log_ratio += np.log(fitted.once / fitted.twice)[bins].astype(np.float32)
    if not found:
        return np.zeros(size, np.float32)
    neighbourhood = cv2.boxFilter(log_ratio, -1, (3, 3), borderType=cv2.BORDER_REFLECT)
    posterior = 1.0 / (1.0 + np.exp(-np.clip(neighbourhood, -30.0, 30.0)))
    return spread_blocks(posterior.astype(np.float32), size)


def _bin(multiples: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.clip(np.rint(multiples), -_BINS, _BINS).astype(np.int64) + _BINS


def _histograms(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Histogram of each row plus half a count a bin, summing to 1: ``(K, n)`` to ``(K, 2 _BINS + 1)``."""
    width = 2 * _BINS + 1
    rows = np.arange(len(bins))[:, None] * width
    counts = np.bincount((bins + rows).ravel(), minlength=len(bins) * width).reshape(len(bins), width) + 0.5
    return counts / counts.sum(axis=1, keepdims=True)


def _fit(observed: NDArray[np.int64], unquantised: NDArray[np.float32], step: int) -> _Likelihoods | None:
    """Likelihoods under the earlier step that explains the bins best, or None if none clearly does."""
    # An earlier step that divides the last one leaves no gaps.
    earlier = np.array([q for q in range(2, MAX_STEP + 1) if step % q], np.float32)[:, None]
    unquantised = unquantised[:: 1 + unquantised.size // _MAX_SAMPLES]
    once = _histograms(_bin(unquantised / step)[None])
    first = np.rint(unquantised / earlier) * earlier
    twice = _histograms(_bin(np.concatenate([(first + offset) / step for offset in _ROUNDING], axis=1)))
    counts = np.bincount(observed.ravel(), minlength=2 * _BINS + 1) / observed.size
    mixtures = _SHARES_ONCE * once + (1.0 - _SHARES_ONCE) * twice[:, None, :]  # (K, shares, bins)
    gains = (np.log(mixtures) @ counts).max(axis=1) - np.log(once[0]) @ counts
    best = int(gains.argmax())
    return _Likelihoods(once[0], twice[best]) if gains[best] > MIN_GAIN else None
