"""One model's false alarms on authentic images with another history, and its score on backgrounds alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import ImageError
from vilaco.evaluation.audit.background import free_blocks, largest_free_crop
from vilaco.evaluation.audit.metadata import SavePipeline
from vilaco.evaluation.audit.probe import auc_within_folds
from vilaco.evaluation.audit.regions import Regions
from vilaco.evaluation.audit.report import AlarmRate, ModelAudit, ProbeResult
from vilaco.evaluation.histories import INNOCENT_CHANGES
from vilaco.evaluation.image_metrics import ImageScores, image_f1_sen_spe_harmonic
from vilaco.evaluation.prediction import Predictor
from vilaco.images import Photo, load_photo

MIN_CROP = 64
"""Least side of a background crop in pixels; images without one are left out and counted."""

_STORED, _CROP = "as stored", "background crop"


def audit_model(
    predictor: Predictor,
    records: Iterable[Record],
    regions: Regions,
    pipelines: Mapping[Record, SavePipeline],
    *,
    seed: int,
) -> ModelAudit:
    """Score authentic images as stored, re-saved and re-sized; and every image's background.

    The background is the largest rectangle, on the 8x8 grid, that stays clear of the widened mask:
    untouched pixels, where filling the region in would itself be a forgery. An authentic image is cropped
    by a borrowed mask, so the crop's size does not tell. A model that still ranks tampered above authentic
    has read the background.

    Args:
        predictor: The model.
        records: Labelled, readable images.
        regions: What each image loses.
        pipelines: Whose saving each authentic image imitates.
        seed: Of the bootstrap.

    Returns:
        Rates at the model's own decision threshold, and AUCs.
    """
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    called: dict[tuple[str, int], list[bool]] = defaultdict(list)
    skipped: Counter[str] = Counter()
    for record in records:
        label = TAMPERED if record.label == TAMPERED else AUTHENTIC
        photo = load_photo(record.path)
        for state, change in _states(record, photo, regions, pipelines).items():
            try:
                prediction = predictor(replace(photo, pixels=change()))
                scores[state, label].append(prediction.detection_score)
                called[state, label].append(prediction.detection_score > prediction.decision_threshold)
            except ImageError as error:
                skipped[f"{state}: {error.code}"] += 1
    return ModelAudit(
        name=predictor.name,
        image_f1_sen_spe_harmonic=_sen_spe(scores[_STORED, AUTHENTIC], scores[_STORED, TAMPERED]),
        alarms=tuple(
            AlarmRate(
                judge=predictor.name,
                images=f"{'tampered' if label == TAMPERED else 'authentic'}, {state}",
                rate=float(np.mean(values)),
                count=len(values),
            )
            for (state, label), values in sorted(called.items(), key=lambda item: item[0][1])
        ),
        probes=tuple(
            _auc(scores[state, AUTHENTIC], scores[state, TAMPERED], state, seed)
            for state in (_STORED, _CROP)
            if scores[state, AUTHENTIC] and scores[state, TAMPERED]
        ),
        skipped=dict(skipped),
    )


def background_crop(record: Record, photo: Photo, regions: Regions) -> NDArray[np.uint8]:
    """The largest rectangle of whole blocks that stays clear of the region an image loses, ``(h, w, 3)`` uint8 RGB.

    Raises:
        ImageError: If none is :data:`MIN_CROP` pixels a side.
    """
    region = regions.region(record, photo)
    rows, columns = (slice(0, 0),) * 2 if region is None else largest_free_crop(free_blocks(region))
    pixels = np.ascontiguousarray(photo.pixels[rows, columns])
    if min(pixels.shape[:2]) < MIN_CROP:
        raise ImageError(record.path, "no background crop is large enough", code="no_background")
    return pixels


def _states(
    record: Record, photo: Photo, regions: Regions, pipelines: Mapping[Record, SavePipeline]
) -> dict[str, Callable[[], NDArray[np.uint8]]]:
    """Every state in which an image is judged, as a function that makes its pixels."""
    states = {_STORED: lambda: photo.pixels, _CROP: lambda: background_crop(record, photo, regions)}
    if record.label == AUTHENTIC:
        states["saved like the tampered"] = lambda: load_photo(pipelines[record].save(photo.pixels)).pixels
        states |= {name: partial(change, photo.pixels) for name, change in INNOCENT_CHANGES.items()}
    return states


def _sen_spe(authentic: list[float], tampered: list[float]) -> float:
    labels = [AUTHENTIC] * len(authentic) + [TAMPERED] * len(tampered)
    return float(image_f1_sen_spe_harmonic(ImageScores.of(labels, authentic + tampered))[0])


def _auc(authentic: list[float], tampered: list[float], state: str, seed: int) -> ProbeResult:
    labels = np.array([False] * len(authentic) + [True] * len(tampered))
    one_judge = np.zeros(len(labels), np.int64)
    auc, interval = auc_within_folds(np.array(authentic + tampered), labels, one_judge, seed=seed)
    return ProbeResult(
        evidence="the model's score",
        history=state,
        can_be_shortcut=state == _CROP,
        auc=auc,
        low=interval.low,
        high=interval.high,
        authentic=len(authentic),
        tampered=len(tampered),
    )
