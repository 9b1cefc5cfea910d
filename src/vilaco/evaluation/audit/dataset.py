"""The shortcut audit of a data set: can its labels be told without looking at the forgery?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vilaco.block_dct import BLOCK
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.errors import DataError, ImageError
from vilaco.evaluation.audit.background import block_statistics, free_blocks, pooled
from vilaco.evaluation.audit.metadata import FAMILIES, FileMetadata, SavePipeline, read_metadata
from vilaco.evaluation.audit.model import audit_model
from vilaco.evaluation.audit.probe import (
    MakeClassifier,
    Probed,
    auc_within_folds,
    forest,
    linear,
    probe,
    scene_folds,
)
from vilaco.evaluation.audit.regions import Regions, lenders
from vilaco.evaluation.audit.report import AlarmRate, AuditReport, ImageCounts, ProbeResult
from vilaco.evaluation.audit.verdict import verdict
from vilaco.evaluation.prediction import Predictor
from vilaco.evaluation.profiles import resize_mask
from vilaco.images import load_photo, resave_jpeg, resize_pixels

AS_STORED = "as stored"
HISTORIES: dict[str, tuple[float, int | None]] = {
    AS_STORED: (1.0, None),
    "JPEG 80": (1.0, 80),
    "0.9x, JPEG 80": (0.9, 80),
    "0.75x, JPEG 80": (0.75, 80),
}
"""Scale and JPEG quality that every image, whatever its label, is given before its picture is judged."""

WHOLE, BACKGROUND = "whole picture", "background"

Progress = Callable[[Sequence[Record], str], Iterable[Record]]


@dataclass(eq=False)
class AuditedImage:
    """One readable, labelled image and what was measured on it.

    Attributes:
        record: Its record.
        metadata: Of the file.
        statistics: Pooled block statistics by (region, history); NaN where there are too few blocks or no
            mask.
        resaved: Metadata and whole-picture statistics of the picture saved like a tampered one; authentic
            only.
    """

    record: Record
    metadata: FileMetadata
    statistics: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    resaved: tuple[FileMetadata, NDArray[np.float64]] | None = None


def audit_dataset(
    records: Sequence[Record],
    *,
    data: str = "data",
    predictor: Predictor | None = None,
    seed: int = 0,
    folds: int = 5,
    progress: Progress = lambda records, _: records,
) -> AuditReport:
    """Ask simple classifiers, and a model if given, for labels they should not be able to know.

    Args:
        records: Unlabelled and unreadable ones are counted and left out.
        data: What the report calls the set.
        predictor: A model whose false alarms and background-only score are wanted.
        seed: Of folds, classifiers, borrowed masks and bootstrap.
        folds: Scene-disjoint folds, at least 2.
        progress: Wraps each pass over the records, which it is told the name of, for a progress bar.

    Returns:
        The report.

    Raises:
        DataError: If there are fewer than ``2 * folds`` readable images or fewer than ``folds`` scenes of
            either label.
        ValueError: If ``folds`` is below 2.
    """
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}.")
    unlabelled = sum(record.label is None for record in records)
    labelled = list(dict.fromkeys(record for record in records if record.label is not None))
    problems: dict[Record, str] = {}
    headers = _read_headers(progress(labelled, "metadata"), problems)
    pipelines = {
        borrower: headers[lender].pipeline
        for borrower, lender in lenders(list(headers), seed=seed, need_mask=False).items()
    }
    regions = Regions(list(headers), seed=seed)
    images = []
    for record in progress(list(headers), "pictures"):
        try:
            images.append(_measure(record, headers[record], regions, pipelines.get(record)))
        except ImageError as error:
            problems[record] = str(error)

    labels = np.array([image.record.label == TAMPERED for image in images], bool)
    groups = [image.record.group or f"\0{index}" for index, image in enumerate(images)]
    _refuse_too_few(data, labels, groups, folds)
    assigned = scene_folds(labels, groups, folds=folds, seed=seed)
    judges = _Judges(images, labels, assigned, seed)
    probes = (*judges.of_metadata(), *judges.of_pictures())
    resave = judges.alarms()
    model = None
    if predictor is not None:
        kept = [image.record for image in images]
        model = audit_model(predictor, progress(kept, predictor.name), regions, pipelines, seed=seed)
    counts = ImageCounts(
        records=len(records),
        authentic=int((~labels).sum()),
        tampered=int(labels.sum()),
        unlabelled=unlabelled,
        duplicates=len(records) - unlabelled - len(labelled),
        unreadable=len(problems),
        tampered_with_mask=sum(image.record.mask is not None for image in images if image.record.label == TAMPERED),
        masks_unusable=len(regions.unusable),
        masks_resized=len(regions.resized),
        scenes=len(set(groups)),
    )
    return AuditReport(
        data=data,
        seed=seed,
        folds=folds,
        counts=counts,
        probes=probes,
        resave=resave,
        model=model,
        problems=(*problems.values(), *regions.unusable.values()),
        verdict=verdict(data, counts, probes, resave, model),
    )


def _read_headers(records: Iterable[Record], problems: dict[Record, str]) -> dict[Record, FileMetadata]:
    headers = {}
    for record in records:
        try:
            headers[record] = read_metadata(record.path.read_bytes(), str(record.path))
        except OSError as error:
            problems[record] = f"{record.path}: cannot be read ({error.strerror})"
        except ImageError as error:
            problems[record] = str(error)
    return headers


def _refuse_too_few(data: str, labels: NDArray[np.bool_], groups: Sequence[str], folds: int) -> None:
    for label, name in ((AUTHENTIC, "authentic"), (TAMPERED, "tampered")):
        here = labels == bool(label)
        scenes = len({group for group, one in zip(groups, here, strict=True) if one})
        if here.sum() < 2 * folds or scenes < folds:
            raise DataError(
                f"{data}: {folds} folds need {2 * folds} readable {name} images of {folds} scenes or more, "
                f"there are {here.sum()} of {scenes}"
            )


def _measure(record: Record, metadata: FileMetadata, regions: Regions, pipeline: SavePipeline | None) -> AuditedImage:
    photo = load_photo(record.path)
    size = photo.upright_size
    if min(size) < 8 * BLOCK:
        raise ImageError(record.path, f"{size[1]}x{size[0]} pixels are too few for an audit", code="too_small")
    image = AuditedImage(record, metadata)
    region = regions.region(record, photo)
    for history, (scale, quality) in HISTORIES.items():
        pixels = photo.pixels
        if scale != 1.0:
            pixels = resize_pixels(pixels, (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)))
        if quality is not None:
            pixels = resave_jpeg(pixels, quality)
        statistics = block_statistics(pixels)
        image.statistics[WHOLE, history] = pooled(statistics)
        keep = np.zeros(statistics.shape[:2], bool)
        if region is not None:
            keep = free_blocks(resize_mask(region, (pixels.shape[0], pixels.shape[1])))
        image.statistics[BACKGROUND, history] = pooled(statistics, keep)
    if record.label == AUTHENTIC and pipeline is not None:
        saved = pipeline.save(photo.pixels)
        image.resaved = read_metadata(saved), pooled(block_statistics(load_photo(saved).pixels))
    return image


class _Judges:
    """The simple classifiers of one audit."""

    def __init__(
        self, images: Sequence[AuditedImage], labels: NDArray[np.bool_], folds: NDArray[np.int64], seed: int
    ) -> None:
        self._images, self._labels, self._folds, self._seed = images, labels, folds, seed
        self._fitted: dict[str, Probed] = {}

    def of_metadata(self) -> list[ProbeResult]:
        results = []
        for name, families in {
            "all metadata": FAMILIES,
            **{family: (family,) for family in FAMILIES},
        }.items():
            rows = np.stack([image.metadata.vector(families) for image in self._images])
            results.append(self._ask(rows, forest, name, AS_STORED, can_be_shortcut=True))
        return results

    def of_pictures(self) -> list[ProbeResult]:
        results = []
        for region in (BACKGROUND, WHOLE):
            for history in HISTORIES:
                rows = np.stack([image.statistics[region, history] for image in self._images])
                defined = np.asarray(np.isfinite(rows).all(axis=1))
                if not self._can_be_asked(defined):
                    continue
                results.append(
                    self._ask(rows, linear, region, history, defined=defined, can_be_shortcut=region == BACKGROUND)
                )
        return results

    def _can_be_asked(self, defined: NDArray[np.bool_]) -> bool:
        """Whether enough images of both labels are left, and whichever fold is held out, both to learn from."""
        folds, labels = self._folds[defined], self._labels[defined]
        enough = min(labels.sum(), (~labels).sum()) >= 2 * (self._folds.max() + 1)
        return bool(enough and all(len(set(folds[labels == label])) > 1 for label in (False, True)))

    def _ask(
        self,
        rows: NDArray[np.float64],
        make: MakeClassifier,
        evidence: str,
        history: str,
        *,
        can_be_shortcut: bool,
        defined: NDArray[np.bool_] | slice = slice(None),
    ) -> ProbeResult:
        probed = probe(rows[defined], self._labels[defined], self._folds[defined], make=make, seed=self._seed)
        auc, interval = auc_within_folds(probed.scores, probed.labels, probed.folds, seed=self._seed)
        if history == AS_STORED:
            self._fitted[evidence] = probed
        return ProbeResult(
            evidence=evidence,
            history=history,
            can_be_shortcut=can_be_shortcut,
            auc=auc,
            low=interval.low,
            high=interval.high,
            authentic=int((~probed.labels).sum()),
            tampered=int(probed.labels.sum()),
        )

    def alarms(self) -> tuple[AlarmRate, ...]:
        """Authentic images called tampered, before and after being saved like the tampered ones."""
        chosen = np.array([i for i, image in enumerate(self._images) if image.resaved is not None])
        after = [image.resaved for image in self._images if image.resaved is not None]
        judged = {
            "metadata": (self._fitted["all metadata"], np.stack([m.vector() for m, _ in after])),
            "picture statistics": (self._fitted[WHOLE], np.stack([s for _, s in after])),
        }
        rates = []
        for judge, (probed, rows) in judged.items():
            for state, scores in (
                ("authentic, as stored", probed.scores[chosen]),
                ("authentic, saved like the tampered", probed.rescore(rows, chosen)),
            ):
                rates.append(AlarmRate(judge=judge, images=state, rate=float((scores > 0.5).mean()), count=len(chosen)))
        return tuple(rates)
