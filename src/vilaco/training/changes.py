"""What a training changed: the model before and after it, on held-out photos and on forgeries made from these.

No mask of a human is looked at: image figures are those of the labels, and map figures those of forgeries whose masks
the forge knows because it drew them.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vilaco.data.forge.history import encode_png
from vilaco.data.forging import ForgedPictures, StreamConfig
from vilaco.data.loading import WeakRecord
from vilaco.data.records import AUTHENTIC, TAMPERED, Record
from vilaco.evaluation.evaluate import evaluate
from vilaco.evaluation.image_metrics import ImageScores, image_auc
from vilaco.evaluation.localizer_predictor import LocalizerPredictor
from vilaco.evaluation.results import EvaluationReport
from vilaco.files import write_atomically
from vilaco.localizer import Localizer

BATCHES, PICTURES = 12, 8
"""Of the pictures made from held-out photos; half of each batch are authentic twins of the others."""
WORSE_BY = 0.02
"""A smaller loss than this is within what so few pictures can tell."""


@dataclass(frozen=True)
class Figures:
    """How a model does on held-out photos.

    Attributes:
        image_auc: On the user's held-out photos, by their labels; NaN where they have one alone.
        false_alarms: Share of the held-out authentic photos that score above the median of the forgeries made from
            them: how often the model is wrong where it is set to find half of those.
        forged_image_auc: Forgeries made from held-out authentic photos against their twins.
        forged_pixel_auc: Of those forgeries, each by itself, then the mean.
        forged_pixel_f1: Likewise, at 0.5.
    """

    image_auc: float
    false_alarms: float
    forged_image_auc: float
    forged_pixel_auc: float
    forged_pixel_f1: float

    def known(self) -> dict[str, float]:
        """Those that are defined, by name."""
        return {name: value for name, value in asdict(self).items() if not math.isnan(value)}


TITLES = {
    "image_auc": "image AUC, held-out photos",
    "false_alarms": "false alarms on held-out photos, half of the forgeries below found",
    "forged_image_auc": "image AUC, forgeries made from held-out photos",
    "forged_pixel_auc": "pixel AUC, the same forgeries",
    "forged_pixel_f1": "P-F1@0.5, the same forgeries",
}
"""Figures in words, by their names in :class:`Figures`."""


def make_forgeries(photos: Sequence[WeakRecord], config: StreamConfig, folder: Path, *, seed: int) -> list[Record]:
    """Forgeries of photos that a training did not learn from, and authentic twins of them, as files with masks.

    Args:
        photos: Authentic.
        config: How forgeries are drawn.
        folder: Where to write them.
        seed: Fixes them.

    Raises:
        DataError: If none of the photos is large enough to forge.
    """
    halves = config.model_copy(update={"twin_share": 0.5})
    forge = ForgedPictures([photo.path.absolute() for photo in photos], config=halves, seed=seed)
    records = []
    for number in range(BATCHES):
        batch = forge.batch(number, PICTURES)
        for index, label in enumerate(batch.label.tolist()):
            name = f"{number:02d}_{index}"
            path, mask = folder / f"{name}.png", folder / "masks" / f"{name}.png"
            write_atomically(path, encode_png(np.ascontiguousarray(batch.pixels[index].transpose(1, 2, 0))))
            if label == TAMPERED:
                write_atomically(mask, encode_png(255 * batch.mask[index]))
            records.append(Record(path, label, mask if label == TAMPERED else None))
    return records


def measure(
    localizer: Localizer,
    held_out: Sequence[WeakRecord],
    forgeries: Sequence[Record],
    *,
    progress: Callable[[], object] = lambda: None,
) -> Figures:
    """Judge held-out photos and the forgeries made from them, as a user would.

    Args:
        localizer: The model.
        held_out: The user's, authentic ones among them.
        forgeries: From :func:`make_forgeries`.
        progress: Called once a picture.
    """

    def judged(records: Sequence[Record]) -> EvaluationReport:
        return evaluate(
            LocalizerPredictor(localizer), records, ("wscl", "full"), resamples=0, progress=partial(_counted, progress)
        )

    photos = judged([Record(record.path, record.label) for record in held_out])
    forged = judged(forgeries)
    authentic, tampered = (
        np.array([row.detection_score for row in report.images if row.label == label])
        for report, label in ((photos, AUTHENTIC), (forged, TAMPERED))
    )
    return Figures(
        image_auc=image_auc_of(photos),
        false_alarms=float((authentic > np.median(tampered)).mean()),
        forged_image_auc=image_auc_of(forged),
        forged_pixel_auc=forged["full"]["pixel_auc_per_image_mean"].value,
        forged_pixel_f1=forged["wscl"]["pixel_f1_per_image_mean"].value,
    )


def _counted(progress: Callable[[], object], records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        yield record
        progress()


def image_auc_of(report: EvaluationReport) -> float:
    """Image AUC of an evaluation; NaN with one label alone."""
    labels = [row.label for row in report.images]
    if len(set(labels)) < 2:
        return math.nan
    return float(image_auc(ImageScores.of(labels, np.array([row.detection_score for row in report.images])))[0])


def got_worse(before: Figures, after: Figures) -> list[str]:
    """Figures that got worse by more than chance may explain, in words; none where the training did no harm.

    Example:
        >>> got_worse(Figures(0.7, 0.1, 0.8, 0.9, 0.4), Figures(0.6, 0.2, 0.8, 0.9, 0.39))
        ['image AUC, held-out photos', 'false alarms on held-out photos, half of the forgeries below found']
    """
    losses = {
        name: getattr(after, name) - getattr(before, name)
        if name == "false_alarms"
        else getattr(before, name) - getattr(after, name)
        for name in TITLES
    }
    return [TITLES[name] for name, loss in losses.items() if loss > WORSE_BY]
