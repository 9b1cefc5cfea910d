"""Fit a model's calibration on authentic photos alone: the forgeries are made from them, and so are the masks."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vilaco import __version__
from vilaco.calibration import (
    MAX_MAP_SHIFT,
    SCORE_STEP,
    Calibration,
    false_alarm_threshold,
    logit,
    move_logit,
    platt,
)
from vilaco.data.forge import ForgeConfig, PhotoPool, make_example
from vilaco.data.records import AUTHENTIC, TAMPERED
from vilaco.errors import DataError, ModelError
from vilaco.evaluation.image_metrics import ImageScores, image_auc
from vilaco.evaluation.metrics import Bools, Floats
from vilaco.files import refuse_filled, write_atomically
from vilaco.images import load_photo
from vilaco.localizer import Localizer
from vilaco.notes import Noted
from vilaco.result import strongest_region

MAP_SHIFTS = np.linspace(-MAX_MAP_SHIFT, MAX_MAP_SHIFT, 129)
"""Shifts of the map's logit that are tried, in steps of 1/8: 3 hundredths of probability around 0.5."""


@dataclass(frozen=True)
class CalibrationReport:
    """What :func:`calibrate` found.

    Attributes:
        calibration: To be kept with the model.
        pixel_f1_raw: Mean per-image F1 of the raw maps on the forgeries at 0.5, in [0, 1].
        pixel_f1: The same of the calibrated maps; the shift was chosen on these forgeries.
        unreadable: Photo to the reason why it was skipped.
        noted: Photos that were read otherwise than their files store them; ``None`` where there is none.
    """

    calibration: Calibration
    pixel_f1_raw: float
    pixel_f1: float
    unreadable: Mapping[Path, str]
    noted: Noted | None


def calibrate(
    localizer: Localizer,
    photos: Sequence[Path],
    *,
    seed: int = 0,
    max_false_alarms: float = 0.05,
    max_suspicions: float = 0.1,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> CalibrationReport:
    """Calibrate a model on pictures made from authentic photos that it was not trained on.

    Each photo gives one authentic picture and one forgery, twins that share view, camera and a randomly drawn
    history of saves, crops and sizes. One picture a photo and label keeps the pictures exchangeable with those
    that another photo of the same source would give, which is what a conformal guarantee rests on.

    Args:
        localizer: The model; a calibration it already has is not used.
        photos: Authentic photos.
        seed: Of views, forgeries and histories.
        max_false_alarms: The rate that the model will be shipped with, in (0, 1).
        max_suspicions: Share of authentic photos that may score high enough to be suspicious, and that may have a
            region drawn, in (0, 1).
        progress: Wraps the pictures' numbers, two a photo, for a progress bar.

    Returns:
        The calibration, and how well the maps did.

    Raises:
        ConfigError: If there are too few photos for the rates.
        DataError: If no photo can be read, or the score does not tell forged from authentic.
    """
    raw = Localizer(localizer.runtime, name=localizer.name)
    config = ForgeConfig()
    pool = PhotoPool(photos, max_side=config.max_side)
    _refuse_rates(len(pool.paths), max_false_alarms, max_suspicions)  # before any work
    scores: dict[int, list[float]] = {AUTHENTIC: [], TAMPERED: []}
    pixel_f1: list[Floats] = []
    strongest: list[float] = []
    shift = 0.0
    for place in progress(range(2 * len(pool.paths))):  # the forgeries say where the map is cut, then regions are
        label, host = (TAMPERED, AUTHENTIC)[place // len(pool.paths)], place % len(pool.paths)
        if pool.pixels(host) is None:
            continue
        example = make_example(pool, np.random.default_rng([seed, host]), config, host=host, label=label)
        result = raw.predict(load_photo(example.encoded))
        scores[label].append(result.detection_score)
        if label == TAMPERED:
            pixel_f1.append(pixel_f1_by_shift(result.localization_map, example.mask))
            continue
        shift = shift if strongest else best_shift(np.mean(pixel_f1, axis=0))
        strongest.append(strongest_region(move_logit(result.localization_map, shift)))
    unreadable = {pool.paths[index]: reason for index, reason in pool.unreadable.items()}
    if not pixel_f1:
        raise DataError(f"none of the {len(pool.paths)} photos can be used: {next(iter(unreadable.values()))}")
    mean_f1 = np.mean(pixel_f1, axis=0)
    calibration = fit_calibration(
        np.array(scores[AUTHENTIC]),
        np.array(scores[TAMPERED]),
        np.array(strongest),
        map_shift=shift,
        max_false_alarms=max_false_alarms,
        max_suspicions=max_suspicions,
        calibrated_with={
            "vilaco_version": __version__,
            "photos": len(pixel_f1),
            "seed": seed,
            "forge": config.model_dump(mode="json"),
        },
    )
    return CalibrationReport(
        calibration=calibration,
        pixel_f1_raw=float(mean_f1[MAP_SHIFTS == 0][0]),
        pixel_f1=float(mean_f1.max()),
        unreadable=unreadable,
        noted=Noted.among((pool.paths[index], notes) for index, notes in sorted(pool.notes.items())),
    )


def fit_calibration(
    authentic: Floats,
    tampered: Floats,
    authentic_regions: Floats,
    *,
    map_shift: float,
    max_false_alarms: float = 0.05,
    max_suspicions: float = 0.1,
    calibrated_with: dict[str, Any] | None = None,
) -> Calibration:
    """Fit a calibration to raw detection scores, and regions, of held-out pictures.

    Args:
        authentic: In [0, 1], shape ``(n,)``.
        tampered: In [0, 1], shape ``(m,)``.
        authentic_regions: Of each authentic picture, the evidence of its strongest region (see
            :func:`~vilaco.result.strongest_region`) on the map moved by ``map_shift``; shape ``(n,)``.
        map_shift: From :func:`best_shift`.
        max_false_alarms: See :class:`~vilaco.calibration.Calibration`.
        max_suspicions: Likewise.
        calibrated_with: Likewise.

    Raises:
        ConfigError: If there are too few pictures for the rates.
        DataError: If forgeries do not score above authentic pictures.

    Example:
        >>> fitted = fit_calibration(np.linspace(0.1, 0.5, 40), np.linspace(0.3, 0.9, 40), np.zeros(40), map_shift=0.0)
        >>> fitted.score(0.3) < 0.5 < fitted.score(0.5)
        True
    """
    _refuse_rates(len(authentic), max_false_alarms, max_suspicions)
    slope, offset = fit_platt(authentic, tampered)
    steps = round(1 / SCORE_STEP)
    rounded_up = np.ceil(platt(np.sort(authentic), slope, offset) * steps) / steps
    regions = np.minimum(np.ceil(np.sort(authentic_regions) * steps) / steps, 1.0)
    rounded_down = np.floor(platt(np.sort(tampered), slope, offset) * steps) / steps
    return Calibration(
        slope=slope,
        offset=offset,
        map_shift=map_shift,
        authentic_scores=tuple(rounded_up.tolist()),
        tampered_scores=tuple(rounded_down.tolist()),
        authentic_regions=tuple(regions.tolist()),
        max_false_alarms=max_false_alarms,
        max_suspicions=max_suspicions,
        calibrated_with=calibrated_with or {},
    )


def fit_platt(authentic: Floats, tampered: Floats) -> tuple[float, float]:
    """Slope and offset of Platt scaling, by maximum likelihood.

    As in Platt (1999), labels are drawn in a little, to ``1 / (n + 2)`` and ``(m + 1) / (m + 2)``, so that scores
    which separate perfectly do not ask for an infinite slope. Unlike there, both kinds weigh the same however many
    there are of each.

    Args:
        authentic: Raw scores in [0, 1], shape ``(n,)``.
        tampered: Raw scores in [0, 1], shape ``(m,)``.

    Raises:
        DataError: If the slope is not positive: then the score does not tell forged from authentic.
    """
    from sklearn.linear_model import LogisticRegression

    n, m = len(authentic), len(tampered)
    logits = logit(np.concatenate([authentic, tampered]))
    targets = np.concatenate([np.full(n, 1 / (n + 2)), np.full(m, (m + 1) / (m + 2))])
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)]) * (n + m) / 2
    # a label between 0 and 1 is both labels, each in its share
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        np.tile(logits, 2)[:, None],
        np.repeat([0, 1], n + m),
        sample_weight=np.concatenate([weights * (1 - targets), weights * targets]),
    )
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if not slope > 0:
        auc = image_auc(ImageScores.of([0] * n + [1] * m, np.concatenate([authentic, tampered])))[0]
        raise DataError(
            f"the model's score does not tell forged from authentic pictures (AUC {auc:.2f} on {n} + {m} of them), "
            "so there is nothing to calibrate"
        )
    return slope, offset


def pixel_f1_by_shift(raw_map: NDArray[np.float32], mask: Bools) -> Floats:
    """F1 of one forgery's map at 0.5 after each of :data:`MAP_SHIFTS`; the map itself need not be kept.

    Args:
        raw_map: (H, W) in [0, 1].
        mask: Forged pixels, (H, W) bool, not empty.

    Returns:
        In [0, 1], shape ``(129,)``.
    """
    thresholds = 1 / (1 + np.exp(MAP_SHIFTS[::-1]))  # a shifted value is above 0.5 where the raw one is above these
    passed = np.searchsorted(thresholds, raw_map.ravel())  # how many of them each pixel is above
    called = _at_least(passed)
    found = _at_least(passed[mask.ravel()])
    return (2 * found / (called + np.count_nonzero(mask)))[::-1]


def best_shift(mean_f1: Floats) -> float:
    """The shift with the highest mean F1; of several, the one nearest to zero.

    Args:
        mean_f1: At each of :data:`MAP_SHIFTS`, shape ``(129,)``.
    """
    best = np.flatnonzero(mean_f1 == mean_f1.max())
    return float(MAP_SHIFTS[best[np.argmin(np.abs(MAP_SHIFTS[best]))]])


def write_calibrated(model: Path, out: Path, calibration: Calibration) -> None:
    """Copy a model folder, with a calibration; the copy is a model only once it is whole.

    Args:
        model: The folder.
        out: The folder to write; new or empty.
        calibration: Takes the place of one that the model has.

    Raises:
        DataError: If ``out`` is not empty.
        ModelError: If the model is an exported one, whose graphs hold the calibration.
        VilacoError: If a file cannot be written.
    """
    refuse_filled(out)
    if not (model / "model.safetensors").is_file():
        raise ModelError(f"{model}: is an exported model; calibrate the one it was exported from, then export again")
    config = json.loads((model / "config.json").read_bytes())
    config.pop("calibration", None)
    for name in ("README.md", "model.safetensors"):
        if (model / name).is_file():
            write_atomically(out / name, (model / name).read_bytes())
    text = json.dumps(config, indent=2).removesuffix("\n}")
    text += f',\n  "calibration": {calibration.model_dump_json()}\n}}\n'  # on one line, for it holds every score
    write_atomically(out / "config.json", text.encode())


def _refuse_rates(authentic: int, max_false_alarms: float, max_suspicions: float) -> None:
    """Refuse rates that so many pictures cannot promise, whatever their scores."""
    false_alarm_threshold((0.0,) * authentic, max_false_alarms)
    false_alarm_threshold((0.0,) * authentic, max_suspicions, "max_suspicions")


def _at_least(passed: NDArray[np.int64]) -> Floats:
    """How many pixels are above each threshold, from how many thresholds each pixel is above."""
    counts = np.bincount(passed, minlength=len(MAP_SHIFTS) + 1)
    return np.cumsum(counts[::-1])[::-1][1:].astype(float)
