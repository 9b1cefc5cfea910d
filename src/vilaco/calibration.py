"""What turns a model's raw answer into a verdict that means something: calibrated score, map, and thresholds.

The conformal thresholds are order statistics, computed here in two lines because they are needed wherever a model
runs, for any rate asked for, without scikit-learn; the tests check them against MAPIE's.
"""

import math
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vilaco.errors import ConfigError

MAX_MAP_SHIFT = 8.0
"""Largest change of the map's logit either way: 0.5 then stands for a raw value of 0.0003 or 0.9997."""
SCORE_STEP = 1e-6
"""Held-out scores are stored to this step."""
_LEAST_SCORE = 1e-7  # a float32 sigmoid cannot come closer to 1; keeps logits within 16.1

Score = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Thresholds(NamedTuple):
    """Where verdicts change.

    Attributes:
        decision: Detection scores above it mean tampered.
        authentic: Detection scores up to it speak for an authentic photo; never above ``decision``. What lies between
            the two cannot be told.
    """

    decision: float
    authentic: float


class RegionThresholds(BaseModel):
    """What a region's evidence, the mean of the calibrated map over it, has to be above.

    Attributes:
        weak: To be drawn at all.
        strong: To be called strong; never below ``weak``. 1 where no region can be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weak: float
    strong: float


class Calibration(BaseModel):
    """How one model's raw detection score and map become what users see, fitted on held-out pictures.

    The score goes through Platt scaling (Platt, "Probabilistic outputs for support vector machines", 1999): its
    logit is stretched and moved so that it is the chance of a forgery where half of the pictures are forged. The
    map's logit is moved so that 0.5 is the best threshold. Neither changes any order.

    The thresholds, those of regions too, are split-conformal (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
    Random World", 2005): see :func:`false_alarm_threshold` for what is guaranteed, and under which condition.

    Attributes:
        slope: Factor on the score's logit.
        offset: Added to it then.
        map_shift: Added to the map's logit.
        authentic_scores: Calibrated scores of held-out authentic pictures, ascending; rounded up.
        tampered_scores: Calibrated scores of held-out forgeries, ascending; rounded down.
        authentic_regions: Of each of those authentic pictures, the evidence of its strongest region, 0 where it has
            none; ascending, rounded up. Empty in calibrations of an earlier version, whose models draw every region.
        max_false_alarms: The rate that holds unless another is asked for: of authentic photos, in (0, 1).
        max_suspicions: Of authentic photos, how many may score above the ``authentic`` threshold, and how many may have
            a region drawn.
        max_strong: Of authentic photos, how many may have a strong region.
        max_misses: Of tampered photos, how many may score below the ``authentic`` threshold, where there are no
            ``authentic_regions``.
        calibrated_with: JSON-ready facts about the pictures, for the record.

    Example:
        >>> calibration = Calibration(
        ...     slope=2, offset=0, map_shift=0, authentic_scores=(0.1, 0.2, 0.6), tampered_scores=(0.3, 0.7, 0.9),
        ...     authentic_regions=(0.0, 0.5, 0.7), max_false_alarms=0.25, max_suspicions=0.5, max_strong=0.25,
        ... )
        >>> round(calibration.score(0.75), 6)  # odds of 3 to 1, squared
        0.9
        >>> calibration.thresholds()
        Thresholds(decision=0.6, authentic=0.2)
        >>> calibration.region_thresholds()
        RegionThresholds(weak=0.5, strong=0.7)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = Field(gt=0, allow_inf_nan=False)
    offset: float = Field(allow_inf_nan=False)
    map_shift: float = Field(ge=-MAX_MAP_SHIFT, le=MAX_MAP_SHIFT)
    authentic_scores: tuple[Score, ...] = Field(min_length=1)
    tampered_scores: tuple[Score, ...] = Field(min_length=1)
    authentic_regions: tuple[Score, ...] = ()
    max_false_alarms: Rate = 0.05
    max_suspicions: Rate = 0.1
    max_strong: Rate = 0.02
    max_misses: Rate = 0.2
    calibrated_with: dict[str, Any] = {}

    @model_validator(mode="after")
    def _scores_ascend(self) -> Self:
        for name in ("authentic_scores", "tampered_scores", "authentic_regions"):
            if np.any(np.diff(getattr(self, name)) < 0):
                raise ValueError(f"{name} must ascend")
        return self

    def score(self, raw_score: float) -> float:
        """Chance that a photo is tampered, where half of the photos are, from the raw detection score in [0, 1]."""
        return float(platt(raw_score, self.slope, self.offset))

    def map(self, raw_map: np.ndarray) -> np.ndarray:
        """A localization map with its logit moved, so that 0.5 is the best threshold; see :func:`move_logit`."""
        return move_logit(raw_map, self.map_shift)

    def thresholds(self, max_false_alarms: float | None = None) -> Thresholds:
        """Thresholds on the calibrated score: for an accusation, and for a suspicion.

        A calibration of an earlier version promises how many forgeries are called authentic in place of the latter.
        Where its two thresholds cross, every one between them keeps both promises: the one nearest to 0.5 is taken.

        Args:
            max_false_alarms: Share of authentic photos, in (0, 1); ``self.max_false_alarms`` if ``None``.

        Raises:
            ConfigError: If the rate is out of range, or lower than the number of pictures can promise.
        """
        rate = self.max_false_alarms if max_false_alarms is None else max_false_alarms
        alarm = false_alarm_threshold(self.authentic_scores, rate)
        if self.authentic_regions:
            suspicion = false_alarm_threshold(self.authentic_scores, max(rate, self.max_suspicions), "max_suspicions")
            return Thresholds(decision=alarm, authentic=suspicion)
        miss = miss_threshold(self.tampered_scores, self.max_misses)
        decision = max(alarm, min(0.5, miss))
        return Thresholds(decision=decision, authentic=min(miss, decision))

    def region_thresholds(self) -> RegionThresholds | None:
        """Thresholds on the evidence of regions; ``None`` where they were not calibrated.

        Where the pictures are too few for the rate of strong regions, none is called so.
        """
        if not self.authentic_regions:
            return None
        weak = false_alarm_threshold(self.authentic_regions, self.max_suspicions, "max_suspicions")
        enough = (len(self.authentic_regions) + 1) * self.max_strong >= 1
        strong = false_alarm_threshold(self.authentic_regions, self.max_strong, "max_strong") if enough else 1.0
        return RegionThresholds(weak=weak, strong=max(weak, strong))

    def missed(self, authentic_threshold: float) -> float:
        """Share of the held-out forgeries that score no higher, in [0, 1]."""
        return float(np.searchsorted(self.tampered_scores, authentic_threshold, side="right")) / len(
            self.tampered_scores
        )


def move_logit(raw_map: np.ndarray, shift: float) -> np.ndarray:
    """Move the logit of a map. That multiplies the odds, which needs neither logarithm nor exponential a pixel.

    Args:
        raw_map: (H, W) float32 in [0, 1].
        shift: What is added to the logit.

    Returns:
        The same shape, type and range; 0 and 1 stay what they are.
    """
    raised = raw_map * np.float32(math.exp(shift))
    return raised / (1 - raw_map + raised)


def logit(score: np.ndarray | float) -> np.ndarray:
    """Log-odds of scores in [0, 1], which are kept 1e-7 away from both ends."""
    kept = np.clip(np.asarray(score, np.float64), _LEAST_SCORE, 1 - _LEAST_SCORE)
    return np.log(kept) - np.log1p(-kept)


def platt(raw_score: np.ndarray | float, slope: float, offset: float) -> np.ndarray:
    """Platt scaling, ``sigmoid(slope logit(score) + offset)``, of scores in [0, 1]; any shape.

    Example:
        >>> float(platt(0.5, 3.0, 0.0))
        0.5
    """
    return np.exp(-np.logaddexp(0.0, -(slope * logit(raw_score) + offset)))


def false_alarm_threshold(
    authentic_scores: tuple[float, ...], max_false_alarms: float, name: str = "max_false_alarms"
) -> float:
    """The split-conformal threshold: the ``ceil((n + 1)(1 - rate))``-th smallest of ``n`` authentic scores.

    What it promises: an authentic photo that is exchangeable with the ``n`` calibration pictures scores above it
    with a probability of at most ``rate``, whatever the model and however the scores are spread, ties included.
    The promise is marginal: it holds on average over calibration sets and photos, not for one kind of photo by
    itself. Exchangeable means drawn in the same way, from the same source and with the same histories of saves
    and sizes; photos of another kind may raise more alarms.

    Args:
        authentic_scores: Ascending.
        max_false_alarms: The rate, in (0, 1).
        name: What the caller calls the rate.

    Raises:
        ConfigError: If the rate is out of range, or below ``1 / (n + 1)``, which no threshold can promise.

    Example:
        >>> false_alarm_threshold((0.1, 0.2, 0.3, 0.4), 0.2)  # of five, one may be above
        0.4
    """
    beyond = _may_lie_beyond(len(authentic_scores), max_false_alarms, name, "authentic")
    return authentic_scores[-beyond]


def miss_threshold(tampered_scores: tuple[float, ...], max_misses: float) -> float:
    """The mirror image: a threshold that an exchangeable tampered photo stays at or below with at most this rate.

    Args:
        tampered_scores: Ascending.
        max_misses: The rate, in (0, 1).

    Returns:
        One step below the ``floor((n + 1) rate)``-th smallest score, so that scores *up to* it mean authentic.

    Raises:
        ConfigError: As for :func:`false_alarm_threshold`.

    Example:
        >>> miss_threshold((0.1, 0.2, 0.3, 0.4), 0.4)
        0.199999
    """
    beyond = _may_lie_beyond(len(tampered_scores), max_misses, "max_misses", "forged")
    return max(0.0, round(tampered_scores[beyond - 1] - SCORE_STEP, 6))


def _may_lie_beyond(count: int, rate: float, name: str, kind: str) -> int:
    """How many of ``count + 1`` exchangeable scores may lie beyond a threshold."""
    if not 0 < rate < 1:
        raise ConfigError(f"{name} must be between 0 and 1, got {rate:g}")
    beyond = math.floor((count + 1) * rate + 1e-9)  # 20 * 0.05 is 1, and so is 7 * (1 / 7)
    if beyond < 1:
        raise ConfigError(
            f"{name}={rate:g} cannot be promised: the model was calibrated on {count} {kind} pictures, "
            f"which reach down to 1 in {count + 1} ({1 / (count + 1):.3g})"
        )
    return min(beyond, count)
