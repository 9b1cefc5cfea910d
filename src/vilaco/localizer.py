"""Image in, :class:`~vilaco.result.Result` out: the one path that every command, page and table goes through."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from vilaco.calibration import Calibration, RegionThresholds, Thresholds
from vilaco.errors import ConfigError
from vilaco.images import Photo, is_blank, load_photo, resize_map, resize_pixels
from vilaco.result import Result
from vilaco.runtimes import Runtime, load_runtime
from vilaco.traits import Traits
from vilaco.weights import DEFAULT, find_model


class Localizer:
    """Say of a photo whether it was tampered with, and where.

    Args:
        runtime: A loaded model.
        name: What results call the model.
        calibration: What turns the runtime's raw answers into calibrated ones; without it they are taken as they
            are, 0.5 is every threshold, and the verdict is never "cannot tell".
        max_false_alarms: Share of authentic photos that may be called tampered, in (0, 1); the calibration's own
            if ``None``. What is promised: :func:`vilaco.calibration.false_alarm_threshold`.

    Raises:
        ConfigError: If the rate cannot be promised.

    Example:
        >>> from vilaco import Localizer
        >>> localizer = Localizer.load()  # doctest: +SKIP
        >>> localizer("photo.jpg").verdict  # doctest: +SKIP
        'tampered'
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str,
        calibration: Calibration | None = None,
        max_false_alarms: float | None = None,
    ) -> None:
        self.runtime = runtime
        self.name = name
        self.calibration = calibration
        self.max_false_alarms: float | None = None
        """Share of authentic photos that may be called tampered; ``None`` where nothing is promised."""
        self.region_thresholds: RegionThresholds | None = None
        """What the evidence of a region has to be above to be drawn; ``None`` where every region is."""
        if calibration is not None:
            self.max_false_alarms = max_false_alarms or calibration.max_false_alarms
            self.thresholds = calibration.thresholds(max_false_alarms)
            self.region_thresholds = calibration.region_thresholds()
        elif max_false_alarms is None:
            self.thresholds = Thresholds(decision=0.5, authentic=0.5)
        else:
            raise ConfigError(f"{name}: is not calibrated, so no rate of false alarms can be promised")

    @classmethod
    def load(
        cls, name: str | Path = DEFAULT, *, device: str | None = None, max_false_alarms: float | None = None
    ) -> "Localizer":
        """Load a model.

        Args:
            name: A shipped model's name, a folder, or a hub name ``org/name[@revision]``.
            device: A torch device, for a model that PyTorch runs (see :func:`vilaco.runtimes.load_runtime`); a GPU
                when there is one, else the CPU.
            max_false_alarms: Share of authentic photos that may be called tampered, in (0, 1); the model's own
                if ``None``.

        Raises:
            ConfigError: If the model is not calibrated, or not well enough for that rate.
            ModelError: If the model, or the encoder it was trained on, is not to be had.
        """
        model = find_model(name)
        runtime = load_runtime(model.folder, device=device)
        return cls(runtime, name=model.name, calibration=runtime.calibration, max_false_alarms=max_false_alarms)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trained weights."""
        return self.runtime.fingerprint

    @property
    def encoder_name(self) -> str:
        """The frozen encoder; part of every number."""
        return self.runtime.encoder_name

    def __call__(
        self, source: str | Path | bytes | np.ndarray, *, page: int | None = None, accept_truncated: bool = False
    ) -> Result:
        """Judge one photo.

        Args:
            source: A file, its bytes, or RGB pixels ``(H, W, 3)`` uint8.
            page: Which picture of the file, from 1; the one that the file opens with if ``None``.
            accept_truncated: Whether to judge the rows that are there of a file that ends too early.

        Raises:
            ImageError: If it cannot be read.
        """
        started = time.perf_counter()
        photo = load_photo(source, page=page, accept_truncated=accept_truncated)
        return self._predict([photo], [time.perf_counter() - started])[0]

    def predict(self, photo: Photo) -> Result:
        """Judge a photo that is already decoded."""
        return self._predict([photo], [0.0])[0]

    def predict_many(self, photos: Iterable[Photo], *, batch_size: int = 8) -> Iterator[Result]:
        """Judge photos a batch at a time, in order; at most one batch is held in memory."""
        iterator = iter(photos)
        while batch := list(islice(iterator, batch_size)):
            yield from self._predict(batch, [0.0] * len(batch))

    def _predict(self, photos: list[Photo], seconds_before: list[float]) -> list[Result]:
        started = time.perf_counter()
        side = (self.runtime.image_size, self.runtime.image_size)
        known = [photo.known for photo in photos]
        views = np.stack([resize_pixels(self._seen(photo), side) for photo in known])
        output = self.runtime(views, [photo.pixels for photo in known])
        maps = [sigmoid(logits) for logits in output.localization_logits]
        share = (time.perf_counter() - started) / len(photos)
        return [
            self._result(photo, map_, float(score), seconds=round(before + share, 4))
            for photo, map_, score, before in zip(photos, maps, output.detection_scores, seconds_before, strict=True)
        ]

    def _seen(self, photo: Photo) -> np.ndarray:
        """The photo as the model sees it: upright, or on the stored grid where traces of the file count."""
        return photo.pixels if self.runtime.reads_pixels else photo.upright(photo.pixels)

    def _result(self, photo: Photo, map_: np.ndarray, score: float, *, seconds: float) -> Result:
        known = photo.known
        if self.runtime.reads_pixels:
            map_ = known.upright(map_)
        map_ = np.clip(resize_map(map_, known.upright_size), 0.0, 1.0)
        blank = is_blank(known.pixels)
        unlike: tuple[str, ...] = ()
        if self.calibration is not None:
            map_, score = self.calibration.map(map_), self.calibration.score(score)
            if self.calibration.traits and not blank:
                unlike = Traits.of(known.pixels).unusual(self.calibration.traits)
        return Result.from_map(
            photo,
            photo.with_unknown(map_),
            score,
            model=f"{self.name}@{self.fingerprint[:12]}",
            seconds=seconds,
            decision_threshold=self.thresholds.decision,
            authentic_threshold=self.thresholds.authentic,
            region_thresholds=self.region_thresholds,
            is_blank=blank,
            unlike=unlike,
        )


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-logits))``, any shape; a logit whose exponential overflows gives 0, as it should.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0])).tolist()
        [0.0, 0.5]
    """
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))
