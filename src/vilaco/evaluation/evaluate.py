"""Run a predictor over the records of a data set and measure it by profiles, an image at a time."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vilaco import __version__
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import ConfigError, DataError, ImageError
from vilaco.evaluation import metrics
from vilaco.evaluation.bootstrap import Interval, bootstrap_intervals
from vilaco.evaluation.image_metrics import ImageScores
from vilaco.evaluation.metrics import Bools, Floats
from vilaco.evaluation.prediction import Prediction, Predictor
from vilaco.evaluation.profiles import Columns, Metric, PixelCase, Profile, get_profile, resize_mask
from vilaco.evaluation.results import (
    EvaluationReport,
    Figure,
    ImageRow,
    PixelCurve,
    Problem,
    ProfileResult,
    Provenance,
)
from vilaco.images import Photo, load_mask, load_photo, mask_is_binary, resave_jpeg, resize_map
from vilaco.names import as_text
from vilaco.notes import Noted

MaskPolicy = Literal["skip", "resize", "fail"]

_CURVE_LEVELS = np.linspace(0, metrics.LEVELS, 257).astype(int)


@dataclass(frozen=True)
class Judged:
    """One evaluated image, handed to an observer while its pixels are still there.

    Attributes:
        case: Map and mask; ``None`` when the pixels were not measured.
    """

    record: Record
    photo: Photo
    prediction: Prediction
    case: PixelCase | None
    row: ImageRow


def evaluate(
    predictor: Predictor,
    records: Sequence[Record],
    profiles: Sequence[str | Profile] = ("wscl",),
    *,
    data: str = "data",
    mask_policy: MaskPolicy = "skip",
    resave_jpeg_quality: int | None = None,
    transform: Callable[[Photo], Photo] | None = None,
    preprocessing: str | None = None,
    provenance: Provenance | None = None,
    resamples: int = 1000,
    seed: int = 0,
    observe: Callable[[Judged], None] | None = None,
    progress: Callable[[Iterable[Record]], Iterable[Record]] = iter,
) -> EvaluationReport:
    """Measure a predictor.

    Images are read, predicted, measured and forgotten one after another, so memory does not grow with the
    maps. An image that cannot be judged is named and counted, never dropped in silence.

    Args:
        predictor: A model, a baseline or saved predictions.
        records: Unlabelled ones are counted and left out.
        profiles: Names or definitions.
        data: What the report calls the data set.
        mask_policy: ``skip`` leaves a mask whose size is not its image's out of the pixel figures, ``resize``
            fits it (nearest pixel), ``fail`` stops there. Missing and unreadable masks are left out, or stop
            with ``fail``.
        resave_jpeg_quality: Save every photo at this JPEG quality first, authentic and tampered alike.
        transform: Done to every photo first (before the re-save); maps are brought back to the original size.
        preprocessing: What the report calls the transform.
        provenance: What made the predictions.
        resamples: Bootstrap resamples; 0 for no intervals.
        seed: Of the bootstrap.
        observe: Called with each evaluated image, for galleries and the like.
        progress: Wraps the records, for a progress bar.

    Returns:
        The report.

    Raises:
        ConfigError: If a profile does not exist, or the transform has no name.
        DataError: If no image could be evaluated, or by ``mask_policy="fail"``.

    Example:
        >>> class Nothing:
        ...     name = "all zeros"
        ...     def __call__(self, photo):
        ...         return Prediction(np.zeros(photo.upright_size, np.float32), 0.0)
        >>> import skimage.data
        >>> photo = Path(skimage.data.__file__).parent / "cell.png"
        >>> evaluate(Nothing(), [Record(photo, label=0)])["wscl"]["image_accuracy"].value
        1.0
    """
    chosen = [get_profile(p) if isinstance(p, str) else p for p in profiles]
    if (transform is None) != (preprocessing is None):
        raise ConfigError("a transform needs its name in preprocessing, and a name needs its transform")
    steps = [transform] if transform else []
    if resave_jpeg_quality is not None:
        steps.append(partial(_resave, quality=resave_jpeg_quality))
    run = _Run(chosen, mask_policy, needs_half_mask=any(p.name.startswith("benco") for p in chosen))
    root = common_folder(records)
    for record in progress(records):
        judged = run.judge(record, _relative(record.path, root), predictor, steps)
        if judged and observe:
            observe(judged)
    if not run.rows:
        reasons = ", ".join(f"{n} {reason}" for reason, n in run.skipped.items()) or "there are no records"
        raise DataError(f"{data}: no image could be evaluated ({reasons})")
    names = [preprocessing, f"JPEG {resave_jpeg_quality}" if resave_jpeg_quality is not None else None]
    tampered = sum(row.label == TAMPERED for row in run.rows)
    return EvaluationReport(
        method=predictor.name,
        data=data,
        vilaco_version=__version__,
        provenance=provenance or Provenance(),
        preprocessing=", then ".join(n for n in names if n) or "none",
        mask_policy=mask_policy,
        seed=seed,
        resamples=resamples,
        files_hash=files_hash(records),
        records=len(records),
        authentic=len(run.rows) - tampered,
        tampered=tampered,
        skipped=dict(run.skipped),
        pixel_images=tampered - sum(run.pixel_skipped.values()),
        pixel_skipped=dict(run.pixel_skipped),
        adjusted=dict(run.adjusted),
        profiles=tuple(run.finish(profile, resamples=resamples, seed=seed) for profile in chosen),
        pixel_curve=run.pixel_curve(),
        images=tuple(run.rows),
        problems=tuple(run.problems),
        noted=Noted.among(run.notes),
    )


def files_hash(records: Sequence[Record]) -> str:
    """SHA-256 of the sorted relative paths and labels; the same wherever the data set lies.

    Example:
        >>> first = [Record(Path("/a/x.jpg"), 0), Record(Path("/a/y.jpg"), 1)]
        >>> files_hash(first) == files_hash([Record(Path("/b/y.jpg"), 1), Record(Path("/b/x.jpg"), 0)])
        True
    """
    root = common_folder(records)
    lines = sorted(f"{_relative(record.path, root)}\t{record.label}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def common_folder(records: Sequence[Record]) -> Path:
    """The deepest folder that holds all images."""
    parents = [os.path.abspath(record.path.parent) for record in records]
    return Path(os.path.commonpath(parents)) if parents else Path()


@dataclass
class _Run:
    """What accumulates while images stream by."""

    profiles: Sequence[Profile]
    mask_policy: MaskPolicy
    needs_half_mask: bool
    rows: list[ImageRow] = field(default_factory=list)
    columns: dict[str, list[dict[str, NDArray]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    pixel_skipped: Counter[str] = field(default_factory=Counter)
    adjusted: Counter[str] = field(default_factory=Counter)
    tp: Floats = field(default_factory=lambda: np.zeros(_CURVE_LEVELS.size))
    fp: Floats = field(default_factory=lambda: np.zeros(_CURVE_LEVELS.size))

    def judge(
        self, record: Record, name: str, predictor: Predictor, steps: Sequence[Callable[[Photo], Photo]]
    ) -> Judged | None:
        if record.label is None:
            self._note(self.skipped, name, "unlabelled", "the record has no label")
            return None
        try:
            original = load_photo(record.path)
        except ImageError as error:
            self._note(self.skipped, name, f"image_{error.code}", error.reason)
            return None
        photo = original
        for step in steps:
            photo = step(photo)
        try:
            prediction = predictor(photo)
        except ImageError as error:
            self._note(self.skipped, name, error.code, error.reason)
            return None
        size = original.upright_size
        if prediction.localization_map.shape != size:
            prediction = replace(prediction, localization_map=resize_map(prediction.localization_map, size))
            self.adjusted["map_resized"] += 1
        case = self._case(record, name, prediction)
        measured = {p.name: p.measure(case) if case and _measures(p, record) else {} for p in self.profiles}
        for profile, values in measured.items():
            self.columns.setdefault(profile, []).append(values)
        row = ImageRow(
            path=name,
            label=1 if record.label == TAMPERED else 0,
            group=record.group,
            detection_score=prediction.detection_score,
            **self._pixel_figures(case if record.label == TAMPERED else None),
        )
        self.rows.append(row)
        self.notes.append((name, original.notes))
        return Judged(record, original, prediction, case, row)

    def _case(self, record: Record, name: str, prediction: Prediction) -> PixelCase | None:
        size = prediction.localization_map.shape
        if record.label == AUTHENTIC:
            nothing = np.zeros(size, bool)
            return PixelCase(prediction.localization_map, nothing, nothing)
        try:
            mask, half_mask = self._masks(record)
        except ImageError as error:
            self._refuse_mask(record, name, f"mask_{error.code}", error.reason)
            return None
        if mask.shape != size:
            detail = f"the mask is {_by(mask.shape)}, the image {_by(size)}"
            if self.mask_policy != "resize":
                self._refuse_mask(record, name, "mask_size", detail)
                return None
            mask, half_mask = resize_mask(mask, size), resize_mask(half_mask, size)
            self._note(self.adjusted, name, "mask_resized", detail)
        if not mask.any():
            self._refuse_mask(record, name, "mask_all_zero", "the mask has no tampered pixel")
            return None
        if record.mask and not mask_is_binary(record.mask, record.mask_rule):
            detail = "the mask has more than two colours; each profile binarises it by its own rule"
            self._note(self.adjusted, name, "mask_not_binary", detail)
        return PixelCase(prediction.localization_map, mask, half_mask)

    def _masks(self, record: Record) -> tuple[Bools, Bools]:
        """The mask by the record's rule, and the one binarised at a channel mean above 127.5."""
        if record.mask is None:
            raise ImageError(record.path, "the record has no mask", code="missing")
        mask = load_mask(record.mask, record.mask_rule)
        if not self.needs_half_mask or record.mask_rule != "nonzero":
            return mask, mask
        grey = load_photo(record.mask)
        return mask, mask & grey.upright(grey.pixels.mean(axis=2) > 127.5)

    def _refuse_mask(self, record: Record, name: str, reason: str, detail: str) -> None:
        if self.mask_policy == "fail":
            raise DataError(f"{record.mask or record.path}: {detail} (mask policy: fail)")
        self._note(self.pixel_skipped, name, reason, detail)

    def _note(self, counter: Counter[str], name: str, reason: str, detail: str) -> None:
        counter[reason] += 1
        self.problems.append(Problem(path=name, reason=reason, detail=detail))

    def _pixel_figures(self, case: PixelCase | None) -> dict[str, float]:
        if case is None:
            return dict.fromkeys(("pixel_f1", "pixel_iou", "pixel_auc"), np.nan)
        self.tp += case.counts_by_level.tp[_CURVE_LEVELS]
        self.fp += case.counts_by_level.fp[_CURVE_LEVELS]
        formulas = {"pixel_f1": metrics.f1(case.counts), "pixel_iou": metrics.iou(case.counts)}
        return {name: float(v) for name, v in formulas.items()} | {"pixel_auc": float(metrics.auc(*case.histograms))}

    def finish(self, profile: Profile, *, resamples: int, seed: int) -> ProfileResult:
        images = ImageScores.of([r.label for r in self.rows], [r.detection_score for r in self.rows])
        measured = self.columns[profile.name]
        names = {name for values in measured for name in values}
        columns = Columns(images, {name: _column(measured, name) for name in names})
        everyone = np.ones((1, len(self.rows)))
        statistics = [
            partial(metric.statistic, columns) if metric.column in names | {None} else _undefined
            for metric in profile.metrics
        ]
        intervals = bootstrap_intervals(statistics, len(self.rows), resamples=resamples, seed=seed)
        return ProfileResult(
            profile=profile.name,
            source=profile.source,
            resolution=profile.resolution,
            mask_binarisation=profile.mask_binarisation,
            threshold=profile.threshold,
            pixel_images=profile.pixel_images,
            figures=tuple(
                _figure(metric, float(statistic(everyone)[0]), interval, columns, sum(map(bool, measured)))
                for metric, statistic, interval in zip(profile.metrics, statistics, intervals, strict=True)
            ),
        )

    def pixel_curve(self) -> PixelCurve:
        return PixelCurve(
            tp=tuple(self.tp.tolist()),
            fp=tuple(self.fp.tolist()),
            positives=float(self.tp[0]),
            negatives=float(self.fp[0]),
        )


def _figure(metric: Metric, value: float, interval: Interval, columns: Columns, population: int) -> Figure:
    if metric.column is None:
        images, undefined = columns.images.labels.size, 0
    else:
        values = columns.pixel.get(metric.column, np.empty(0))
        images = int(np.count_nonzero(~np.isnan(values if values.ndim == 1 else values[:, 0])))
        undefined = population - images
    return Figure(
        name=metric.name,
        value=value,
        low=interval.low,
        high=interval.high,
        images=images,
        undefined=undefined,
        headline=metric.headline,
    )


def _measures(profile: Profile, record: Record) -> bool:
    return profile.pixel_images == "all" or record.label == TAMPERED


def _undefined(weights: NDArray) -> Floats:
    """A figure of pixels that no image had."""
    return np.full(len(weights), np.nan)


def _column(measured: Sequence[dict[str, NDArray]], name: str) -> Floats:
    """One column over all images, ``(n,)`` or ``(n, k)``, NaN where an image was not measured."""
    present = next(values[name] for values in measured if name in values)
    column = np.full((len(measured), *present.shape), np.nan, present.dtype)
    for index, values in enumerate(measured):
        if name in values:
            column[index] = values[name]
    return column


def _resave(photo: Photo, *, quality: int) -> Photo:
    return replace(photo, pixels=resave_jpeg(photo.pixels, quality))


def _relative(path: Path, root: Path) -> str:
    return as_text(Path(os.path.relpath(path, root)).as_posix())


def _by(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
